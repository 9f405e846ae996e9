//! What a connection sends on its own account: unacknowledged messages of the last connection, retained messages, and
//! what is in its mailbox.

use std::{sync::Arc, time::Instant};

use bytes::{Buf, BytesMut};
use gaugeline_protocol::{
    QoS, TopicFilter,
    session::{Message as _, Undelivered},
};

use super::{
    connection::{Connection, Gated, OUTPUT_BYTES_MAX},
    scratch::Scratch,
};
use crate::{
    auth::AccessKind,
    metrics::DropReason,
    router::{Contents, Delivery, DeliveryOptions, Entry},
    storage::{KeptSubscription, Receiver, Record, Ticket},
};

/// From this much at once a connection counts as busy, and its mailbox keeps buffers with room.
const BUSY_BYTES: usize = 4096;

impl Connection {
    /// Moves into the output what may be sent now, in order: what must be sent again, what waits from before, retained
    /// messages, the mailbox.
    pub(super) fn fill_output(&mut self, scratch: &mut Scratch, now: Instant) {
        self.gather_output(scratch, now);
        self.tell_sent();
        self.tell_settled();
    }

    fn gather_output(&mut self, scratch: &mut Scratch, now: Instant) {
        if !self.resent {
            let resent = self.session.resend(now, OUTPUT_BYTES_MAX, &mut self.out);
            for delivery in &resent.dropped {
                self.give_up(delivery, DropReason::TooLarge);
            }
            self.resent = resent.complete;
            if !self.resent {
                return;
            }
        }
        while self.out.len() < OUTPUT_BYTES_MAX && self.gated.is_none() {
            self.send_backlog(now);
            if !self.backlog.is_empty() || self.gated.is_some() {
                return;
            }
            if !self.next_retained(scratch, now) && !self.drain(scratch, now) {
                return;
            }
        }
    }

    /// Whether something could be sent at once, beside what is new in the mailbox: it did not fit into the output.
    pub(super) fn has_more_to_send(&self) -> bool {
        if !self.resent {
            return self.session.may_resend();
        }
        if self.gated.is_some() || self.awaited_message().is_some() {
            return false;
        }
        match self.backlog.entries.front() {
            None => !self.walks.is_empty(),
            Some(Entry::Run { .. }) => true,
            Some(Entry::Frame { .. }) => self.session.window_is_open(),
            Some(Entry::Delivery(delivery)) => {
                delivery.qos == QoS::AtMostOnce || self.session.window_is_open()
            }
        }
    }

    /// Takes everything out of the mailbox into the empty backlog. False if there was nothing.
    fn drain(&mut self, scratch: &mut Scratch, now: Instant) -> bool {
        let spare = if self.busy { scratch.contents() } else { Contents::default() };
        let old = std::mem::replace(&mut self.backlog, spare);
        if self.busy {
            scratch.return_contents(old);
        }
        self.mailbox.drain(&mut self.backlog, 0, 0);
        let drained = !self.backlog.is_empty();
        self.busy = self.backlog.bytes >= BUSY_BYTES;
        self.recheck_drained(now);
        drained
    }

    fn send_backlog(&mut self, now: Instant) {
        while self.out.len() < OUTPUT_BYTES_MAX
            && let Some(entry) = self.backlog.entries.pop_front()
        {
            if self.gated.is_some() && !matches!(entry, Entry::Delivery(_)) {
                // Frames are copied to the output, which must not overtake what waits for storage.
                self.backlog.entries.push_front(entry);
                return;
            }
            match entry {
                Entry::Run { bytes, messages } => self.send_frames(bytes as usize, messages as usize),
                Entry::Frame { bytes, packet_id_at, qos } => {
                    let length = bytes as usize;
                    let frame = self.backlog.frames.get(..length).unwrap_or_default();
                    if !self.session.deliver_frame(frame, packet_id_at as usize, qos, &mut self.out) {
                        self.backlog.entries.push_front(entry);
                        return;
                    }
                    self.backlog.frames.advance(length);
                    self.backlog.sent(1, length);
                    self.tally.sent(qos, 1);
                }
                Entry::Delivery(delivery) => {
                    if let Some(delivery) = self.send_delivery(delivery, now) {
                        self.backlog.entries.push_front(Entry::Delivery(delivery));
                        return;
                    }
                }
            }
        }
    }

    /// Sends a delivery, or gives it back if it has to wait for the client or for storage.
    fn send_delivery(&mut self, mut delivery: Delivery, now: Instant) -> Option<Delivery> {
        if self.stamps && delivery.message.safe_at() > self.hub.store.durable().position() {
            return Some(delivery);
        }
        delivery.stamped = self.stamps;
        if let Some(mount_point) = &self.mount_point {
            delivery.hidden_topic_bytes = mount_point.hidden_bytes(delivery.message.topic());
        }
        let (size, qos, stamp) = (delivery.message.size(), delivery.qos, delivery.message.stamp());
        let kept = self.mailbox.keeps(qos) && self.hub.store.keeps();
        // A packet id of QoS 2 must be safe before the client sees it, and nothing overtakes what waits for that.
        let gated = self.gated.is_some() || (kept && qos == QoS::ExactlyOnce);
        let out = match (&mut self.gated, gated) {
            (_, false) => &mut self.out,
            (waiting, true) => {
                let empty = Gated { packets: BytesMut::new(), not_before: Ticket::START };
                &mut waiting.get_or_insert(empty).packets
            }
        };
        match self.session.deliver(now, delivery, out) {
            Ok(packet_id) => {
                self.tally.sent(qos, 1);
                match packet_id {
                    Some(packet_id) if kept => self.sent.push((packet_id, stamp)),
                    None if kept => self.settled.push(stamp),
                    _ => {}
                }
            }
            Err(Undelivered::WindowClosed(delivery)) => return Some(delivery),
            Err(Undelivered::TooLarge(delivery)) => self.give_up(&delivery, DropReason::TooLarge),
            Err(Undelivered::Expired(delivery)) => self.give_up(&delivery, DropReason::Expired),
        }
        self.backlog.sent(1, size);
        None
    }

