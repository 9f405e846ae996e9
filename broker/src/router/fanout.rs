//! Hands messages to mailboxes: encoded once per version, QoS and retain flag, copied once per receiver.
//!
//! Consecutive messages on one topic form a [`Run`]: one lock and one copy per receiver for all of them. Receivers are
//! woken once per read batch, by [`Fanout::wake`].

use std::{
    ops::Range,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use gaugeline_protocol::{
    PacketId, QoS, Version,
    packet::{Outgoing, Publish},
    topic,
};

use super::{
    CachedTopic, DeliveryOptions, Draft, Frames, Mailbox, MailboxId, Message, Pushed, Stamp, Wire,
    targets::Target,
};

/// Payloads up to this size are copied into each receiver's mailbox; of larger ones all receivers share one copy.
/// Copying costs less than a shared allocation, its reference counts and a frame head for each receiver, up to about
/// a memory page.
const COPIED_PAYLOAD_BYTES_MAX: usize = 4096;
/// The largest frame: such a payload, a topic of any length, and at most 14 bytes of header, lengths and packet id.
/// Who takes less must be sent messages one by one.
pub const FRAME_BYTES_MAX: usize = COPIED_PAYLOAD_BYTES_MAX + topic::TOPIC_BYTES_MAX + 14;

/// How often a push is tried again because the receiver's connection changed between looking and locking. Each try
/// needs another reconnect of the same client in that instant.
const RETRIES_MAX: usize = 3;

/// The buffers of a publisher, reused from batch to batch, and whom it has to wake.
#[derive(Debug, Default)]
pub struct Fanout {
    classes: Classes,
    wakers: Vec<Waker>,
    stalled: Option<Arc<Mailbox>>,
}

/// A run's frames, one set for each encoding that differs: two versions, three QoS, two retain flags.
#[derive(Debug, Default)]
struct Classes([Frames; 12]);

/// Consecutive messages of one publisher on one topic, of one QoS and retain flag, borrowed from the read buffer.
#[derive(Debug)]
pub struct Run<'a> {
    /// The topic, and who gets it.
    pub topic: Arc<CachedTopic>,
    /// The messages.
    pub publishes: Vec<Publish<'a>>,
    /// Who published.
    pub publisher: Option<MailboxId>,
    /// Since when their expiry intervals run.
    pub received_at: Instant,
    /// Mailboxes that had no room even for its first message, and so get nothing of it.
    pub refused: Vec<MailboxId>,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Routed {
    /// How many mailboxes got its messages.
    pub receivers: usize,
    /// How many copies were dropped because a mailbox was full.
    pub dropped: u64,
    /// How many more were not even tried, because of [`Run::refused`].
    pub turned_away: u64,
    /// Of the dropped ones, what storage was told of, and must not be lost: the session, and which messages of the run.
    pub refused: Vec<(MailboxId, Range<usize>)>,
    /// Older messages that had to make room.
    pub evicted: Vec<(MailboxId, Stamp)>,
    /// Who lost how many messages of the run, for the metrics.
    pub losses: Vec<(Arc<Mailbox>, u64)>,
    /// Who lost how many older messages, for the metrics.
    pub evictions: Vec<(Arc<Mailbox>, u64)>,
}

impl Routed {
    fn note_evictions(&mut self, mailbox: &Arc<Mailbox>, evicted_before: usize) {
        let count = self.evicted.len() - evicted_before;
        if count > 0 {
            self.evictions.push((Arc::clone(mailbox), count as u64));
        }
    }
}

/// Someone that a run is delivered to, and how.
#[derive(Debug)]
pub struct Addressee {
    /// Where to.
    pub mailbox: Arc<Mailbox>,
    /// How.
    pub options: DeliveryOptions,
}

/// The messages of a run that one member of a shared subscription gets.
#[derive(Debug)]
pub struct Share {
    /// Which message of the run.
    pub message: usize,
    /// Who gets it.
    pub to: Addressee,
}

impl Run<'_> {
    /// Whether a message belongs to this run.
    pub fn takes(&self, topic: &Arc<CachedTopic>, publish: &Publish<'_>) -> bool {
        Arc::ptr_eq(&self.topic, topic)
            && self
                .publishes
                .first()
                .is_none_or(|first| first.qos == publish.qos && first.retain == publish.retain)
    }

    /// The memory that its first message takes once it is kept, in bytes.
    pub fn first_message_bytes(&self) -> usize {
        let content = |publish: &Publish<'_>| publish.payload.len() + publish.properties.raw.len();
        self.topic.topic.len() + Message::OVERHEAD_BYTES + self.publishes.first().map_or(0, content)
    }

    /// Those who get the run's messages and for whom they must be kept.
    pub fn keepers(&self) -> impl Iterator<Item = Addressee> {
        let persistent = self.topic.targets.direct.iter().filter(|target| target.mailbox.is_persistent());
        persistent
            .filter(|target| !self.is_own(target))
            .map(|target| Addressee { mailbox: Arc::clone(&target.mailbox), options: self.options(target) })
            .filter(|to| to.mailbox.keeps(to.options.qos))
    }

    /// Those who would get the run's messages if they were allowed to read the topic.
    pub fn denied(&self) -> impl Iterator<Item = &Mailbox> {
        let denied = self.topic.targets.denied.iter().filter(|target| !self.is_own(target));
        denied.map(|target| &*target.mailbox)
    }

    /// Each message of the run to one member of each shared subscription. Each call moves their turns on.
    pub fn shares(&self) -> Vec<Share> {
        let mut shares = Vec::new();
        for group in &self.topic.targets.groups {
            for message in 0..self.publishes.len() {
                let Some(target) = group.pick().map(Target::of) else { continue };
                let options = self.options(&target);
                shares.push(Share { message, to: Addressee { mailbox: target.mailbox, options } });
            }
        }
        shares
    }

    fn is_own(&self, target: &Target) -> bool {
        target.no_local && Some(target.mailbox.id()) == self.publisher
    }

    fn options(&self, target: &Target) -> DeliveryOptions {
        let upgrades = target.mailbox.options().upgrades_qos;
        DeliveryOptions {
            qos: if upgrades { target.qos } else { self.qos().min(target.qos) },
            retain: self.retain() && target.retain_as_published,
            subscription_ids: target.ids.clone(),
        }
    }

    /// Copies of the messages, to be kept, each with the next stamp.
    pub fn messages(&self, stamp: impl Fn() -> Stamp) -> Vec<Arc<Message>> {
        self.publishes.iter().map(|publish| Arc::new(self.message(publish, stamp()))).collect()
    }

    fn message(&self, publish: &Publish<'_>, stamp: Stamp) -> Message {
        let expiry = publish.properties.message_expiry_seconds;
        let properties = publish.properties.forwardable();
        let draft = Draft {
            topic: &self.topic.topic,
            payload: publish.payload,
            properties: &properties,
            qos: publish.qos,
            expires_at: expiry.map(|seconds| self.received_at + Duration::from_secs(u64::from(seconds))),
            publisher: self.publisher,
        };
        Message::new(&draft, stamp)
    }

    fn qos(&self) -> QoS {
        self.publishes.first().map_or(QoS::AtMostOnce, |publish| publish.qos)
    }

    fn retain(&self) -> bool {
        self.publishes.first().is_some_and(|publish| publish.retain)
    }

    /// Whether the messages can be copied as encoded frames: small, and nothing in them that changes while they wait.
    fn is_plain(&self) -> bool {
        self.publishes.iter().all(|publish| {
            publish.properties.message_expiry_seconds.is_none()
                && publish.payload.len() + publish.properties.raw.len() <= COPIED_PAYLOAD_BYTES_MAX
        })
    }
}

