//! What a connection does with its client's packets.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, TopicFilter, codec,
    packet::{self, Publish, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe},
    session::{Answer, Event, Subscription, Violation},
};

use super::connection::{Connection, Ending};
use crate::{
    hub::to_retain,
    log::{self, Excerpt, Refused, packets},
    metrics::DropReason,
    router::{CachedTopic, Delivery, Fanout, RetainedWalk, Run},
    storage::{KeptSubscription, Record, Ticket},
};

/// How long a client of MQTT 3 waits before it is cut off because a queue is full: it will come back at once, and the
/// queue may have room then.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// Above this much that storage has not made safe yet, publishers whose messages it keeps wait: a fraction of a second
/// for a disk that keeps up, and a bound of memory for one that does not.
const STORE_PENDING_BYTES_MAX: usize = 32 << 20;

impl From<Violation> for Ending {
    fn from(violation: Violation) -> Self {
        Self::Violated(violation)
    }
}

impl From<codec::DecodeError> for Ending {
    fn from(error: codec::DecodeError) -> Self {
        Self::Violated(error.into())
    }
}

impl Connection {
    /// Handles every whole packet; returns how many bytes they were.
    pub(super) fn handle_packets(
        &mut self,
        bytes: &[u8],
        fanout: &mut Fanout,
        now: Instant,
    ) -> Result<usize, Ending> {
        let mut run = None;
        let result = self.handle_each(bytes, fanout, now, &mut run);
        // What came before a violation was legal and is routed.
        self.send_run(&mut run, fanout);
        self.tell_settled();
        result
    }

