//! Whether a client may come in: the listener's terms, who the client is, its identifier, and its place.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use gaugeline_protocol::{
    ReasonCode, Version,
    packet::Connect,
    session::{self, Negotiated, ServerSettings},
};

use super::{
    claimed_id::{self, Unclaimable},
    doorman::Entrance,
    enhanced::{self, Conversation},
    handshake::Refused,
    listener::refusal_text,
    mount_point::MountPoint,
    pacing::Pacing,
    session_start,
    terms::ListenerTerms,
    tls::PeerCertificate,
};
use crate::{
    auth::{Access, Identity, Login, RealmId, Refusal},
    clock,
    config::ClientIds,
    hub::Hub,
    log::Excerpt,
    metrics::RefusalReason,
    sessions::{Parked, Seat},
    settings::Settings,
};

/// Who may come in, and on which terms.
pub(super) struct Admitted {
    pub(super) identity: Identity,
    pub(super) negotiated: Negotiated,
    pub(super) seat: Arc<Seat>,
    /// The session that was there.
    pub(super) found: Option<Box<Parked>>,
    pub(super) mount_point: Option<MountPoint>,
    pub(super) pacing: Pacing,
    /// What the authentication method has to say in CONNACK.
    pub(super) last_word: Option<Bytes>,
}

/// Who wants to come in.
pub(super) struct Applicant<'a> {
    pub(super) certificate: Option<Arc<PeerCertificate>>,
    pub(super) address: SocketAddr,
    pub(super) conversation: Conversation<'a>,
    /// Still in the lobby.
    pub(super) entrance: &'a mut Entrance,
}

/// Decides on a CONNECT.
///
/// # Errors
/// Why the client may not come in.
pub(super) async fn admit(
    hub: &Hub,
    settings: &Settings,
    listener: &ListenerTerms,
    mut client: Applicant<'_>,
    connect: &mut Connect,
) -> Result<Admitted, Refused> {
    let (realm, version, address) = (listener.realm, connect.version, client.address);
    let answered =
        |reason, counted, detail: String| Refused { detail, counted, answer: Some((version, reason)) };
    check_listener(listener, connect)?;
    let rules = hub.access.snapshot();
    let Known { user, by_certificate, login, last_word } =
        identify(hub, &rules, listener, connect, &mut client).await?;
    let Applicant { certificate, entrance, .. } = client;
    entrance
        .come_in(listener)
        .await
        .map_err(|counted| answered(ReasonCode::QuotaExceeded, counted, refusal_text(counted).to_owned()))?;
    let ids = &rules.realm(realm).client_ids;
    let unclaimable = |error: Unclaimable| answered(error.reason, RefusalReason::ClientId, error.detail);
    claimed_id::settle(ids, user.as_deref(), connect).map_err(unclaimable)?;
    let negotiated = negotiate(connect, &listener.server_settings(settings), ids)?;
    claimed_id::check_prefix(ids, &negotiated.client_id).map_err(unclaimable)?;
    if !listener.client_id_rule.admits(user.as_deref(), negotiated.client_id.as_str()) {
        let detail = format!(
            "the client identifier `{}` does not belong to the user (client_id_must_be)",
            Excerpt(negotiated.client_id.as_str())
        );
        return Err(answered(ReasonCode::ClientIdentifierNotValid, RefusalReason::ClientId, detail));
    }
    let (online, offline) = hub.registry.counts();
    if online + offline >= settings.limits.sessions && !hub.registry.knows(&negotiated.client_id) {
        let detail = "the limit of sessions is reached".to_owned();
        return Err(answered(ReasonCode::QuotaExceeded, RefusalReason::ServerBusy, detail));
    }
    let pacing = Pacing::begin(hub, user.as_ref(), &negotiated.client_id, address)
        .map_err(|(reason, counted, detail)| answered(reason, counted, detail))?;
    let client_id = negotiated.client_id.clone();
    let identity = Identity { realm, user, client_id, address };
    let seat = Seat::of(realm, identity.user.clone())
        .with_certificate(certificate, by_certificate)
        .by_login(login)
        .on_terms(Arc::clone(&listener.standing))
        .from_address(address, clock::wall_nanoseconds());
    let seat = Arc::new(seat);
    let found = session_start::take_place(hub, &identity, &seat).await;
    let found = found.map_err(|(reason, counted, detail)| answered(reason, counted, detail))?;
    // The rules may have changed meanwhile: then nobody has told this connection yet.
    if !seat.is_admitted(&hub.access.snapshot(), &rules) || !seat.is_trusted() {
        seat.vacate(ReasonCode::NotAuthorized);
    } else if seat.is_superseded() {
        seat.vacate(ReasonCode::AdministrativeAction);
    }
    Ok(Admitted {
        identity,
        negotiated,
        seat,
        found,
        pacing,
        mount_point: listener.mount_point.clone(),
        last_word,
    })
}