/// A run on its way, with what was made for it so far.
struct Sending<'r, 'a, S> {
    run: &'r Run<'a>,
    stamp: S,
    plain: bool,
    /// Made for the first receiver that needs them, or given by the caller.
    messages: Option<Vec<Arc<Message>>>,
    /// Which classes hold this run's frames, one bit each.
    encoded: u16,
    routed: Routed,
}

impl<S: Fn() -> Stamp> Sending<'_, '_, S> {
    /// Makes the messages, if nobody has yet.
    fn messages(&mut self) {
        let (run, stamp) = (self.run, &self.stamp);
        self.messages.get_or_insert_with(|| run.messages(stamp));
    }
}

impl Fanout {
    /// Pushes a run to everybody who gets it. `messages` are its kept copies, if the caller made them already; if not,
    /// `stamp` gives each its stamp when they are made. `shares` are the run's [`Run::shares`].
    pub fn send(
        &mut self,
        run: &Run<'_>,
        messages: Option<Vec<Arc<Message>>>,
        shares: &[Share],
        stamp: impl Fn() -> Stamp,
    ) -> Routed {
        let plain = run.is_plain();
        let mut sending = Sending { run, stamp, plain, messages, encoded: 0, routed: Routed::default() };
        for target in &run.topic.targets.direct {
            self.send_to(target, &mut sending);
        }
        for share in shares {
            self.send_share(share, &mut sending);
        }
        sending.routed
    }

    /// Wakes everybody who got something since the last call.
    pub fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// A mailbox whose owner does not keep up, if there is one: the publisher waits for it before it reads on.
    pub fn take_stalled(&mut self) -> Option<Arc<Mailbox>> {
        self.stalled.take()
    }

