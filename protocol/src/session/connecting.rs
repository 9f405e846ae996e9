//! What CONNECT asks for, what the server grants, and how CONNACK says so [MQTT 5.0, sections 3.1 and 3.2].

use std::{
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

use crate::{
    ClientId, QoS, ReasonCode, Version,
    packet::{ConnAck, ConnAckProperties, Connect},
};

/// The server's side of the negotiation.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The most unacknowledged QoS 1 and 2 messages that a client may send.
    pub receive_maximum: NonZeroU16,
    /// The send window towards a client that states no Receive Maximum: every client of MQTT 3.
    pub inflight_messages_max: NonZeroU16,
    /// The largest packet that a client may send, in bytes.
    pub packet_bytes_max: NonZeroU32,
    /// The most topic aliases that a client may use.
    pub topic_alias_maximum: u16,
    /// The longest keep-alive that a client of MQTT 5 is granted, in seconds; 0 is no limit.
    pub keep_alive_max_seconds: u16,
    /// Whether a client of MQTT 3 that asks for a longer keep-alive, or for none, is refused: it cannot be told another.
    pub refuses_long_keep_alive: bool,
    /// The longest time that a session is kept without a connection, in seconds; `u32::MAX` is for ever.
    pub session_expiry_max_seconds: u32,
    /// The highest QoS at which a client may publish.
    pub maximum_qos: QoS,
    /// Whether messages may be retained.
    pub retain_available: bool,
}

/// What holds for a connection once its CONNECT is accepted.
#[derive(Debug, Clone)]
pub struct Negotiated {
    /// The version of the connection.
    pub version: Version,
    /// The client identifier, assigned by the server if the client sent none.
    pub client_id: ClientId,
    /// Whether the server assigned the identifier.
    pub client_id_assigned: bool,
    /// Whether an existing session is to be discarded.
    pub clean_start: bool,
    /// How long the session outlives the connection, in seconds; `u32::MAX` is for ever.
    pub session_expiry_seconds: u32,
    /// The limit of the above, for a DISCONNECT that changes it.
    pub session_expiry_max_seconds: u32,
    /// The keep-alive in force, in seconds; 0 is none.
    pub keep_alive_seconds: u16,
    /// Whether that is the server's choice rather than the client's.
    pub keep_alive_overridden: bool,
    /// The most QoS 1 and 2 messages on their way to the client.
    pub window: NonZeroU16,
    /// The most QoS 1 and 2 messages on their way from the client.
    pub receive_maximum: NonZeroU16,
    /// The largest packet that the client takes, in bytes.
    pub outgoing_packet_bytes_max: u32,
    /// The most topic aliases that the client may use.
    pub topic_alias_maximum: u16,
    /// The highest QoS at which the client may publish.
    pub maximum_qos: QoS,
    /// Whether the client may have messages retained.
    pub retain_available: bool,
    /// Whether the client wants reason strings and user properties on failures.
    pub request_problem_information: bool,
}

/// Why a CONNECT is refused: for the CONNACK, and for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The reason code of the CONNACK.
    pub reason: ReasonCode,
    /// What was wrong, for the log only.
    pub detail: &'static str,
}

/// Settles a connection's terms. `assign` makes a client identifier for a client that sent none.
///
/// # Errors
/// A [`Refusal`] to answer with a CONNACK.
pub fn negotiate(
    connect: &Connect,
    settings: &ServerSettings,
    assign: impl FnOnce() -> ClientId,
) -> Result<Negotiated, Refusal> {
    let version = connect.version;
    if connect.properties.authentication_method.is_some() {
        return Err(Refusal {
            reason: ReasonCode::BadAuthenticationMethod,
            detail: "enhanced authentication is not supported [MQTT-4.12.0-1]",
        });
    }
    let given = ClientId::new(&connect.client_id);
    if given.is_none() && (version == Version::V31 || (version == Version::V311 && !connect.clean_start)) {
        return Err(Refusal {
            reason: ReasonCode::ClientIdentifierNotValid,
            detail: "no client identifier for a session that is to be kept [MQTT-3.1.3-8]",
        });
    }
    let asked = connect.keep_alive_seconds;
    let most = settings.keep_alive_max_seconds;
    let is_long = most > 0 && (asked == 0 || asked > most);
    if is_long && settings.refuses_long_keep_alive && !version.is_v5() {
        return Err(Refusal {
            // The code that mosquitto answers with.
            reason: ReasonCode::ClientIdentifierNotValid,
            detail: "a keep-alive that is longer than allowed, or none",
        });
    }
    check_will(connect, settings)?;
    let wanted_expiry = match (version.is_v5(), connect.clean_start) {
        (true, _) => connect.properties.session_expiry_seconds,
        (false, true) => 0,
        (false, false) => u32::MAX,
    };
    // Absent, it is 65535 in MQTT 5 [MQTT 5.0, section 3.1.2.11.3]; MQTT 3 leaves it to the server.
    let unstated_window = if version.is_v5() { NonZeroU16::MAX } else { settings.inflight_messages_max };
    let keep_alive_overridden = version.is_v5() && is_long;
    Ok(Negotiated {
        version,
        client_id_assigned: given.is_none(),
        client_id: given.unwrap_or_else(assign),
        clean_start: connect.clean_start,
        session_expiry_seconds: wanted_expiry.min(settings.session_expiry_max_seconds),
        session_expiry_max_seconds: settings.session_expiry_max_seconds,
        keep_alive_seconds: if keep_alive_overridden { most } else { asked },
        keep_alive_overridden,
        window: connect.properties.receive_maximum.unwrap_or(unstated_window),
        receive_maximum: settings.receive_maximum,
        outgoing_packet_bytes_max: connect.properties.packet_bytes_max.map_or(u32::MAX, NonZeroU32::get),
        topic_alias_maximum: if version.is_v5() { settings.topic_alias_maximum } else { 0 },
        maximum_qos: settings.maximum_qos,
        retain_available: settings.retain_available,
        request_problem_information: connect.properties.request_problem_information,
    })
}

