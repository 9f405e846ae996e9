//! Who may connect and who may do what: password file, SCRAM file, ACL file, and the decisions on them.
//!
//! Everything here is immutable once loaded. [`AccessHandle`] holds the current snapshot; a reload swaps the whole and
//! bumps the epoch by which match caches notice. Nothing here talks to a client: [`Refusal`] and [`Decision`] say what to
//! answer and what to log.

pub mod acl;
mod authenticator;
mod certificate_name;
mod client_id_rule;
pub mod guard;
pub mod hash;
pub mod password_edit;
pub mod password_file;
mod realm;
mod rule_files;
pub mod scram;
mod verified;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use gaugeline_protocol::{ClientId, TopicFilter};

use self::rule_files::RuleFiles;
pub use self::{
    acl::{AccessKind, Acl, AclOptions, Decision},
    authenticator::{Authenticated, Authenticator, AuthenticatorLimits, Refusal, RefusalCause, ScramLogin},
    certificate_name::{IdentitySource, NameError},
    client_id_rule::ClientIdRule,
    password_file::PasswordFile,
    realm::{Login, Realm, RealmConfig, RealmId},
    scram::ScramFile,
};
pub(crate) use self::{guard::AddressKey, realm::Slot};
use crate::file_error::FileError;

/// Who a connection is, once it is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Whose rules hold: that of the listener.
    pub realm: RealmId,
    /// `None` for an anonymous client.
    pub user: Option<Arc<str>>,
    /// The session's name.
    pub client_id: ClientId,
    /// Where the client connects from.
    pub address: SocketAddr,
}

/// One consistent state of all rules.
#[derive(Debug)]
pub struct Access {
    realms: Vec<Realm>,
    /// For whoever names a realm that is not there.
    closed: Realm,
}

impl Default for Access {
    fn default() -> Self {
        Self::new(vec![Realm::default()])
    }
}

impl Access {
    /// These rules, in the order of the configuration.
    pub fn new(realms: Vec<Realm>) -> Self {
        Self { realms, closed: Realm::closed() }
    }

    /// Reads the files that are configured.
    ///
    /// # Errors
    /// The first mistake in them.
    pub fn load(realms: &[RealmConfig]) -> Result<Self, FileError> {
        let mut files = RuleFiles::default();
        Ok(Self::new(realms.iter().map(|rules| Realm::load(rules, &mut files)).collect::<Result<_, _>>()?))
    }

    /// As [`Self::load`], with each set of rules in its slot.
    ///
    /// # Errors
    /// The first mistake in the files.
    pub(crate) fn load_slots(slots: &[Slot]) -> Result<Self, FileError> {
        let mut files = RuleFiles::default();
        let load = |slot: &Slot| match slot {
            Slot::Used { rules, has_certified_users } => {
                let realm = Realm::load(rules, &mut files)?;
                Ok(Realm { has_certified_users: *has_certified_users, ..realm })
            }
            Slot::Closed(name) => Ok(Realm { name: name.clone(), ..Realm::closed() }),
        };
        Ok(Self::new(slots.iter().map(load).collect::<Result<_, _>>()?))
    }

    /// How many users all password files and SCRAM files have. Those of a file that several realms have count once, and so
    /// does who is in both files of a realm.
    pub fn users(&self) -> usize {
        let passwords = each_once(self.realms.iter().filter_map(|realm| realm.passwords.as_ref()));
        let scram = each_once(self.realms.iter().filter_map(|realm| realm.scram.as_ref()));
        let further = |file: &Arc<ScramFile>| {
            let shares = |realm: &&Realm| realm.scram.as_ref().is_some_and(|other| Arc::ptr_eq(file, other));
            let realms = self.realms.iter().filter(shares).collect::<Vec<_>>();
            file.users().filter(|user| !realms.iter().any(|realm| realm.has_user(user))).count()
        };
        passwords.map(|file| file.len()).sum::<usize>() + scram.map(further).sum::<usize>()
    }

    /// The rules of a realm.
    pub fn realm(&self, realm: RealmId) -> &Realm {
        self.realms.get(realm.index()).unwrap_or(&self.closed)
    }

    /// All of them, in the order of the configuration.
    pub fn realms(&self) -> &[Realm] {
        &self.realms
    }

    /// The realm with the name that a kept session has.
    pub fn realm_named(&self, name: Option<&str>) -> RealmId {
        let found = self.realms.iter().position(|realm| realm.name.as_deref() == name);
        found.map_or(RealmId::NONE, RealmId::from_index)
    }

    /// Whether a client may publish to or receive from a topic.
    pub fn decide(&self, identity: &Identity, access: AccessKind, topic: &str) -> Decision {
        self.realm(identity.realm).decide(identity, access, topic)
    }

    /// Whether a client may subscribe; see [`Acl::decide_subscribe`].
    pub fn may_subscribe(&self, identity: &Identity, filter: &TopicFilter) -> bool {
        self.realm(identity.realm).may_subscribe(identity, filter)
    }
}

/// What is there, without what is the same.
fn each_once<'a, T: 'a>(files: impl Iterator<Item = &'a Arc<T>>) -> impl Iterator<Item = &'a Arc<T>> {
    let mut seen = std::collections::HashSet::new();
    files.filter(move |file| seen.insert(Arc::as_ptr(file)))
}

/// The current [`Access`], replaced as a whole.
#[derive(Debug)]
pub struct AccessHandle {
    current: ArcSwap<Access>,
    epoch: AtomicU64,
}

impl AccessHandle {
    /// Starts at epoch 0.
    pub fn new(access: Access) -> Self {
        Self { current: ArcSwap::from_pointee(access), epoch: AtomicU64::new(0) }
    }

    /// The rules that hold now. Cheap; do not keep the guard across an await.
    pub fn load(&self) -> Guard<Arc<Access>> {
        self.current.load()
    }

    /// The rules that hold now, to keep for longer.
    pub fn snapshot(&self) -> Arc<Access> {
        self.current.load_full()
    }

    /// Replaces the rules for everybody and returns the old ones.
    pub fn swap(&self, access: Access) -> Arc<Access> {
        let old = self.current.swap(Arc::new(access));
        self.epoch.fetch_add(1, Ordering::Release);
        old
    }

    /// Decisions were made on what no longer holds, though the rules are the same.
    pub fn touch(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Counts the swaps. A cache reads the epoch first and [`Self::load`]s second: a decision is then never older than the
    /// epoch that it is filed under.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}
