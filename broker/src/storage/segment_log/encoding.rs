//! What records look like in a group, see `format` for what is around them. The first byte is the kind.
//!
//! | Kind | Content |
//! |---|---|
//! | 1 session opened | session, client id, user?, expiry seconds, connection, realm at the end unless it is the first |
//! | 2 session parked | session, connection |
//! | 3 session ended | session |
//! | 4 subscribed | session, filter, options, id? |
//! | 5 unsubscribed | session, filter |
//! | 6 messages | receivers, flag + session + packet ids received at QoS 2, messages |
//! | 7 sent | session, stamp, packet id |
//! | 8 received | session, stamp, packet id, order |
//! | 9 settled | session, stamp |
//! | 10 completed, 11 released | session, packet id |
//! | 12 retained | message |
//! | 13 retained removed | topic |
//! | 14 kept message | retained flag, message, receivers each with packet id and order if it was sent |
//! | 15 kept session | as 1, then subscriptions, packet ids received at QoS 2, orders and packet ids of open exchanges, realm |
//!
//! A message is flags (QoS, expires, has a publisher, known), its stamp, and unless it is known already (its body is in
//! the log, and kept): the expiry in nanoseconds since 1970, the publisher, the lengths of topic, properties and
//! payload, and their bytes. Sent records count orders: see `state`. Kinds 14 and 15 say everything there is about a
//! message or a session; the log writes them in order to let go of an old segment.

use std::{ops::Range, sync::Arc};

use gaugeline_protocol::QoS;

use super::{
    anchor::Anchor,
    fields::{
        Fields, Malformed, put_bytes, put_connection, put_option, put_packet_id, put_realm, put_receiver,
        put_session, put_stamp, put_subscription, put_user, put_varint, put_will,
    },
    state::{Change, Kept, KeptMessage, KeptSession, Owner, Sent, Session, State, Waiting},
};
use crate::{
    router::{Draft, MailboxId, Message, Stamp},
    storage::{LastConnection, Record},
};

const SESSION_OPENED: u8 = 1;
const SESSION_PARKED: u8 = 2;
const SESSION_ENDED: u8 = 3;
const SUBSCRIBED: u8 = 4;
const UNSUBSCRIBED: u8 = 5;
const MESSAGES: u8 = 6;
const SENT: u8 = 7;
const RECEIVED: u8 = 8;
const SETTLED: u8 = 9;
const COMPLETED: u8 = 10;
const RELEASED: u8 = 11;
const RETAINED: u8 = 12;
const RETAINED_REMOVED: u8 = 13;
const KEPT_MESSAGE: u8 = 14;
const KEPT_SESSION: u8 = 15;

const EXPIRES: u8 = 4;
const HAS_PUBLISHER: u8 = 8;
const KNOWN: u8 = 16;

/// Appends records to a group.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) anchor: Anchor,
}

