//! SUBSCRIBE and UNSUBSCRIBE: who gets what, how often, and with which options.

use gaugeline_protocol::{QoS, ReasonCode, Version, packet::SubscribeFilter};

use crate::support::{Client, Server, Setup, filter, message};

scenarios! {
    every {
        overlapping_subscriptions_give_one_copy_at_the_highest_qos,
        the_same_filter_again_replaces_the_subscription,
        several_filters_are_answered_in_their_order,
        unsubscribe_ends_a_subscription,
        wildcards_do_not_match_dollar_topics,
        filters_match_level_by_level,
        subscriptions_work_while_messages_flow,
        several_subscribers_get_a_copy_each,
    }
    since_311 { the_limit_of_subscriptions_holds }
    v5 {
        every_matching_subscription_id_is_told,
        a_replaced_subscription_has_the_new_id,
        no_local_leaves_out_own_messages,
        overlapping_with_no_local_still_gives_a_copy,
        unsubscribe_tells_what_existed,
    }
}

/// [MQTT-3.3.4-2]: the broker sends one copy rather than one for each.
async fn overlapping_subscriptions_give_one_copy_at_the_highest_qos(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    for (text, qos) in [
        ("a/#", QoS::AtMostOnce),
        ("+/b", QoS::ExactlyOnce),
        ("a/b", QoS::AtLeastOnce),
        ("#", QoS::AtMostOnce),
    ] {
        client.subscribe(text, qos).await;
    }
    let mut publisher = Client::join(&server, version, "p").await;
    for published in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish(published, message("a/b", "x")).await;
        assert_eq!(client.take("x").await.qos, published);
        client.expect_silence().await;
    }
    publisher.publish(QoS::ExactlyOnce, message("a/c", "y")).await;
    assert_eq!(client.take("y").await.qos, QoS::AtMostOnce);
}

/// [MQTT-3.8.4-3]
async fn the_same_filter_again_replaces_the_subscription(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    let mut publisher = Client::join(&server, version, "p").await;
    for qos in [QoS::ExactlyOnce, QoS::AtMostOnce, QoS::AtLeastOnce] {
        client.subscribe("t", qos).await;
        publisher.publish(QoS::ExactlyOnce, message("t", "x")).await;
        assert_eq!(client.take("x").await.qos, qos);
        client.expect_silence().await;
    }
    assert_eq!(server.metrics().subscriptions.get(), 1);
}

/// [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.9.3-1]
async fn several_filters_are_answered_in_their_order(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    let filters = vec![
        filter("a", QoS::AtLeastOnce),
        filter("b", QoS::ExactlyOnce),
        filter("c", QoS::AtMostOnce),
        filter("b", QoS::AtMostOnce),
    ];
    let reasons = client.subscribe_to(filters, None).await;
    use ReasonCode::{GrantedQoS1, GrantedQoS2, Success};
    assert_eq!(reasons, [GrantedQoS1, GrantedQoS2, Success, Success]);
}

/// [MQTT-3.10.4-1], [MQTT-3.10.4-2], [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.10.4-6]
async fn unsubscribe_ends_a_subscription(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    for text in ["t", "t/+", "u"] {
        client.subscribe(text, QoS::AtMostOnce).await;
    }
    // Compared character by character, not matched.
    client.unsubscribe(&["t/x", "#", "u"]).await;
    client.unsubscribe(&["t"]).await;
    client.unsubscribe(&["t"]).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for topic in ["t", "u", "t/x"] {
        publisher.publish(QoS::AtMostOnce, message(topic, topic)).await;
    }
    client.take("t/x").await;
    client.expect_silence().await;
    assert_eq!(server.metrics().subscriptions.get(), 1);
}

/// [MQTT-4.7.2-1]
async fn wildcards_do_not_match_dollar_topics(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    for text in ["#", "+/t", "+/#", "$x/+"] {
        client.subscribe(text, QoS::AtMostOnce).await;
    }
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtMostOnce, message("$y/t", "no")).await;
    publisher.publish(QoS::AtMostOnce, message("$x/t", "yes")).await;
    client.take("yes").await;
    client.expect_silence().await;
}

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-4]
async fn filters_match_level_by_level(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    for (text, matching, others) in [
        ("sport/#", &["sport", "sport/", "sport/tennis", "sport/a/b"][..], &["sports", "Sport"][..]),
        ("sport/+", &["sport/", "sport/tennis"], &["sport", "sport/a/b"]),
        ("+/+", &["/finance", "a/b"], &["finance"]),
        ("+/tennis/#", &["sport/tennis", "/tennis/a"], &["tennis", "sport/golf"]),
        ("a/+/+/d", &["a/b/c/d", "a///d"], &["a/b/d"]),
        ("é/#", &["é/x"], &["e\u{301}/x"]),
        ("/", &["/"], &["//"]),
    ] {
        let mut client = Client::join(&server, version, "a").await;
        client.subscribe(text, QoS::AtMostOnce).await;
        for topic in matching.iter().chain(others) {
            publisher.publish(QoS::AtMostOnce, message(topic, topic)).await;
        }
        for topic in matching {
            assert_eq!(client.expect_publish().await.topic, *topic, "{text}");
        }
        client.expect_silence().await;
    }
}

