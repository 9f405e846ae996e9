//! Who may connect and who may do what: password file, ACL file, and the decisions on them.
//!
//! Everything here is immutable once loaded. [`AccessHandle`] holds the current snapshot; a reload swaps the whole and
//! bumps the epoch by which match caches notice. Nothing here talks to a client: [`Refusal`] and [`Decision`] say what to
//! answer and what to log.

pub mod acl;
mod authenticator;
pub mod hash;
pub mod password_edit;
pub mod password_file;
mod verified;
pub mod watch;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use gaugeline_protocol::{ClientId, TopicFilter};

pub use self::{
    acl::{AccessKind, Acl, Decision},
    authenticator::{Authenticated, Authenticator, AuthenticatorLimits, Refusal, RefusalCause},
    password_file::PasswordFile,
};
use crate::file_error::FileError;

/// Who a connection is, once it is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `None` for an anonymous client.
    pub user: Option<Arc<str>>,
    /// The session's name.
    pub client_id: ClientId,
    /// Where the client connects from.
    pub address: SocketAddr,
}

/// One consistent state of all rules.
#[derive(Debug, Default)]
pub struct Access {
    /// `None`: no password file is configured.
    pub passwords: Option<PasswordFile>,
    /// `None`: no ACL file is configured, so everything is allowed except what no client may do.
    pub acl: Option<Acl>,
    /// Whether a client without a user name may connect; without a password file, whether any client may.
    pub allow_anonymous: bool,
}

impl Access {
    /// Reads the files that are configured.
    pub fn load(
        password_file: Option<&Path>,
        acl_file: Option<&Path>,
        allow_anonymous: bool,
    ) -> Result<Self, FileError> {
        Ok(Self {
            passwords: password_file.map(PasswordFile::load).transpose()?,
            acl: acl_file.map(Acl::load).transpose()?,
            allow_anonymous,
        })
    }

    /// Whether a client may publish to or receive from a topic.
    pub fn decide(&self, identity: &Identity, access: AccessKind, topic: &str) -> Decision {
        match &self.acl {
            Some(acl) => acl.decide(identity.user.as_deref(), identity.client_id.as_str(), access, topic),
            None => Decision { allowed: acl::builtin_allows(access, topic), line: None },
        }
    }

    /// `false` only if no topic that matches the filter could be read.
    pub fn may_subscribe(&self, identity: &Identity, filter: &TopicFilter) -> bool {
        let (user, client_id) = (identity.user.as_deref(), identity.client_id.as_str());
        self.acl.as_ref().is_none_or(|acl| acl.may_subscribe(user, client_id, filter))
    }
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

    /// Counts the swaps. A cache reads the epoch first and [`Self::load`]s second: a decision is then never older than the
    /// epoch that it is filed under.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}
