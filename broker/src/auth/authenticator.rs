//! Checks the credentials of CONNECT packets off the network threads, with bounded work.
//!
//! Password hashes are slow on purpose. At most `concurrent` of them run at a time and at most `waiting` connections
//! wait for one; the next is told that the server is busy. Credentials that were right before are not hashed again. The
//! answer to the client is the same for an unknown user and for a wrong password, in bytes and in time; only the log
//! knows better.

mod scram;

use std::{fmt, net::IpAddr, sync::Arc};

use gaugeline_protocol::ReasonCode;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use self::scram::ScramLogin;
use super::{
    Access, AccessHandle, PasswordFile, RealmId,
    guard::{LiveGuardLimits, LoginBackoff},
    hash::until_nul,
    scram::ScramError,
    verified::Verified,
};
use crate::{clock, metrics::Metrics};

/// How much hashing there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticatorLimits {
    /// Hashes computed at the same time. One for each two cores leaves the network its share.
    pub concurrent: usize,
    /// Connections that wait for their hash; each holds its CONNECT packet.
    pub waiting: usize,
}

impl AuthenticatorLimits {
    /// Connections waiting by default: a fleet that comes back at once is to be served, not refused.
    pub const WAITING_DEFAULT: usize = 10_000;
}

impl Default for AuthenticatorLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { concurrent: (cores / 2).max(1), waiting: Self::WAITING_DEFAULT }
    }
}

/// A client that may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// `None` for an anonymous client.
    pub user: Option<Arc<str>>,
}

/// A client that may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Refusal {
    /// For the log and the metrics; never for the client.
    pub cause: RefusalCause,
}

/// Why a client may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCause {
    /// No user name, and `allow_anonymous` is false.
    NoUserName,
    /// A user name, but nothing to check it against, and `allow_anonymous` is false or the user may be one of SCRAM.
    NoPasswordFile,
    /// The password file does not have the user.
    UnknownUser,
    /// The user sent no password or an empty one, which never logs in.
    NoPassword,
    /// The user exists, the password is another.
    WrongPassword,
    /// A message of SCRAM is not what it must be.
    Scram(ScramError),
    /// Too many connections wait for their hash.
    Busy,
    /// After failed logins of the address or of the user it is too early for the next one.
    TooEarly {
        /// How long it is too early still.
        wait_seconds: u64,
    },
}

impl Refusal {
    /// The reason code for CONNACK. Like mosquitto, "not authorized" (5 in MQTT 3, 0x87 in MQTT 5) for every fault of the
    /// credentials.
    pub fn reason(&self) -> ReasonCode {
        match self.cause {
            RefusalCause::Busy => ReasonCode::ServerBusy,
            RefusalCause::TooEarly { .. } => ReasonCode::ConnectionRateExceeded,
            _ => ReasonCode::NotAuthorized,
        }
    }
}

impl fmt::Display for RefusalCause {
    /// The reason for the log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooEarly { wait_seconds } => {
                return write!(f, "too many failed logins; the next one may come in {wait_seconds} s");
            }
            Self::Scram(error) => return error.fmt(f),
            Self::NoUserName => "no user name, and allow_anonymous is false",
            Self::NoPasswordFile => "nothing to check a password against: no password_file, and no allow_anonymous or a scram_file",
            Self::UnknownUser => "unknown user",
            Self::NoPassword => "no password, or an empty one",
            Self::WrongPassword => "wrong password",
            Self::Busy => "too many connections wait for their password check",
        })
    }
}

/// Credentials that need a hash.
struct Login<'a> {
    user: &'a str,
    password: &'a [u8],
    address: IpAddr,
}

/// The gate of the broker.
pub struct Authenticator {
    access: Arc<AccessHandle>,
    metrics: Arc<Metrics>,
    verified: Verified,
    backoff: LoginBackoff,
    /// One permit for each running hash.
    running: Arc<Semaphore>,
    /// One permit for each connection that hashes or waits.
    admitted: Semaphore,
}

