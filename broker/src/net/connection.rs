//! A client's connection: one task that reads, routes, drains its mailbox and writes.
//!
//! One wake does as much as it can with as few system calls as it can: it reads once, handles every packet, takes
//! everything out of the mailbox, and writes all of it (acknowledgements included) in one call. A connection that has
//! nothing to do owns no buffer.
//!
//! Reading stops, and with it the client, while its own output is not taken, while too many of its acknowledgements
//! wait for storage, and while a mailbox that it published to is over its limit.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use gaugeline_protocol::{
    PacketId, ReasonCode,
    packet::Will,
    session::{Session, Violation},
};
use tokio::time::Sleep;

use super::{
    doorman::Entrance,
    mount_point::MountPoint,
    pacing::Pacing,
    reauthentication::Reauthentication,
    rights::Rights,
    scratch::{READ_BYTES, Scratch},
    stream::Stream,
};
use crate::{
    auth::Identity,
    clock,
    hub::Hub,
    log::packets,
    metrics::Tally,
    router::{Contents, Delivery, Mailbox, MatchCache, RetainedWalk, Stamp},
    sessions::Seat,
    settings::Followed,
    storage::Ticket,
};

/// Output beyond this waits in the mailbox, where it is counted and bounded.
pub(super) const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// How often one poll may go around before it lets other tasks run.
const TURNS_MAX: usize = 8;
/// How long publishers wait for a client that does not keep up. Long enough for a hiccup of its network; short enough
/// that sensors behind the same gateway are not cut off for it.
const STALL_TIME_MAX: Duration = Duration::from_millis(500);

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The client said so.
    Disconnected { publish_will: bool },
    /// The stream ended or broke.
    Lost(std::io::Error),
    /// The client broke the protocol.
    Violated(Violation),
    /// Another part of the broker said so.
    Vacated(ReasonCode),
}

/// A mailbox that this connection waits for before it reads on.
#[derive(Debug)]
pub(super) struct Stall {
    mailbox: Arc<Mailbox>,
    until: Instant,
}

/// Packets that wait for storage.
#[derive(Debug)]
pub(super) struct Gated {
    pub(super) packets: BytesMut,
    pub(super) not_before: Ticket,
}

/// A connection with its session. The future ends when the connection does.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) hub: Arc<Hub>,
    pub(super) stream: Stream,
    pub(super) identity: Identity,
    pub(super) session: Session<Delivery>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) seat: Arc<Seat>,
    pub(super) will: Option<Box<Will>>,
    /// Counts this connection as long as it exists.
    pub(super) entrance: Entrance,
    pub(super) cache: MatchCache,
    /// The beginning of a packet whose rest has not arrived.
    pub(super) partial: BytesMut,
    /// Encoded packets on their way to the socket.
    pub(super) out: BytesMut,
    /// TLS holds encrypted bytes that the socket has not taken.
    pub(super) flushing: bool,
    /// Taken out of the mailbox and not sent yet.
    pub(super) backlog: Contents,
    /// Subscriptions whose retained messages are still to be sent.
    pub(super) walks: Vec<RetainedWalk>,
    /// What the last connection left unacknowledged has been sent again.
    pub(super) resent: bool,
    /// The last drain was large: leave buffers with room in the mailbox.
    pub(super) busy: bool,
    pub(super) stall: Option<Stall>,
    /// Storage is behind: nothing is read until it has made this safe.
    pub(super) storage_stall: Option<Ticket>,
    pub(super) pacing: Pacing,
    /// When the connection ends because a message of the client was refused.
    pub(super) refused_until: Option<Instant>,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
    /// Where storage must be for the retained messages of the open run.
    pub(super) retained_at: Ticket,
    /// Where storage must be for CONNACK, and then for the subscriptions of the packet at hand.
    pub(super) subscribed_at: Ticket,
    /// Packets that may leave once storage has reached a position: packet ids of QoS 2 must not be forgotten.
    pub(super) gated: Option<Gated>,
    /// Packet ids that were given out in this wake, for storage.
    pub(super) sent: Vec<(PacketId, Stamp)>,
    /// What the client has acknowledged in this batch, for storage.
    pub(super) settled: Vec<Stamp>,
    /// The client asked to be told when messages were received: then each must be safe before it is told, or a crash
    /// could give the same message two stamps.
    pub(super) stamps: bool,
    pub(super) mount_point: Option<MountPoint>,
    /// The largest packet that the client may send: what it was told.
    pub(super) packet_bytes_max: usize,
    pub(super) settings: Followed,
    pub(super) reauthentication: Option<Reauthentication>,
    pub(super) rights: Rights,
    pub(super) tally: Tally,
    pub(super) occupied: bool,
}

/// What a turn of the poll found.
enum Turn {
    /// There may be more to do.
    Again,
    /// Everything waits for something that wakes the task.
    Idle,
}

