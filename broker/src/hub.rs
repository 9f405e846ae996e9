//! What all connections share: the router, the sessions, the rules, storage and the numbers.

mod restore;

use std::{
    cell::RefCell,
    net::IpAddr,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use gaugeline_protocol::{
    ClientId, PacketId, QoS, ReasonCode,
    packet::{Publish, PublishProperties},
};

use crate::{
    audit::Audit,
    auth::{
        Access, AccessHandle, Authenticator, Identity,
        guard::{Arrivals, LiveGuardLimits, Meters},
    },
    clock::{self, Anchor},
    log::{self, Excerpt, Refusals, Refused},
    metrics::{DropReason, Metrics},
    router::{
        Addressee, CachedTopic, Fanout, LiveLimits, Mailbox, MailboxId, MailboxIds, MailboxOptions, Message,
        Overflow, QueueTotal, Routed, Router, Run, Share, Stamp, Stamper, Sweep,
    },
    sessions::{Expiry, Parked, PendingWill, Registry, Seat},
    settings::{Settings, SettingsHandle},
    storage::{Receiver, Record, Recovered, Store, Ticket},
};

/// How many pages of retained messages are searched for expired ones at a time: a fraction of a millisecond's work, and at
/// one turn a second a million topics take about four minutes.
const SWEPT_PAGES: usize = 16;

/// How many of those who may not read a topic are counted by name for each run of messages on it: it costs each time, and
/// who subscribes to everything with few rights gets into the metrics sooner or later.
const DENIED_NAMED_MAX: usize = 8;

/// The shared state of a broker.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) router: Router,
    pub(crate) registry: Registry,
    pub(crate) expiry: Expiry,
    pub(crate) access: Arc<AccessHandle>,
    pub(crate) authenticator: Authenticator,
    guard: LiveGuardLimits,
    pub(crate) arrivals: Arrivals,
    pub(crate) meters: Meters,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) queued: Arc<QueueTotal>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) refusals: Refusals,
    pub(crate) anchor: Anchor,
    pub(crate) settings: SettingsHandle,
    stamper: Stamper,
    mailbox_ids: MailboxIds,
    /// Of all mailboxes: the part of the settings that each push looks at.
    mailbox_limits: Arc<LiveLimits>,
}

/// What became of a run, for its publisher.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Where storage must be before the messages are acknowledged.
    pub(crate) ticket: Ticket,
    /// With what those that were taken are acknowledged.
    pub(crate) reason: ReasonCode,
    /// Which messages of the run were not taken, because a queue that must not lose them is full.
    refused: Vec<Range<usize>>,
}

impl Accepted {
    /// Whether a message of the run was not taken.
    pub(crate) fn refuses(&self, message: usize) -> bool {
        self.refused.iter().any(|range| range.contains(&message))
    }
}

impl Hub {
    /// A hub whose sessions and retained messages are those that storage has kept.
    pub(crate) fn new(
        settings: Settings,
        access: Arc<AccessHandle>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        audit: Audit,
        recovered: Recovered,
    ) -> Result<Self, getrandom::Error> {
        let mut hub = Self::empty(settings, access, store, metrics, Arc::new(audit))?;
        hub.mailbox_ids = MailboxIds::after(recovered.last_session);
        hub.stamper = Stamper::after(recovered.last_stamp.unwrap_or(Stamp::from_nanoseconds(0)));
        let now = clock::now();
        for message in recovered.retained {
            // Over the limit only if it was lowered since: then the rest is not retained any more.
            if hub.router.retained().insert(Arc::clone(&message), || ()).is_err() {
                hub.metrics.count_drops(DropReason::RetainedFull, None, Some(message.topic()), 1);
                hub.store.append(Record::RetainedRemoved(message.topic().into()));
            }
        }
        for session in recovered.sessions {
            hub.restore(session, now);
        }
        Ok(hub)
    }

    fn empty(
        settings: Settings,
        access: Arc<AccessHandle>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        audit: Arc<Audit>,
    ) -> Result<Self, getrandom::Error> {
        let (checks, guard) =
            (settings.limits.authenticator(), LiveGuardLimits::new(settings.limits.guard()));
        let authenticator =
            Authenticator::new(Arc::clone(&access), Arc::clone(&metrics), checks, guard.clone())?;
        Ok(Self {
            router: Router::new(settings.retained_limits()),
            registry: Registry::default(),
            expiry: Expiry::default(),
            arrivals: Arrivals::new(guard.clone()),
            meters: Meters::new(guard.clone()),
            guard,
            authenticator,
            access,
            store,
            metrics,
            refusals: Refusals::new(Arc::clone(&audit)),
            audit,
            queued: Arc::new(QueueTotal::new(settings.limits.queue_bytes_total)),
            anchor: Anchor::here(),
            stamper: Stamper::after(Stamp::from_nanoseconds(0)),
            mailbox_ids: MailboxIds::after(0),
            mailbox_limits: Arc::new(LiveLimits::new(settings.mailbox_limits())),
            settings: SettingsHandle::new(settings),
        })
    }

