//! PUBLISH as it arrives, borrowed from the receive buffer [MQTT 5.0, section 3.3].
//!
//! [`super::Outgoing`] is its other half: a message on its way out.

use std::{borrow::Cow, num::NonZeroU16};

use crate::{
    PacketId, QoS, TopicError, TopicName, Version,
    codec::{
        DecodeError, Frame, Limits, Reader,
        property::{self, Property},
    },
    topic::TOPIC_LEVELS_MAX,
};

/// A received message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this may be a repetition. Never set at QoS 0.
    pub dup: bool,
    /// The promise under which it is transferred.
    pub qos: QoS,
    /// From a client: keep it for later subscribers. From a server: it was kept.
    pub retain: bool,
    /// A valid topic name; empty only if [`PublishProperties::topic_alias`] stands for it.
    pub topic: &'a str,
    /// There exactly at QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// Empty before MQTT 5.
    pub properties: PublishProperties<'a>,
    /// The application's data.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Decodes the packet. Its flags were checked with the frame.
    #[inline]
    pub(crate) fn decode(version: Version, frame: &Frame<'a>, limits: &Limits) -> Result<Self, DecodeError> {
        let flags = frame.flags();
        let (dup, retain) = (flags & 0b1000 != 0, flags & 1 != 0);
        let qos = QoS::from_bits(flags >> 1 & 0b11).ok_or(DecodeError::PublishQoS)?;
        let mut reader = Reader::new(frame.body);
        let topic = reader.unchecked_text()?;
        let packet_id = match qos {
            QoS::AtMostOnce if dup => return Err(DecodeError::DuplicateAtMostOnce),
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_id()?),
        };
        let properties = if version.is_v5() {
            PublishProperties::read(&mut reader, limits)?
        } else {
            PublishProperties::default()
        };
        check_topic(topic, properties.topic_alias.is_some())?;
        Ok(Self { dup, qos, retain, topic, packet_id, properties, payload: reader.rest() })
    }
}

#[inline]
fn check_topic(topic: &str, has_alias: bool) -> Result<(), DecodeError> {
    if is_plain(topic.as_bytes()) { Ok(()) } else { check_unusual_topic(topic, has_alias) }
}

/// Whether these bytes of a string are surely a topic name: the usual case, seen eight bytes at a time.
#[inline]
fn is_plain(topic: &[u8]) -> bool {
    let (words, rest) = topic.as_chunks::<8>();
    let mut suspicious = 0;
    for word in words {
        suspicious |= suspects(u64::from_le_bytes(*word));
    }
    // Fills the last word with a letter.
    let mut last = [b'a'; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    suspicious |= suspects(u64::from_le_bytes(last));
    // So short a topic cannot have too many levels.
    suspicious == 0 && !topic.is_empty() && topic.len() < TOPIC_LEVELS_MAX
}

/// Not zero if one of the eight bytes is U+0000, `+` or `#`: the highest bit of such a byte is set. The lowest byte
/// that is set is exact; so zero is exact.
#[inline]
const fn suspects(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (plus, hash) = (word ^ (ONES * b'+' as u64), word ^ (ONES * b'#' as u64));
    let null = word.wrapping_sub(ONES) & !word;
    let plus = plus.wrapping_sub(ONES) & !plus;
    let hash = hash.wrapping_sub(ONES) & !hash;
    (null | plus | hash) & HIGH
}

#[cold]
fn check_unusual_topic(topic: &str, has_alias: bool) -> Result<(), DecodeError> {
    match TopicName::check(topic) {
        Ok(()) => Ok(()),
        Err(TopicError::Empty) if has_alias => Ok(()),
        Err(TopicError::Empty) => Err(DecodeError::EmptyTopic),
        Err(TopicError::Null) => Err(DecodeError::Null),
        Err(error) => Err(DecodeError::TopicName(error)),
    }
}

/// The properties of a PUBLISH: two that every receiver needs, and the rest as checked bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishProperties<'a> {
    /// Stands for the topic, or is to stand for it from now on.
    pub topic_alias: Option<NonZeroU16>,
    /// How long the message is of use, counted from when the server received it.
    pub message_expiry_seconds: Option<u32>,
    /// The whole checked section without its length, the two above included.
    pub raw: &'a [u8],
}

impl<'a> PublishProperties<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        found.raw = property::walk(reader, &property::PUBLISH, limits, |property| match property {
            Property::TopicAlias(alias) => found.topic_alias = Some(alias),
            Property::MessageExpirySeconds(seconds) => found.message_expiry_seconds = Some(seconds),
            _ => {}
        })?;
        Ok(found)
    }

    /// The properties that a server passes on unaltered [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16],
    /// [MQTT-3.3.2-17], [MQTT-3.3.2-20]: without topic alias, subscription identifiers and message expiry, which are
    /// different for each receiver. Borrowed when there is nothing to cut out.
    pub fn forwardable(&self) -> Cow<'a, [u8]> {
        if self.iter().all(|property| is_forwardable(&property)) {
            Cow::Borrowed(self.raw)
        } else {
            Cow::Owned(property::retain(self.raw, is_forwardable).into())
        }
    }

    /// The identifiers of the subscriptions that the message matched, in the order of the packet.
    pub fn subscription_ids(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionId(id) => Some(id),
            _ => None,
        })
    }

    /// Keys and values, in the order of the packet [MQTT-3.3.2-18].
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter().filter_map(|property| match property {
            Property::User(key, value) => Some((key, value)),
            _ => None,
        })
    }

    /// Whether the sender says that the payload is UTF-8 text. Not verified.
    pub fn payload_is_utf8(&self) -> bool {
        self.iter().any(|property| property == Property::PayloadIsUtf8(true))
    }

    /// What kind of data the payload is, usually a MIME type.
    pub fn content_type(&self) -> Option<&'a str> {
        self.iter().find_map(|property| match property {
            Property::ContentType(text) => Some(text),
            _ => None,
        })
    }

    /// Where an answer is expected: a valid topic name.
    pub fn response_topic(&self) -> Option<&'a str> {
        self.iter().find_map(|property| match property {
            Property::ResponseTopic(topic) => Some(topic),
            _ => None,
        })
    }

    /// By what the sender of a request recognises the answer.
    pub fn correlation_data(&self) -> Option<&'a [u8]> {
        self.iter().find_map(|property| match property {
            Property::CorrelationData(data) => Some(data),
            _ => None,
        })
    }

    /// The section was checked when it was decoded; bytes from elsewhere end the iteration where they are wrong.
    fn iter(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || if reader.is_empty() { None } else { Property::read(&mut reader).ok() })
    }
}

fn is_forwardable(property: &Property<'_>) -> bool {
    !matches!(
        property,
        Property::TopicAlias(_) | Property::SubscriptionId(_) | Property::MessageExpirySeconds(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_topic_is_a_topic() {
        for at in 0..24 {
            for byte in 0..=0x7F_u8 {
                let mut topic = b"sensors/a/temperature/ab".to_vec();
                topic[at] = byte;
                let text = std::str::from_utf8(&topic).unwrap();
                for end in 1..=topic.len() {
                    let valid = TopicName::check(&text[..end]).is_ok();
                    assert_eq!(is_plain(&topic[..end]), valid, "[MQTT-3.3.2-2] {text} {end}");
                }
            }
        }
        assert!(is_plain("\u{e9}/\u{1F321}".as_bytes()));
        assert!(!is_plain(b""));
        assert!(!is_plain(&[b'/'; 201]), "too many levels");
        assert!(check_topic(&"a".repeat(65_535), false).is_ok());
    }
}