impl Future for Connection {
    type Output = Ending;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        let connection = self.get_mut();
        Scratch::with(|scratch| {
            if connection.out.capacity() == 0 {
                connection.out = scratch.output();
            }
            let result = connection.turns(cx, scratch);
            scratch.fanout.wake();
            connection.hub.metrics.add(&mut connection.tally);
            if connection.out.is_empty() {
                scratch.return_output(std::mem::take(&mut connection.out));
            }
            match result {
                Err(ending) => Poll::Ready(ending),
                Ok(()) => Poll::Pending,
            }
        })
    }
}

impl Connection {
    fn turns(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<(), Ending> {
        let now = clock::now();
        self.settings.follow(&self.hub.settings);
        self.follow_rights(now);
        // How much of the output was logged, if packets are: at first not even CONNACK.
        let mut logged = if self.occupied { self.out.len() } else { 0 };
        if !self.occupied {
            self.seat.occupy(cx.waker());
            if self.seat.verdict().is_none() && self.hub.store.wait(self.subscribed_at, cx.waker()) {
                return Ok(());
            }
            self.occupied = true;
            // Clients need not wait for CONNACK: whole packets may have come with CONNECT.
            let early = std::mem::take(&mut self.partial);
            self.take_in(&early, scratch, now)?;
        }
        for _ in 0..TURNS_MAX {
            if let Some(reason) = self.seat.verdict() {
                return Err(Ending::Vacated(reason));
            }
            if let Turn::Idle = self.turn(cx, scratch, now, &mut logged)? {
                self.keep_pace(now);
                return self.wait_for_time(cx, now);
            }
        }
        self.keep_pace(now);
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
        logged: &mut usize,
    ) -> Result<Turn, Ending> {
        let listens = self.may_read(cx, now);
        let read = if listens { self.read(cx, scratch, now)? } else { Turn::Idle };
        scratch.fanout.wake();
        self.release_acknowledgements(cx);
        self.fill_output(scratch, now);
        // What was met there may wait for storage too: the task must be woken for it.
        self.release_acknowledgements(cx);
        if packets::is_shown() {
            let fresh = self.out.get(*logged..).unwrap_or_default();
            packets::sent(&self.identity, self.session.version(), fresh);
        }
        let written = self.write(cx).map_err(Ending::Lost)?;
        *logged = self.out.len();
        if written.is_pending() {
            // The socket takes no more; it wakes the task when it does.
            return Ok(Turn::Idle);
        }
        let nothing_new = self.mailbox.wait(cx.waker(), self.backlog.messages, self.backlog.bytes);
        let drainable = !nothing_new && self.resent && self.backlog.is_empty();
        // Nobody tells of what came while the socket was not looked at.
        let listens_again = !listens && !self.is_paused() && self.has_room_to_read();
        let again = matches!(read, Turn::Again) || drainable || self.has_more_to_send() || listens_again;
        Ok(if again { Turn::Again } else { Turn::Idle })
    }

    fn may_read(&mut self, cx: &Context<'_>, now: Instant) -> bool {
        if self.refused_until.is_some() {
            return false;
        }
        if let Some(stall) = &self.stall {
            if now < stall.until && stall.mailbox.wait_for_room(cx.waker()) {
                return false;
            }
            if now >= stall.until && stall.mailbox.mark_lagging() {
                let identity = stall.mailbox.identity();
                crate::log::lagging(&identity.client_id, identity.user.as_deref());
            }
            self.stall = None;
        }
        if let Some(ticket) = self.storage_stall {
            if self.hub.store.durable() < ticket {
                // Woken by `release_acknowledgements`, as for everything that waits for storage.
                return false;
            }
            self.storage_stall = None;
            // While the broker did not listen, the client was not silent.
            self.session.received(now);
        }
        !self.is_slowed(now) && self.has_room_to_read()
    }

    /// Whether reading has to wait for a time to come.
    fn is_paused(&self) -> bool {
        self.pacing.until().is_some()
            || self.stall.is_some()
            || self.storage_stall.is_some()
            || self.refused_until.is_some()
    }

    fn has_room_to_read(&self) -> bool {
        self.out.len() < OUTPUT_BYTES_MAX && !self.waits_for_storage()
    }

    /// Whether so many acknowledgements wait that nothing is read.
    fn waits_for_storage(&self) -> bool {
        self.storage_stall.is_some()
            || self.session.acknowledgements_waiting()
                >= usize::from(self.session.negotiated().receive_maximum.get())
    }

    /// Reads once, and handles every whole packet.
    fn read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, now: Instant) -> Result<Turn, Ending> {
        let missing = self.missing_bytes()?;
        if missing > READ_BYTES {
            return self.read_large(cx, scratch, now, missing);
        }
        let mut buffer = std::mem::take(&mut scratch.read);
        let polled = self.fill(cx, &mut buffer);
        let result = match polled {
            Poll::Pending => Ok(Turn::Idle),
            Poll::Ready(Err(ending)) => Err(ending),
            Poll::Ready(Ok(filled)) => {
                self.partial.clear();
                let bytes = buffer.get(..filled).unwrap_or_default();
                self.take_in(bytes, scratch, now).map(|()| Turn::Again)
            }
        };
        scratch.read = buffer;
        result
    }

