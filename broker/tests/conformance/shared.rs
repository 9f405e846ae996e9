//! Shared subscriptions [MQTT 5.0, section 4.8.2], which MQTT 3 clients may use too.

use std::collections::BTreeSet;

use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    packet::{AckType, Outgoing},
};

use crate::support::{Client, Server, at, filter, kept, message};

scenarios! {
    every {
        each_message_goes_to_one_member,
        members_get_their_share_of_many_topics,
        groups_and_direct_subscribers_get_a_copy_each,
        the_members_qos_counts,
        no_retained_messages_for_a_group,
        an_absent_member_gets_nothing_while_another_is_there,
        absent_members_get_messages_when_nobody_is_there,
        a_member_may_leave_the_group,
    }
    v5 {
        a_group_has_subscription_ids,
        a_group_of_one_member_twice,
        malformed_group_names_end_the_connection,
    }
}

async fn members(server: &Server, version: Version, text: &str, count: usize) -> Vec<Client> {
    let mut members = Vec::new();
    for number in 0..count {
        let mut member = Client::join(server, version, &format!("member{number}")).await;
        member.subscribe(text, QoS::AtLeastOnce).await;
        members.push(member);
    }
    members
}

/// What came to each member so far, as numbers.
async fn shares(members: &mut [Client]) -> Vec<Vec<u16>> {
    let mut shares = Vec::new();
    for member in members {
        let mut share = Vec::new();
        for publish in member.collect().await {
            share.push(std::str::from_utf8(publish.payload).unwrap().parse().unwrap());
            member.settle(&publish).await;
        }
        shares.push(share);
    }
    shares
}

/// [MQTT-4.8.2-4]: to one, in order, and fairly.
async fn each_message_goes_to_one_member(version: Version) {
    let server = Server::start().await;
    let mut members = members(&server, version, "$share/g/t", 3).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let texts = (1..=90).map(|number| number.to_string()).collect::<Vec<_>>();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let packets = texts.iter().zip(1..).map(|(text, id)| match qos {
            QoS::AtMostOnce => message("t", text),
            _ => at(qos, id, message("t", text)),
        });
        publisher.send(packets.collect::<Vec<_>>()).await;
        publisher.collect().await;
        let shares = shares(&mut members).await;
        let all = shares.iter().flatten().copied().collect::<BTreeSet<_>>();
        assert_eq!(all, (1..=90).collect());
        for share in shares {
            assert_eq!(share.len(), 30);
            assert!(share.is_sorted());
        }
    }
}

/// The turn goes on from topic to topic and from publisher to publisher: sensors that publish one message each do not
/// all hit the same member.
async fn members_get_their_share_of_many_topics(version: Version) {
    let server = Server::start().await;
    let mut members = members(&server, version, "$share/g/t/+", 3).await;
    for number in 0..30 {
        let mut publisher = Client::join(&server, version, "p").await;
        publisher.publish(QoS::AtLeastOnce, message(&format!("t/{number}"), &number.to_string())).await;
    }
    for share in shares(&mut members).await {
        assert_eq!(share.len(), 10);
    }
}

async fn groups_and_direct_subscribers_get_a_copy_each(version: Version) {
    let server = Server::start().await;
    let mut one = Client::join(&server, version, "one").await;
    one.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    let mut other = Client::join(&server, version, "other").await;
    other.subscribe("$share/h/t", QoS::AtLeastOnce).await;
    let mut both = Client::join(&server, version, "both").await;
    both.subscribe("$share/i/#", QoS::AtLeastOnce).await;
    both.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
    one.take("x").await;
    other.take("x").await;
    both.take("x").await;
    both.take("x").await;
    for client in [&mut one, &mut other, &mut both] {
        client.expect_silence().await;
    }
}

/// [MQTT-4.8.2-3]
async fn the_members_qos_counts(version: Version) {
    let server = Server::start().await;
    let mut members = Vec::new();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut member = Client::join(&server, version, &format!("{qos:?}")).await;
        member.subscribe("$share/g/t", qos).await;
        members.push((member, qos));
    }
    let mut publisher = Client::join(&server, version, "p").await;
    for published in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for _ in 0..3 {
            publisher.publish(published, message("t", "x")).await;
        }
        for (member, qos) in &mut members {
            let publish = member.take("x").await;
            assert_eq!(publish.qos, published.min(*qos));
        }
    }
}

