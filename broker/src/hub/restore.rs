//! Sessions that the last process left, as the registry takes them: parked, with what was on its way.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use gaugeline_protocol::{
    TopicFilter,
    session::{Negotiated, Session, session_expires_after},
};

use super::Hub;
use crate::{
    auth::Identity,
    router::RetainedWalk,
    sessions::{Parked, PendingWill},
    storage::{KeptSubscription, LastConnection, RecoveredSession},
};

impl Hub {
    /// Brings a session back as if its connection had just been lost.
    pub(super) fn restore(&self, kept: RecoveredSession, now: Instant) {
        let client_id = kept.client_id.clone();
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let realm = self.access.load().realm_named(kept.realm.as_deref());
        let identity = Identity { realm, user: kept.user.clone(), client_id: client_id.clone(), address };
        let mailbox = self.mailbox_named(kept.session, &identity, true);
        // How the name was shown is not kept. Where certificates are shown and no file has the user, it was one.
        let access = self.access.load();
        let rules = access.realm(realm);
        let certified = kept.user.as_deref().is_some_and(|user| !rules.has_user(user));
        mailbox.set_certified(certified && rules.has_certified_users);
        let terms = Negotiated::offline(client_id.clone(), kept.expiry_seconds, &self.settings.load().server);
        let walks = self.interrupted_walks(&kept);
        let inflight = kept.inflight.into_iter().map(|sent| (sent.packet_id, sent.delivery));
        let mut session = Session::restore(terms, now, inflight, kept.received);
        for (filter, KeptSubscription { subscription, .. }) in kept.subscriptions {
            self.router.subscribe(&mailbox, &filter, subscription);
            session.subscriptions_mut().insert(filter, subscription);
        }
        self.metrics.subscriptions.inc_by(session.subscriptions().len() as i64);
        mailbox.put_back(kept.queued.into_iter());
        let after_loss = session_expires_after(kept.expiry_seconds).and_then(|after| now.checked_add(after));
        let (expires_at, will) = match kept.connection {
            LastConnection::Parked { expires_at, will } => (
                expires_at.map(|at| self.anchor.to_instant(at)),
                will.map(|(will, due)| (will, self.anchor.to_instant(due))),
            ),
            LastConnection::Open { will } => (
                after_loss,
                will.map(|will| {
                    let delay = will.delay_seconds.min(kept.expiry_seconds);
                    (will, now + Duration::from_secs(u64::from(delay)))
                }),
            ),
        };
        let will = will.map(|(will, due)| PendingWill { will, identity, due });
        for at in [expires_at, will.as_ref().map(|will| will.due)].into_iter().flatten() {
            self.expiry.schedule(at, client_id.clone());
        }
        self.registry.restore(
            client_id,
            Box::new(Parked { session, mailbox, walks, expires_at, will, away_since: None }),
        );
    }

    /// The walks over retained messages that the last process did not finish. They begin anew, without what waits already:
    /// what comes twice is what the client has acknowledged.
    fn interrupted_walks(&self, kept: &RecoveredSession) -> Vec<RetainedWalk> {
        let walking = || kept.subscriptions.iter().filter(|(_, kept)| kept.walking);
        if walking().next().is_none() {
            return Vec::new();
        }
        let inflight = kept.inflight.iter().filter_map(|sent| sent.delivery.as_ref());
        let waiting = kept.queued.iter().chain(inflight).filter(|delivery| delivery.retain);
        let waiting = Arc::new(waiting.map(|delivery| delivery.message.stamp()).collect());
        let walk = |(filter, kept): &(TopicFilter, KeptSubscription)| RetainedWalk {
            page: self.router.retained().pages(filter.clone()),
            subscription: kept.subscription,
            waiting: Some(Arc::clone(&waiting)),
        };
        walking().map(walk).collect()
    }
}
