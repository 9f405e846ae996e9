//! SUBSCRIBE, UNSUBSCRIBE and their answers.

use gaugeline_protocol::{
    QoS, ReasonCode, TopicFilter, Version,
    client::RequestError,
    codec::EncodeError,
    packet::{AckType, ConnAckProperties, SubAck, SubscribeFilter, UnsubAck},
};

use crate::rig::{Rig, Seen, packet_id};

fn filter(text: &str) -> TopicFilter {
    TopicFilter::new(text).unwrap()
}

fn filters(count: usize) -> Vec<SubscribeFilter> {
    vec![SubscribeFilter::new(filter("a/#"), QoS::AtLeastOnce); count]
}

fn suback(
    rig: &mut Rig,
    id: u16,
    reasons: &[ReasonCode],
) -> Result<Seen, gaugeline_protocol::client::ConnectionError> {
    let ack = SubAck::new(packet_id(id), reasons.to_vec());
    rig.server(|version, out| ack.encode(version, out).unwrap())
}

fn unsuback(
    rig: &mut Rig,
    id: u16,
    reasons: &[ReasonCode],
) -> Result<Seen, gaugeline_protocol::client::ConnectionError> {
    let ack = UnsubAck::new(packet_id(id), reasons.to_vec());
    rig.server(|version, out| ack.encode(version, out).unwrap())
}

#[test]
fn requests_are_answered() {
    for version in Version::ALL {
        let mut rig = Rig::online(version);
        assert_eq!(rig.client.subscribe(filters(2), None), Ok(packet_id(1)));
        assert_eq!(
            rig.publish(QoS::AtLeastOnce),
            Some(packet_id(2)),
            "[MQTT-2.2.1-4]: one circle of identifiers"
        );
        assert_eq!(rig.client.unsubscribe(vec![filter("a")]), Ok(packet_id(3)));
        assert_eq!(rig.sent(), ["SUBSCRIBE 1", "PUBLISH 2", "UNSUBSCRIBE 3"]);
        let granted = [ReasonCode::GrantedQoS1, ReasonCode::Success];
        assert_eq!(unsuback(&mut rig, 3, &[ReasonCode::Success]), Ok(Seen::Unsubscribed(packet_id(3))));
        assert_eq!(suback(&mut rig, 1, &granted), Ok(Seen::Subscribed(packet_id(1), granted.to_vec())));
        assert_eq!(rig.client.unacknowledged(), 1);
    }
}

#[test]
fn a_refused_filter_is_told() {
    let mut rig = Rig::online(Version::V5);
    rig.client.subscribe(filters(1), Some(7)).unwrap();
    let refused = vec![ReasonCode::NotAuthorized];
    assert_eq!(suback(&mut rig, 1, &refused), Ok(Seen::Subscribed(packet_id(1), refused.clone())));
}

#[test]
fn answers_that_fit_to_nothing_end_the_connection() {
    let granted = [ReasonCode::Success; 2];
    for reasons in [&granted[..1], &granted] {
        let mut rig = Rig::online(Version::V5);
        rig.client.subscribe(filters(2), None).unwrap();
        let id = if reasons.len() == 2 { 2 } else { 1 };
        let error = suback(&mut rig, id, reasons).unwrap_err();
        assert_eq!(error.reason(), ReasonCode::ProtocolError, "[MQTT-3.8.4-2], [MQTT-3.8.4-6]");
    }
    let mut rig = Rig::online(Version::V5);
    rig.client.unsubscribe(vec![filter("a")]).unwrap();
    assert!(unsuback(&mut rig, 1, &granted).is_err(), "[MQTT-3.10.4-6]");
    let mut rig = Rig::online(Version::V311);
    rig.publish(QoS::AtLeastOnce);
    assert!(unsuback(&mut rig, 1, &[]).is_err(), "[MQTT-3.10.4-4]");
}

#[test]
fn requests_are_not_sent_again() {
    let mut rig = Rig::online(Version::V5);
    rig.client.subscribe(filters(1), None).unwrap();
    rig.publish(QoS::AtLeastOnce);
    rig.sent();
    rig.reconnect(true, ConnAckProperties::default());
    assert_eq!(rig.sent(), ["PUBLISH 2 DUP"], "[MQTT-4.4.0-1]: PUBLISH and PUBREL alone");
    rig.server_ack(AckType::PubAck, 2, ReasonCode::Success);
    assert_eq!(rig.client.subscribe(filters(1), None), Ok(packet_id(3)));
}

#[test]
fn requests_that_cannot_be_sent() {
    let mut rig = Rig::online(Version::V5);
    assert_eq!(rig.client.subscribe(vec![], None), Err(RequestError::Encode(EncodeError::Empty)));
    assert_eq!(rig.client.unsubscribe(vec![]), Err(RequestError::Encode(EncodeError::Empty)));
    let small =
        ConnAckProperties { packet_bytes_max: std::num::NonZeroU32::new(10), ..ConnAckProperties::default() };
    rig.reconnect(false, small);
    let too_large = rig.client.subscribe(filters(1), None);
    assert_eq!(too_large, Err(RequestError::TooLarge { bytes: 11, max: 10 }), "[MQTT-3.2.2-15]");
    assert_eq!(rig.sent().len(), 0);
    assert_eq!(
        rig.client.subscribe(vec![SubscribeFilter::new(filter("a"), QoS::AtMostOnce)], None),
        Ok(packet_id(1))
    );
}
