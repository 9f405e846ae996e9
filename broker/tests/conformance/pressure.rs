//! Clients that do not keep up, queues that are full, and what bounds them.

use gaugeline_broker::metrics::{DropReason, QosLabel};
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, Version,
    packet::{AckType, Packet},
};

use crate::support::{Client, Server, Setup, at, in_time, kept, message, until};

scenarios! {
    every {
        a_subscriber_that_does_not_read_stalls_nobody_for_ever,
        a_slow_subscriber_gets_everything,
        an_absent_clients_queue_is_bounded,
        the_bytes_of_an_absent_clients_queue_are_bounded,
        a_full_queue_does_not_concern_others,
        the_bytes_of_all_queues_together_are_bounded,
        every_message_is_sent_or_counted_as_dropped,
        a_publisher_that_does_not_read_its_acknowledgements_is_held_up,
    }
    v5 {
        what_found_room_in_a_full_queue_is_acknowledged,
        only_the_messages_of_a_full_member_are_refused,
    }
    v3 { what_found_no_room_is_not_acknowledged }
}

/// QoS 0 messages for it are dropped and counted once it is behind by more than its queue; the publisher goes on.
async fn a_subscriber_that_does_not_read_stalls_nobody_for_ever(version: Version) {
    let server = Setup::new().limits(|limits| limits.queue_bytes = 300_000).start().await;
    let mut stuck = Client::join(&server, version, "stuck").await;
    stuck.subscribe("t", QoS::AtMostOnce).await;
    let mut reading = Client::join(&server, version, "reading").await;
    reading.subscribe("end", QoS::AtMostOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let payload = "x".repeat(100_000);
    // Whatever the kernel takes for the client that does not read, this is more.
    let mut sent = 0;
    while server.dropped(DropReason::SlowConsumer) < 20 {
        publisher.publish(QoS::AtMostOnce, message("t", &payload)).await;
        sent += 1;
        assert!(sent < 2000, "200 MB for a client that does not read");
    }
    publisher.publish(QoS::AtMostOnce, message("end", "x")).await;
    reading.take("x").await;
    // It was not cut off, and gets what was not dropped.
    let kept = sent - server.dropped(DropReason::SlowConsumer);
    in_time("what was not dropped", async {
        for _ in 0..kept {
            stuck.take(&payload).await;
        }
    })
    .await;
    stuck.expect_silence().await;
}

/// Publishers wait for it: nothing is dropped as long as it reads now and then.
async fn a_slow_subscriber_gets_everything(version: Version) {
    let server = Server::start().await;
    let mut slow = Client::join(&server, version, "slow").await;
    slow.subscribe("t", QoS::AtMostOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let payload = "x".repeat(60_000);
    let flood = tokio::spawn(async move {
        for _ in 0..300 {
            publisher.send(message("t", &payload)).await;
        }
        publisher.ping().await;
    });
    for _ in 0..300 {
        assert_eq!(slow.expect_publish().await.payload.len(), 60_000);
        tokio::task::yield_now().await;
    }
    in_time("the publisher", flood).await.unwrap();
    assert_eq!(server.metrics().messages_dropped.total(), 0);
}

/// Publishes ten messages of QoS 1 at once to an absent client whose queue takes four.
async fn overfill(server: &Server, version: Version) -> Client {
    let mut absent = Client::connect(server, &kept(version, "absent")).await;
    absent.subscribe("t", QoS::AtLeastOnce).await;
    absent.leave().await;
    server.until_empty().await;
    let mut publisher = Client::join(server, version, "p").await;
    let texts = (0..10).map(|number| number.to_string()).collect::<Vec<_>>();
    let packets = texts.iter().zip(1..).map(|(text, id)| at(QoS::AtLeastOnce, id, message("t", text)));
    publisher.send(packets.collect::<Vec<_>>()).await;
    publisher
}

async fn an_absent_clients_queue_is_bounded(version: Version) {
    let server = Setup::new().limits(|limits| limits.queue_messages = 4).start().await;
    let _publisher = overfill(&server, version).await;
    until("the others to be dropped", || server.dropped(DropReason::QueueFull) == 6).await;
    let mut subscriber = Client::connect(&server, &kept(version, "absent")).await;
    for payload in ["0", "1", "2", "3"] {
        subscriber.take(payload).await;
    }
    subscriber.expect_silence().await;
    // There is room again.
    let mut publisher = Client::join(&server, version, "p2").await;
    publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
    subscriber.take("x").await;
}

async fn the_bytes_of_an_absent_clients_queue_are_bounded(version: Version) {
    let server = Setup::new().limits(|limits| limits.queue_bytes = 5000).start().await;
    let mut absent = Client::connect(&server, &kept(version, "absent")).await;
    absent.subscribe("t", QoS::AtLeastOnce).await;
    absent.leave().await;
    server.until_empty().await;
    let mut publisher = Client::join(&server, version, "p").await;
    let payload = "x".repeat(2000);
    let packets = (1..=3).map(|id| at(QoS::AtLeastOnce, id, message("t", &payload)));
    publisher.send(packets.collect::<Vec<_>>()).await;
    until("the third to be dropped", || server.dropped(DropReason::QueueFull) == 1).await;
    let mut subscriber = Client::connect(&server, &kept(version, "absent")).await;
    subscriber.take(&payload).await;
    subscriber.take(&payload).await;
    subscriber.expect_silence().await;
}

async fn the_bytes_of_all_queues_together_are_bounded(version: Version) {
    let server = Setup::new().limits(|limits| limits.queue_bytes_total = 5000).start().await;
    for name in ["a", "b"] {
        let mut absent = Client::connect(&server, &kept(version, name)).await;
        absent.subscribe(name, QoS::AtLeastOnce).await;
        absent.leave().await;
    }
    server.until_empty().await;
    let payload = "x".repeat(2000);
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, message("a", &payload)).await;
    publisher.publish(QoS::AtLeastOnce, message("b", &payload)).await;
    publisher.send(at(QoS::AtLeastOnce, 1, message("a", &payload))).await;
    until("the third to be dropped", || server.dropped(DropReason::TotalQueueFull) == 1).await;
    assert_eq!(server.metrics().messages_dropped.total(), 1);
    for name in ["a", "b"] {
        let mut client = Client::connect(&server, &kept(version, name)).await;
        client.take(&payload).await;
        client.expect_silence().await;
    }
}

/// What was refused for one is refused as a whole, but those who have room get it.
async fn a_full_queue_does_not_concern_others(version: Version) {
    let server = Setup::new().limits(|limits| limits.queue_messages = 4).start().await;
    let mut present = Client::join(&server, version, "present").await;
    present.subscribe("#", QoS::AtMostOnce).await;
    let mut absent = Client::connect(&server, &kept(version, "absent")).await;
    absent.subscribe("t", QoS::AtLeastOnce).await;
    absent.leave().await;
    server.until_online(1).await;
    for number in 0..6 {
        let name = format!("p{number}");
        let mut publisher = Client::join(&server, version, &name).await;
        publisher.send(at(QoS::AtLeastOnce, 1, message("t", "x"))).await;
        present.take("x").await;
    }
    assert_eq!(server.dropped(DropReason::QueueFull), 2);
    let mut publisher = Client::join(&server, version, "other").await;
    publisher.publish(QoS::AtLeastOnce, message("u", "y")).await;
    present.take("y").await;
}

/// Those that were taken are not refused together with those that were not: the publisher would send them again.
async fn what_found_room_in_a_full_queue_is_acknowledged(version: Version) {
    let server = Setup::new().limits(|limits| limits.queue_messages = 4).start().await;
    let mut publisher = overfill(&server, version).await;
    for number in 1..=10 {
        let expected = if number <= 4 { ReasonCode::Success } else { ReasonCode::QuotaExceeded };
        let packet_id = PacketId::new(number).unwrap();
        assert_eq!(publisher.expect_answer(AckType::PubAck, packet_id).await, expected);
    }
    publisher.ping().await;
}

/// One member of a group has room and the other has not: every second message is refused.
async fn only_the_messages_of_a_full_member_are_refused(version: Version) {
    let server = Setup::new().limits(|limits| limits.queue_messages = 4).start().await;
    for name in ["full", "empty"] {
        let mut member = Client::connect(&server, &kept(version, name)).await;
        member.subscribe("$share/g/t", QoS::AtLeastOnce).await;
        if name == "full" {
            member.subscribe("full", QoS::AtLeastOnce).await;
        }
        member.leave().await;
    }
    server.until_empty().await;
    let mut publisher = Client::join(&server, version, "p").await;
    for _ in 0..4 {
        publisher.publish(QoS::AtLeastOnce, message("full", "x")).await;
    }
    let packets = (1..=6).map(|id| at(QoS::ExactlyOnce, id, message("t", "y")));
    publisher.send(packets.collect::<Vec<_>>()).await;
    let mut refused = Vec::new();
    for id in 1..=6 {
        let reason = publisher.expect_answer(AckType::PubRec, PacketId::new(id).unwrap()).await;
        refused.push(reason == ReasonCode::QuotaExceeded);
    }
    assert_eq!(refused.iter().filter(|refused| **refused).count(), 3);
    assert!(refused.windows(2).all(|pair| pair[0] != pair[1]), "{refused:?}");
    let mut empty = Client::connect(&server, &kept(version, "empty")).await;
    assert_eq!(empty.collect().await.len(), 3);
}

/// Those clients cannot be told; they keep what was not acknowledged, and are sent away to try again.
async fn what_found_no_room_is_not_acknowledged(version: Version) {
    let server = Setup::new().limits(|limits| limits.queue_messages = 4).start().await;
    let mut publisher = overfill(&server, version).await;
    for number in 1..=4 {
        publisher.expect_ack(AckType::PubAck, PacketId::new(number).unwrap()).await;
    }
    publisher.expect_end().await;
}

/// Messages of QoS 0 that were on their way when the connection broke are lost, but not silently.
async fn every_message_is_sent_or_counted_as_dropped(version: Version) {
    let server = Setup::new().limits(|limits| limits.queue_bytes = 2_000_000).start().await;
    let mut stuck = Client::join(&server, version, "stuck").await;
    stuck.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let (small, large) = ("x".repeat(1000), "x".repeat(50_000));
    let mut published = 0;
    while server.dropped(DropReason::SlowConsumer) == 0 {
        for payload in [&small, &large] {
            publisher.publish(QoS::AtMostOnce, message("t", payload)).await;
            published += 1;
        }
    }
    drop(stuck);
    server.until_online(1).await;
    let sent = server.metrics().messages_sent.of(QosLabel::AtMostOnce);
    assert_eq!(sent + server.metrics().messages_dropped.total(), published);
}

/// The broker stops reading from a client that does not take its acknowledgements: they are bounded too.
async fn a_publisher_that_does_not_read_its_acknowledgements_is_held_up(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    // Each PUBLISH is answered with a PUBACK of four bytes, each PINGREQ with two.
    let packets = (0..100_000u32).map(|number| {
        let id = u16::try_from(number % 1000 + 1).unwrap();
        at(QoS::AtLeastOnce, id, message("t", "x"))
    });
    publisher.send(packets.collect::<Vec<_>>()).await;
    for number in 0..100_000u32 {
        let id = PacketId::new(u16::try_from(number % 1000 + 1).unwrap()).unwrap();
        match publisher.receive().await {
            Packet::PubAck(ack) => assert_eq!(ack.packet_id, id),
            other => panic!("{other:?}"),
        }
    }
}
