//! A client that authenticates again while it is connected [MQTT 5.0, section 4.12.1]: as the same user, with the method of
//! its CONNECT. Meanwhile it may go on sending everything else.

use bytes::Bytes;
use gaugeline_protocol::{ReasonCode, packet::Auth, session::Violation};

use super::{
    connection::{Connection, Ending},
    enhanced::auth,
};
use crate::auth::{
    Login, ScramLogin,
    scram::{ClientFirst, METHOD},
};

/// How far it is.
#[derive(Debug)]
pub(super) enum Reauthentication {
    /// The client has sent an empty message, and been asked for its first one.
    Asked,
    /// The client's first message is answered.
    Answered(Box<ScramLogin>),
}

impl Connection {
    /// Whether the connection came in with a method, so that its client may send AUTH.
    pub(super) fn has_method(&self) -> bool {
        self.seat.login() == Login::Scram
    }

    /// Takes an AUTH packet.
    ///
    /// # Errors
    /// The connection ends if the client breaks the order, or fails [MQTT-4.12.1-2].
    pub(super) fn reauthenticate(&mut self, packet: &Auth) -> Result<(), Ending> {
        if packet.method.as_deref() != Some(METHOD) {
            return Err(Violation::protocol("AUTH with another method than CONNECT [MQTT-4.12.1-1]").into());
        }
        let data = packet.data.as_deref().unwrap_or_default();
        match (packet.reason, self.reauthentication.take()) {
            (ReasonCode::ReAuthenticate, None) if data.is_empty() => {
                self.reauthentication = Some(Reauthentication::Asked);
                self.send_auth(ReasonCode::ContinueAuthentication, Bytes::new());
                Ok(())
            }
            (ReasonCode::ReAuthenticate, None)
            | (ReasonCode::ContinueAuthentication, Some(Reauthentication::Asked)) => self.begin_again(data),
            (ReasonCode::ContinueAuthentication, Some(Reauthentication::Answered(login))) => {
                let (_, answer) =
                    self.hub.authenticator.finish_scram(*login, data).map_err(|_| not_authorized())?;
                self.send_auth(ReasonCode::Success, answer.into());
                Ok(())
            }
            _ => Err(Violation::protocol("AUTH out of order [MQTT-4.12.0-3]").into()),
        }
    }

    fn begin_again(&mut self, data: &[u8]) -> Result<(), Ending> {
        let first = ClientFirst::parse(data).map_err(|_| not_authorized())?;
        if self.identity.user.as_deref() != Some(first.user()) {
            return Err(not_authorized());
        }
        let (rules, address) = (self.hub.access.load(), self.identity.address.ip());
        let begun = self.hub.authenticator.begin_scram(&rules, self.identity.realm, first, address);
        let (login, answer) = begun.map_err(|_| not_authorized())?;
        self.reauthentication = Some(Reauthentication::Answered(Box::new(login)));
        self.send_auth(ReasonCode::ContinueAuthentication, answer.into());
        Ok(())
    }

    fn send_auth(&mut self, reason: ReasonCode, data: Bytes) {
        if let Err(error) = auth(reason, data).encode(self.session.version(), &mut self.out) {
            tracing::error!(
                client = &*crate::log::client_name(self.identity.client_id.as_str()),
                "no AUTH was sent: {error}"
            );
        }
    }
}

fn not_authorized() -> Ending {
    Ending::Violated(Violation::Protocol {
        reason: ReasonCode::NotAuthorized,
        detail: "the client failed to authenticate again as the same user",
    })
}
