//! Whoever is refused without end fills neither the log nor the audit log.

use std::time::Duration;

use gaugeline_broker::metrics::RefusalReason;
use gaugeline_protocol::{QoS, ReasonCode, Version};

use crate::support::{Client, Log, Setup, by, clean, message, until};

scenarios! {
    every { forbidden_messages_are_summed_up, failed_logins_are_summed_up, long_names_are_cut }
}

async fn forbidden_messages_are_summed_up(version: Version) {
    let log = Log::capture();
    let server = Setup::new().acl("topic read #\n").audited().start().await;
    let mut client = Client::join(&server, version, "a").await;
    for number in 0..1500 {
        client.send(message(&format!("t/{number}"), "x")).await;
    }
    client.ping().await;
    assert_eq!(server.metrics().publishes_denied.get(), 1500);
    let line = log.only_warning("a", "-", client.address);
    assert_eq!(line, "refused: publish: it may not write t/0");
    client.leave().await;
    server.until_empty().await;

    let (broker, files) = server.into_broker();
    broker.shutdown(Duration::from_secs(1)).await;
    let lines = log.warnings();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (begin, end) =
        ("refused, and 1,499 more in the last ", " s, at last: publish: it may not write t/1499");
    assert!(lines[1].message.starts_with(begin) && lines[1].message.ends_with(end), "{lines:?}");
    let audit = || std::fs::read_to_string(files.path().join("audit.jsonl")).unwrap_or_default();
    until("the audit log", || audit().contains("more_refused")).await;
    let refusals = audit().lines().filter(|line| line.contains("refused")).count();
    assert_eq!(refusals, 2, "{}", audit());
    assert!(audit().contains("\"what\":\"publish\",\"client\":\"a\",\"user\":null"), "{}", audit());
    assert!(audit().contains("\"count\":1499,\"seconds\":"), "{}", audit());
}

async fn failed_logins_are_summed_up(version: Version) {
    let log = Log::capture();
    let server = Setup::new().users(&[("user", "right")]).start().await;
    for number in 0..70 {
        let guess = by(clean(version, &format!("client {number}")), "user", "wrong");
        assert_eq!(Client::try_connect(&server, &guess).await.1.reason, ReasonCode::NotAuthorized);
    }
    assert_eq!(server.refused(RefusalReason::NotAuthorized), 70);
    // Fifty clients by name, and the first of the others.
    assert_eq!(log.warnings().len(), 51);
    // Who does nothing wrong is not hidden behind them.
    let mut known = Client::connect(&server, &by(clean(version, "known"), "user", "right")).await;
    known.subscribe("#", QoS::AtMostOnce).await;
    let (broker, _files) = server.into_broker();
    broker.shutdown(Duration::from_secs(1)).await;
    let lines = log.warnings();
    assert_eq!(lines.len(), 52);
    let (begin, end) = ("connection refused, and 19 more in the last ", " s, at last: wrong password");
    assert!(lines[51].message.starts_with(begin) && lines[51].message.ends_with(end), "{lines:?}");
}

async fn long_names_are_cut(version: Version) {
    let log = Log::capture();
    let server = Setup::new().users(&[("user", "right")]).acl("topic read #\n").audited().start().await;
    let long = "\u{1}".repeat(65_000);
    let connect = by(clean(version, "a"), &long, "guess");
    assert_eq!(Client::try_connect(&server, &connect).await.1.reason, ReasonCode::NotAuthorized);
    let mut client = Client::connect(&server, &by(clean(version, "b"), "user", "right")).await;
    let topic = "t".repeat(60_000);
    client.send(message(&topic, "x")).await;
    client.send(message(&topic, "x")).await;
    client.ping().await;
    client.leave().await;
    server.until_empty().await;

    let (broker, files) = server.into_broker();
    broker.shutdown(Duration::from_secs(1)).await;
    let lines = log.lines();
    let size = lines.iter().map(|line| format!("{line:?}").len()).max();
    assert!(size < Some(5000), "{size:?}");
    let refused = format!("refused: publish: it may not write {}… (60000 bytes)", "t".repeat(128));
    assert!(lines.iter().any(|line| line.message == refused), "{lines:?}");
    let user = format!("{}… (65000 bytes)", "\u{1}".repeat(128));
    assert!(lines.iter().any(|line| line.field("user") == user), "{lines:?}");
    let audit = || std::fs::read_to_string(files.path().join("audit.jsonl")).unwrap_or_default();
    until("the audit log", || audit().contains("more_refused")).await;
    let lengths = audit().lines().map(str::len).max();
    assert!(lengths < Some(2000), "{lengths:?}");
}