impl Authenticator {
    /// Fails only if the system has no random numbers.
    pub fn new(
        access: Arc<AccessHandle>,
        metrics: Arc<Metrics>,
        limits: AuthenticatorLimits,
        guard: LiveGuardLimits,
    ) -> Result<Self, getrandom::Error> {
        let concurrent = limits.concurrent.max(1);
        let admitted = concurrent.saturating_add(limits.waiting).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            access,
            metrics,
            verified: Verified::new()?,
            backoff: LoginBackoff::new(guard),
            running: Arc::new(Semaphore::new(concurrent)),
            admitted: Semaphore::new(admitted),
        })
    }

    /// Checks the credentials of a CONNECT packet against the current rules of a realm. A user name of length zero counts as
    /// none. Dropping the future gives up the place in the queue.
    pub async fn authenticate(
        &self,
        realm_id: RealmId,
        user: Option<&str>,
        password: Option<&[u8]>,
        address: IpAddr,
    ) -> Result<Authenticated, Refusal> {
        let access = self.access.snapshot();
        let realm = access.realm(realm_id);
        let refuse = |cause| Err(Refusal { cause });
        let Some(user) = user.filter(|user| !user.is_empty()) else {
            return if realm.allow_anonymous {
                Ok(Authenticated { user: None })
            } else {
                refuse(RefusalCause::NoUserName)
            };
        };
        let Some(passwords) = &realm.passwords else {
            return if realm.takes_any_user() {
                Ok(Authenticated { user: Some(user.into()) })
            } else {
                refuse(RefusalCause::NoPasswordFile)
            };
        };
        let password = until_nul(password.unwrap_or_default());
        if password.is_empty() {
            return refuse(RefusalCause::NoPassword);
        }
        // First of all: nobody who was in before is kept out by somebody else's guesses.
        if let Some(user) = self.remembered(passwords, user, password) {
            return Ok(Authenticated { user: Some(user) });
        }
        let result =
            self.hash_and_compare(&access, realm_id, passwords, Login { user, password, address }).await;
        match &result {
            Ok(_) => self.backoff.succeeded(user),
            Err(Refusal { cause: RefusalCause::UnknownUser | RefusalCause::WrongPassword }) => {
                self.backoff.failed(address, user, clock::now());
            }
            Err(_) => {}
        }
        result
    }

    /// Refuses a login that comes too early after failed ones.
    fn check_backoff(&self, login: &Login<'_>) -> Result<(), Refusal> {
        let wait = self.backoff.wait(login.address, login.user, clock::now());
        if wait.is_zero() {
            return Ok(());
        }
        Err(Refusal { cause: RefusalCause::TooEarly { wait_seconds: wait.as_secs() + 1 } })
    }

    /// The shared user name if exactly this was right before. An unknown user costs the same look-up.
    fn remembered(&self, passwords: &PasswordFile, user: &str, password: &[u8]) -> Option<Arc<str>> {
        let (name, hash) = match passwords.find(user) {
            Some((name, hash)) => (Some(name), hash),
            None => (None, passwords.decoy(user)?),
        };
        let found = self.verified.contains(&self.verified.fingerprint(user, password, hash));
        name.filter(|_| found).cloned()
    }

    async fn hash_and_compare(
        &self,
        access: &Arc<Access>,
        realm_id: RealmId,
        passwords: &PasswordFile,
        login: Login<'_>,
    ) -> Result<Authenticated, Refusal> {
        self.check_backoff(&login)?;
        let Login { user, password, .. } = login;
        let busy = Refusal { cause: RefusalCause::Busy };
        let _place = self.admitted.try_acquire().map_err(|_| busy)?;
        let permit = self.running.clone().acquire_owned().await.map_err(|_| busy)?;
        // Another connection may have brought the same credentials while this one waited.
        if let Some(user) = self.remembered(passwords, user, password) {
            return Ok(Authenticated { user: Some(user) });
        }
        // Many guesses may have been sent at once.
        self.check_backoff(&login)?;
        let task = {
            let (access, user) = (access.clone(), user.to_owned());
            let password = Zeroizing::new(password.to_vec());
            let metrics = self.metrics.clone();
            move || {
                // Held by the hash itself: a client that hangs up must not make room for another hash.
                let _permit = permit;
                let start = clock::now();
                let passwords = access.realm(realm_id).passwords.as_ref();
                let right = passwords.is_some_and(|file| file.verify(&user, &password));
                metrics.password_hash_seconds.observe((clock::now() - start).as_secs_f64());
                right
            }
        };
        // The only failure is a shutdown of the runtime.
        let right = tokio::task::spawn_blocking(task).await.map_err(|_| busy)?;
        match (passwords.find(user), right) {
            (Some((name, hash)), true) => {
                self.verified.insert(self.verified.fingerprint(user, password, hash));
                Ok(Authenticated { user: Some(name.clone()) })
            }
            (Some(_), false) => Err(Refusal { cause: RefusalCause::WrongPassword }),
            (None, _) => Err(Refusal { cause: RefusalCause::UnknownUser }),
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("access", &self.access).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
