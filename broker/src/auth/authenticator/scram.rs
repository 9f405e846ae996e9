//! Logins with SCRAM: whose entry is used, who has to wait after failures, and the same answers for who does not exist.
//!
//! A login costs two short hashes here, because the slow one is the client's: nothing waits in a queue and nothing has to
//! be remembered.

use std::{fmt, net::IpAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{Authenticated, Authenticator, Login, Refusal, RefusalCause};
use crate::{
    auth::{
        Access, RealmId,
        scram::{ClientFirst, Exchange, ScramError},
    },
    clock,
};

/// Random bytes of the server's nonce.
const NONCE_BYTES: usize = 18;

/// A login that waits for the client's final message.
pub struct ScramLogin {
    exchange: Exchange,
    /// As the client wrote it.
    name: String,
    /// The shared name, if the user exists.
    user: Option<Arc<str>>,
    address: IpAddr,
}

impl ScramLogin {
    /// Who wants to log in.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for ScramLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramLogin").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<ScramError> for Refusal {
    fn from(error: ScramError) -> Self {
        Self { cause: RefusalCause::Scram(error) }
    }
}

impl Authenticator {
    /// Answers a client's first message. An unknown user is answered as a known one.
    ///
    /// # Errors
    /// There is no file of users for SCRAM, or it is too early for another try.
    pub fn begin_scram(
        &self,
        access: &Access,
        realm: RealmId,
        first: ClientFirst,
        address: IpAddr,
    ) -> Result<(ScramLogin, String), Refusal> {
        let refused = |cause| Refusal { cause };
        let file = access.realm(realm).scram.as_ref();
        let file = file.ok_or_else(|| refused(RefusalCause::NoPasswordFile))?;
        let name = first.user().to_owned();
        self.check_pace(&name, address)?;
        let decoy = file.decoy(&name);
        let (user, entry) = match file.find(&name) {
            Some((user, entry)) => (Some(Arc::clone(user)), entry.clone()),
            None => (None, decoy),
        };
        let mut nonce = [0; NONCE_BYTES];
        // Without random numbers an old exchange could be played again: then nobody comes in.
        getrandom::fill(&mut nonce).map_err(|_| refused(RefusalCause::Busy))?;
        let (exchange, answer) = Exchange::begin(first, entry, &BASE64.encode(nonce));
        Ok((ScramLogin { exchange, name, user, address }, answer))
    }

    /// Checks the client's final message; returns who it is, and the last message to the client.
    ///
    /// # Errors
    /// The client does not know the password, or there is no such user, or it is too early after other tries.
    pub fn finish_scram(
        &self,
        login: ScramLogin,
        message: &[u8],
    ) -> Result<(Authenticated, String), Refusal> {
        let ScramLogin { exchange, name, user, address } = login;
        // Many tries may have begun at once.
        self.check_pace(&name, address)?;
        let result = match (exchange.finish(message), user) {
            (Ok(Some(answer)), Some(user)) => Ok((Authenticated { user: Some(user) }, answer)),
            (Ok(_), None) => Err(Refusal { cause: RefusalCause::UnknownUser }),
            (Ok(None), Some(_)) => Err(Refusal { cause: RefusalCause::WrongPassword }),
            (Err(error), _) => Err(error.into()),
        };
        match &result {
            Ok(_) => self.backoff.succeeded(&name),
            Err(_) => self.backoff.failed(address, &name, clock::now()),
        }
        result
    }

    fn check_pace(&self, user: &str, address: IpAddr) -> Result<(), Refusal> {
        self.check_backoff(&Login { user, password: &[], address })
    }
}