/// A subscription holds for every message that is published after its SUBACK, and none after UNSUBACK.
async fn subscriptions_work_while_messages_flow(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    let mut client = Client::join(&server, version, "a").await;
    for _ in 0..20 {
        publisher.publish(QoS::AtMostOnce, message("t/1", "before")).await;
        client.subscribe("t/+", QoS::AtMostOnce).await;
        publisher.publish(QoS::AtMostOnce, message("t/1", "x")).await;
        client.take("x").await;
        client.unsubscribe(&["t/+"]).await;
        publisher.publish(QoS::AtMostOnce, message("t/1", "after")).await;
    }
    client.expect_silence().await;
}

async fn several_subscribers_get_a_copy_each(version: Version) {
    let server = Server::start().await;
    let mut clients = Vec::new();
    for (name, version) in [("a", Version::V31), ("b", Version::V311), ("c", Version::V5), ("d", version)] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut client = Client::join(&server, version, &format!("{name}{qos:?}")).await;
            client.subscribe("t", qos).await;
            clients.push((client, qos));
        }
    }
    let mut publisher = Client::join(&server, version, "p").await;
    for published in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish(published, message("t", "x")).await;
        for (client, qos) in &mut clients {
            assert_eq!(client.take("x").await.qos, published.min(*qos));
        }
    }
}

/// [MQTT-3.9.3-2]. MQTT 3.1 cannot be told.
async fn the_limit_of_subscriptions_holds(version: Version) {
    let server = Setup::new().limits(|limits| limits.subscriptions_per_session = 2).start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("a", QoS::AtMostOnce).await;
    client.subscribe("b", QoS::AtMostOnce).await;
    let expected = if version.is_v5() { ReasonCode::QuotaExceeded } else { ReasonCode::UnspecifiedError };
    assert_eq!(client.subscribe_to(vec![filter("c", QoS::AtMostOnce)], None).await, [expected]);
    // What is there can be replaced, and makes room when it goes.
    client.subscribe("a", QoS::AtLeastOnce).await;
    client.unsubscribe(&["a"]).await;
    client.subscribe("c", QoS::AtMostOnce).await;
}

/// [MQTT-3.3.4-3], [MQTT-3.3.4-4]
async fn every_matching_subscription_id_is_told(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe_to(vec![filter("a/#", QoS::AtMostOnce), filter("b", QoS::AtMostOnce)], Some(1)).await;
    client.subscribe_to(vec![filter("a/+", QoS::AtLeastOnce)], Some(2)).await;
    client.subscribe_to(vec![filter("a/b", QoS::AtMostOnce)], None).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for (topic, expected) in [("a/b", &[1, 2][..]), ("b", &[1]), ("a/c/d", &[1])] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            publisher.publish(qos, message(topic, "x")).await;
            let publish = client.take("x").await;
            let mut ids = publish.properties.subscription_ids().collect::<Vec<_>>();
            ids.sort_unstable();
            assert_eq!(ids, expected, "{topic}");
        }
    }
}

/// [MQTT-3.8.4-3]
async fn a_replaced_subscription_has_the_new_id(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    let mut publisher = Client::join(&server, version, "p").await;
    for id in [Some(1), Some(2), None] {
        client.subscribe_to(vec![filter("t", QoS::AtMostOnce)], id).await;
        publisher.publish(QoS::AtMostOnce, message("t", "x")).await;
        let publish = client.take("x").await;
        assert_eq!(publish.properties.subscription_ids().collect::<Vec<_>>(), Vec::from_iter(id));
    }
}

/// [MQTT-3.8.3-3]
async fn no_local_leaves_out_own_messages(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    let wanted = SubscribeFilter { no_local: true, ..filter("t", QoS::AtLeastOnce) };
    client.subscribe_to(vec![wanted], None).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        client.publish(qos, message("t", "own")).await;
        publisher.publish(qos, message("t", "other")).await;
        client.take("other").await;
        client.expect_silence().await;
    }
}

async fn overlapping_with_no_local_still_gives_a_copy(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    let wanted = SubscribeFilter { no_local: true, ..filter("t", QoS::AtLeastOnce) };
    client.subscribe_to(vec![wanted], Some(1)).await;
    client.subscribe_to(vec![filter("+", QoS::AtMostOnce)], Some(2)).await;
    client.send(message("t", "own")).await;
    client.take("own").await;
    client.expect_silence().await;
}

/// [MQTT-3.11.3-1], [MQTT-3.11.3-2]
async fn unsubscribe_tells_what_existed(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("a", QoS::AtMostOnce).await;
    client.subscribe("b", QoS::AtMostOnce).await;
    use ReasonCode::{NoSubscriptionExisted, Success};
    assert_eq!(client.unsubscribe(&["a", "c", "b"]).await, [Success, NoSubscriptionExisted, Success]);
    assert_eq!(client.unsubscribe(&["a"]).await, [NoSubscriptionExisted]);
}
