//! Keep-alive: PINGREQ when a direction was silent, and the end when the server stays silent.
//!
//! A timer of half the keep-alive time looks at what happened since it fired last, so sending and receiving cost a
//! flag each and no look at a clock. Silence of a whole keep-alive time is thus impossible [MQTT-3.1.2-20].

use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct KeepAlive {
    timer: Option<(Instant, Duration)>,
    sent: bool,
    received: bool,
    pinged: bool,
}

/// What has to happen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send a PINGREQ.
    Ping,
    /// Nothing has come, not even the answer to the last PINGREQ.
    Dead,
}

impl KeepAlive {
    /// With the time that CONNECT or CONNACK fixed; 0 switches it off.
    pub(super) fn new(now: Instant, seconds: u16) -> Self {
        let half = Duration::from_secs(seconds.into()) / 2;
        Self { timer: (seconds > 0).then(|| (now + half, half)), ..Self::default() }
    }

    pub(super) const fn sent(&mut self) {
        self.sent = true;
    }

    pub(super) const fn received(&mut self) {
        self.received = true;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timer.map(|(deadline, _)| deadline)
    }

    pub(super) fn tick(&mut self, now: Instant) -> Due {
        let Some((deadline, half)) = self.timer.filter(|(deadline, _)| *deadline <= now) else {
            return Due::Nothing;
        };
        let (sent, received) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.received));
        // After a pause of the whole program the timer starts anew instead of firing many times.
        self.timer = Some((if deadline + half > now { deadline + half } else { now + half }, half));
        if self.pinged && !received {
            return Due::Dead;
        }
        self.pinged = !sent || !received;
        if self.pinged { Due::Ping } else { Due::Nothing }
    }
}