impl Encoder<'_> {
    /// Appends a record. `state` is what the log says before it: a message whose body it keeps is only referred to.
    pub(super) fn record(&mut self, record: &Record, state: &State) {
        let start = self.start(kind_of(record));
        match record {
            Record::SessionOpened { session, client_id, user, realm, expiry_seconds, will } => {
                put_session(self.out, *session);
                put_bytes(self.out, client_id.as_str().as_bytes());
                put_user(self.out, user.as_ref());
                put_varint(self.out, (*expiry_seconds).into());
                self.out.push(u8::from(will.is_some()));
                if let Some(will) = will {
                    put_will(self.out, will);
                }
                put_realm(self.out, realm.as_ref());
            }
            Record::SessionParked { session, expires_at, will } => {
                put_session(self.out, *session);
                self.out.push(2 | u8::from(will.is_some()));
                put_option(self.out, *expires_at);
                if let Some((will, due_at)) = will {
                    put_varint(self.out, *due_at);
                    put_will(self.out, will);
                }
            }
            Record::SessionEnded { session } => put_session(self.out, *session),
            Record::Subscribed { session, filter, subscription } => {
                put_session(self.out, *session);
                put_subscription(self.out, filter, subscription);
            }
            Record::Unsubscribed { session, filter } => {
                put_session(self.out, *session);
                put_bytes(self.out, filter.as_str().as_bytes());
            }
            Record::Messages { messages, receivers, received } => {
                self.list(receivers, |encoder, receiver| put_receiver(encoder.out, receiver));
                self.out.push(u8::from(received.is_some()));
                if let Some((session, packet_ids)) = received {
                    put_session(self.out, *session);
                    self.list(packet_ids, |encoder, id| put_packet_id(encoder.out, *id));
                }
                self.list(messages, |encoder, message| {
                    encoder.message(message, state.keeps(message.stamp()))
                });
            }
            Record::Sent { session, messages } => {
                put_session(self.out, *session);
                self.list(messages, |encoder, (packet_id, message)| {
                    put_packet_id(encoder.out, *packet_id);
                    put_stamp(encoder.out, *message);
                });
            }
            Record::Received { session, packet_id, message } => {
                put_session(self.out, *session);
                put_stamp(self.out, *message);
                put_packet_id(self.out, *packet_id);
                put_varint(self.out, state.order_of(*session, *message));
            }
            Record::Settled { session, messages } => {
                put_session(self.out, *session);
                self.list(messages, |encoder, message| put_stamp(encoder.out, *message));
            }
            Record::Completed { session, packet_id } | Record::Released { session, packet_id } => {
                put_session(self.out, *session);
                put_packet_id(self.out, *packet_id);
            }
            Record::Retained(message) => self.message(message, state.keeps(message.stamp())),
            Record::RetainedRemoved(topic) => put_bytes(self.out, topic.as_bytes()),
        }
        self.finish(start);
    }

    /// Appends everything there is about a message.
    pub(super) fn kept_message(&mut self, kept: &Kept) {
        let start = self.start(KEPT_MESSAGE);
        self.out.push(u8::from(kept.retained));
        self.message(&kept.message, false);
        self.list(&kept.waiting, |encoder, waiting| {
            put_receiver(encoder.out, &waiting.receiver);
            encoder.out.push(u8::from(waiting.sent.is_some()));
            if let Some(Sent { packet_id, order }) = waiting.sent {
                put_packet_id(encoder.out, packet_id);
                put_varint(encoder.out, order);
            }
        });
        self.finish(start);
    }

    /// Appends everything there is about a session, except its messages.
    pub(super) fn kept_session(&mut self, id: MailboxId, owner: &Owner, session: &Session) {
        let start = self.start(KEPT_SESSION);
        put_session(self.out, id);
        put_bytes(self.out, owner.client_id.as_str().as_bytes());
        put_user(self.out, owner.user.as_ref());
        put_varint(self.out, owner.expiry_seconds.into());
        put_connection(self.out, &owner.connection);
        self.list(&session.subscriptions, |encoder, (filter, subscription)| {
            put_subscription(encoder.out, filter, subscription);
        });
        self.list(&session.received, |encoder, id| put_packet_id(encoder.out, *id));
        self.list(&session.releasing, |encoder, sent| {
            put_varint(encoder.out, sent.order);
            put_packet_id(encoder.out, sent.packet_id);
        });
        put_realm(self.out, owner.realm.as_ref());
        self.finish(start);
    }

    fn message(&mut self, message: &Message, known: bool) {
        let publisher = message.publisher();
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        self.out.push(
            message.qos().bits()
                | flag(message.expires_at().is_some(), EXPIRES)
                | flag(publisher.is_some(), HAS_PUBLISHER)
                | flag(known, KNOWN),
        );
        put_stamp(self.out, message.stamp());
        if known {
            return;
        }
        if let Some(at) = message.expires_at() {
            self.out.extend_from_slice(&self.anchor.to_wall(at).to_le_bytes());
        }
        if let Some(publisher) = publisher {
            put_session(self.out, publisher);
        }
        let parts = [message.topic().as_bytes(), message.properties(), message.payload()];
        for part in parts {
            put_varint(self.out, part.len() as u64);
        }
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }

    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mut one: impl FnMut(&mut Self, T),
    ) {
        let items = items.into_iter();
        put_varint(self.out, items.len() as u64);
        for item in items {
            one(self, item);
        }
    }

    fn start(&mut self, kind: u8) -> usize {
        let start = self.out.len();
        self.out.extend_from_slice(&[0, 0, 0, 0, kind]);
        start
    }

    /// Fills in the length. A record is bounded by what a connection reads at once or by a session's limits: it does
    /// not come near 4 GiB.
    fn finish(&mut self, start: usize) {
        let length = u32::try_from(self.out.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(place) = self.out.get_mut(Range { start, end: start + 4 }) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

fn kind_of(record: &Record) -> u8 {
    match record {
        Record::SessionOpened { .. } => SESSION_OPENED,
        Record::SessionParked { .. } => SESSION_PARKED,
        Record::SessionEnded { .. } => SESSION_ENDED,
        Record::Subscribed { .. } => SUBSCRIBED,
        Record::Unsubscribed { .. } => UNSUBSCRIBED,
        Record::Messages { .. } => MESSAGES,
        Record::Sent { .. } => SENT,
        Record::Received { .. } => RECEIVED,
        Record::Settled { .. } => SETTLED,
        Record::Completed { .. } => COMPLETED,
        Record::Released { .. } => RELEASED,
        Record::Retained(_) => RETAINED,
        Record::RetainedRemoved(_) => RETAINED_REMOVED,
    }
}

/// Reads the records of a group, one by one.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    pub(super) records: &'a [u8],
    pub(super) anchor: Anchor,
}

impl<'a> Decoder<'a> {
    /// The next record; `None` at the end. `state` must be what all records before it add up to.
    pub(super) fn next(&mut self, state: &State) -> Result<Option<Change>, Malformed> {
        if self.records.is_empty() {
            return Ok(None);
        }
        let mut group = Fields(self.records);
        let [a, b, c, d] = *group.raw(4)? else { return Err(Malformed) };
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| Malformed)?;
        let mut fields = Fields(group.raw(length)?);
        self.records = group.0;
        let change = self.change(&mut fields, state)?;
        fields.finish()?;
        Ok(Some(change))
    }

    fn change(&self, fields: &mut Fields<'a>, state: &State) -> Result<Change, Malformed> {
        let record = match fields.byte()? {
            SESSION_OPENED => Record::SessionOpened {
                session: fields.session()?,
                client_id: fields.client_id()?,
                user: fields.user()?,
                expiry_seconds: fields.small()?,
                will: if fields.flag()? { Some(fields.will()?) } else { None },
                realm: fields.realm()?,
            },
            SESSION_PARKED => {
                let session = fields.session()?;
                let LastConnection::Parked { expires_at, will } = fields.connection()? else {
                    return Err(Malformed);
                };
                Record::SessionParked { session, expires_at, will }
            }
            SESSION_ENDED => Record::SessionEnded { session: fields.session()? },
            SUBSCRIBED => {
                let session = fields.session()?;
                let (filter, subscription) = fields.subscription()?;
                Record::Subscribed { session, filter, subscription }
            }
            UNSUBSCRIBED => Record::Unsubscribed { session: fields.session()?, filter: fields.filter()? },
            MESSAGES => self.messages(fields, state)?,
            SENT => Record::Sent {
                session: fields.session()?,
                messages: fields.list(|fields| Ok((fields.packet_id()?, fields.stamp()?)))?,
            },
            RECEIVED => {
                let (session, message) = (fields.session()?, fields.stamp()?);
                let (packet_id, order) = (fields.packet_id()?, fields.varint()?);
                return Ok(Change::Received { session, message, sent: Sent { packet_id, order } });
            }
            SETTLED => Record::Settled { session: fields.session()?, messages: fields.list(Fields::stamp)? },
            COMPLETED => Record::Completed { session: fields.session()?, packet_id: fields.packet_id()? },
            RELEASED => Record::Released { session: fields.session()?, packet_id: fields.packet_id()? },
            RETAINED => match self.message(fields)? {
                Body::Here(message) => Record::Retained(message),
                Body::Known(stamp) => return Ok(Change::RetainedKnown(stamp)),
            },
            RETAINED_REMOVED => Record::RetainedRemoved(fields.text()?.into()),
            KEPT_MESSAGE => return self.kept_message(fields),
            KEPT_SESSION => return self.kept_session(fields),
            _ => return Err(Malformed),
        };
        Ok(Change::Record(record))
    }

    /// Messages whose body should be known and is not are left out: they died in a segment that is gone, or a later
    /// record says everything about them.
    fn messages(&self, fields: &mut Fields<'a>, state: &State) -> Result<Record, Malformed> {
        let receivers = fields.list(Fields::receiver)?;
        let received =
            if fields.flag()? { Some((fields.session()?, fields.list(Fields::packet_id)?)) } else { None };
        let bodies = fields.list(|fields| self.message(fields))?;
        let messages = bodies.into_iter().filter_map(|body| match body {
            Body::Here(message) => Some(message),
            Body::Known(stamp) => state.message(stamp).map(Arc::clone),
        });
        Ok(Record::Messages { messages: messages.collect(), receivers, received })
    }

    fn message(&self, fields: &mut Fields<'a>) -> Result<Body, Malformed> {
        let flags = fields.byte()?;
        let qos = QoS::from_bits(flags & 3).ok_or(Malformed)?;
        let stamp = fields.stamp()?;
        if flags & KNOWN != 0 {
            return Ok(Body::Known(stamp));
        }
        let expires_at = if flags & EXPIRES != 0 { self.anchor.to_instant(fields.fixed()?) } else { None };
        let publisher = if flags & HAS_PUBLISHER != 0 { Some(fields.session()?) } else { None };
        let (topic, properties, payload) = (fields.length()?, fields.length()?, fields.length()?);
        let topic = std::str::from_utf8(fields.raw(topic)?).map_err(|_| Malformed)?;
        let (properties, payload) = (fields.raw(properties)?, fields.raw(payload)?);
        let draft = Draft { topic, payload, properties, qos, expires_at, publisher };
        Ok(Body::Here(Arc::new(Message::new(&draft, stamp))))
    }

    fn kept_message(&self, fields: &mut Fields<'a>) -> Result<Change, Malformed> {
        let retained = fields.flag()?;
        let Body::Here(message) = self.message(fields)? else { return Err(Malformed) };
        let waiting = fields.list(|fields| {
            let receiver = fields.receiver()?;
            let sent = if fields.flag()? {
                Some(Sent { packet_id: fields.packet_id()?, order: fields.varint()? })
            } else {
                None
            };
            Ok(Waiting { receiver, sent })
        })?;
        Ok(Change::KeptMessage(KeptMessage { message, retained, waiting }))
    }

    fn kept_session(&self, fields: &mut Fields<'a>) -> Result<Change, Malformed> {
        let session = fields.session()?;
        let owner = Owner {
            client_id: fields.client_id()?,
            user: fields.user()?,
            expiry_seconds: fields.small()?,
            connection: fields.connection()?,
            realm: None,
        };
        let subscriptions = fields.list(Fields::subscription)?;
        let received = fields.list(Fields::packet_id)?;
        let releasing = fields.list(|fields| {
            let order = fields.varint()?;
            Ok(Sent { packet_id: fields.packet_id()?, order })
        })?;
        let owner = Owner { realm: fields.realm()?, ..owner };
        let kept = KeptSession { session, owner, subscriptions, received, releasing };
        Ok(Change::KeptSession(Box::new(kept)))
    }
}

enum Body {
    Here(Arc<Message>),
    Known(Stamp),
}