/// [MQTT 5.0, section 4.8.2]
async fn no_retained_messages_for_a_group(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    let retained = Outgoing { retain: true, ..message("t", "x") };
    publisher.publish(QoS::AtLeastOnce, retained).await;
    let mut member = Client::join(&server, version, "a").await;
    member.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    member.expect_silence().await;
    publisher.publish(QoS::AtLeastOnce, retained).await;
    assert!(!member.take("x").await.retain);
}

async fn an_absent_member_gets_nothing_while_another_is_there(version: Version) {
    let server = Server::start().await;
    let mut absent = Client::connect(&server, &kept(version, "absent")).await;
    absent.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    absent.leave().await;
    server.until_empty().await;
    let mut present = Client::join(&server, version, "present").await;
    present.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for _ in 0..4 {
        publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
        present.take("x").await;
    }
    Client::connect(&server, &kept(version, "absent")).await.expect_silence().await;
}

async fn absent_members_get_messages_when_nobody_is_there(version: Version) {
    let server = Server::start().await;
    for name in ["a", "b"] {
        let mut member = Client::connect(&server, &kept(version, name)).await;
        member.subscribe("$share/g/t", QoS::AtLeastOnce).await;
        member.leave().await;
    }
    server.until_empty().await;
    let mut publisher = Client::join(&server, version, "p").await;
    for number in 0..10 {
        publisher.publish(QoS::AtLeastOnce, message("t", &number.to_string())).await;
    }
    let mut members = vec![
        Client::connect(&server, &kept(version, "a")).await,
        Client::connect(&server, &kept(version, "b")).await,
    ];
    let mut all = shares(&mut members).await.concat();
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<_>>());
}

/// [MQTT-3.10.4-2], and when its connection ends.
async fn a_member_may_leave_the_group(version: Version) {
    let server = Server::start().await;
    let mut members = members(&server, version, "$share/g/t", 3).await;
    members.pop().unwrap().leave().await;
    server.until_online(2).await;
    members[1].unsubscribe(&["$share/g/t"]).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for number in 0..6 {
        publisher.publish(QoS::AtLeastOnce, message("t", &number.to_string())).await;
    }
    assert_eq!(shares(&mut members).await, [(0..6).collect::<Vec<_>>(), vec![]]);
}

/// [MQTT-3.3.4-3]
async fn a_group_has_subscription_ids(version: Version) {
    let server = Server::start().await;
    let mut member = Client::join(&server, version, "a").await;
    member.subscribe_to(vec![filter("$share/g/t", QoS::AtMostOnce)], Some(5)).await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtMostOnce, message("t", "x")).await;
    let publish = member.take("x").await;
    assert_eq!(publish.properties.subscription_ids().collect::<Vec<_>>(), [5]);
}

/// The same member again replaces its subscription, and unsubscribing ends it.
async fn a_group_of_one_member_twice(version: Version) {
    let server = Server::start().await;
    let mut member = Client::join(&server, version, "a").await;
    member.subscribe("$share/g/t", QoS::AtMostOnce).await;
    member.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
    let publish = member.expect_payload("x").await;
    member.acknowledge(AckType::PubAck, publish.packet_id.unwrap()).await;
    member.expect_silence().await;
    assert_eq!(member.unsubscribe(&["$share/g/t"]).await, [ReasonCode::Success]);
    let reason = publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
    assert_eq!(reason, ReasonCode::NoMatchingSubscribers);
}

/// [MQTT-4.8.2-1], [MQTT-4.8.2-2]; [MQTT-3.8.3-4]: No Local makes no sense for a group.
async fn malformed_group_names_end_the_connection(version: Version) {
    let server = Server::start().await;
    for (text, options, reason) in [
        ("$share/g", 0, ReasonCode::TopicFilterInvalid),
        ("$share//t", 0, ReasonCode::TopicFilterInvalid),
        ("$share/g/", 0, ReasonCode::TopicFilterInvalid),
        ("$share/+/t", 0, ReasonCode::TopicFilterInvalid),
        ("$share/g/t", 0b100, ReasonCode::ProtocolError),
    ] {
        let mut client = Client::join(&server, version, "a").await;
        let length = u8::try_from(text.len()).unwrap();
        let bytes = [&[0x82, length + 6, 0, 1, 0, 0, length], text.as_bytes(), &[options]].concat();
        client.send(&bytes[..]).await;
        client.expect_disconnect(reason).await;
    }
}
