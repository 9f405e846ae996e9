//! Random valid packets.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, Bytes, BytesMut};
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version,
    packet::{
        Ack, AckType, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, Information,
        Outgoing, Packet, PingReq, PingResp, Publish, RetainHandling, SubAck, Subscribe, SubscribeFilter,
        UnsubAck, Unsubscribe, Will,
    },
};
use proptest::{collection::vec, option, prelude::*, sample::select, strategy::Union};

/// A packet that owns its content.
#[derive(Debug, Clone)]
pub(crate) enum Sample {
    Packet(Packet<'static>),
    Publish(Message),
}

/// A PUBLISH that owns its content.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    dup: bool,
    qos: QoS,
    retain: bool,
    topic: String,
    packet_id: Option<PacketId>,
    topic_alias: Option<NonZeroU16>,
    message_expiry_seconds: Option<u32>,
    subscription_ids: Vec<u32>,
    forwardable: Vec<u8>,
    user_property: Option<(String, String)>,
    payload: Vec<u8>,
}

impl Sample {
    pub(crate) fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = BytesMut::new();
        match self {
            Self::Publish(message) => {
                let outgoing = message.outgoing();
                outgoing.encode(version, &mut out).unwrap();
                assert_eq!(outgoing.len(version), out.len());
            }
            Self::Packet(packet) => encode(packet, version, &mut out),
        }
        out.to_vec()
    }

    /// Whether the packet that came back says the same.
    pub(crate) fn is(&self, version: Version, found: &Packet<'_>) -> bool {
        match (self, found) {
            (Self::Packet(packet), found) => packet == found,
            (Self::Publish(message), Packet::Publish(found)) => message.is(version, found),
            (Self::Publish(_), _) => false,
        }
    }
}

impl Message {
    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: self.packet_id,
            payload: &self.payload,
            topic_alias: self.topic_alias,
            message_expiry_seconds: self.message_expiry_seconds,
            subscription_ids: &self.subscription_ids,
            forwardable: &self.forwardable,
            user_property: self.user_property.as_ref().map(|(key, value)| (key.as_str(), value.as_str())),
        }
    }

    fn is(&self, version: Version, found: &Publish<'_>) -> bool {
        let header = (self.dup, self.qos, self.retain, self.packet_id)
            == (found.dup, found.qos, found.retain, found.packet_id);
        let content = self.topic == found.topic && self.payload == found.payload;
        let properties = found.properties;
        if version != Version::V5 {
            return header && content && properties.raw.is_empty();
        }
        let mut forwardable = self.forwardable.clone();
        if let Some((key, value)) = &self.user_property {
            forwardable.extend(user_property(key, value));
        }
        header
            && content
            && properties.topic_alias == self.topic_alias
            && properties.message_expiry_seconds == self.message_expiry_seconds
            && properties.subscription_ids().eq(self.subscription_ids.iter().copied())
            && properties.forwardable() == forwardable
    }
}

fn encode(packet: &Packet<'_>, version: Version, out: &mut BytesMut) {
    match packet {
        Packet::Connect(connect) => connect.encode(out),
        Packet::ConnAck(connack) => connack.encode(version, out),
        Packet::Publish(_) => unreachable!("samples of PUBLISH own their content"),
        Packet::PubAck(ack) => ack.encode(AckType::PubAck, version, out),
        Packet::PubRec(ack) => ack.encode(AckType::PubRec, version, out),
        Packet::PubRel(ack) => ack.encode(AckType::PubRel, version, out),
        Packet::PubComp(ack) => ack.encode(AckType::PubComp, version, out),
        Packet::Subscribe(subscribe) => subscribe.encode(version, out),
        Packet::SubAck(suback) => suback.encode(version, out),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
        Packet::UnsubAck(unsuback) => unsuback.encode(version, out),
        Packet::PingReq => PingReq.encode(version, out),
        Packet::PingResp => PingResp.encode(version, out),
        Packet::Disconnect(disconnect) => disconnect.encode(version, out),
        Packet::Auth(auth) => auth.encode(version, out),
    }
    .unwrap();
}