    pub(super) fn give_up(&mut self, delivery: &Delivery, reason: DropReason) {
        let (client, topic) = (self.identity.client_id.as_str(), delivery.message.topic());
        self.hub.metrics.count_drops(reason, Some(client), Some(topic), 1);
        if self.mailbox.keeps(delivery.qos) {
            self.settled.push(delivery.message.stamp());
        }
    }

    /// Tells storage which packet ids were given out.
    fn tell_sent(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let messages = std::mem::take(&mut self.sent);
        let ticket = self.hub.store.append(Record::Sent { session: self.mailbox.id(), messages });
        if let Some(gated) = &mut self.gated {
            gated.not_before = ticket;
        }
    }

    /// The position that storage must reach before the next message may be sent, if it is that which is waited for.
    pub(super) fn awaited_message(&self) -> Option<u64> {
        match self.backlog.entries.front() {
            Some(Entry::Delivery(delivery)) if self.stamps && self.resent => Some(delivery.message.safe_at())
                .filter(|safe_at| *safe_at > self.hub.store.durable().position()),
            _ => None,
        }
    }

    /// Sends packets of QoS 0 as they are. If they are all that there is, their buffer becomes the output.
    fn send_frames(&mut self, length: usize, messages: usize) {
        if self.out.is_empty() && length == self.backlog.frames.len() {
            std::mem::swap(&mut self.out, &mut self.backlog.frames);
        } else {
            self.out.extend_from_slice(self.backlog.frames.get(..length).unwrap_or_default());
            self.backlog.frames.advance(length);
        }
        self.backlog.sent(messages, length);
        self.tally.sent(QoS::AtMostOnce, messages as u64);
    }

    /// Puts the next retained messages into the backlog. False if there are none left.
    fn next_retained(&mut self, scratch: &mut Scratch, now: Instant) -> bool {
        let Some(walk) = self.walks.first_mut() else { return false };
        scratch.found.clear();
        let more = self.hub.router.retained().next_page(&mut walk.page, &mut scratch.found);
        let (subscription, waiting) = (walk.subscription, walk.waiting.clone());
        let finished = (!more).then(|| self.walks.remove(0));
        let access = self.hub.access.load();
        let own = subscription.no_local.then(|| self.mailbox.id());
        for message in scratch.found.drain(..) {
            let waits = waiting.as_ref().is_some_and(|waiting| waiting.contains(&message.stamp()));
            if waits || (own.is_some() && message.publisher() == own) {
                continue;
            }
            let options = DeliveryOptions {
                qos: message.qos().min(subscription.qos),
                retain: true,
                subscription_ids: subscription.id.map(|id| [id].into()),
            };
            let delivery = options.deliver(&message);
            if delivery.has_expired(now) {
                continue;
            }
            if !access.decide(&self.identity, AccessKind::Read, message.topic()).allowed {
                let client = self.identity.client_id.as_str();
                self.hub.metrics.count_drops(DropReason::AclRead, Some(client), Some(message.topic()), 1);
                continue;
            }
            self.keep_retained(&delivery);
            self.backlog.push_delivery(delivery);
        }
        if let Some(walk) = finished {
            self.tell_walked(walk.filter());
        }
        true
    }

    /// Tells storage that the retained messages of a subscription wait for the session now, or have been sent.
    fn tell_walked(&self, filter: &TopicFilter) {
        // The client may have subscribed again meanwhile.
        if !self.mailbox.is_persistent() || self.walks.iter().any(|walk| walk.filter() == filter) {
            return;
        }
        if let Some(subscription) = self.session.subscriptions().find(filter) {
            self.hub.store.append(Record::Subscribed {
                session: self.mailbox.id(),
                filter: filter.clone(),
                subscription: KeptSubscription { subscription: *subscription, walking: false },
            });
        }
    }

    /// A retained message that is delivered to a session that outlives its connection waits for it like any other.
    fn keep_retained(&self, delivery: &Delivery) {
        if self.hub.store.keeps() && self.mailbox.keeps(delivery.qos) {
            self.hub.store.append(Record::Messages {
                messages: vec![Arc::clone(&delivery.message)],
                receivers: vec![Receiver {
                    session: self.mailbox.id(),
                    qos: delivery.qos,
                    retain: delivery.retain,
                    subscription_ids: delivery.subscription_ids.clone(),
                }],
                received: None,
            });
        }
    }

    /// What was taken out of the mailbox and can wait for the next connection goes back.
    pub(super) fn return_backlog(&mut self) {
        let backlog = std::mem::take(&mut self.backlog);
        let before = backlog.messages;
        let kept = backlog
            .entries
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Delivery(delivery) if self.mailbox.keeps(delivery.qos) => Some(delivery),
                _ => None,
            })
            .collect::<Vec<_>>();
        let lost = before.saturating_sub(kept.len());
        let client = self.identity.client_id.as_str();
        self.hub.metrics.count_drops(DropReason::SessionEnded, Some(client), None, lost as u64);
        self.mailbox.put_back(kept.into_iter());
        self.out = BytesMut::new();
    }
}
