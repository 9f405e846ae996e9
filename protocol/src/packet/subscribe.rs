//! SUBSCRIBE [MQTT 5.0, section 3.8].

use bytes::BytesMut;
use mqttbytes::{v4, v5};

use super::ack::check_information;
use crate::{
    PacketId, QoS, TopicError, TopicFilter, Version,
    codec::{DecodeError, EncodeError, Frame, Limits, Reader, VARINT_MAX, gate, lift, writer::put_with},
};

/// A client's request for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// By what SUBACK refers to it.
    pub packet_id: PacketId,
    /// MQTT 5: the subscription identifier, given back with each message that matches; 1 to 268435455.
    pub id: Option<u32>,
    /// At least one.
    pub filters: Vec<SubscribeFilter>,
    /// MQTT 5: keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

/// One filter of a SUBSCRIBE with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// Which topics.
    pub filter: TopicFilter,
    /// The highest QoS to deliver with.
    pub qos: QoS,
    /// MQTT 5: leave out what the client itself publishes.
    pub no_local: bool,
    /// MQTT 5: deliver with the retain flag that the publisher set.
    pub retain_as_published: bool,
    /// MQTT 5: what to do with retained messages.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent for a subscription [MQTT 5.0, section 3.8.3.1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    OnSubscribe,
    /// Only if the subscription did not exist before.
    OnNewSubscribe,
    /// Not at all.
    Never,
}

impl SubscribeFilter {
    /// A subscription with the options that older versions know.
    pub fn new(filter: TopicFilter, qos: QoS) -> Self {
        Self {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::OnSubscribe,
        }
    }
}

impl Subscribe {
    /// Decodes the packet.
    pub(crate) fn decode(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        gate::subscribe(version, frame, limits)?;
        let packet_id = Reader::new(frame.body).packet_id()?;
        let (header, bytes) = lift::packet(frame);
        if !version.is_v5() {
            let theirs = v4::Subscribe::read(header, bytes).map_err(DecodeError::Malformed)?;
            let filters = theirs.filters.into_iter().map(lift_v4).collect::<Result<_, _>>()?;
            return Ok(Self { packet_id, id: None, filters, user_properties: Vec::new() });
        }
        let theirs = v5::Subscribe::read(header, bytes).map_err(DecodeError::Malformed)?;
        let (id, user_properties) = theirs
            .properties
            .map(|properties| (properties.id, properties.user_properties))
            .unwrap_or_default();
        Ok(Self {
            packet_id,
            id: id.and_then(|id| u32::try_from(id).ok()),
            filters: theirs.filters.into_iter().map(lift_v5).collect::<Result<_, _>>()?,
            user_properties,
        })
    }

    /// Appends the packet; on an error `out` is unchanged. Options that the version lacks are left out.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::Empty);
        }
        let pkid = self.packet_id.as_u16();
        if !version.is_v5() {
            let filters = self.filters.iter().map(lower_v4).collect();
            return put_with(out, |out| v4::Subscribe { pkid, filters }.write(out));
        }
        if let Some(id) = self.id.filter(|id| *id == 0 || *id as usize > VARINT_MAX) {
            return Err(EncodeError::SubscriptionId(id));
        }
        if self.filters.iter().any(|each| each.no_local && each.filter.group().is_some()) {
            return Err(EncodeError::NoLocalOnShare);
        }
        check_information(None, &self.user_properties)?;
        let filters = self.filters.iter().map(lower_v5).collect();
        let properties = Some(v5::SubscribeProperties {
            id: self.id.map(|id| id as usize),
            user_properties: self.user_properties.clone(),
        });
        put_with(out, |out| v5::Subscribe { pkid, filters, properties }.write(out))
    }
}

/// Parses a filter that a decoder found.
pub(crate) fn lift_filter(text: &str) -> Result<TopicFilter, DecodeError> {
    TopicFilter::new(text).map_err(|error| match error {
        TopicError::Null => DecodeError::Null,
        error => DecodeError::TopicFilter(error),
    })
}

fn lift_v4(theirs: v4::SubscribeFilter) -> Result<SubscribeFilter, DecodeError> {
    Ok(SubscribeFilter::new(lift_filter(&theirs.path)?, theirs.qos.into()))
}

fn lift_v5(theirs: v5::SubscribeFilter) -> Result<SubscribeFilter, DecodeError> {
    Ok(SubscribeFilter {
        filter: lift_filter(&theirs.path)?,
        qos: theirs.qos.into(),
        no_local: theirs.nolocal,
        retain_as_published: theirs.preserve_retain,
        retain_handling: match theirs.retain_forward_rule {
            v5::RetainForwardRule::OnEverySubscribe => RetainHandling::OnSubscribe,
            v5::RetainForwardRule::OnNewSubscribe => RetainHandling::OnNewSubscribe,
            v5::RetainForwardRule::Never => RetainHandling::Never,
        },
    })
}

fn lower_v4(ours: &SubscribeFilter) -> v4::SubscribeFilter {
    v4::SubscribeFilter { path: ours.filter.as_str().to_owned(), qos: ours.qos.into() }
}

fn lower_v5(ours: &SubscribeFilter) -> v5::SubscribeFilter {
    v5::SubscribeFilter {
        path: ours.filter.as_str().to_owned(),
        qos: ours.qos.into(),
        nolocal: ours.no_local,
        preserve_retain: ours.retain_as_published,
        retain_forward_rule: match ours.retain_handling {
            RetainHandling::OnSubscribe => v5::RetainForwardRule::OnEverySubscribe,
            RetainHandling::OnNewSubscribe => v5::RetainForwardRule::OnNewSubscribe,
            RetainHandling::Never => v5::RetainForwardRule::Never,
        },
    }
}