/// Any packet that the version knows, with the content that it can carry.
pub(crate) fn any_sample(version: Version) -> Union<BoxedStrategy<Sample>> {
    let v5 = version.is_v5();
    let mut kinds = vec![
        publish(version).prop_map(Sample::Publish).boxed(),
        connect(version).prop_map(|it| packet(Packet::Connect(Box::new(it)))).boxed(),
        connack(version).prop_map(|it| packet(Packet::ConnAck(Box::new(it)))).boxed(),
        ack(version, &[0, 0x10, 0x87]).prop_map(|it| packet(Packet::PubAck(it))).boxed(),
        ack(version, &[0, 0x91, 0x97]).prop_map(|it| packet(Packet::PubRec(it))).boxed(),
        ack(version, &[0, 0x92]).prop_map(|it| packet(Packet::PubRel(it))).boxed(),
        ack(version, &[0, 0x92]).prop_map(|it| packet(Packet::PubComp(it))).boxed(),
        subscribe(v5).prop_map(|it| packet(Packet::Subscribe(it))).boxed(),
        suback(version).prop_map(|it| packet(Packet::SubAck(it))).boxed(),
        unsubscribe(v5).prop_map(|it| packet(Packet::Unsubscribe(it))).boxed(),
        unsuback(v5).prop_map(|it| packet(Packet::UnsubAck(it))).boxed(),
        Just(packet(Packet::PingReq)).boxed(),
        Just(packet(Packet::PingResp)).boxed(),
        disconnect(v5).prop_map(|it| packet(Packet::Disconnect(it))).boxed(),
    ];
    if v5 {
        kinds.push(auth().prop_map(|it| packet(Packet::Auth(Box::new(it)))).boxed());
    }
    Union::new(kinds)
}

fn packet(packet: Packet<'static>) -> Sample {
    Sample::Packet(packet)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,12}", "[^\0]{0,6}"]
}

fn pairs(v5: bool) -> BoxedStrategy<Vec<(String, String)>> {
    only(v5, Vec::new(), vec((text(), text()), 0..4))
}

fn optional<T: Clone + std::fmt::Debug + 'static>(
    v5: bool,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    only(v5, None, option::of(strategy))
}

/// What older versions cannot carry stays at its default.
fn only<T: Clone + std::fmt::Debug + 'static>(
    v5: bool,
    default: T,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if v5 { strategy.boxed() } else { Just(default).boxed() }
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap())
}

fn non_zero() -> impl Strategy<Value = NonZeroU16> {
    (1..=u16::MAX).prop_map(|number| NonZeroU16::new(number).unwrap())
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn qos() -> impl Strategy<Value = QoS> {
    select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..])
}

fn topic() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/$ ]{1,20}", "[^\0+#]{1,10}"]
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    vec(select(&["a", "", "+", "$SYS", "\u{e9}"][..]), 1..5).prop_flat_map(|levels| {
        let levels = levels.join("/");
        let plain = if levels.is_empty() { "/".to_owned() } else { levels };
        select(vec![plain.clone(), format!("{plain}/#"), format!("$share/g/{plain}"), "#".to_owned()])
            .prop_map(|text| TopicFilter::new(&text).unwrap())
    })
}

fn reasons(codes: &[u8]) -> impl Strategy<Value = ReasonCode> + use<> {
    let codes = codes.iter().map(|code| ReasonCode::from_byte(*code).unwrap());
    select(codes.collect::<Vec<_>>())
}