    /// Reads behind what is left of the last read; returns how many bytes there are together.
    fn fill(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<Result<usize, Ending>> {
        let carried = self.partial.len();
        if buffer.len() < carried + READ_BYTES {
            buffer.resize(carried + READ_BYTES, 0);
        }
        let Some((head, tail)) = buffer.split_at_mut_checked(carried) else { return Poll::Ready(Ok(0)) };
        head.copy_from_slice(&self.partial);
        let read = ready!(self.stream.poll_read(cx, tail)).map_err(Ending::Lost)?;
        Poll::Ready(self.count_read(read).map(|()| carried + read))
    }

    /// Reads into the packet's own buffer while much of it is missing.
    fn read_large(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
        missing: usize,
    ) -> Result<Turn, Ending> {
        let carried = self.partial.len();
        self.partial.reserve(missing);
        self.partial.resize(carried + READ_BYTES, 0);
        let tail = self.partial.get_mut(carried..).unwrap_or_default();
        let polled = self.stream.poll_read(cx, tail);
        let read = if let Poll::Ready(Ok(read)) = polled { read } else { 0 };
        self.partial.truncate(carried + read);
        match polled {
            Poll::Pending => Ok(Turn::Idle),
            Poll::Ready(Err(error)) => Err(Ending::Lost(error)),
            Poll::Ready(Ok(_)) => {
                self.count_read(read)?;
                let bytes = std::mem::take(&mut self.partial);
                if self.begins_incomplete(&bytes)? {
                    self.partial = bytes;
                    return Ok(Turn::Again);
                }
                self.take_in(&bytes, scratch, now).map(|()| Turn::Again)
            }
        }
    }

    fn count_read(&mut self, read: usize) -> Result<(), Ending> {
        if read == 0 {
            return Err(Ending::Lost(std::io::ErrorKind::UnexpectedEof.into()));
        }
        self.tally.bytes_received += read as u64;
        Ok(())
    }

    /// Handles what arrived, and keeps the beginning of a packet that is not whole yet.
    fn take_in(&mut self, bytes: &[u8], scratch: &mut Scratch, now: Instant) -> Result<(), Ending> {
        self.session.received(now);
        let handled = self.handle_packets(bytes, &mut scratch.fanout, now);
        // Taken in any case: the next connection of this thread has nothing to do with it.
        let stalled = scratch.fanout.take_stalled();
        let used = handled?;
        self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        }
        if let Some(mailbox) = stalled
            && mailbox.id() != self.mailbox.id()
        {
            self.stall = Some(Stall { mailbox, until: now + STALL_TIME_MAX });
        }
        Ok(())
    }

    /// The session, for whoever has it next; an empty one stays.
    pub(super) fn take_session(&mut self) -> Session<Delivery> {
        let empty = Session::new(self.session.negotiated().clone(), clock::now());
        std::mem::replace(&mut self.session, empty)
    }

    /// Writes until nothing is left, or the socket takes no more (then `Pending`).
    fn write(&mut self, cx: &mut Context<'_>) -> std::io::Result<Poll<()>> {
        while !self.out.is_empty() {
            match self.stream.poll_write(cx, &self.out)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => {
                    self.tally.bytes_sent += written as u64;
                    self.flushing = true;
                    self.out.advance(written);
                }
            }
        }
        if self.flushing {
            if self.stream.poll_flush(cx)?.is_pending() {
                return Ok(Poll::Pending);
            }
            self.flushing = false;
            self.out.clear();
        }
        Ok(Poll::Ready(()))
    }

    /// Sets the timer to the next time that matters, and looks whether it has come.
    fn wait_for_time(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), Ending> {
        loop {
            let stall_ends = self.stall.as_ref().map(|stall| stall.until);
            if self.refused_until.is_some_and(|until| until <= now) {
                return Err(Ending::Vacated(ReasonCode::QuotaExceeded));
            }
            let pause_ends = self.refused_until.or_else(|| stall_ends.max(self.pacing.until()));
            // A client cannot be called silent while the broker itself does not listen.
            let listens = pause_ends.is_none() && !self.waits_for_storage();
            if listens {
                self.session.handle_timeout(now).map_err(Ending::Violated)?;
            }
            let keep_alive_ends = if listens { self.session.poll_timeout() } else { None };
            let Some(next) = pause_ends.or(keep_alive_ends) else {
                self.timer = None;
                return Ok(());
            };
            let next = tokio::time::Instant::from_std(next);
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            // A timer that is early is not moved at each packet: it finds the later deadline when it fires.
            if timer.deadline() > next || timer.is_elapsed() {
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            if clock::now() >= next.into_std() {
                // Looked at with a fresh clock in the next poll.
                cx.waker().wake_by_ref();
                return Ok(());
            }
        }
    }
}