    fn send_to<S: Fn() -> Stamp>(&mut self, target: &Target, sending: &mut Sending<'_, '_, S>) {
        let mailbox = &target.mailbox;
        if sending.run.is_own(target) {
            return;
        }
        sending.routed.receivers += 1;
        let options = sending.run.options(target);
        let kept = mailbox.keeps(options.qos);
        if sending.run.refused.contains(&mailbox.id()) {
            let count = sending.run.publishes.len() as u64;
            sending.routed.turned_away += count;
            sending.routed.losses.push((Arc::clone(mailbox), count));
            return;
        }
        for _ in 0..RETRIES_MAX {
            let wire = mailbox.wire();
            let version = match wire {
                Wire::V3 => Version::V311,
                Wire::V5 => Version::V5,
                Wire::Deliveries => break,
                Wire::Offline if kept => break,
                Wire::Offline => return,
            };
            if kept || !sending.plain || options.subscription_ids.is_some() {
                break;
            }
            let Some(frames) = self.classes.frames(version, options.qos, options.retain, sending) else {
                break;
            };
            if let Some(pushed) = mailbox.push_frames(wire, frames, &mut self.wakers) {
                self.account(mailbox, pushed, None, &mut sending.routed);
                return;
            }
        }
        sending.messages();
        let Sending { messages: Some(messages), routed, .. } = sending else { return };
        let before = routed.evicted.len();
        let pushed = mailbox.push_messages(messages, &options, &mut self.wakers, &mut routed.evicted);
        routed.note_evictions(mailbox, before);
        self.account(mailbox, pushed, kept.then_some(messages.len()), routed);
    }

    fn send_share<S: Fn() -> Stamp>(&mut self, share: &Share, sending: &mut Sending<'_, '_, S>) {
        let Share { message, to: Addressee { mailbox, options } } = share;
        sending.routed.receivers += 1;
        sending.messages();
        let Sending { messages: Some(messages), routed, .. } = sending else { return };
        let Some(message) = messages.get(*message..=*message) else { return };
        let before = routed.evicted.len();
        let pushed = mailbox.push_messages(message, options, &mut self.wakers, &mut routed.evicted);
        routed.note_evictions(mailbox, before);
        let kept_until = mailbox.keeps(options.qos).then_some(share.message + 1);
        self.account(mailbox, pushed, kept_until, routed);
    }

    /// What found no room is the last of what was pushed. `kept_until` is where in the run that ends, if it is kept.
    fn account(
        &mut self,
        mailbox: &Arc<Mailbox>,
        pushed: Pushed,
        kept_until: Option<usize>,
        routed: &mut Routed,
    ) {
        if pushed.dropped > 0 {
            routed.dropped += u64::from(pushed.dropped);
            routed.losses.push((Arc::clone(mailbox), u64::from(pushed.dropped)));
            routed.refused.extend(
                kept_until.map(|end| (mailbox.id(), end.saturating_sub(pushed.dropped as usize)..end)),
            );
        }
        if pushed.stall && self.stalled.is_none() {
            self.stalled = Some(Arc::clone(mailbox));
        }
    }
}

impl Classes {
    /// The run's frames of one class, encoded on first use. `None` if a message cannot be encoded so: it is too long
    /// for the packet format with the topic it got by an alias.
    fn frames<S>(
        &mut self,
        version: Version,
        qos: QoS,
        retain: bool,
        sending: &mut Sending<'_, '_, S>,
    ) -> Option<&Frames> {
        let class = usize::from(version.is_v5()) * 6 + usize::from(qos.bits()) * 2 + usize::from(retain);
        let frames = self.0.get_mut(class)?;
        if sending.encoded & (1 << class) == 0 {
            frames.bytes.clear();
            frames.each.clear();
            frames.qos = qos;
            for publish in &sending.run.publishes {
                frames.append(version, retain, &sending.run.topic.topic, publish)?;
            }
            sending.encoded |= 1 << class;
        }
        Some(frames)
    }
}

impl Frames {
    fn append(&mut self, version: Version, retain: bool, topic: &str, publish: &Publish<'_>) -> Option<()> {
        let before = self.bytes.len();
        let packet_id_at = Outgoing {
            dup: false,
            qos: self.qos,
            retain,
            topic,
            // Each receiver's session writes its own over it.
            packet_id: (self.qos != QoS::AtMostOnce).then_some(PacketId::FIRST),
            payload: publish.payload,
            topic_alias: None,
            message_expiry_seconds: None,
            subscription_ids: &[],
            forwardable: &publish.properties.forwardable(),
            user_property: None,
        }
        .encode(version, &mut self.bytes)
        .ok()?;
        let bytes = u32::try_from(self.bytes.len() - before).ok()?;
        self.each.push((bytes, u32::try_from(packet_id_at).ok()?));
        Some(())
    }
}
