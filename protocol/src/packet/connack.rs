//! CONNACK [MQTT 5.0, section 3.2].

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{Bytes, BytesMut};
use mqttbytes::{v4, v5};

use super::{PacketType, ack::check_information};
use crate::{
    QoS, ReasonCode, Version,
    codec::{
        DecodeError, EncodeError, Frame, Limits, gate, lift,
        writer::{check_binary, check_text, put_with},
    },
};

/// A server's answer to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server remembers the client's session. Does not exist in MQTT 3.1.
    pub session_present: bool,
    /// Success, or why not. Before MQTT 5 written as [`ReasonCode::connack_v3`].
    pub reason: ReasonCode,
    /// MQTT 5.
    pub properties: ConnAckProperties,
}

/// The properties of CONNACK; the meaning of absence is in [MQTT 5.0, section 3.2.2.3].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnAckProperties {
    /// How long the session outlives the connection, if not as long as the client asked.
    pub session_expiry_seconds: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes without acknowledging; absent is 65535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The highest QoS that the server takes: 0 or 1; absent is 2.
    pub maximum_qos: Option<QoS>,
    /// Whether the server retains messages; absent is true.
    pub retain_available: Option<bool>,
    /// The largest packet that the server takes.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// The name of the session if the client left it to the server.
    pub assigned_client_id: Option<String>,
    /// The highest topic alias that the server takes; absent is 0.
    pub topic_alias_maximum: Option<u16>,
    /// Text for diagnosis.
    pub reason_string: Option<String>,
    /// Whether wildcards are possible in subscriptions; absent is true.
    pub wildcard_subscriptions: Option<bool>,
    /// Whether subscription identifiers are possible; absent is true.
    pub subscription_ids: Option<bool>,
    /// Whether shared subscriptions are possible; absent is true.
    pub shared_subscriptions: Option<bool>,
    /// The keep-alive time that the client must use instead of its own [MQTT-3.2.2-21].
    pub server_keep_alive_seconds: Option<u16>,
    /// From what to make response topics.
    pub response_information: Option<String>,
    /// Another server to use.
    pub server_reference: Option<String>,
    /// Which exchange of AUTH packets has ended.
    pub authentication_method: Option<String>,
    /// Belongs to the method.
    pub authentication_data: Option<Bytes>,
    /// Keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

impl ConnAck {
    /// An answer without properties.
    pub fn new(reason: ReasonCode, session_present: bool) -> Self {
        Self { session_present, reason, properties: ConnAckProperties::default() }
    }

    /// Decodes the packet.
    pub(crate) fn decode(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        gate::connack(version, frame, limits)?;
        let (header, bytes) = lift::packet(frame);
        if !version.is_v5() {
            let theirs = v4::ConnAck::read(header, bytes).map_err(DecodeError::Malformed)?;
            let session_present = theirs.session_present && version != Version::V31;
            return Ok(Self::new(lift::connack_reason(theirs.code), session_present));
        }
        let theirs = v5::ConnAck::read(header, bytes).map_err(DecodeError::Malformed)?;
        Ok(Self {
            session_present: theirs.session_present,
            reason: lift::reason(theirs.code as u8, PacketType::ConnAck)?,
            properties: theirs.properties.map(ConnAckProperties::from_mqttbytes).unwrap_or_default(),
        })
    }

    /// Appends the packet; on an error `out` is unchanged.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        let session_present = self.session_present && self.reason == ReasonCode::Success;
        if version.is_v5() {
            self.properties.check()?;
            let code = lift::lower(self.reason, PacketType::ConnAck, lift::connack)?;
            let properties = Some(self.properties.to_mqttbytes());
            put_with(out, |out| v5::ConnAck { session_present, code, properties }.write(out))
        } else {
            let session_present = session_present && version != Version::V31;
            let code = lift::connack_v4(self.reason);
            put_with(out, |out| v4::ConnAck { session_present, code }.write(out))
        }
    }
}

impl ConnAckProperties {
    fn from_mqttbytes(theirs: v5::ConnAckProperties) -> Self {
        let on = |value: u8| value == 1;
        Self {
            session_expiry_seconds: theirs.session_expiry_interval,
            receive_maximum: theirs.receive_max.and_then(NonZeroU16::new),
            maximum_qos: theirs.max_qos.and_then(QoS::from_bits),
            retain_available: theirs.retain_available.map(on),
            packet_bytes_max: theirs.max_packet_size.and_then(NonZeroU32::new),
            assigned_client_id: theirs.assigned_client_identifier,
            topic_alias_maximum: theirs.topic_alias_max,
            reason_string: theirs.reason_string,
            wildcard_subscriptions: theirs.wildcard_subscription_available.map(on),
            subscription_ids: theirs.subscription_identifiers_available.map(on),
            shared_subscriptions: theirs.shared_subscription_available.map(on),
            server_keep_alive_seconds: theirs.server_keep_alive,
            response_information: theirs.response_information,
            server_reference: theirs.server_reference,
            authentication_method: theirs.authentication_method,
            authentication_data: theirs.authentication_data,
            user_properties: theirs.user_properties,
        }
    }

    fn to_mqttbytes(&self) -> v5::ConnAckProperties {
        v5::ConnAckProperties {
            session_expiry_interval: self.session_expiry_seconds,
            receive_max: self.receive_maximum.map(NonZeroU16::get),
            max_qos: self.maximum_qos.filter(|qos| *qos < QoS::ExactlyOnce).map(QoS::bits),
            retain_available: self.retain_available.map(u8::from),
            max_packet_size: self.packet_bytes_max.map(NonZeroU32::get),
            assigned_client_identifier: self.assigned_client_id.clone(),
            topic_alias_max: self.topic_alias_maximum,
            reason_string: self.reason_string.clone(),
            user_properties: self.user_properties.clone(),
            wildcard_subscription_available: self.wildcard_subscriptions.map(u8::from),
            subscription_identifiers_available: self.subscription_ids.map(u8::from),
            shared_subscription_available: self.shared_subscriptions.map(u8::from),
            server_keep_alive: self.server_keep_alive_seconds,
            response_information: self.response_information.clone(),
            server_reference: self.server_reference.clone(),
            authentication_method: self.authentication_method.clone(),
            authentication_data: self.authentication_data.clone(),
        }
    }

    /// That the properties can be written.
    fn check(&self) -> Result<(), EncodeError> {
        check_information(self.reason_string.as_deref(), &self.user_properties)?;
        let texts = [
            &self.assigned_client_id,
            &self.response_information,
            &self.server_reference,
            &self.authentication_method,
        ];
        texts.into_iter().flatten().try_for_each(|text| check_text(text))?;
        match (&self.authentication_data, &self.authentication_method) {
            (Some(_), None) => Err(EncodeError::NoAuthenticationMethod),
            (Some(data), Some(_)) => check_binary(data),
            (None, _) => Ok(()),
        }
    }
}