fn user_property(key: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0x26];
    for text in [key, value] {
        out.put_u16(text.len() as u16);
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// A section of properties that a message keeps.
fn forwardable() -> impl Strategy<Value = Vec<u8>> {
    let single = (any::<bool>(), any::<bool>(), option::of(text()), option::of(topic()), bytes(5));
    (single, vec((text(), text()), 0..4)).prop_map(|((has_format, utf8, content, response, data), pairs)| {
        let mut out = Vec::new();
        for (key, value) in &pairs {
            out.extend(user_property(key, value));
        }
        if has_format {
            out.extend([1, u8::from(utf8)]);
        }
        for (id, field) in [
            (3, content.map(String::into_bytes)),
            (8, response.map(String::into_bytes)),
            (9, (!data.is_empty()).then(|| data.to_vec())),
        ] {
            if let Some(field) = field {
                out.push(id);
                out.put_u16(field.len() as u16);
                out.extend(field);
            }
        }
        out
    })
}

fn publish(version: Version) -> impl Strategy<Value = Message> {
    let v5 = version.is_v5();
    let header = (any::<bool>(), qos(), any::<bool>(), topic(), packet_id(), any::<bool>());
    let properties = (
        optional(v5, non_zero()),
        optional(v5, any::<u32>()),
        only(v5, Vec::new(), vec(1..=268_435_455_u32, 0..4)),
        only(v5, Vec::new(), forwardable()),
        optional(v5, (text(), text())),
    );
    let payload = prop_oneof![vec(any::<u8>(), 0..20), Just(vec![7; 300])];
    (header, properties, payload).prop_map(
        |((dup, qos, retain, topic, id, alias_alone), properties, payload)| {
            let (topic_alias, message_expiry_seconds, subscription_ids, forwardable, user_property) =
                properties;
            Message {
                dup: dup && qos > QoS::AtMostOnce,
                qos,
                retain,
                topic: if alias_alone && topic_alias.is_some() { String::new() } else { topic },
                packet_id: (qos > QoS::AtMostOnce).then_some(id),
                topic_alias,
                message_expiry_seconds,
                subscription_ids,
                forwardable,
                user_property,
                payload,
            }
        },
    )
}

fn will(v5: bool) -> impl Strategy<Value = Will> {
    let mqtt_5 = (only(v5, 0, any::<u32>()), optional(v5, any::<u32>()), only(v5, Vec::new(), forwardable()));
    (topic(), bytes(10), qos(), any::<bool>(), mqtt_5).prop_map(|(topic, payload, qos, retain, mqtt_5)| {
        Will {
            topic: TopicName::new(&topic).unwrap(),
            payload,
            qos,
            retain,
            delay_seconds: mqtt_5.0,
            message_expiry_seconds: mqtt_5.1,
            properties: mqtt_5.2.into(),
        }
    })
}

fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let v5 = version.is_v5();
    let fields = (
        text(),
        any::<bool>(),
        any::<u16>(),
        option::of(will(v5)),
        option::of(text()),
        option::of(bytes(10)),
        connect_properties(v5),
    );
    fields.prop_map(
        move |(client_id, clean_start, keep_alive_seconds, will, user_name, password, properties)| {
            let password = password.filter(|_| v5 || user_name.is_some());
            Connect {
                version,
                client_id,
                clean_start,
                keep_alive_seconds,
                will,
                user_name,
                password,
                properties,
            }
        },
    )
}

fn connect_properties(v5: bool) -> BoxedStrategy<ConnectProperties> {
    let numbers = (any::<u32>(), option::of(non_zero()), any::<u32>(), any::<u16>());
    let flags = (any::<bool>(), any::<bool>());
    let others = (option::of((text(), option::of(bytes(8)))), pairs(true));
    let strategy =
        (numbers, flags, others).prop_map(|(numbers, flags, (authentication, user_properties))| {
            let (authentication_method, authentication_data) = authentication.unzip();
            ConnectProperties {
                session_expiry_seconds: numbers.0,
                receive_maximum: numbers.1,
                packet_bytes_max: NonZeroU32::new(numbers.2),
                topic_alias_maximum: numbers.3,
                request_response_information: flags.0,
                request_problem_information: flags.1,
                authentication_method,
                authentication_data: authentication_data.flatten(),
                user_properties,
            }
        });
    only(v5, ConnectProperties::default(), strategy)
}

fn connack(version: Version) -> impl Strategy<Value = ConnAck> {
    let v5 = version.is_v5();
    let codes: &[u8] = if v5 { &[0, 0x80, 0x86, 0x9F] } else { &[0, 0x84, 0x85, 0x86, 0x87, 0x88] };
    (any::<bool>(), reasons(codes), connack_properties(v5)).prop_map(move |(present, reason, properties)| {
        ConnAck {
            session_present: present && reason == ReasonCode::Success && version != Version::V31,
            reason,
            properties,
        }
    })
}

fn connack_properties(v5: bool) -> BoxedStrategy<ConnAckProperties> {
    let flag = || option::of(any::<bool>());
    let numbers =
        (option::of(any::<u32>()), option::of(non_zero()), any::<u32>(), option::of(any::<u16>()), flag());
    let flags = (flag(), flag(), flag(), flag(), option::of(any::<u16>()));
    let text = || option::of(text());
    let texts = (text(), text(), text(), text(), text(), option::of(bytes(8)), pairs(true));
    let strategy = (numbers, flags, texts).prop_map(|(numbers, flags, texts)| ConnAckProperties {
        session_expiry_seconds: numbers.0,
        receive_maximum: numbers.1,
        packet_bytes_max: NonZeroU32::new(numbers.2),
        topic_alias_maximum: numbers.3,
        maximum_qos: numbers.4.map(|one| if one { QoS::AtLeastOnce } else { QoS::AtMostOnce }),
        retain_available: flags.0,
        wildcard_subscriptions: flags.1,
        subscription_ids: flags.2,
        shared_subscriptions: flags.3,
        server_keep_alive_seconds: flags.4,
        assigned_client_id: texts.0,
        reason_string: texts.1,
        response_information: texts.2,
        server_reference: texts.3,
        authentication_data: texts.5.filter(|_| texts.4.is_some()),
        authentication_method: texts.4,
        user_properties: texts.6,
    });
    only(v5, ConnAckProperties::default(), strategy)
}

