//! Which client identifiers are taken, and what clients may ask for beside what the standard lets them.

use std::time::Duration;

use gaugeline_broker::metrics::{DropReason, RefusalReason};
use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    packet::{Connect, Outgoing},
};

use crate::support::{Client, Setup, by, clean, message, will};

scenarios! {
    every {
        the_user_name_may_be_the_client_id,
        retained_messages_may_be_unavailable,
        payloads_may_be_limited,
        identifiers_may_have_to_begin_with_a_prefix,
    }
    since_311 {
        an_empty_identifier_may_be_refused,
        assigned_identifiers_begin_with_the_prefix,
    }
    v3 {
        a_long_keep_alive_may_be_refused,
    }
    v5 {
        the_unavailability_of_retained_messages_is_told,
        retained_messages_may_expire_by_themselves,
    }
}

async fn an_empty_identifier_may_be_refused(version: Version) {
    let server = Setup::new().client_ids(|ids| ids.allow_empty = false).start().await;
    let (mut client, answer) = Client::try_connect(&server, &clean(version, "")).await;
    assert_eq!(answer.reason, ReasonCode::ClientIdentifierNotValid);
    client.expect_end().await;
    assert_eq!(server.refused(RefusalReason::ClientId), 1);
    Client::join(&server, version, "a").await.ping().await;
}

async fn assigned_identifiers_begin_with_the_prefix(version: Version) {
    let server = Setup::new()
        .client_ids(|ids| {
            ids.assigned_prefix = "given-".into();
            ids.prefixes = vec!["given-".into()];
        })
        .start()
        .await;
    let (_, answer) = Client::try_connect(&server, &clean(version, "")).await;
    assert_eq!(answer.reason, ReasonCode::Success);
    if version.is_v5() {
        assert!(answer.properties.assigned_client_id.unwrap().starts_with("given-"));
    }
}

async fn identifiers_may_have_to_begin_with_a_prefix(version: Version) {
    let prefixes = vec!["gate-".into(), "sensor-".into()];
    let server = Setup::new().client_ids(|ids| ids.prefixes = prefixes).start().await;
    for (client_id, reason) in [
        ("sensor-1", ReasonCode::Success),
        ("gate-", ReasonCode::Success),
        ("sensor", ReasonCode::NotAuthorized),
        ("Sensor-1", ReasonCode::NotAuthorized),
    ] {
        assert_eq!(Client::try_connect(&server, &clean(version, client_id)).await.1.reason, reason);
    }
    assert_eq!(server.refused(RefusalReason::ClientId), 2);
}

async fn the_user_name_may_be_the_client_id(version: Version) {
    let setup = Setup::new().users(&[("alice", "secret")]).acl("pattern write of/%c\n");
    let server = setup.client_ids(|ids| ids.from_user_name = true).start().await;
    let mut first = Client::connect(&server, &by(clean(version, "whatever"), "alice", "secret")).await;
    let denied = || server.dropped(DropReason::AclWrite);
    first.publish(QoS::AtLeastOnce, message("of/alice", "x")).await;
    assert_eq!(denied(), 0);
    first.publish(QoS::AtLeastOnce, message("of/whatever", "x")).await;
    assert_eq!(denied(), 1);
    // The same session, so the first is taken over.
    Client::connect(&server, &by(clean(version, "another"), "alice", "secret")).await.ping().await;
    first.expect_disconnect(ReasonCode::SessionTakenOver).await;

    let open = Setup::new().client_ids(|ids| ids.from_user_name = true).start().await;
    let (_, answer) = Client::try_connect(&open, &clean(version, "anonymous")).await;
    assert_eq!(answer.reason, ReasonCode::NotAuthorized);
}

/// [MQTT-3.2.2-14], [MQTT-3.2.2-13]
async fn retained_messages_may_be_unavailable(version: Version) {
    let server = Setup::new().clients(|clients| clients.retain_available = false).start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.publish(QoS::AtLeastOnce, message("t", "x")).await;
    client.send(Outgoing { retain: true, ..message("t", "x") }).await;
    client.expect_disconnect(ReasonCode::RetainNotSupported).await;
    let mut connect = clean(version, "b");
    connect.will = Some(gaugeline_protocol::packet::Will { retain: true, ..will("w", "x") });
    let (_, answer) = Client::try_connect(&server, &connect).await;
    assert!(answer.reason.is_error());
    assert_eq!(server.refused(RefusalReason::Will), 1);
}

async fn the_unavailability_of_retained_messages_is_told(version: Version) {
    for (available, told) in [(true, None), (false, Some(false))] {
        let server = Setup::new().clients(|clients| clients.retain_available = available).start().await;
        let (_, answer) = Client::try_connect(&server, &clean(version, "a")).await;
        assert_eq!(answer.properties.retain_available, told);
    }
}

async fn retained_messages_may_expire_by_themselves(version: Version) {
    let expiry = Some(Duration::from_secs(1000));
    let server = Setup::new().clients(|clients| clients.retained_expiry = expiry).start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("live", QoS::AtLeastOnce).await;
    let retained =
        |topic, seconds| Outgoing { retain: true, message_expiry_seconds: seconds, ..message(topic, "x") };
    for (topic, seconds) in [("live", None), ("own", Some(5000))] {
        client.send(retained(topic, seconds)).await;
    }
    // Who is there already gets it as it was published.
    assert_eq!(client.take("x").await.properties.message_expiry_seconds, None);
    client.ping().await;
    for (topic, most) in [("live", 1000), ("own", 5000)] {
        let mut late = Client::join(&server, version, topic).await;
        late.subscribe(topic, QoS::AtMostOnce).await;
        let seconds = late.take("x").await.properties.message_expiry_seconds.unwrap();
        assert!(seconds <= most && seconds > most - 500, "{topic}: {seconds}");
    }
}

/// mosquitto says 0x95, which MQTT 5 does not allow here [MQTT 5.0, section 3.4.2.1].
async fn payloads_may_be_limited(version: Version) {
    let server = Setup::new().limits(|limits| limits.payload_bytes = 100).start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("t", QoS::ExactlyOnce).await;
    for (number, qos) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().enumerate() {
        let reason = client.publish(qos, message("t", &"x".repeat(101))).await;
        let told = version.is_v5() && qos != QoS::AtMostOnce;
        assert_eq!(reason, if told { ReasonCode::QuotaExceeded } else { ReasonCode::Success });
        assert_eq!(server.dropped(DropReason::PayloadLimit), number as u64 + 1);
    }
    client.expect_silence().await;
    let payload = "x".repeat(100);
    client.send(message("t", &payload)).await;
    client.take(&payload).await;
}

/// As mosquitto 2.1: such a client cannot be told a shorter one.
async fn a_long_keep_alive_may_be_refused(version: Version) {
    let server = Setup::new()
        .limits(|limits| limits.keep_alive_max_seconds = 60)
        .clients(|clients| clients.refuse_long_keep_alive = true)
        .start()
        .await;
    for (seconds, refused) in [(60, false), (1, false), (61, true), (0, true)] {
        let connect = Connect { keep_alive_seconds: seconds, ..clean(version, "a") };
        let (_, answer) = Client::try_connect(&server, &connect).await;
        assert_eq!(answer.reason == ReasonCode::ClientIdentifierNotValid, refused, "{seconds}");
    }
    assert_eq!(server.refused(RefusalReason::KeepAlive), 2);
}
