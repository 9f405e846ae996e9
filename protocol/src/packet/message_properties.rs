//! The properties that a message carries from its publisher to its subscribers [MQTT 5.0, section 3.3.2.3].

use bytes::{Bytes, BytesMut};

use crate::{
    TopicName,
    codec::{EncodeError, property::Property},
};

/// What a publisher says about its message, for [`super::Outgoing::forwardable`] and [`super::Will::properties`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageProperties {
    /// The payload is UTF-8 text.
    pub payload_is_utf8: bool,
    /// What kind of data the payload is, usually a MIME type.
    pub content_type: Option<String>,
    /// Where an answer is expected.
    pub response_topic: Option<TopicName>,
    /// By what an answer is recognised.
    pub correlation_data: Option<Bytes>,
    /// Keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

impl MessageProperties {
    /// The properties as the bytes of a packet.
    ///
    /// # Errors
    /// A field is too long, or has the character U+0000.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::new();
        if self.payload_is_utf8 {
            Property::PayloadIsUtf8(true).put(&mut out)?;
        }
        if let Some(text) = &self.content_type {
            Property::ContentType(text).put(&mut out)?;
        }
        if let Some(topic) = &self.response_topic {
            Property::ResponseTopic(topic.as_str()).put(&mut out)?;
        }
        if let Some(data) = &self.correlation_data {
            Property::CorrelationData(data).put(&mut out)?;
        }
        for (key, value) in &self.user_properties {
            Property::User(key, value).put(&mut out)?;
        }
        Ok(out.freeze())
    }
}
