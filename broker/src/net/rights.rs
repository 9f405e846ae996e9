//! What waits for a client whose rights have changed is looked at again: what it may no longer read is not sent.
//!
//! Who gets a message is decided when it is published. A change of rights concerns what was published before and waits:
//! what the connection holds and would send again, what is in the mailbox, and what publishers that decided just before
//! the change are still about to leave there.

use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::{
    auth::AccessKind,
    metrics::DropReason,
    router::{Dropped, Mailbox},
};

/// How long after a change everything from the mailbox is looked at: far longer than a publisher takes from its decision to
/// the push.
const RECHECK_TIME: Duration = Duration::from_secs(2);

/// How far a connection has followed the changes of rights.
#[derive(Debug)]
pub(super) struct Rights {
    /// Everything that was taken out of the mailbox is allowed by the rights of this epoch.
    epoch: Option<u64>,
    /// What comes out of the mailbox is looked at, up to the first time after this that all of it has come out.
    recheck_until: Option<Instant>,
}

impl Rights {
    /// Those of a connection whose mailbox may hold what was published under other rights: `epoch` says since when nothing
    /// has; `None` if that is not known.
    pub(super) const fn since(epoch: Option<u64>) -> Self {
        Self { epoch, recheck_until: None }
    }

    /// The epoch to begin with: a new session has nothing from before.
    pub(super) fn of_new_session(
        mailbox: &Mailbox,
        subscriptions: usize,
        inflight: usize,
        epoch: u64,
    ) -> Self {
        Self::since((subscriptions == 0 && inflight == 0 && mailbox.waiting().0 == 0).then_some(epoch))
    }
}

impl Connection {
    /// Looks whether rights have changed since the last look, and drops what is held and may no longer be read.
    pub(super) fn follow_rights(&mut self, now: Instant) {
        let epoch = Some(self.hub.access.epoch());
        if self.rights.epoch != epoch {
            self.rights = Rights { epoch, recheck_until: Some(now + RECHECK_TIME) };
            self.drop_unreadable();
        }
    }

    /// The mailbox has just been emptied into the backlog.
    pub(super) fn recheck_drained(&mut self, now: Instant) {
        let Some(until) = self.rights.recheck_until else { return };
        self.drop_unreadable();
        if now >= until {
            self.rights.recheck_until = None;
        }
    }

    fn drop_unreadable(&mut self) {
        let access = self.hub.access.load();
        let identity = &self.identity;
        let mut dropped = Vec::new();
        let keeps = |topic: &str| access.decide(identity, AccessKind::Read, topic).allowed;
        self.backlog.retain_topics(keeps, &mut dropped);
        // What is sent already is not taken back, but it does not come again either.
        let withdrawn = self.session.withdraw(|delivery| keeps(delivery.message.topic()));
        drop(access);
        for delivery in withdrawn {
            self.give_up(&delivery, DropReason::AclRead);
        }
        for gone in dropped {
            match gone {
                Dropped::Frames { topic, count } => {
                    let client = Some(self.identity.client_id.as_str());
                    self.hub.metrics.count_drops(DropReason::AclRead, client, Some(&topic), count);
                }
                Dropped::Delivery(delivery) => self.give_up(&delivery, DropReason::AclRead),
            }
        }
    }
}