    /// These settings hold from now on: for everybody what clients were not told, for new connections the rest.
    pub(crate) fn set_settings(&self, settings: Settings) {
        self.router.retained().set_limits(settings.retained_limits());
        self.queued.set_bytes_max(settings.limits.queue_bytes_total);
        self.mailbox_limits.set(settings.mailbox_limits());
        self.guard.set(settings.limits.guard());
        self.settings.swap(settings);
    }

    /// Whether the limits of addresses do not hold for this one.
    pub(crate) fn spares(&self, address: IpAddr) -> bool {
        self.guard.spares(address)
    }

    /// The next message's stamp.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamper.next(clock::wall_nanoseconds())
    }

    /// An empty mailbox for a new session.
    pub(crate) fn mailbox(&self, identity: &Identity, persistent: bool) -> Arc<Mailbox> {
        self.mailbox_named(self.mailbox_ids.next(), identity, persistent)
    }

    fn mailbox_named(&self, id: MailboxId, identity: &Identity, persistent: bool) -> Arc<Mailbox> {
        let client_id = identity.client_id.as_str();
        let settings = self.settings.load();
        let delivery = &settings.delivery;
        let options = MailboxOptions {
            persistent,
            queues_qos0: persistent && delivery.queue_qos0_messages.applies_to(client_id),
            upgrades_qos: delivery.upgrade_outgoing_qos.applies_to(client_id),
            overflow: delivery.queue_overflow,
        };
        let (limits, queued) = (Arc::clone(&self.mailbox_limits), Arc::clone(&self.queued));
        Arc::new(Mailbox::new(id, identity.clone(), options, limits, queued))
    }

    /// A session's client has come again. If it came in under other rules, they hold from now on.
    pub(crate) fn move_in(&self, mailbox: &Mailbox, identity: &Identity) {
        let moved = mailbox.identity().realm != identity.realm;
        mailbox.set_identity(identity.clone());
        if moved {
            self.access.touch();
        }
    }

    /// Keeps the retained message of a topic up to date. The ticket says when the change is safe.
    pub(crate) fn retain(&self, topic: &str, message: Option<Arc<Message>>) -> Result<Ticket, ReasonCode> {
        let Some(message) = message else {
            let note = || self.store.append(Record::RetainedRemoved(topic.into()));
            return Ok(self.router.retained().remove(topic, note));
        };
        let kept = Arc::clone(&message);
        let note = || self.store.append(Record::Retained(kept));
        self.router.retained().insert(message, note).map_err(|_| {
            self.metrics.count_drops(DropReason::RetainedFull, None, Some(topic), 1);
            ReasonCode::QuotaExceeded
        })
    }

    /// Removes some of the retained messages that have expired: nobody gets them any more, but they count.
    pub(crate) fn sweep_retained(&self, sweep: &mut Sweep, now: Instant) {
        for _ in 0..SWEPT_PAGES {
            self.router.retained().sweep(sweep, now, |topic| {
                self.store.append(Record::RetainedRemoved(topic.into()));
            });
        }
    }

    /// Hands a run to storage, if someone's session outlives the process, and to everybody who gets it. `received` is
    /// set if the publisher's session does, and the messages came at QoS 2: their packet ids are kept too.
    pub(crate) fn route(
        &self,
        run: &mut Run<'_>,
        received: Option<(MailboxId, Vec<PacketId>)>,
        fanout: &mut Fanout,
    ) -> Accepted {
        let shares = run.shares();
        let (messages, ticket) =
            if self.store.keeps() { self.keep(run, &shares, received) } else { (None, Ticket::START) };
        let last = messages.clone();
        let routed = fanout.send(run, messages, &shares, || self.stamp());
        if !routed.evicted.is_empty() {
            for (mailbox, count) in &routed.evictions {
                let identity = mailbox.identity();
                let client = identity.client_id.as_str();
                self.metrics.count_drops(self.full_queue(run), Some(client), Some(&run.topic.topic), *count);
            }
            for &(session, oldest) in &routed.evicted {
                self.store.append(Record::Settled { session, messages: vec![oldest] });
            }
        }
        if routed.dropped + routed.turned_away > 0 {
            self.count_drops(run, &routed, last.as_deref());
        }
        self.count_denied(run);
        let mut reason = ReasonCode::Success;
        if routed.receivers == 0 {
            self.metrics.messages_without_subscriber.inc_by(run.publishes.len() as u64);
            reason = ReasonCode::NoMatchingSubscribers;
        }
        let turned_away = (routed.turned_away > 0).then_some(0..run.publishes.len());
        let mut refused =
            routed.refused.into_iter().map(|(_, range)| range).chain(turned_away).collect::<Vec<_>>();
        if !refused.is_empty() && self.settings.load().delivery.queue_overflow == Overflow::DropNewest {
            refused.clear();
        }
        Accepted { ticket, reason, refused }
    }

    /// Tells storage who has to get the run's messages, before anybody does.
    fn keep(
        &self,
        run: &mut Run<'_>,
        shares: &[Share],
        received: Option<(MailboxId, Vec<PacketId>)>,
    ) -> (Option<Vec<Arc<Message>>>, Ticket) {
        let receivers = self.keepers_with_room(run);
        let shared = shares.iter().any(|share| share.to.mailbox.keeps(share.to.options.qos));
        if receivers.is_empty() && !shared && received.is_none() {
            return (None, Ticket::START);
        }
        let messages = run.messages(|| self.stamp());
        let mut ticket = Ticket::START;
        for share in shares.iter().filter(|share| share.to.mailbox.keeps(share.to.options.qos)) {
            let message = messages.get(share.message..=share.message).unwrap_or_default();
            ticket = self.store.append(Record::Messages {
                messages: message.to_vec(),
                receivers: vec![receiver(&share.to)],
                received: None,
            });
        }
        if !receivers.is_empty() || received.is_some() {
            ticket = self.store.append(Record::Messages { messages: messages.clone(), receivers, received });
        }
        for message in &messages {
            message.set_safe_at(ticket.position());
        }
        (Some(messages), ticket)
    }

    /// Those for whom the run's messages must be kept. Who has no room even for the first one is noted in the run: a flood
    /// at a full queue is not written to the disk only to be taken back.
    fn keepers_with_room(&self, run: &mut Run<'_>) -> Vec<Receiver> {
        let bytes = run.first_message_bytes();
        let (with_room, full): (Vec<_>, Vec<_>) =
            run.keepers().partition(|to| to.mailbox.has_room_for(bytes, to.options.qos));
        run.refused.extend(full.iter().map(|to| to.mailbox.id()));
        with_room.iter().map(receiver).collect()
    }

    /// Which limit kept the run's messages out of a queue. Others fill and empty the queues meanwhile: when both limits are
    /// near, it is the one that is reached now.
    fn full_queue(&self, run: &Run<'_>) -> DropReason {
        if self.queued.has_room_for(run.first_message_bytes()) {
            DropReason::QueueFull
        } else {
            DropReason::TotalQueueFull
        }
    }

    /// Counts for whom the run was not because the rights say so: a few of them by name.
    fn count_denied(&self, run: &Run<'_>) {
        let (mut denied, messages) = (run.denied(), run.publishes.len() as u64);
        for mailbox in denied.by_ref().take(DENIED_NAMED_MAX) {
            let identity = mailbox.identity();
            let client = identity.client_id.as_str();
            self.metrics.count_drops(DropReason::AclRead, Some(client), Some(&run.topic.topic), messages);
        }
        let others = denied.count() as u64;
        self.metrics.count_drops(DropReason::AclRead, None, Some(&run.topic.topic), others * messages);
    }

    fn count_drops(&self, run: &Run<'_>, routed: &Routed, messages: Option<&[Arc<Message>]>) {
        let best_effort = run.publishes.first().is_some_and(|publish| publish.qos == QoS::AtMostOnce);
        let full = self.full_queue(run);
        let reason =
            if best_effort && full == DropReason::QueueFull { DropReason::SlowConsumer } else { full };
        for (mailbox, count) in &routed.losses {
            let identity = mailbox.identity();
            let client = identity.client_id.as_str();
            self.metrics.count_drops(reason, Some(client), Some(&run.topic.topic), *count);
        }
        for (session, range) in &routed.refused {
            let refused = messages.and_then(|messages| messages.get(range.clone())).unwrap_or_default();
            let messages = refused.iter().map(|message| message.stamp()).collect();
            self.store.append(Record::Settled { session: *session, messages });
        }
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
            refused: Vec::new(),
        };
        if !run.topic.write.allowed {
            self.metrics.count_drops(DropReason::AclWill, Some(identity.client_id.as_str()), Some(topic), 1);
            let reason = format_args!("its will: it may not write {}", Excerpt(topic));
            self.refusals.refused(Refused::Will, identity, reason);
            return;
        }
        if will.retain {
            let expiry = self.settings.load().clients.retained_expiry;
            let kept = Run {
                topic: Arc::clone(&run.topic),
                publishes: run.publishes.iter().map(|publish| to_retain(publish, expiry)).collect(),
                publisher: run.publisher,
                received_at: now,
                refused: Vec::new(),
            };
            let message =
                kept.messages(|| self.stamp()).pop().filter(|message| !message.payload().is_empty());
            self.retain(topic, message).ok();
            run.topic = Arc::new(found(self));
        }
        let mut fanout = Fanout::default();
        self.route(&mut run, None, &mut fanout);
        fanout.wake();
    }

    /// A session has ended for good: its subscriptions and messages go, and a will that waited is due. The ticket says when
    /// it does not come back after a crash either.
    pub(crate) fn end_session(&self, parked: Parked, now: Instant) -> Ticket {
        for (filter, _) in parked.session.subscriptions().iter() {
            self.router.unsubscribe(parked.mailbox.id(), filter);
        }
        self.metrics.subscriptions.dec_by(parked.session.subscriptions().len() as i64);
        let ticket = match parked.mailbox.is_persistent() {
            true => self.store.append(Record::SessionEnded { session: parked.mailbox.id() }),
            false => Ticket::START,
        };
        let waited = parked.mailbox.close() + parked.session.inflight();
        let identity = parked.mailbox.identity();
        let client = identity.client_id.as_str();
        self.metrics.count_drops(DropReason::SessionEnded, Some(client), None, waited as u64);
        if let Some(pending) = parked.will {
            self.publish_will(&parked.mailbox, &pending, now);
        }
        ticket
    }

    /// Ends the connections of those who would not be let in now, after a change of rules, certificates or listeners;
    /// returns how many.
    pub(crate) fn judge_connections(&self, before: &Access) -> usize {
        let now = self.access.snapshot();
        let untrusted = RefCell::new(Vec::new());
        let gone = |client_id: &ClientId, seat: &Seat| {
            let trusted = seat.is_trusted();
            if !trusted {
                untrusted.borrow_mut().push((client_id.clone(), seat.user().map(str::to_owned)));
            }
            !trusted || !seat.is_admitted(&now, before)
        };
        let refused = self.registry.vacate_where(ReasonCode::NotAuthorized, gone);
        for (client_id, user) in untrusted.into_inner() {
            log::no_longer_trusted(&client_id, user.as_deref());
        }
        let superseded = |_: &ClientId, seat: &Seat| seat.verdict().is_none() && seat.is_superseded();
        refused + self.registry.vacate_where(ReasonCode::AdministrativeAction, superseded)
    }

    /// Ends the parked sessions whose time has come and publishes the wills that are due.
    pub(crate) fn expire(&self, now: Instant) {
        while let Some(client_id) = self.expiry.pop_due(now) {
            if let Some(parked) = self.registry.remove_expired(&client_id, now) {
                self.metrics.sessions_expired.inc();
                tracing::info!(
                    client = &*log::client_name(client_id.as_str()),
                    "session ended: its expiry interval has passed"
                );
                self.end_session(*parked, now);
            } else if let Some(due) = self.registry.take_due_will(&client_id, now) {
                self.publish_will(&due.mailbox, &due.pending, now);
                self.store.append(Record::SessionParked {
                    session: due.mailbox.id(),
                    expires_at: due.expires_at.map(|at| self.anchor.to_wall_nanoseconds(at)),
                    will: None,
                });
            }
        }
    }
}

fn receiver(to: &Addressee) -> Receiver {
    Receiver {
        session: to.mailbox.id(),
        qos: to.options.qos,
        retain: to.options.retain,
        subscription_ids: to.options.subscription_ids.clone(),
    }
}

/// The message to retain: one that names no expiry itself gets that of the settings, if there is one.
pub(crate) fn to_retain<'a>(publish: &Publish<'a>, expiry: Option<Duration>) -> Publish<'a> {
    let mut publish = *publish;
    let seconds = expiry.map(|expiry| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX));
    publish.properties.message_expiry_seconds = publish.properties.message_expiry_seconds.or(seconds);
    publish
}