    fn handle_each<'b>(
        &mut self,
        bytes: &'b [u8],
        fanout: &mut Fanout,
        now: Instant,
        run: &mut Option<Run<'b>>,
    ) -> Result<usize, Ending> {
        let mut used = 0;
        let is_logged = packets::is_shown();
        while let Some(frame) = codec::frame(bytes.get(used..).unwrap_or_default(), self.packet_bytes_max)? {
            used += frame.len;
            let packet = packet::decode(self.session.version(), &frame, &self.settings.packets)?;
            if is_logged {
                packets::received(&self.identity, &packet);
            }
            if let packet::Packet::Auth(auth) = &packet
                && self.has_method()
            {
                self.reauthenticate(auth)?;
                continue;
            }
            match self.session.handle_packet(packet, &mut self.out)? {
                Event::Handled => {}
                Event::Settled(message) => {
                    self.settled.extend(message.map(|settled| settled.message.stamp()))
                }
                Event::Repeated { packet_id, not_before } => {
                    self.answer(Answer::PubRec(packet_id, ReasonCode::Success), Ticket::new(not_before));
                }
                Event::Received { packet_id, message } => self.exchange_received(packet_id, message),
                Event::Completed(packet_id) => self.exchange_completed(packet_id),
                Event::Released(packet_id) => {
                    self.send_run(run, fanout);
                    self.exchange_released(packet_id);
                }
                Event::Publish { publish, alias } => {
                    self.publish(publish, alias.as_deref(), run, fanout, now);
                }
                Event::Subscribe(subscribe) => {
                    self.send_run(run, fanout);
                    self.subscribe(subscribe);
                }
                Event::Unsubscribe(unsubscribe) => {
                    self.send_run(run, fanout);
                    self.unsubscribe(&unsubscribe);
                }
                Event::Disconnected { publish_will } => return Err(Ending::Disconnected { publish_will }),
            }
        }
        Ok(used)
    }

    fn publish<'b>(
        &mut self,
        publish: Publish<'b>,
        alias: Option<&str>,
        run: &mut Option<Run<'b>>,
        fanout: &mut Fanout,
        now: Instant,
    ) {
        self.tally.received(publish.qos);
        let mut name = Cow::Borrowed(alias.unwrap_or(publish.topic));
        if let Some(mount_point) = &self.mount_point {
            let Some(whole) = mount_point.topic(&name) else {
                self.send_run(run, fanout);
                return self.turn_down(
                    &publish,
                    &name,
                    DropReason::TopicTooLong,
                    ReasonCode::TopicNameInvalid,
                );
            };
            name = Cow::Owned(whole);
        }
        let name = &*name;
        if publish.payload.len() > self.settings.limits.payload_bytes {
            self.send_run(run, fanout);
            return self.turn_down(&publish, name, DropReason::PayloadLimit, ReasonCode::QuotaExceeded);
        }
        let mut topic = self.cache.look_up(name, &self.identity, &self.hub.router, &self.hub.access);
        if !topic.write.allowed {
            self.send_run(run, fanout);
            self.deny(&publish, &topic);
            return;
        }
        if publish.retain {
            self.send_run(run, fanout);
            let refused = self.retain(&publish, &topic, now).err();
            // Only an acknowledgement of MQTT 5 can say no: then the client tries again. Else it is delivered at least.
            if let (Some(reason), true, Some(_)) =
                (refused, self.session.version().is_v5(), publish.packet_id)
            {
                self.acknowledge(&publish, reason, 0);
                return;
            }
            // A subscriber that came meanwhile has either seen the retained message or is found now.
            topic = self.cache.look_up(name, &self.identity, &self.hub.router, &self.hub.access);
        }
        if let Some(open) = run
            && open.takes(&topic, &publish)
        {
            open.publishes.push(publish);
            return;
        }
        self.send_run(run, fanout);
        let publisher = Some(self.mailbox.id());
        *run =
            Some(Run { topic, publishes: vec![publish], publisher, received_at: now, refused: Vec::new() });
    }

    /// The client may not write the topic. MQTT 5 is told so; older clients get a normal acknowledgement, because they
    /// could only be cut off otherwise [MQTT-3.3.5-2 of 3.1.1].
    fn deny(&mut self, publish: &Publish<'_>, topic: &CachedTopic) {
        self.hub.metrics.publishes_denied.inc();
        let client = self.identity.client_id.as_str();
        self.hub.metrics.count_drops(DropReason::AclWrite, Some(client), Some(&topic.topic), 1);
        let reason = format_args!("publish: it may not write {}", Excerpt(&topic.topic));
        self.hub.refusals.refused(Refused::Publish, &self.identity, reason);
        self.acknowledge(publish, ReasonCode::NotAuthorized, 0);
    }

    /// A message that is not taken, though its publisher did nothing wrong: MQTT 5 is told so.
    fn turn_down(&mut self, publish: &Publish<'_>, topic: &str, counted: DropReason, reason: ReasonCode) {
        let client = self.identity.client_id.as_str();
        self.hub.metrics.count_drops(counted, Some(client), Some(topic), 1);
        self.acknowledge(publish, reason, 0);
    }

    fn retain(
        &mut self,
        publish: &Publish<'_>,
        topic: &Arc<CachedTopic>,
        now: Instant,
    ) -> Result<(), ReasonCode> {
        let single = Run {
            topic: Arc::clone(topic),
            publishes: vec![to_retain(publish, self.settings.clients.retained_expiry)],
            publisher: Some(self.mailbox.id()),
            received_at: now,
            refused: Vec::new(),
        };
        let message =
            if publish.payload.is_empty() { None } else { single.messages(|| self.hub.stamp()).pop() };
        let kept = self.hub.retain(&topic.topic, message);
        if kept.is_err() {
            self.hub.refusals.refused(
                Refused::Retain,
                &self.identity,
                format_args!(
                    "retained message on {}: the limit of retained messages is reached",
                    Excerpt(&topic.topic)
                ),
            );
        }
        self.retained_at = self.retained_at.max(kept?);
        Ok(())
    }

    /// Routes the messages gathered so far and acknowledges them, in their order.
    fn send_run(&mut self, run: &mut Option<Run<'_>>, fanout: &mut Fanout) {
        let Some(mut run) = run.take() else { return };
        let exactly_once = run.publishes.first().is_some_and(|publish| publish.qos == QoS::ExactlyOnce);
        let received = (exactly_once && self.mailbox.is_persistent()).then(|| {
            (self.mailbox.id(), run.publishes.iter().filter_map(|publish| publish.packet_id).collect())
        });
        let accepted = self.hub.route(&mut run, received, fanout);
        if self.hub.store.pending_bytes() > STORE_PENDING_BYTES_MAX {
            self.storage_stall = Some(accepted.ticket);
        }
        let not_before = accepted.ticket.max(std::mem::take(&mut self.retained_at)).position();
        for (at, publish) in run.publishes.iter().enumerate() {
            if accepted.refuses(at) {
                self.refuse(publish, &run, not_before);
            } else {
                self.acknowledge(publish, accepted.reason, not_before);
            }
        }
    }

    /// The client has taken over a message of QoS 2. PUBREL waits until that is safe: were it forgotten, the message
    /// would be sent a second time under an id that the client has released.
    fn exchange_received(&mut self, packet_id: PacketId, message: Option<Delivery>) {
        let ticket = match message {
            Some(kept) if self.mailbox.is_persistent() => self.hub.store.append(Record::Received {
                session: self.mailbox.id(),
                packet_id,
                message: kept.message.stamp(),
            }),
            _ => Ticket::START,
        };
        self.answer(Answer::PubRel(packet_id), ticket);
    }

    fn exchange_completed(&mut self, packet_id: PacketId) {
        if self.mailbox.is_persistent() {
            self.hub.store.append(Record::Completed { session: self.mailbox.id(), packet_id });
        }
    }

    /// The client releases a packet id. PUBCOMP waits until that is safe: were it forgotten, the next message with this
    /// id would be taken for a duplicate.
    fn exchange_released(&mut self, packet_id: PacketId) {
        let ticket = if self.mailbox.is_persistent() {
            self.hub.store.append(Record::Released { session: self.mailbox.id(), packet_id })
        } else {
            Ticket::START
        };
        self.answer(Answer::PubComp(packet_id), ticket);
    }

    /// Tells storage what the client has acknowledged. Nothing waits for it: a message that is sent twice is allowed
    /// where it was acknowledged at QoS 1.
    pub(super) fn tell_settled(&mut self) {
        if self.settled.is_empty() {
            return;
        }
        let messages = std::mem::take(&mut self.settled);
        if self.mailbox.is_persistent() && self.hub.store.keeps() {
            self.hub.store.append(Record::Settled { session: self.mailbox.id(), messages });
        }
    }

    fn answer(&mut self, answer: Answer, ticket: Ticket) {
        let durable = self.hub.store.durable().position();
        self.session.answer(answer, ticket.position(), durable, &mut self.out);
    }

    /// A queue that must not lose the message is full. MQTT 3 has no word for it: the client gets no acknowledgement,
    /// waits a while, and is cut off, so that it keeps the message and comes back.
    fn refuse(&mut self, publish: &Publish<'_>, run: &Run<'_>, not_before: u64) {
        let Some(packet_id) = publish.packet_id else { return };
        // Sent again, it is to be routed again.
        if self.session.forget_received(packet_id) && self.mailbox.is_persistent() {
            self.hub.store.append(Record::Released { session: self.mailbox.id(), packet_id });
        }
        if self.session.version().is_v5() {
            self.acknowledge(publish, ReasonCode::QuotaExceeded, not_before);
        } else if self.refused_until.is_none() {
            self.hub.refusals.refused(
                Refused::Queue,
                &self.identity,
                format_args!(
                    "publish on {}: the queue of a session that gets it is full",
                    Excerpt(&run.topic.topic)
                ),
            );
            self.refused_until = Some(run.received_at + REFUSAL_PAUSE);
        }
    }

    fn acknowledge(&mut self, publish: &Publish<'_>, reason: ReasonCode, not_before: u64) {
        if let Some(packet_id) = publish.packet_id {
            let durable = self.hub.store.durable().position();
            self.session.acknowledge(packet_id, publish.qos, reason, not_before, durable, &mut self.out);
        }
    }

    fn subscribe(&mut self, subscribe: Subscribe) {
        let mut walks = Vec::new();
        let reasons = subscribe
            .filters
            .into_iter()
            .map(|wanted| {
                let (filter, qos) = (wanted.filter.clone(), wanted.qos);
                let answer = self.subscribe_one(wanted, subscribe.id, &mut walks);
                packets::subscribed(&self.identity, &filter, qos, answer);
                answer
            })
            .collect();
        let answer = SubAck::new(subscribe.packet_id, reasons);
        let ticket = std::mem::take(&mut self.subscribed_at);
        self.send_answer(ticket, |version, out| answer.encode(version, out));
        self.walks.extend(walks);
    }

    fn subscribe_one(
        &mut self,
        wanted: SubscribeFilter,
        id: Option<u32>,
        walks: &mut Vec<RetainedWalk>,
    ) -> ReasonCode {
        let Some(filter) = self.mounted(wanted.filter) else { return ReasonCode::TopicFilterInvalid };
        // As mosquitto does: what could not be published is not promised.
        let qos = wanted.qos.min(self.session.negotiated().maximum_qos);
        if !self.hub.access.load().may_subscribe(&self.identity, &filter) {
            self.hub.metrics.subscribes_denied.inc();
            self.hub.refusals.refused(
                Refused::Subscribe,
                &self.identity,
                format_args!("subscribe: it may read nothing that matches {}", Excerpt(filter.as_str())),
            );
            return ReasonCode::NotAuthorized;
        }
        let existed = self.session.subscriptions().contains(&filter);
        if !existed && self.session.subscriptions().len() >= self.settings.limits.subscriptions_per_session {
            self.hub.refusals.refused(
                Refused::Subscribe,
                &self.identity,
                format_args!(
                    "subscribe to {}: the limit of subscriptions_per_session is reached",
                    Excerpt(filter.as_str())
                ),
            );
            return ReasonCode::QuotaExceeded;
        }
        let subscription = Subscription {
            qos,
            no_local: wanted.no_local,
            retain_as_published: wanted.retain_as_published,
            id,
        };
        let retained = match wanted.retain_handling {
            // [MQTT 5.0, section 4.8.2]: no retained messages for shared subscriptions.
            _ if filter.group().is_some() => false,
            RetainHandling::OnSubscribe => true,
            RetainHandling::OnNewSubscribe => !existed,
            RetainHandling::Never => false,
        };
        self.session.subscriptions_mut().insert(filter.clone(), subscription);
        self.hub.metrics.subscriptions.inc_by(i64::from(!existed));
        if self.mailbox.is_persistent() {
            self.subscribed_at = self.hub.store.append(Record::Subscribed {
                session: self.mailbox.id(),
                filter: filter.clone(),
                subscription: KeptSubscription { subscription, walking: retained },
            });
        }
        // First the subscription, then the retained messages: a message in between comes twice rather than never.
        self.hub.router.subscribe(&self.mailbox, &filter, subscription);
        if retained {
            let pages = self.hub.router.retained_pages(filter).into_iter();
            walks.extend(pages.map(|page| RetainedWalk { page, subscription, waiting: None }));
        }
        match qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        }
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) {
        let reasons = unsubscribe
            .filters
            .iter()
            .map(|filter| {
                let answer = self.unsubscribe_one(filter);
                packets::unsubscribed(&self.identity, filter, answer);
                answer
            })
            .collect();
        let answer = UnsubAck::new(unsubscribe.packet_id, reasons);
        let ticket = std::mem::take(&mut self.subscribed_at);
        self.send_answer(ticket, |version, out| answer.encode(version, out));
    }

    fn unsubscribe_one(&mut self, filter: &TopicFilter) -> ReasonCode {
        let Some(filter) = self.mounted(filter.clone()) else { return ReasonCode::NoSubscriptionExisted };
        self.walks.retain(|walk| *walk.filter() != filter);
        if self.session.subscriptions_mut().remove(&filter).is_none() {
            return ReasonCode::NoSubscriptionExisted;
        }
        self.hub.metrics.subscriptions.dec();
        self.hub.router.unsubscribe(self.mailbox.id(), &filter);
        if self.mailbox.is_persistent() {
            let session = self.mailbox.id();
            self.subscribed_at = self.hub.store.append(Record::Unsubscribed { session, filter });
        }
        ReasonCode::Success
    }

    /// The filter behind the listener's mount point; `None` if it is too long then.
    fn mounted(&self, filter: TopicFilter) -> Option<TopicFilter> {
        match &self.mount_point {
            None => Some(filter),
            Some(mount_point) => mount_point.filter(&filter),
        }
    }

    /// Answers cannot fail to encode: they have no texts, and as many codes as the request had filters.
    fn send_answer(
        &mut self,
        ticket: Ticket,
        encode: impl FnOnce(gaugeline_protocol::Version, &mut BytesMut) -> Result<(), codec::EncodeError>,
    ) {
        let mut packet = BytesMut::new();
        match encode(self.session.version(), &mut packet) {
            Ok(()) => self.answer(Answer::Packet(packet.freeze()), ticket),
            Err(error) => {
                tracing::error!(
                    client = &*log::client_name(self.identity.client_id.as_str()),
                    "an answer was not sent: {error}"
                )
            }
        }
    }

    /// How many bytes are missing of the packet that `partial` begins; 0 if that is not known yet.
    pub(super) fn missing_bytes(&self) -> Result<usize, Ending> {
        Ok(codec::packet_len(&self.partial)?.map_or(0, |len| len.saturating_sub(self.partial.len())))
    }

    /// Whether the first packet in `bytes` is not whole.
    pub(super) fn begins_incomplete(&self, bytes: &[u8]) -> Result<bool, Ending> {
        Ok(codec::frame(bytes, self.packet_bytes_max)?.is_none())
    }
}