/// What may not be published may not be left as a will either [MQTT-3.2.2-12], [MQTT-3.2.2-13].
fn check_will(connect: &Connect, settings: &ServerSettings) -> Result<(), Refusal> {
    let Some(will) = &connect.will else { return Ok(()) };
    if will.qos > settings.maximum_qos {
        let detail = "a will at a higher QoS than allowed [MQTT-3.2.2-12]";
        return Err(Refusal { reason: ReasonCode::QoSNotSupported, detail });
    }
    if will.retain && !settings.retain_available {
        let detail = "a will that is to be retained, which is not available [MQTT-3.2.2-13]";
        return Err(Refusal { reason: ReasonCode::RetainNotSupported, detail });
    }
    Ok(())
}

impl Negotiated {
    /// The terms of a session that has no connection: what matters is whose it is and how long it is kept.
    pub fn offline(client_id: ClientId, session_expiry_seconds: u32, settings: &ServerSettings) -> Self {
        Self {
            version: Version::V5,
            client_id,
            client_id_assigned: false,
            clean_start: false,
            session_expiry_seconds,
            session_expiry_max_seconds: settings.session_expiry_max_seconds,
            keep_alive_seconds: 0,
            keep_alive_overridden: false,
            window: NonZeroU16::MAX,
            receive_maximum: settings.receive_maximum,
            outgoing_packet_bytes_max: u32::MAX,
            topic_alias_maximum: 0,
            maximum_qos: settings.maximum_qos,
            retain_available: settings.retain_available,
            request_problem_information: true,
        }
    }

    /// Whether the session outlives its connection.
    pub fn is_persistent(&self) -> bool {
        self.session_expiry_seconds > 0
    }

    /// The CONNACK that accepts the client. `expiry_asked_seconds` is what its CONNECT asked for: a different grant
    /// is told [MQTT-3.2.2.3.2].
    pub fn connack(
        &self,
        settings: &ServerSettings,
        expiry_asked_seconds: u32,
        session_present: bool,
    ) -> ConnAck {
        // MQTT 3.1 has no session present flag: its byte is reserved.
        let session_present = session_present && self.version != Version::V31;
        if !self.version.is_v5() {
            return ConnAck {
                session_present,
                reason: ReasonCode::Success,
                properties: ConnAckProperties::default(),
            };
        }
        let properties = ConnAckProperties {
            session_expiry_seconds: (self.session_expiry_seconds != expiry_asked_seconds)
                .then_some(self.session_expiry_seconds),
            receive_maximum: Some(settings.receive_maximum),
            packet_bytes_max: Some(settings.packet_bytes_max),
            maximum_qos: (self.maximum_qos < QoS::ExactlyOnce).then_some(self.maximum_qos),
            retain_available: (!self.retain_available).then_some(false),
            assigned_client_id: self.client_id_assigned.then(|| self.client_id.as_str().to_owned()),
            topic_alias_maximum: Some(self.topic_alias_maximum),
            server_keep_alive_seconds: self.keep_alive_overridden.then_some(self.keep_alive_seconds),
            ..ConnAckProperties::default()
        };
        ConnAck { session_present, reason: ReasonCode::Success, properties }
    }
}

/// How long a session of this expiry is kept without a connection; `None` is for ever.
pub fn session_expires_after(expiry_seconds: u32) -> Option<Duration> {
    (expiry_seconds != u32::MAX).then(|| Duration::from_secs(u64::from(expiry_seconds)))
}
