//! What waits for storage: no answer says that something is safe before it is, and nothing else waits.

use std::sync::Arc;

use gaugeline_broker::storage::Record;
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, Version,
    packet::{AckType, Connect, Outgoing, Packet, Subscribe},
};

use crate::support::{Client, HeldStore, Server, Setup, at, filter, kept, message, until};

scenarios! {
    every {
        acknowledgements_wait_for_storage,
        acknowledgements_leave_in_their_order,
        messages_that_nobody_keeps_are_acknowledged_at_once,
        qos_0_waits_for_nothing,
        a_retained_message_is_acknowledged_when_it_is_safe,
        a_repetition_is_acknowledged_when_the_message_is_safe,
        each_step_of_qos_2_waits_for_storage,
        suback_waits_for_storage,
        messages_are_delivered_before_they_are_safe,
        one_client_that_waits_does_not_hold_up_another,
        a_client_whose_acknowledgements_wait_is_not_cut_off,
        a_lost_connection_loses_no_message_that_waits,
    }
}

/// A broker with a store that is open until the returned subscriber is absent, and closed then.
async fn held(version: Version) -> (Arc<HeldStore>, Server) {
    let store = Arc::new(HeldStore::default());
    store.set_open(true);
    let server = Setup::new().store(Arc::clone(&store) as _).start().await;
    let mut absent = Client::connect(&server, &kept(version, "absent")).await;
    absent.subscribe("kept/#", QoS::ExactlyOnce).await;
    absent.leave().await;
    server.until_empty().await;
    store.set_open(false);
    (store, server)
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn messages(record: &Record) -> bool {
    matches!(record, Record::Messages { .. })
}

async fn acknowledgements_wait_for_storage(version: Version) {
    let (store, server) = held(version).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for (number, qos, step) in
        [(1, QoS::AtLeastOnce, AckType::PubAck), (2, QoS::ExactlyOnce, AckType::PubRec)]
    {
        publisher.send(at(qos, number, message("kept/t", "x"))).await;
        publisher.expect_silence().await;
        store.catch_up();
        publisher.expect_ack(step, id(number)).await;
    }
    assert_eq!(store.count(messages), 2);
}

/// [MQTT-4.6.0-2], [MQTT-4.6.0-3]: one that needs no storage waits for those before it.
async fn acknowledgements_leave_in_their_order(version: Version) {
    let (store, server) = held(version).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let packets = [("kept/a", 1), ("other", 2), ("kept/b", 3), ("other", 4)]
        .map(|(topic, id)| at(QoS::AtLeastOnce, id, message(topic, "x")));
    publisher.send(packets.to_vec()).await;
    publisher.expect_silence().await;
    store.step();
    publisher.expect_ack(AckType::PubAck, id(1)).await;
    publisher.expect_ack(AckType::PubAck, id(2)).await;
    publisher.expect_silence().await;
    store.step();
    publisher.expect_ack(AckType::PubAck, id(3)).await;
    publisher.expect_ack(AckType::PubAck, id(4)).await;
}

async fn messages_that_nobody_keeps_are_acknowledged_at_once(version: Version) {
    let (store, server) = held(version).await;
    let mut present = Client::join(&server, version, "present").await;
    present.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for topic in ["t", "nobody"] {
            publisher.publish(qos, message(topic, "x")).await;
        }
        present.take("x").await;
    }
    assert_eq!(store.count(messages), 0);
}

