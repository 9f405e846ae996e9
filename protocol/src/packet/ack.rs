//! PUBACK, PUBREC, PUBREL and PUBCOMP, which have one form [MQTT 5.0, sections 3.4 to 3.7].

use bytes::{BufMut, BytesMut};
use mqttbytes::v5;

use super::PacketType;
use crate::{
    PacketId, ReasonCode, Version,
    codec::{
        DecodeError, EncodeError, Frame, Limits, Reader, gate, lift,
        writer::{check_text, put_with},
    },
};

/// One step of the acknowledgement of a message. Which step is said by what holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The message's packet identifier.
    pub packet_id: PacketId,
    /// The outcome. Before MQTT 5 always success.
    pub reason: ReasonCode,
    /// What MQTT 5 may add; almost never there.
    pub information: Option<Box<Information>>,
}

/// What explains a reason code to people [MQTT 5.0, sections 3.4.2.2.2 and 3.4.2.2.3].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Information {
    /// Text for diagnosis, not to be parsed.
    pub reason_string: Option<String>,
    /// Keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

impl Ack {
    /// An acknowledgement without further information.
    #[inline]
    pub const fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, information: None }
    }

    /// Decodes a frame that is one of the four types.
    #[inline]
    pub(crate) fn decode(
        version: Version,
        kind: AckType,
        frame: &Frame<'_>,
        limits: &Limits,
    ) -> Result<Self, DecodeError> {
        match *frame.body {
            [high, low] => {
                let id = PacketId::new(u16::from_be_bytes([high, low])).ok_or(DecodeError::PacketIdZero)?;
                Ok(Self::new(id, ReasonCode::Success))
            }
            _ if version.is_v5() => Self::decode_long(kind, frame, limits),
            _ => Err(Self::wrong_length(frame)),
        }
    }

    fn wrong_length(frame: &Frame<'_>) -> DecodeError {
        frame.body.len().checked_sub(2).map_or(DecodeError::Truncated, DecodeError::Trailing)
    }

    /// With a reason code, and perhaps with properties.
    fn decode_long(kind: AckType, frame: &Frame<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        gate::ack(kind, frame, limits)?;
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let (header, bytes) = lift::packet(frame);
        macro_rules! read {
            ($packet:ident) => {{
                let ack = v5::$packet::read(header, bytes).map_err(DecodeError::Malformed)?;
                (ack.reason as u8, ack.properties.map(|p| (p.reason_string, p.user_properties)))
            }};
        }
        let (reason, properties) = match kind {
            AckType::PubAck => read!(PubAck),
            AckType::PubRec => read!(PubRec),
            AckType::PubRel => read!(PubRel),
            AckType::PubComp => read!(PubComp),
        };
        let information = properties
            .map(|(reason_string, user_properties)| Box::new(Information { reason_string, user_properties }));
        Ok(Self { packet_id, reason: lift::reason(reason, kind.packet_type())?, information })
    }

    /// Appends the packet as the given step; on an error `out` is unchanged. Before MQTT 5 only the identifier.
    #[inline]
    pub fn encode(&self, kind: AckType, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        if version.is_v5() && (self.reason != ReasonCode::Success || self.information.is_some()) {
            return self.encode_long(kind, out);
        }
        let [high, low] = self.packet_id.as_u16().to_be_bytes();
        out.put_slice(&[kind.first_byte(), 2, high, low]);
        Ok(())
    }

    fn encode_long(&self, kind: AckType, out: &mut BytesMut) -> Result<(), EncodeError> {
        let pkid = self.packet_id.as_u16();
        let information = self.information.as_deref().cloned();
        if let Some(information) = &information {
            information.check()?;
        }
        macro_rules! write {
            ($packet:ident, $properties:ident, $reason:path) => {{
                let reason = lift::lower(self.reason, kind.packet_type(), $reason)?;
                let properties = information.map(|i| v5::$properties {
                    reason_string: i.reason_string,
                    user_properties: i.user_properties,
                });
                put_with(out, |out| v5::$packet { pkid, reason, properties }.write(out))
            }};
        }
        match kind {
            AckType::PubAck => write!(PubAck, PubAckProperties, lift::puback),
            AckType::PubRec => write!(PubRec, PubRecProperties, lift::pubrec),
            AckType::PubRel => write!(PubRel, PubRelProperties, lift::pubrel),
            AckType::PubComp => write!(PubComp, PubCompProperties, lift::pubcomp),
        }
    }
}

impl Information {
    /// That it can be written.
    fn check(&self) -> Result<(), EncodeError> {
        check_information(self.reason_string.as_deref(), &self.user_properties)
    }
}

/// That a reason string and user properties can be written.
pub(crate) fn check_information(
    reason_string: Option<&str>,
    user_properties: &[(String, String)],
) -> Result<(), EncodeError> {
    let pairs = user_properties.iter().flat_map(|(key, value)| [key.as_str(), value]);
    reason_string.into_iter().chain(pairs).try_for_each(check_text)
}

/// The four steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckType {
    /// Ends a QoS 1 transfer.
    PubAck,
    /// First answer at QoS 2: the message has arrived.
    PubRec,
    /// Second step at QoS 2: the sender gives the identifier free.
    PubRel,
    /// Ends a QoS 2 transfer.
    PubComp,
}

impl AckType {
    /// The type of the packet.
    pub const fn packet_type(self) -> PacketType {
        match self {
            Self::PubAck => PacketType::PubAck,
            Self::PubRec => PacketType::PubRec,
            Self::PubRel => PacketType::PubRel,
            Self::PubComp => PacketType::PubComp,
        }
    }

    /// Whether the step may carry the code.
    pub(crate) const fn allows(self, reason: ReasonCode) -> bool {
        match self {
            Self::PubAck => lift::puback(reason).is_some(),
            Self::PubRec => lift::pubrec(reason).is_some(),
            Self::PubRel => lift::pubrel(reason).is_some(),
            Self::PubComp => lift::pubcomp(reason).is_some(),
        }
    }

    const fn first_byte(self) -> u8 {
        match self {
            Self::PubAck => 0x40,
            Self::PubRec => 0x50,
            Self::PubRel => 0x62,
            Self::PubComp => 0x70,
        }
    }
}
