//! The state of the log as the broker takes it over at its start.

use std::{sync::Arc, time::Instant};

use super::state::{Kept, Session, State, Waiting};
use crate::{
    router::{Delivery, MailboxId, Message, Stamp},
    storage::{Recovered, RecoveredInflight, RecoveredSession},
};

impl State {
    /// Replaying is over: lets go of sessions that nothing introduced, and of what has expired by now and was never
    /// sent. Returns how many messages expired.
    pub(super) fn finish_replay(&mut self, now: Instant) -> usize {
        self.replaying = false;
        let unknown = self.sessions.iter().filter(|(_, session)| session.owner.is_none());
        for id in unknown.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id);
        }
        let has_expired = |kept: &Kept| kept.message.expires_at().is_some_and(|at| at <= now);
        let expired: Vec<_> =
            self.messages.iter().filter(|(_, kept)| has_expired(kept)).map(|(stamp, _)| *stamp).collect();
        for stamp in &expired {
            self.expire(*stamp);
        }
        expired.len()
    }

    fn expire(&mut self, stamp: Stamp) {
        let Some(kept) = self.messages.get(&stamp) else { return };
        if kept.retained {
            let topic: Arc<str> = kept.message.topic().into();
            self.retained.remove(&topic);
        }
        self.change_message(stamp, |kept| {
            kept.retained = false;
            kept.waiting.retain(|waiting| waiting.sent.is_some());
        });
    }

    /// Everything, for the broker.
    pub(super) fn recovered(&self) -> Recovered {
        let mut sessions: foldhash::HashMap<MailboxId, Found> =
            self.sessions.iter().map(|(id, session)| (*id, Found::of(session))).collect();
        for kept in self.messages.values() {
            for waiting in &kept.waiting {
                if let Some(found) = sessions.get_mut(&waiting.receiver.session) {
                    found.add(&kept.message, waiting);
                }
            }
        }
        let retained = self.retained.values().filter_map(|stamp| self.message(*stamp).map(Arc::clone));
        let marks = self.marks;
        Recovered {
            sessions: sessions
                .into_iter()
                .filter_map(|(id, found)| found.finish(id, self.sessions.get(&id)?))
                .collect(),
            retained: retained.collect(),
            last_stamp: (marks.last_stamp > 0).then(|| Stamp::from_nanoseconds(marks.last_stamp)),
            last_session: marks.last_session,
        }
    }
}

/// What waits for a session, in no order yet.
#[derive(Default)]
struct Found {
    /// With their stamps beside them: sorting must not look up a million messages all over the memory.
    queued: Vec<(Stamp, Delivery)>,
    inflight: Vec<(u64, RecoveredInflight)>,
}

impl Found {
    fn of(session: &Session) -> Self {
        let release = |packet_id| RecoveredInflight { packet_id, delivery: None };
        let inflight = session.releasing.iter().map(|sent| (sent.order, release(sent.packet_id)));
        Self { queued: Vec::new(), inflight: inflight.collect() }
    }

    fn add(&mut self, message: &Arc<Message>, waiting: &Waiting) {
        let receiver = &waiting.receiver;
        let delivery = Delivery {
            message: Arc::clone(message),
            qos: receiver.qos,
            retain: receiver.retain,
            subscription_ids: receiver.subscription_ids.clone(),
            stamped: false,
            hidden_topic_bytes: 0,
        };
        match waiting.sent {
            None => self.queued.push((message.stamp(), delivery)),
            Some(sent) => self.inflight.push((
                sent.order,
                RecoveredInflight { packet_id: sent.packet_id, delivery: Some(delivery) },
            )),
        }
    }

    fn finish(mut self, id: MailboxId, session: &Session) -> Option<RecoveredSession> {
        let owner = session.owner.clone()?;
        // The stamps of one publisher are in the order in which it published.
        self.queued.sort_unstable_by_key(|(stamp, _)| *stamp);
        self.inflight.sort_by_key(|(order, _)| *order);
        Some(RecoveredSession {
            session: id,
            client_id: owner.client_id,
            user: owner.user,
            realm: owner.realm,
            expiry_seconds: owner.expiry_seconds,
            connection: owner.connection,
            subscriptions: session
                .subscriptions
                .iter()
                .map(|(filter, subscription)| (filter.clone(), *subscription))
                .collect(),
            queued: self.queued.into_iter().map(|(_, delivery)| delivery).collect(),
            inflight: self.inflight.into_iter().map(|(_, inflight)| inflight).collect(),
            received: session.received.iter().copied().collect(),
        })
    }
}
