//! One client from CONNECT to the moment it is ready, and the packets it answers by itself.

use std::net::{IpAddr, Ipv4Addr};

use mio::{Registry, Token};

use super::{
    failure::Broken,
    plan::{Plan, Side},
    scanner::{ConnAck, Event, Scanner},
    transport::{Output, Reading, Transport},
    wire,
};

/// Connections that share one local address: fewer than the local ports that Linux gives away by default.
const CONNECTIONS_PER_ADDRESS: u64 = 20_000;
/// Reads of one connection in one turn, so that a fast one does not starve the others.
const READS_PER_TURN: usize = 8;

/// What a client is to do once it is connected.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub(super) side: Side,
    /// Distinguishes the clients of a side.
    pub(super) number: u64,
    /// Begin with an empty session.
    pub(super) clean: bool,
    /// Keep the session behind the connection.
    pub(super) keep: bool,
    /// The session is expected to exist.
    pub(super) resume: bool,
    /// Subscribe to this.
    pub(super) filter: Option<String>,
}

/// A client's connection and how far its opening has come.
#[derive(Debug)]
pub(super) struct Session {
    transport: Transport,
    scanner: Scanner,
    answers: Answers,
    /// The socket took not all at the last write.
    full: bool,
    /// When it began to connect, nanoseconds.
    pub(super) since: u64,
}

/// The part of a session that reacts to packets.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) out: Output,
    state: State,
    subscribe: Option<Vec<u8>>,
    resume: bool,
    qos: u8,
    broken: Option<Broken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Subscribing,
    Ready,
}

/// What an event means to the owner of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice<'a> {
    /// Logged in; when it has also subscribed, `Ready` follows.
    LoggedIn(ConnAck, SessionFound),
    /// Ready for the load.
    Ready,
    /// Traffic.
    Traffic(&'a Event),
}

/// Whether the broker kept the session that the client wanted to resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionFound {
    AsExpected,
    Lost,
}

impl Session {
    /// Begins to connect; `ordinal` spreads many connections over local addresses.
    pub(super) fn open(
        plan: &Plan,
        opening: &Opening,
        ordinal: u64,
        registry: &Registry,
        token: Token,
        now: u64,
    ) -> Result<Self, Broken> {
        let transport = Transport::connect(plan, local_address(plan, ordinal), registry, token)?;
        let mut out = Output::default();
        out.bytes = plan.connect(opening.side, opening.number, opening.clean, opening.keep);
        Ok(Self {
            transport,
            scanner: Scanner::new(plan.version),
            answers: Answers {
                out,
                state: State::Connecting,
                subscribe: opening
                    .filter
                    .as_ref()
                    .map(|filter| wire::subscribe(plan.version, filter, plan.qos)),
                resume: opening.resume,
                qos: plan.qos,
                broken: None,
            },
            full: false,
            since: now,
        })
    }

    /// Reads what there is, within bounds, and hands out what it means; whether that was all. `closed`: read to the end
    /// of the stream.
    pub(super) fn receive(
        &mut self,
        closed: bool,
        scratch: &mut [u8],
        clock: impl Fn(std::time::Instant) -> u64,
        on: &mut impl FnMut(Notice<'_>, u64, &mut Output),
    ) -> Result<bool, Broken> {
        let Self { transport, scanner, answers, .. } = self;
        for _ in 0..READS_PER_TURN {
            let reading = transport.receive(scratch, &mut |bytes, now| {
                let now = clock(now);
                scanner.feed(bytes, &mut |event| {
                    if let Some(notice) = answers.react(event) {
                        on(notice, now, &mut answers.out);
                    }
                })?;
                answers.broken.take().map_or(Ok(()), Err)
            })?;
            match reading {
                Reading::Nothing => return Ok(true),
                Reading::All if !closed => return Ok(true),
                Reading::All | Reading::Part => {}
            }
        }
        Ok(false)
    }

    /// Writes what waits to be written; whether that was all.
    pub(super) fn flush(&mut self) -> Result<bool, Broken> {
        if self.answers.out.is_empty() && !self.transport.wants_write() {
            return Ok(true);
        }
        let flushed = self.transport.send(&mut self.answers.out)?;
        self.full = !flushed;
        Ok(flushed)
    }

    /// The socket takes nothing more at the moment.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Disconnects, as far as the socket takes it.
    pub(super) fn leave(&mut self) {
        self.answers.out.bytes.extend_from_slice(&wire::DISCONNECT);
        self.transport.close(&mut self.answers.out);
    }

    /// The bytes to be sent.
    pub(super) fn out(&mut self) -> &mut Output {
        &mut self.answers.out
    }

    /// Logged in and subscribed.
    pub(super) fn is_ready(&self) -> bool {
        self.answers.state == State::Ready
    }
}

impl Answers {
    /// Brings the opening forward; what it does not need is the owner's.
    #[inline]
    fn react<'a>(&mut self, event: &'a Event) -> Option<Notice<'a>> {
        if self.state == State::Ready && !matches!(event, Event::Disconnect { .. }) {
            return Some(Notice::Traffic(event));
        }
        self.react_to_opening(event)
    }

    #[cold]
    fn react_to_opening<'a>(&mut self, event: &'a Event) -> Option<Notice<'a>> {
        match *event {
            Event::ConnAck(answer) if self.state == State::Connecting => self.log_in(answer),
            Event::SubAck { failure: None } if self.state == State::Subscribing => {
                self.state = State::Ready;
                Some(Notice::Ready)
            }
            Event::SubAck { failure: Some(reason) } => {
                self.broken = Some(Broken::Subscription(reason));
                None
            }
            Event::Disconnect { reason } => {
                self.broken = Some(Broken::Disconnected(reason));
                None
            }
            // Retained messages, or those of a resumed session, may come before SUBACK.
            _ => Some(Notice::Traffic(event)),
        }
    }

    fn log_in(&mut self, answer: ConnAck) -> Option<Notice<'static>> {
        if answer.reason != 0 {
            self.broken = Some(Broken::Login(answer.reason));
            return None;
        }
        if answer.maximum_qos < self.qos {
            self.broken = Some(Broken::QosTooHigh(answer.maximum_qos));
            return None;
        }
        let found = if self.resume && !answer.session_present {
            SessionFound::Lost
        } else {
            SessionFound::AsExpected
        };
        self.state = match self.subscribe.take() {
            Some(subscribe) => {
                self.out.bytes.extend_from_slice(&subscribe);
                State::Subscribing
            }
            None => State::Ready,
        };
        Some(Notice::LoggedIn(answer, found))
    }
}

/// Another local address for each 20,000 connections to a loopback address, because the ports of one run out.
fn local_address(plan: &Plan, ordinal: u64) -> Option<IpAddr> {
    let IpAddr::V4(address) = plan.address.ip() else { return None };
    let number = u8::try_from(ordinal / CONNECTIONS_PER_ADDRESS).unwrap_or(u8::MAX);
    (address.is_loopback() && number > 0).then_some(IpAddr::V4(Ipv4Addr::new(
        127,
        0,
        0,
        number.saturating_add(1),
    )))
}
