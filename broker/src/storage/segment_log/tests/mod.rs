//! The log over real files, and over a disk that fails.

mod basics;
mod faults;
mod faulty_disk;
mod model;
mod naive;

use std::{
    sync::Arc,
    task::{Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use gaugeline_protocol::{ClientId, PacketId, QoS, TopicFilter, session::Subscription};

use super::*;
use crate::{
    metrics::Metrics,
    router::{Draft, MailboxId, Message, Stamp},
    storage::{KeptSubscription, LastConnection, Receiver, RecoveredSession},
};

/// When the tests open their logs, in nanoseconds since 1970.
const WALL: u64 = 1_700_000_000_000_000_000;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How long a test waits for the writer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until the ticket is safe.
fn wait(log: &SegmentLog, ticket: Ticket) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let until = crate::clock::now() + DEADLINE;
    while log.wait(ticket, &waker) {
        thread::park_timeout(until.saturating_duration_since(crate::clock::now()));
        assert!(crate::clock::now() < until, "{ticket:?} is not safe; the failure: {:?}", log.failure());
    }
    assert!(log.durable() >= ticket);
}

/// Waits until the condition holds, which takes a writer that nobody waits for.
fn until(what: &str, holds: impl Fn() -> bool) {
    let until = crate::clock::now() + DEADLINE;
    while !holds() {
        assert!(crate::clock::now() < until, "in vain for {what}");
        thread::yield_now();
    }
}

fn metrics() -> StorageMetrics {
    Metrics::new().storage.clone()
}

fn open(options: &OpenOptions) -> (SegmentLog, Recovered) {
    SegmentLog::open(options, crate::clock::now(), WALL, &metrics()).unwrap()
}

fn session(number: u64) -> MailboxId {
    MailboxId::from_number(number)
}

fn opened(number: u64) -> Record {
    Record::SessionOpened {
        session: session(number),
        client_id: ClientId::new(&format!("client {number}")).unwrap(),
        user: Some("user".into()),
        realm: Some("127.0.0.1:1884".into()),
        expiry_seconds: 3600,
        will: None,
    }
}

fn message_on(topic: &str, payload: &[u8], stamp: u64, expires_at: Option<Instant>) -> Arc<Message> {
    let draft = Draft {
        topic,
        payload,
        properties: b"properties",
        qos: QoS::AtLeastOnce,
        expires_at,
        publisher: Some(session(99)),
    };
    Arc::new(Message::new(&draft, Stamp::from_nanoseconds(stamp)))
}

fn message(stamp: u64) -> Arc<Message> {
    message_on("a/b", format!("payload {stamp}").as_bytes(), stamp, None)
}

fn receiver(number: u64) -> Receiver {
    Receiver { session: session(number), qos: QoS::AtLeastOnce, retain: false, subscription_ids: None }
}

fn queued(message: Arc<Message>, receivers: impl IntoIterator<Item = u64>) -> Record {
    Record::Messages {
        messages: vec![message],
        receivers: receivers.into_iter().map(receiver).collect(),
        received: None,
    }
}

fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn stamp(nanoseconds: u64) -> Stamp {
    Stamp::from_nanoseconds(nanoseconds)
}

fn only_session(recovered: &Recovered) -> &RecoveredSession {
    assert_eq!(recovered.sessions.len(), 1);
    &recovered.sessions[0]
}

fn stamps(session: &RecoveredSession) -> Vec<u64> {
    session.queued.iter().map(|delivery| delivery.message.stamp().nanoseconds()).collect()
}
