//! A connection's place in the registry, by which others can end it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::Waker,
};

use gaugeline_protocol::ReasonCode;
use parking_lot::Mutex;

use super::Owner;
use crate::{
    auth::{Access, Login, RealmId},
    net::tls::PeerCertificate,
};

/// One for each connection. The connection looks at its verdict whenever it is woken.
#[derive(Debug, Default)]
pub struct Seat {
    /// Under whose rules it came in.
    realm: RealmId,
    /// Whose connection it is; `None` for an anonymous client.
    user: Option<Arc<str>>,
    /// How the client has shown who it is.
    login: Login,
    /// The certificate that the client has shown.
    certificate: Option<Arc<PeerCertificate>>,
    /// The user name comes from it: then the password file does not matter.
    is_named_by_certificate: bool,
    /// Set once its listener has terms that it must not escape.
    superseded: Arc<AtomicBool>,
    /// Where the client connects from, and since when, in nanoseconds since 1970.
    arrival: Option<(SocketAddr, u64)>,
    /// The reason to end with, or 0.
    verdict: AtomicU8,
    /// The connection's task. Its waker never changes, so it is set once.
    task: Mutex<Option<Waker>>,
}

impl Seat {
    /// A seat for a connection of this user.
    pub fn of(realm: RealmId, user: Option<Arc<str>>) -> Self {
        Self { realm, user, ..Self::default() }
    }

    /// The same, on terms of a listener that are superseded once `superseded` is set.
    #[must_use]
    pub fn on_terms(self, superseded: Arc<AtomicBool>) -> Self {
        Self { superseded, ..self }
    }

    /// The same, of a client that came from here at this time, in nanoseconds since 1970.
    #[must_use]
    pub fn from_address(self, address: SocketAddr, at_nanoseconds: u64) -> Self {
        Self { arrival: Some((address, at_nanoseconds)), ..self }
    }

    /// The same, of a client that has shown in this way who it is.
    #[must_use]
    pub fn by_login(self, login: Login) -> Self {
        Self { login, ..self }
    }

    /// How the client has shown who it is.
    pub fn login(&self) -> Login {
        self.login
    }

    /// Where the client connects from, and since when, in nanoseconds since 1970.
    pub fn arrival(&self) -> Option<(SocketAddr, u64)> {
        self.arrival
    }

    /// Whether its listener has terms by now that it must not escape.
    pub fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }

    /// The same with the certificate that the client has shown, and whether the user name comes from it.
    #[must_use]
    pub fn with_certificate(self, certificate: Option<Arc<PeerCertificate>>, names_user: bool) -> Self {
        Self { certificate, is_named_by_certificate: names_user, ..self }
    }

    /// Whether the client would come in under the rules of now, having come in under those of `before`, as far as can be
    /// told without its password.
    pub fn is_admitted(&self, now: &Access, before: &Access) -> bool {
        let (now, before) = (now.realm(self.realm), before.realm(self.realm));
        self.is_named_by_certificate || now.still_admits(self.user(), self.login, before)
    }

    /// Whether the client's certificate, if it has shown one, is still good for the listener.
    pub fn is_trusted(&self) -> bool {
        self.certificate.as_ref().is_none_or(|certificate| certificate.is_trusted())
    }

    /// Under whose rules it came in.
    pub fn realm(&self) -> RealmId {
        self.realm
    }

    /// Whose connection it is.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The connection's task introduces itself.
    pub fn occupy(&self, waker: &Waker) {
        *self.task.lock() = Some(waker.clone());
    }

    /// Whose connection it is, and how the name was shown.
    pub fn owner(&self) -> Owner {
        Owner { realm: self.realm, user: self.user.clone(), is_certified: self.is_named_by_certificate }
    }

    /// Ends the connection with this reason; the first verdict stands.
    pub fn vacate(&self, reason: ReasonCode) {
        // Relaxed suffices: the lock of `task` orders the verdict before the wake-up.
        self.verdict.compare_exchange(0, reason.byte(), Ordering::Relaxed, Ordering::Relaxed).ok();
        let task = self.task.lock().clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Whose connection it is, to keep.
    pub fn user_name(&self) -> Option<Arc<str>> {
        self.user.clone()
    }

    /// The reason with which the connection has to end, if it has to.
    pub fn verdict(&self) -> Option<ReasonCode> {
        match self.verdict.load(Ordering::Relaxed) {
            0 => None,
            byte => ReasonCode::from_byte(byte),
        }
    }
}
