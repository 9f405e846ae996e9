//! Many clients at the same time, on several threads: what each of them is promised holds whatever the others do.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gaugeline_protocol::{
    QoS, Version,
    packet::{AckType, Outgoing, Packet, Publish},
};
use tokio::task::JoinSet;

use crate::support::{Client, Server, at, in_time, kept, message};

const PUBLISHERS: usize = 4;
const MESSAGES: u32 = 300;

/// Publishes so many numbered messages, up to twenty at a time without an acknowledgement.
async fn publish_all(server: &Server, name: String) {
    let mut publisher = Client::join(server, Version::V311, &name).await;
    let topic = format!("t/{name}");
    for batch in (0..MESSAGES).collect::<Vec<_>>().chunks(20) {
        let texts = batch.iter().map(u32::to_string).collect::<Vec<_>>();
        let packets = texts.iter().zip(1..).map(|(text, id)| at(QoS::AtLeastOnce, id, message(&topic, text)));
        publisher.send(packets.collect::<Vec<_>>()).await;
        for (id, _) in (1..).zip(batch) {
            publisher.expect_ack(AckType::PubAck, gaugeline_protocol::PacketId::new(id).unwrap()).await;
        }
    }
}

/// What a subscriber got: the next number that it expects on each topic.
#[derive(Default)]
struct Received(BTreeMap<String, u32>);

impl Received {
    /// Each number comes in its turn; one that came before may come again, marked as a repetition.
    fn take(&mut self, publish: &Publish<'_>) {
        let number = std::str::from_utf8(publish.payload).unwrap().parse::<u32>().unwrap();
        let expected = self.0.entry(publish.topic.to_owned()).or_default();
        if number == *expected {
            *expected += 1;
        } else {
            assert!(number < *expected && publish.dup, "{number} on {} after {expected}", publish.topic);
        }
    }

    fn is_complete(&self) -> bool {
        self.0.len() == PUBLISHERS && self.0.values().all(|next| *next == MESSAGES)
    }
}

async fn take_one(client: &mut Client, received: &mut Received) {
    let publish = client.expect_publish().await;
    client.settle(&publish).await;
    received.take(&publish);
}

/// One stays, one comes and goes, and one is overtaken by itself; all get everything, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_subscriber_gets_every_message_in_order() {
    let server = Arc::new(Server::start().await);
    let mut tasks = JoinSet::new();
    for (name, version, stays) in
        [("stays", Version::V5, u32::MAX), ("comes and goes", Version::V311, 37), ("moves", Version::V5, 53)]
    {
        let mut client = Client::connect(&server, &kept(version, name)).await;
        client.subscribe("t/+", QoS::AtLeastOnce).await;
        let server = Arc::clone(&server);
        tasks.spawn(async move {
            let mut received = Received::default();
            let mut taken = 0;
            while !received.is_complete() {
                take_one(&mut client, &mut received).await;
                taken += 1;
                if taken % stays == 0 {
                    if name == "comes and goes" {
                        client.break_off().await;
                    }
                    client = Client::connect(&server, &kept(version, name)).await;
                }
            }
        });
    }
    for number in 0..PUBLISHERS {
        let server = Arc::clone(&server);
        tasks.spawn(async move { publish_all(&server, number.to_string()).await });
    }
    in_time("everybody", tasks.join_all()).await;
    assert_eq!(server.metrics().messages_dropped.total(), 0);
}

/// A new subscriber gets the retained message and all later ones. Those that were published while it subscribed may
/// come again behind the retained one, but none is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_subscriber_misses_nothing_after_the_retained_message() {
    let server = Arc::new(Server::start().await);
    let done = Arc::new(AtomicBool::new(false));
    let mut publisher = Client::join(&server, Version::V5, "p").await;
    publisher.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..message("t", "0") }).await;
    let mut tasks = JoinSet::new();
    for number in 0..3 {
        let (server, done) = (Arc::clone(&server), Arc::clone(&done));
        tasks.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let mut client = Client::join(&server, Version::V5, &format!("s{number}")).await;
                client.subscribe("t", QoS::AtLeastOnce).await;
                let retained = client.expect_publish().await;
                let mut last = counter(&client.expect_publish().await);
                assert!(retained.retain && last <= counter(&retained) + 1, "{last} after {retained:?}");
                for _ in 0..10 {
                    let next = counter(&client.expect_publish().await);
                    assert_eq!(next, last + 1);
                    last = next;
                }
            }
        });
    }
    let mut value = 0;
    for _ in 0..2000 {
        value += 1;
        publisher
            .publish(QoS::AtLeastOnce, Outgoing { retain: true, ..message("t", &value.to_string()) })
            .await;
    }
    done.store(true, Ordering::Relaxed);
    let finish = async {
        while !tasks.is_empty() {
            value += 1;
            let text = value.to_string();
            publisher.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..message("t", &text) }).await;
            while let Some(result) = tasks.try_join_next() {
                result.unwrap();
            }
        }
    };
    in_time("the subscribers", finish).await;
}

fn counter(publish: &Publish<'_>) -> u32 {
    std::str::from_utf8(publish.payload).unwrap().parse().unwrap()
}

/// Connections of one client that chase each other, and messages meanwhile: whoever is the last gets all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_chase_each_other_lose_nothing() {
    let server = Arc::new(Server::start().await);
    let mut first = Client::connect(&server, &kept(Version::V311, "a")).await;
    first.subscribe("t/+", QoS::AtLeastOnce).await;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let server = Arc::clone(&server);
        tasks.spawn(async move {
            for _ in 0..40 {
                let mut client = Client::open(&server, Version::V311).await;
                client.send(kept(Version::V311, "a")).await;
                // Nothing is acknowledged: every message must come again on a later connection.
                if let Some(Packet::ConnAck(_)) = client.next().await {
                    client.next().await;
                }
            }
        });
    }
    for number in 0..PUBLISHERS {
        let server = Arc::clone(&server);
        tasks.spawn(async move { publish_all(&server, number.to_string()).await });
    }
    // Those who chase may wait for a packet until the next one overtakes them; the last is overtaken here.
    let chase = async {
        while !tasks.is_empty() {
            drop(Client::open_and_send(&server, &kept(Version::V311, "a")).await);
            while let Some(result) = tasks.try_join_next() {
                result.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    in_time("the chase", chase).await;
    drop(first);
    server.until_empty().await;
    let mut last = Client::connect(&server, &kept(Version::V311, "a")).await;
    let mut received = Received::default();
    while !received.is_complete() {
        take_one(&mut last, &mut received).await;
    }
    last.expect_silence().await;
}
