//! What all connections share: the router, the sessions, the rules, storage and the numbers.

use std::{num::NonZeroU16, num::NonZeroU32, sync::Arc, time::Instant};

use gaugeline_protocol::{
    QoS, ReasonCode, codec,
    packet::{Publish, PublishProperties},
    session::ServerSettings,
};

use crate::{
    auth::{AccessHandle, Authenticator, Identity},
    config::Limits,
    metrics::{DropReason, Metrics},
    router::{CachedTopic, Fanout, Mailbox, MailboxLimits, Message, QueueTotal, RetainedLimits, Router, Run},
    sessions::{Expiry, Parked, PendingWill, Registry},
    storage::{Record, Store, Ticket},
};

/// Above this much in a mailbox, publishers wait for its owner: enough to keep a connection busy for a few
/// milliseconds, and little enough that a thousand slow clients fit into memory.
const STALL_BYTES: usize = 1 << 20;

/// The shared state of a broker.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) router: Router,
    pub(crate) registry: Registry,
    pub(crate) expiry: Expiry,
    pub(crate) access: Arc<AccessHandle>,
    pub(crate) authenticator: Authenticator,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) queued: Arc<QueueTotal>,
    pub(crate) limits: Limits,
    pub(crate) settings: ServerSettings,
    pub(crate) packet_limits: codec::Limits,
}

impl Hub {
    pub(crate) fn new(
        limits: &Limits,
        access: Arc<AccessHandle>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, getrandom::Error> {
        let (messages, bytes) = (limits.retained_messages, limits.retained_bytes);
        let at_least_one = |count| NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN);
        let packet_bytes = u32::try_from(limits.packet_bytes).unwrap_or(u32::MAX);
        Ok(Self {
            router: Router::new(RetainedLimits { messages, bytes }),
            registry: Registry::default(),
            expiry: Expiry::default(),
            authenticator: Authenticator::new(
                Arc::clone(&access),
                Arc::clone(&metrics),
                limits.authenticator(),
            )?,
            access,
            store,
            metrics,
            queued: Arc::new(QueueTotal::new(limits.queue_bytes_total)),
            limits: limits.clone(),
            settings: ServerSettings {
                receive_maximum: at_least_one(limits.receive_maximum),
                inflight_messages_max: at_least_one(limits.inflight_messages),
                packet_bytes_max: NonZeroU32::new(packet_bytes).unwrap_or(NonZeroU32::MAX),
                topic_alias_maximum: limits.topic_alias_maximum,
                // The most that CONNECT can ask for is no limit: whoever wants no keep-alive gets none.
                keep_alive_max_seconds: Some(limits.keep_alive_max_seconds)
                    .filter(|most| *most < u16::MAX)
                    .unwrap_or(0),
                session_expiry_max_seconds: limits.session_expiry_max_seconds,
            },
            packet_limits: codec::Limits {
                filters_per_packet_max: limits.filters_per_packet,
                user_properties_max: limits.user_properties_per_packet,
            },
        })
    }

    /// An empty mailbox for a new session.
    pub(crate) fn mailbox(&self, identity: &Identity, persistent: bool) -> Arc<Mailbox> {
        let limits = MailboxLimits {
            stall_bytes: STALL_BYTES.min(self.limits.queue_bytes),
            bytes: self.limits.queue_bytes,
            messages: self.limits.queue_messages,
        };
        Arc::new(Mailbox::new(identity.clone(), persistent, limits, Arc::clone(&self.queued)))
    }

    /// Keeps the retained message of a topic up to date. The ticket says when the change is safe.
    pub(crate) fn retain(&self, topic: &str, message: Option<Arc<Message>>) -> Result<Ticket, ReasonCode> {
        let Some(message) = message else {
            self.router.retained().remove(topic);
            return Ok(self.store.append(&Record::RetainedRemoved(topic)));
        };
        match self.router.retained().insert(Arc::clone(&message)) {
            Ok(()) => Ok(self.store.append(&Record::Retained(&message))),
            Err(_) => {
                self.metrics.messages_dropped.inc(DropReason::RetainedFull);
                Err(ReasonCode::QuotaExceeded)
            }
        }
    }

