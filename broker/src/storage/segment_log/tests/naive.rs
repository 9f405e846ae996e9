//! What the records add up to, without segments and without cleverness, and what can be compared with it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Naive {
    pub(super) sessions: BTreeMap<u64, NaiveSession>,
    pub(super) retained: BTreeMap<String, u64>,
    pub(super) last_stamp: u64,
    pub(super) last_session: u64,
    orders: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NaiveSession {
    pub(super) parked: bool,
    /// Filter, and whether retained messages are still to be handed over.
    pub(super) subscriptions: BTreeMap<String, bool>,
    /// Stamp, and order and packet id if sent.
    pub(super) waiting: Vec<(u64, Option<(u64, u16)>)>,
    pub(super) releasing: Vec<(u64, u16)>,
    pub(super) received: BTreeSet<u16>,
}

impl Naive {
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::SessionOpened { session, .. } => {
                self.last_session = self.last_session.max(session.number());
                self.sessions.entry(session.number()).or_default().parked = false;
            }
            Record::SessionParked { session, .. } => self.with(*session, |found| found.parked = true),
            Record::SessionEnded { session } => {
                self.last_session = self.last_session.max(session.number());
                self.sessions.remove(&session.number());
            }
            Record::Subscribed { session, filter, subscription } => self.with(*session, |found| {
                found.subscriptions.insert(filter.as_str().to_owned(), subscription.walking);
            }),
            Record::Unsubscribed { session, filter } => self.with(*session, |found| {
                found.subscriptions.remove(filter.as_str());
            }),
            Record::Messages { messages, receivers, received } => {
                for message in messages {
                    let stamp = message.stamp().nanoseconds();
                    self.last_stamp = self.last_stamp.max(stamp);
                    for receiver in receivers {
                        self.with(receiver.session, |found| found.waiting.push((stamp, None)));
                    }
                }
                if let Some((session, packet_ids)) = received {
                    self.with(*session, |found| {
                        found.received.extend(packet_ids.iter().map(|id| id.as_u16()));
                    });
                }
            }
            Record::Sent { session, messages } => {
                for (packet_id, message) in messages {
                    let sent = (self.orders, packet_id.as_u16());
                    self.orders += 1;
                    self.with(*session, |found| found.send(message.nanoseconds(), sent));
                }
            }
            Record::Received { session, packet_id, message } => {
                let orders = self.orders;
                self.with(*session, |found| {
                    let order = found.settle(message.nanoseconds()).flatten().map_or(orders, |sent| sent.0);
                    found.releasing.retain(|(_, id)| *id != packet_id.as_u16());
                    found.releasing.push((order, packet_id.as_u16()));
                });
            }
            Record::Settled { session, messages } => self.with(*session, |found| {
                for message in messages {
                    found.settle(message.nanoseconds());
                }
            }),
            Record::Completed { session, packet_id } => self.with(*session, |found| {
                found.releasing.retain(|(_, id)| *id != packet_id.as_u16());
            }),
            Record::Released { session, packet_id } => self.with(*session, |found| {
                found.received.remove(&packet_id.as_u16());
            }),
            Record::Retained(message) => {
                let stamp = message.stamp().nanoseconds();
                self.last_stamp = self.last_stamp.max(stamp);
                self.retained.insert(message.topic().to_owned(), stamp);
            }
            Record::RetainedRemoved(topic) => {
                self.retained.remove(&**topic);
            }
        }
    }

    fn with(&mut self, session: MailboxId, change: impl FnOnce(&mut NaiveSession)) {
        self.last_session = self.last_session.max(session.number());
        if let Some(found) = self.sessions.get_mut(&session.number()) {
            change(found);
        }
    }

    pub(super) fn after(records: &[Record]) -> Self {
        let mut naive = Self::default();
        records.iter().for_each(|record| naive.apply(record));
        naive
    }

    pub(super) fn view(&self) -> View {
        let sessions = self.sessions.iter().map(|(id, session)| {
            let mut queued: Vec<_> =
                session.waiting.iter().filter(|(_, sent)| sent.is_none()).map(|(stamp, _)| *stamp).collect();
            queued.sort_unstable();
            let mut open: Vec<_> = session
                .waiting
                .iter()
                .filter_map(|(stamp, sent)| sent.map(|(order, id)| (order, id, Some(*stamp))))
                .chain(session.releasing.iter().map(|(order, id)| (*order, *id, None)))
                .collect();
            open.sort_by_key(|(order, ..)| *order);
            let open = open.into_iter().map(|(_, id, stamp)| (id, stamp)).collect();
            let (subscriptions, received) = (session.subscriptions.clone(), session.received.clone());
            (*id, SessionView { parked: session.parked, subscriptions, queued, open, received })
        });
        View {
            sessions: sessions.collect(),
            retained: self.retained.clone(),
            last_stamp: self.last_stamp,
            last_session: self.last_session,
        }
    }
}

impl NaiveSession {
    fn send(&mut self, message: u64, sent: (u64, u16)) {
        let mut mine: Vec<_> = self.waiting.iter_mut().filter(|(stamp, _)| *stamp == message).collect();
        let at = mine.iter().position(|(_, sent)| sent.is_none()).unwrap_or(0);
        if let Some((_, place)) = mine.get_mut(at) {
            *place = Some(sent);
        }
    }

    fn settle(&mut self, stamp: u64) -> Option<Option<(u64, u16)>> {
        let mine = |(_, (other, _)): &(usize, &(u64, Option<_>))| *other == stamp;
        let sent = self.waiting.iter().enumerate().filter(mine).find(|(_, (_, sent))| sent.is_some());
        let (at, _) = sent.or_else(|| self.waiting.iter().enumerate().find(mine))?;
        Some(self.waiting.remove(at).1)
    }
}

/// What both give back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) sessions: BTreeMap<u64, SessionView>,
    pub(super) retained: BTreeMap<String, u64>,
    pub(super) last_stamp: u64,
    pub(super) last_session: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct SessionView {
    pub(super) parked: bool,
    pub(super) subscriptions: BTreeMap<String, bool>,
    pub(super) queued: Vec<u64>,
    pub(super) open: Vec<(u16, Option<u64>)>,
    pub(super) received: BTreeSet<u16>,
}

pub(super) fn view(recovered: &Recovered) -> View {
    let sessions = recovered.sessions.iter().map(|found| {
        let open = found.inflight.iter().map(|open| {
            (open.packet_id.as_u16(), open.delivery.as_ref().map(|d| d.message.stamp().nanoseconds()))
        });
        let view = SessionView {
            parked: matches!(found.connection, LastConnection::Parked { .. }),
            subscriptions: found
                .subscriptions
                .iter()
                .map(|(filter, kept)| (filter.to_string(), kept.walking))
                .collect(),
            queued: stamps(found),
            open: open.collect(),
            received: found.received.iter().map(|id| id.as_u16()).collect(),
        };
        (found.session.number(), view)
    });
    View {
        sessions: sessions.collect(),
        retained: recovered
            .retained
            .iter()
            .map(|message| (message.topic().to_owned(), message.stamp().nanoseconds()))
            .collect(),
        last_stamp: recovered.last_stamp.map_or(0, Stamp::nanoseconds),
        last_session: recovered.last_session,
    }
}
