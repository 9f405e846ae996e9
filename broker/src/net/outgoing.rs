//! What a connection sends on its own account: unacknowledged messages of the last connection, retained messages, and
//! what is in its mailbox.

use std::time::Instant;

use bytes::{Buf, BytesMut};
use gaugeline_protocol::{
    QoS, TopicFilter,
    session::{Message as _, Subscription, Undelivered},
};

use super::{
    connection::{Connection, OUTPUT_BYTES_MAX},
    scratch::Scratch,
};
use crate::{
    auth::AccessKind,
    metrics::DropReason,
    router::{Contents, DeliveryOptions, Entry, Page},
};

/// From this much at once a connection counts as busy, and its mailbox keeps buffers with room.
const BUSY_BYTES: usize = 4096;

/// The retained messages of a new subscription, page by page.
#[derive(Debug)]
pub(super) struct RetainedWalk {
    page: Page,
    subscription: Subscription,
}

impl RetainedWalk {
    pub(super) fn new(page: Page, subscription: Subscription) -> Self {
        Self { page, subscription }
    }

    pub(super) fn filter(&self) -> &TopicFilter {
        self.page.filter()
    }
}

impl Connection {
    /// Moves into the output what may be sent now, in order: what must be sent again, what waits from before, retained
    /// messages, the mailbox.
    pub(super) fn fill_output(&mut self, scratch: &mut Scratch, now: Instant) {
        if !self.resent {
            let resent = self.session.resend(now, OUTPUT_BYTES_MAX, &mut self.out);
            self.hub.metrics.messages_dropped.inc_by(DropReason::TooLarge, resent.dropped.len() as u64);
            self.resent = resent.complete;
            if !self.resent {
                return;
            }
        }
        while self.out.len() < OUTPUT_BYTES_MAX {
            self.send_backlog(now);
            if !self.backlog.is_empty() {
                return;
            }
            if !self.next_retained(scratch, now) && !self.drain(scratch) {
                return;
            }
        }
    }

    /// Whether something could be sent at once, beside what is new in the mailbox: it did not fit into the output.
    pub(super) fn has_more_to_send(&self) -> bool {
        if !self.resent {
            return self.session.may_resend();
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
    fn drain(&mut self, scratch: &mut Scratch) -> bool {
        let spare = if self.busy { scratch.contents() } else { Contents::default() };
        let old = std::mem::replace(&mut self.backlog, spare);
        if self.busy {
            scratch.return_contents(old);
        }
        self.mailbox.drain(&mut self.backlog, 0, 0);
        self.busy = self.backlog.bytes >= BUSY_BYTES;
        !self.backlog.is_empty()
    }

    fn send_backlog(&mut self, now: Instant) {
        while self.out.len() < OUTPUT_BYTES_MAX
            && let Some(entry) = self.backlog.entries.pop_front()
        {
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
                    let (size, qos) = (delivery.message.size(), delivery.qos);
                    match self.session.deliver(now, delivery, &mut self.out) {
                        Ok(()) => self.tally.sent(qos, 1),
                        Err(Undelivered::WindowClosed(delivery)) => {
                            self.backlog.entries.push_front(Entry::Delivery(delivery));
                            return;
                        }
                        Err(Undelivered::TooLarge) => {
                            self.hub.metrics.messages_dropped.inc(DropReason::TooLarge)
                        }
                        Err(Undelivered::Expired) => {
                            self.hub.metrics.messages_dropped.inc(DropReason::Expired)
                        }
                    }
                    self.backlog.sent(1, size);
                }
            }
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
        let subscription = walk.subscription;
        if !more {
            self.walks.remove(0);
        }
        let access = self.hub.access.load();
        let own = subscription.no_local.then(|| self.mailbox.id());
        for message in scratch.found.drain(..) {
            if own.is_some() && message.publisher() == own {
                continue;
            }
            let options = DeliveryOptions {
                qos: message.qos().min(subscription.qos),
                retain: true,
                subscription_ids: subscription.id.map(|id| [id].into()),
            };
            let delivery = options.deliver(&message);
            if !delivery.has_expired(now)
                && access.decide(&self.identity, AccessKind::Read, message.topic()).allowed
            {
                self.backlog.push_delivery(delivery);
            }
        }
        true
    }

    /// What was taken out of the mailbox and can wait for the next connection goes back.
    pub(super) fn return_backlog(&mut self) {
        let backlog = std::mem::take(&mut self.backlog);
        let before = backlog.messages;
        let kept = backlog
            .entries
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Delivery(delivery) if delivery.qos != QoS::AtMostOnce => Some(delivery),
                _ => None,
            })
            .collect::<Vec<_>>();
        let lost = before.saturating_sub(kept.len());
        self.hub.metrics.messages_dropped.inc_by(DropReason::SessionEnded, lost as u64);
        self.mailbox.put_back(kept.into_iter());
        self.out = BytesMut::new();
    }
}
