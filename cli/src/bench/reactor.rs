//! Waits for sockets, wakers and the time of one thread.

use std::{io, time::Duration};

use mio::{Events, Poll, Registry, Token, Waker};

use super::shared::WAIT_MAX;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Tokens above those of connections.
const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// One thread's epoll instance.
#[derive(Debug)]
pub(super) struct Reactor {
    poll: Poll,
    events: Events,
    timer: Option<timer::Timer>,
}

/// A connection that has something to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) index: usize,
    pub(super) readable: bool,
    /// Nothing will come behind what is there: no further event will tell of the end.
    pub(super) closed: bool,
}

impl Reactor {
    /// `precise`: sleeps shorter than a millisecond will be asked for.
    pub(super) fn new(precise: bool) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let timer = if precise { timer::Timer::new(poll.registry(), TIMER)? } else { None };
        Ok((Self { poll, events: Events::with_capacity(EVENTS_MAX), timer }, waker))
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Sleeps until something happens, or for `wait` at most; adds the connections that are ready to `ready`.
    pub(super) fn wait(&mut self, wait: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        let wait = match &self.timer {
            Some(timer) if !wait.is_zero() && wait < WAIT_MAX => {
                timer.arm(wait)?;
                WAIT_MAX
            }
            _ => wait,
        };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        ready.extend(self.events.iter().filter(|event| event.token() < TIMER).map(|event| Ready {
            index: event.token().0,
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            closed: event.is_read_closed() || event.is_error(),
        }));
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod timer {
    //! epoll sleeps whole milliseconds, too coarse for thousands of messages a second: a timerfd is exact.

    use std::{
        io,
        os::fd::{AsRawFd, OwnedFd},
        time::Duration,
    };

    use mio::{Interest, Registry, Token, unix::SourceFd};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// Reports an event when the time is over; never read, because each arming rings anew.
    #[derive(Debug)]
    pub(super) struct Timer(OwnedFd);

    impl Timer {
        pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Option<Self>> {
            let timer =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Some(Self(timer)))
        }

        pub(super) fn arm(&self, wait: Duration) -> io::Result<()> {
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            let value = Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            };
            timerfd_settime(
                &self.0,
                TimerfdTimerFlags::empty(),
                &Itimerspec { it_interval: never, it_value: value },
            )?;
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    //! Other systems sleep whole milliseconds: `--rate` then sends in small bursts.

    use std::{io, time::Duration};

    use mio::{Registry, Token};

    /// Does not exist.
    #[derive(Debug)]
    pub(super) enum Timer {}

    impl Timer {
        pub(super) fn new(_registry: &Registry, _token: Token) -> io::Result<Option<Self>> {
            Ok(None)
        }

        pub(super) fn arm(&self, _wait: Duration) -> io::Result<()> {
            match *self {}
        }
    }
}