fn ack(version: Version, codes: &[u8]) -> impl Strategy<Value = Ack> + use<> {
    let information = (option::of(text()), pairs(true)).prop_filter_map("empty", |(reason_string, pairs)| {
        let is_empty = reason_string.is_none() && pairs.is_empty();
        (!is_empty).then(|| Box::new(Information { reason_string, user_properties: pairs }))
    });
    let v5 = version.is_v5();
    (packet_id(), only(v5, ReasonCode::Success, reasons(codes)), optional(v5, information))
        .prop_map(|(packet_id, reason, information)| Ack { packet_id, reason, information })
}

fn subscribe(v5: bool) -> impl Strategy<Value = Subscribe> {
    let handling =
        select(&[RetainHandling::OnSubscribe, RetainHandling::OnNewSubscribe, RetainHandling::Never][..]);
    let options = (
        only(v5, false, any::<bool>()),
        only(v5, false, any::<bool>()),
        only(v5, RetainHandling::OnSubscribe, handling),
    );
    let filters = (filter(), qos(), options).prop_map(|(filter, qos, options)| SubscribeFilter {
        no_local: options.0 && filter.group().is_none(),
        filter,
        qos,
        retain_as_published: options.1,
        retain_handling: options.2,
    });
    (packet_id(), optional(v5, 1..=268_435_455_u32), vec(filters, 1..4), pairs(v5)).prop_map(
        |(packet_id, id, filters, user_properties)| Subscribe { packet_id, id, filters, user_properties },
    )
}

fn unsubscribe(v5: bool) -> impl Strategy<Value = Unsubscribe> {
    (packet_id(), vec(filter(), 1..4), pairs(v5))
        .prop_map(|(packet_id, filters, user_properties)| Unsubscribe { packet_id, filters, user_properties })
}

fn suback(version: Version) -> impl Strategy<Value = SubAck> {
    let codes: &[u8] = match version {
        Version::V31 => &[0, 1, 2],
        Version::V311 => &[0, 1, 2, 0x80],
        Version::V5 => &[0, 1, 2, 0x80, 0x87, 0xA2],
    };
    let v5 = version.is_v5();
    (packet_id(), vec(reasons(codes), 1..4), optional(v5, text()), pairs(v5)).prop_map(
        |(packet_id, reasons, reason_string, user_properties)| SubAck {
            packet_id,
            reasons,
            reason_string,
            user_properties,
        },
    )
}

fn unsuback(v5: bool) -> impl Strategy<Value = UnsubAck> {
    let reasons = only(v5, Vec::new(), vec(reasons(&[0, 0x11, 0x87]), 1..4));
    (packet_id(), reasons, optional(v5, text()), pairs(v5)).prop_map(
        |(packet_id, reasons, reason_string, user_properties)| UnsubAck {
            packet_id,
            reasons,
            reason_string,
            user_properties,
        },
    )
}

fn disconnect(v5: bool) -> impl Strategy<Value = Disconnect> {
    let reason = only(v5, ReasonCode::Success, reasons(&[0, 4, 0x8E, 0x98]));
    (reason, optional(v5, any::<u32>()), optional(v5, text()), optional(v5, text()), pairs(v5)).prop_map(
        |(reason, session_expiry_seconds, reason_string, server_reference, user_properties)| Disconnect {
            reason,
            session_expiry_seconds,
            reason_string,
            server_reference,
            user_properties,
        },
    )
}

fn auth() -> impl Strategy<Value = Auth> {
    let rest = (text(), option::of(bytes(8)), option::of(text()), pairs(true));
    prop_oneof![
        4 => (reasons(&[0, 0x18, 0x19]), rest).prop_map(|(reason, rest)| Auth {
            reason,
            method: Some(rest.0),
            data: rest.1,
            reason_string: rest.2,
            user_properties: rest.3,
        }),
        1 => Just(Auth {
            reason: ReasonCode::Success,
            method: None,
            data: None,
            reason_string: None,
            user_properties: Vec::new(),
        }),
    ]
}

/// A valid packet with a few bytes replaced, inserted or removed.
pub(crate) fn mutated(version: Version) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<proptest::sample::Index>(), any::<u8>(), 0..3_u8);
    (any_sample(version), vec(change, 0..4)).prop_map(move |(sample, changes)| {
        let mut bytes = sample.encode(version);
        for (at, byte, kind) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}