/// Who a client is, and how that is known.
struct Known {
    user: Option<Arc<str>>,
    by_certificate: bool,
    login: Login,
    last_word: Option<Bytes>,
}

/// By the certificate, if the listener takes the user from there; by an authentication method, if the client names one;
/// else by name and password.
async fn identify(
    hub: &Hub,
    rules: &Access,
    listener: &ListenerTerms,
    connect: &mut Connect,
    client: &mut Applicant<'_>,
) -> Result<Known, Refused> {
    let (version, address) = (connect.version, client.address);
    let named = client.certificate.as_ref().and_then(|shown| listener.identity.user(shown.leaf()));
    let known =
        Known { user: None, by_certificate: named.is_some(), login: Login::Password, last_word: None };
    if let Some(user) = named {
        // Whoever names a method nevertheless is told by `negotiate` that there is none.
        return user.map(|user| Known { user: Some(user), ..known }).map_err(|error| Refused {
            detail: error.to_string(),
            counted: RefusalReason::NotAuthorized,
            answer: Some((version, ReasonCode::NotAuthorized)),
        });
    }
    if enhanced::is_wanted(rules.realm(listener.realm), connect) {
        let (user, last_word) =
            enhanced::authenticate(hub, rules, listener.realm, connect, address, &mut client.conversation)
                .await?;
        return Ok(Known { user, login: Login::Scram, last_word: Some(last_word), ..known });
    }
    if connect.properties.authentication_method.is_some() {
        // Nothing that came along is looked at.
        return Err(Refused {
            detail: "an authentication method that is not supported, or that no scram_file is there for \
                     [MQTT-4.12.0-1]"
                .to_owned(),
            counted: RefusalReason::AuthenticationMethod,
            answer: Some((version, ReasonCode::BadAuthenticationMethod)),
        });
    }
    let checking = check_password(hub, listener.realm, connect, address);
    let user = match client.entrance.waiting() {
        Some(waiting) => waiting.at_work(checking).await?,
        None => checking.await?,
    };
    Ok(Known { user, ..known })
}

fn negotiate(connect: &Connect, server: &ServerSettings, ids: &ClientIds) -> Result<Negotiated, Refused> {
    session::negotiate(connect, server, || claimed_id::assigned(ids)).map_err(|refusal| {
        let counted = match refusal.reason {
            ReasonCode::BadAuthenticationMethod => RefusalReason::AuthenticationMethod,
            ReasonCode::ClientIdentifierNotValid if !connect.client_id.is_empty() => RefusalReason::KeepAlive,
            ReasonCode::ClientIdentifierNotValid => RefusalReason::ClientId,
            _ => RefusalReason::Will,
        };
        Refused { detail: refusal.to_string(), counted, answer: Some((connect.version, refusal.reason)) }
    })
}

/// Whether the listener speaks the client's version, and its will has room behind the mount point.
fn check_listener(listener: &ListenerTerms, connect: &mut Connect) -> Result<(), Refused> {
    let version = connect.version;
    if !listener.speaks(version) {
        return Err(Refused {
            detail: format!("the listener does not speak MQTT {version}"),
            counted: RefusalReason::ProtocolVersion,
            answer: Some((version, ReasonCode::UnsupportedProtocolVersion)),
        });
    }
    if let (Some(mount_point), Some(will)) = (&listener.mount_point, &mut connect.will)
        && !mount_point.mount(will)
    {
        return Err(Refused {
            detail: "the topic of its will is too long behind the mount point".to_owned(),
            counted: RefusalReason::Will,
            answer: Some((version, ReasonCode::TopicNameInvalid)),
        });
    }
    Ok(())
}

/// The user, by name and password; `None` for an anonymous client.
async fn check_password(
    hub: &Hub,
    realm: RealmId,
    connect: &Connect,
    address: SocketAddr,
) -> Result<Option<Arc<str>>, Refused> {
    let (user, password) = (connect.user_name.as_deref(), connect.password.as_deref());
    let checked = hub.authenticator.authenticate(realm, user, password, address.ip()).await;
    checked.map(|found| found.user).map_err(|refusal| not_authenticated(connect.version, refusal))
}

/// What a client is told whose credentials are not taken.
pub(super) fn not_authenticated(version: Version, refusal: Refusal) -> Refused {
    let counted = match refusal.reason() {
        ReasonCode::ServerBusy => RefusalReason::ServerBusy,
        ReasonCode::ConnectionRateExceeded => RefusalReason::LoginBackoff,
        _ => RefusalReason::NotAuthorized,
    };
    Refused { detail: refusal.to_string(), counted, answer: Some((version, refusal.reason())) }
}