    /// Hands a run to storage, if someone's session outlives the process, and to everybody who gets it.
    pub(crate) fn route(&self, run: &Run<'_>, fanout: &mut Fanout) -> (Ticket, ReasonCode) {
        let messages = run.must_be_stored().then(|| run.messages());
        let ticket =
            messages.as_deref().map_or(Ticket::START, |kept| self.store.append(&Record::Messages(kept)));
        let routed = fanout.send(run, messages);
        if routed.dropped > 0 {
            let best_effort = run.publishes.first().is_some_and(|publish| publish.qos == QoS::AtMostOnce);
            let reason = if best_effort { DropReason::SlowConsumer } else { DropReason::QueueFull };
            self.metrics.messages_dropped.inc_by(reason, routed.dropped);
        }
        if routed.receivers == 0 {
            self.metrics.messages_without_subscriber.inc_by(run.publishes.len() as u64);
            return (ticket, ReasonCode::NoMatchingSubscribers);
        }
        (ticket, ReasonCode::Success)
    }

    /// Publishes a will on behalf of the client that left it.
    pub(crate) fn publish_will(&self, mailbox: &Mailbox, pending: &PendingWill, now: Instant) {
        let PendingWill { will, identity, .. } = pending;
        let topic = will.topic.as_str();
        let publish = Publish {
            dup: false,
            qos: will.qos,
            retain: will.retain,
            topic,
            packet_id: None,
            properties: PublishProperties {
                message_expiry_seconds: will.message_expiry_seconds,
                raw: &will.properties,
                ..PublishProperties::default()
            },
            payload: &will.payload,
        };
        let found = |hub: &Self| CachedTopic::find(topic, identity, &hub.router, &hub.access);
        let mut run = Run {
            topic: Arc::new(found(self)),
            publishes: vec![publish],
            publisher: Some(mailbox.id()),
            received_at: now,
        };
        if !run.topic.write.allowed {
            self.metrics.messages_dropped.inc(DropReason::AclWill);
            crate::log::refused(identity, format_args!("its will: it may not write {topic}"));
            return;
        }
        if will.retain {
            let message = run.messages().pop().filter(|message| !message.payload().is_empty());
            self.retain(topic, message).ok();
            run.topic = Arc::new(found(self));
        }
        let mut fanout = Fanout::default();
        self.route(&run, &mut fanout);
        fanout.wake();
    }

    /// A session has ended for good: its subscriptions and messages go, and a will that waited is due.
    pub(crate) fn end_session(&self, parked: Parked, now: Instant) {
        for (filter, _) in parked.session.subscriptions().iter() {
            self.router.unsubscribe(parked.mailbox.id(), filter);
        }
        self.metrics.subscriptions.dec_by(parked.session.subscriptions().len() as i64);
        let waited = parked.mailbox.close() + parked.session.inflight();
        self.metrics.messages_dropped.inc_by(DropReason::SessionEnded, waited as u64);
        if let Some(pending) = parked.will {
            self.publish_will(&parked.mailbox, &pending, now);
        }
    }

    /// Ends the parked sessions whose time has come and publishes the wills that are due.
    pub(crate) fn expire(&self, now: Instant) {
        while let Some(client_id) = self.expiry.pop_due(now) {
            if let Some(parked) = self.registry.remove_expired(&client_id, now) {
                tracing::info!(client = client_id.as_str(), "session ended: its expiry interval has passed");
                self.end_session(*parked, now);
            } else if let Some((mailbox, pending)) = self.registry.take_due_will(&client_id, now) {
                self.publish_will(&mailbox, &pending, now);
            }
        }
    }
}
