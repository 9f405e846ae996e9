//! PINGREQ, PINGRESP and their times [MQTT 5.0, section 3.1.2.10].

use gaugeline_protocol::{
    QoS, Version,
    client::ConnectionError,
    packet::{ConnAckProperties, PingResp},
};

use crate::rig::{Rig, Seen};

fn pong(rig: &mut Rig) {
    assert_eq!(rig.server(|version, out| PingResp.encode(version, out).unwrap()), Ok(Seen::Nothing));
}

#[test]
fn an_idle_client_pings_within_the_keep_alive_time() {
    let mut rig = Rig::online(Version::V311);
    assert_eq!(rig.timeout(), Some(30), "half of the 60 seconds");
    rig.after(29);
    rig.client.handle_timeout(rig.now).unwrap();
    assert_eq!(rig.sent().len(), 0);
    rig.after(1);
    rig.client.handle_timeout(rig.now).unwrap();
    assert_eq!(rig.sent(), ["PINGREQ"], "[MQTT-3.1.2-20]");
    pong(&mut rig);
    rig.after(30);
    rig.client.handle_timeout(rig.now).unwrap();
    assert_eq!(rig.sent().len(), 0, "both directions spoke in the last half");
    rig.after(30);
    rig.client.handle_timeout(rig.now).unwrap();
    assert_eq!(rig.sent(), ["PINGREQ"]);
}

#[test]
fn a_client_that_only_sends_asks_whether_anybody_is_there() {
    let mut rig = Rig::online(Version::V5);
    for _ in 0..3 {
        rig.publish(QoS::AtMostOnce);
        rig.sent();
        rig.after(30);
        rig.client.handle_timeout(rig.now).unwrap();
        assert_eq!(rig.sent(), ["PINGREQ"]);
        pong(&mut rig);
        rig.publish(QoS::AtMostOnce);
        rig.sent();
        rig.after(30);
        rig.client.handle_timeout(rig.now).unwrap();
        assert_eq!(rig.sent().len(), 0);
    }
}

#[test]
fn without_an_answer_the_connection_is_over() {
    let mut rig = Rig::online(Version::V5);
    rig.after(30);
    rig.client.handle_timeout(rig.now).unwrap();
    assert_eq!(rig.sent(), ["PINGREQ"]);
    rig.after(30);
    assert_eq!(rig.client.handle_timeout(rig.now), Err(ConnectionError::NoPingResponse));
    assert!(!rig.client.is_online());
    assert_eq!(rig.timeout(), None);
}

#[test]
fn anything_that_arrives_is_a_sign_of_life() {
    let mut rig = Rig::online(Version::V5);
    rig.after(30);
    rig.client.handle_timeout(rig.now).unwrap();
    rig.sent();
    rig.server_publish(QoS::AtMostOnce, 1, false).unwrap();
    rig.after(30);
    assert_eq!(rig.client.handle_timeout(rig.now), Ok(()));
}

#[test]
fn the_server_may_override_the_time_and_zero_switches_it_off() {
    for (seconds, timeout) in [(10, Some(5)), (0, None)] {
        let mut rig = Rig::new(Version::V5);
        let properties =
            ConnAckProperties { server_keep_alive_seconds: Some(seconds), ..ConnAckProperties::default() };
        rig.reconnect(false, properties);
        assert_eq!(rig.timeout(), timeout, "[MQTT-3.2.2-21]");
    }
}