async fn qos_0_waits_for_nothing(version: Version) {
    let (store, server) = held(version).await;
    let mut present = Client::join(&server, version, "present").await;
    present.subscribe("kept/t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtMostOnce, message("kept/t", "x")).await;
    present.take("x").await;
    assert_eq!(store.count(messages), 0);
}

async fn a_retained_message_is_acknowledged_when_it_is_safe(version: Version) {
    let (store, server) = held(version).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for (number, payload) in [(1, "x"), (2, "")] {
        let retained = Outgoing { retain: true, ..message("t", payload) };
        publisher.send(at(QoS::AtLeastOnce, number, retained)).await;
        publisher.expect_silence().await;
        store.catch_up();
        publisher.expect_ack(AckType::PubAck, id(number)).await;
    }
}

/// The message came on an earlier connection, and is not safe yet.
async fn a_repetition_is_acknowledged_when_the_message_is_safe(version: Version) {
    let (store, server) = held(version).await;
    let mut publisher = Client::connect(&server, &kept(version, "p")).await;
    let publish = at(QoS::ExactlyOnce, 1, message("kept/t", "x"));
    publisher.send(publish).await;
    publisher.expect_silence().await;
    publisher.break_off().await;
    server.until_empty().await;
    let mut publisher = Client::connect(&server, &kept(version, "p")).await;
    publisher.send(Outgoing { dup: true, ..publish }).await;
    publisher.expect_silence().await;
    store.catch_up();
    publisher.expect_ack(AckType::PubRec, id(1)).await;
    assert_eq!(store.count(messages), 1);
}

/// PUBREC, PUBREL, PUBCOMP: were a step forgotten after it was told, the message could come twice or not at all.
async fn each_step_of_qos_2_waits_for_storage(version: Version) {
    let (store, server) = held(version).await;
    let mut publisher = Client::connect(&server, &kept(version, "p")).await;
    publisher.send(at(QoS::ExactlyOnce, 1, message("kept/t", "x"))).await;
    publisher.expect_silence().await;
    store.catch_up();
    publisher.expect_ack(AckType::PubRec, id(1)).await;
    publisher.acknowledge(AckType::PubRel, id(1)).await;
    publisher.expect_silence().await;
    store.catch_up();
    publisher.expect_ack(AckType::PubComp, id(1)).await;

    let mut subscriber = Client::connect(&server, &kept(version, "absent")).await;
    store.catch_up();
    // The packet id that the client sees must be safe.
    until("the packet id to be told", || store.count(|record| matches!(record, Record::Sent { .. })) == 1)
        .await;
    subscriber.expect_silence().await;
    store.catch_up();
    let packet_id = subscriber.expect_payload("x").await.packet_id.unwrap();
    subscriber.acknowledge(AckType::PubRec, packet_id).await;
    subscriber.expect_silence().await;
    store.catch_up();
    subscriber.expect_ack(AckType::PubRel, packet_id).await;
    subscriber.acknowledge(AckType::PubComp, packet_id).await;
    until("the end to be told", || store.count(|record| matches!(record, Record::Completed { .. })) == 1)
        .await;
}

/// The subscription of a session that is kept outlives the process.
async fn suback_waits_for_storage(version: Version) {
    let (store, server) = held(version).await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    let filters = vec![filter("t", QoS::AtMostOnce)];
    client.send(Subscribe { packet_id: id(9), id: None, filters, user_properties: vec![] }).await;
    client.expect_silence().await;
    store.catch_up();
    match client.receive().await {
        Packet::SubAck(answer) => assert_eq!(answer.reasons, [ReasonCode::Success]),
        other => panic!("{other:?}"),
    }
    // That of another session does not.
    Client::join(&server, version, "b").await.subscribe("t", QoS::AtMostOnce).await;
}

/// Storage is for those who acknowledge; a subscriber need not wait for it.
async fn messages_are_delivered_before_they_are_safe(version: Version) {
    let (store, server) = held(version).await;
    let mut present = Client::join(&server, version, "present").await;
    present.subscribe("kept/t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.send(at(QoS::AtLeastOnce, 1, message("kept/t", "x"))).await;
    present.take("x").await;
    publisher.expect_silence().await;
    store.catch_up();
    publisher.expect_ack(AckType::PubAck, id(1)).await;
}

async fn one_client_that_waits_does_not_hold_up_another(version: Version) {
    let (store, server) = held(version).await;
    let mut waiting = Client::join(&server, version, "waiting").await;
    waiting.send(at(QoS::AtLeastOnce, 1, message("kept/t", "x"))).await;
    let mut other = Client::join(&server, version, "other").await;
    other.subscribe("t", QoS::AtLeastOnce).await;
    for _ in 0..10 {
        waiting.expect_silence().await;
        Client::join(&server, version, "p").await.publish(QoS::AtLeastOnce, message("t", "y")).await;
        other.take("y").await;
    }
    store.catch_up();
    waiting.expect_ack(AckType::PubAck, id(1)).await;
}

/// While the broker itself does not read, because its disk is slow, nobody can say that the client is silent. This one
/// takes two keep-alive times, which another client of the same keep-alive shows.
async fn a_client_whose_acknowledgements_wait_is_not_cut_off(version: Version) {
    let store = Arc::new(HeldStore::default());
    let setup = Setup::new().store(Arc::clone(&store) as _);
    let server = setup.limits(|limits| limits.receive_maximum = 1).start().await;
    let brief = |name: &str| Connect { keep_alive_seconds: 1, ..kept(version, name) };
    let mut client = Client::connect(&server, &brief("a")).await;
    let retained = Outgoing { retain: true, ..message("t", "x") };
    client.send((at(QoS::AtLeastOnce, 1, retained), [0xC0, 0])).await;
    client.expect(Packet::PingResp).await;
    client.send([0xC0, 0]).await;
    let mut silent = Client::connect(&server, &brief("silent")).await;
    silent.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    store.catch_up();
    client.expect_ack(AckType::PubAck, id(1)).await;
    client.expect(Packet::PingResp).await;
}

/// Acknowledged or not: what the broker has taken stays.
async fn a_lost_connection_loses_no_message_that_waits(version: Version) {
    let (store, server) = held(version).await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.send(at(QoS::AtLeastOnce, 1, message("kept/t", "x"))).await;
    publisher.break_off().await;
    server.until_empty().await;
    let mut subscriber = Client::connect(&server, &kept(version, "absent")).await;
    assert_eq!(store.count(messages), 1);
    subscriber.take("x").await;
}
