//! A message to publish, owned so that it can be sent again.

use bytes::Bytes;

use crate::{PacketId, QoS, TopicName, packet::Outgoing};

/// A message to publish. Cloning it copies nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Where.
    pub topic: TopicName,
    /// The application's data.
    pub payload: Bytes,
    /// With which promise.
    pub qos: QoS,
    /// Whether the server keeps it for later subscribers.
    pub retain: bool,
    /// MQTT 5: how long it is of use.
    pub message_expiry_seconds: Option<u32>,
    /// MQTT 5: other properties, from [`crate::packet::MessageProperties::encode`].
    pub properties: Bytes,
}

impl Publication {
    /// A message without properties that is not retained.
    pub const fn new(topic: TopicName, qos: QoS, payload: Bytes) -> Self {
        Self { topic, payload, qos, retain: false, message_expiry_seconds: None, properties: Bytes::new() }
    }

    pub(super) fn outgoing(&self, packet_id: Option<PacketId>, dup: bool) -> Outgoing<'_> {
        Outgoing {
            dup,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic.as_str(),
            packet_id,
            payload: &self.payload,
            message_expiry_seconds: self.message_expiry_seconds,
            forwardable: &self.properties,
            ..Outgoing::default()
        }
    }
}
