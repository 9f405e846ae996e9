//! What is appended comes back.

use super::*;

#[test]
fn everything_about_a_session_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(directory.path());
    let (log, recovered) = open(&options);
    assert!(recovered.sessions.is_empty());
    assert_eq!((recovered.last_stamp, recovered.last_session), (None, 0));
    let filter = TopicFilter::new("$share/group/a/+").unwrap();
    let subscription =
        Subscription { qos: QoS::ExactlyOnce, no_local: true, retain_as_published: true, id: Some(7) };
    let subscription = KeptSubscription { subscription, walking: true };
    let records = [
        opened(3),
        Record::Subscribed { session: session(3), filter: filter.clone(), subscription },
        Record::Messages {
            messages: vec![message(10), message(11), message(12), message(13)],
            receivers: vec![Receiver {
                session: session(3),
                qos: QoS::ExactlyOnce,
                retain: true,
                subscription_ids: Some([7, 300_000].into()),
            }],
            received: Some((session(3), vec![packet_id(500), packet_id(501)])),
        },
        Record::Sent { session: session(3), messages: vec![(packet_id(1), stamp(10))] },
        Record::Sent { session: session(3), messages: vec![(packet_id(2), stamp(11))] },
        Record::Sent { session: session(3), messages: vec![(packet_id(3), stamp(12))] },
        Record::Received { session: session(3), message: stamp(11), packet_id: packet_id(2) },
        Record::Settled { session: session(3), messages: vec![stamp(10)] },
        Record::Released { session: session(3), packet_id: packet_id(500) },
        Record::Retained(message(13)),
    ];
    let last = records.map(|record| log.append(record)).into_iter().next_back().unwrap();
    wait(&log, last);
    drop(log);

    for _ in 0..2 {
        let (log, recovered) = open(&options);
        let found = only_session(&recovered);
        assert_eq!(found.session, session(3));
        assert_eq!(found.client_id.as_str(), "client 3");
        assert_eq!(found.user.as_deref(), Some("user"));
        assert_eq!(found.realm.as_deref(), Some("127.0.0.1:1884"));
        assert_eq!(found.expiry_seconds, 3600);
        assert!(matches!(found.connection, LastConnection::Open { will: None }));
        assert_eq!(found.subscriptions, [(filter.clone(), subscription)]);
        assert_eq!(found.received, [packet_id(501)]);
        assert_eq!(stamps(found), [13]);
        let delivery = &found.queued[0];
        assert_eq!((delivery.qos, delivery.retain), (QoS::ExactlyOnce, true));
        assert_eq!(delivery.subscription_ids.as_deref(), Some(&[7, 300_000][..]));
        let kept = &delivery.message;
        assert_eq!((kept.topic(), kept.payload()), ("a/b", &b"payload 13"[..]));
        assert_eq!((kept.properties(), kept.publisher()), (&b"properties"[..], Some(session(99))));
        let inflight: Vec<_> = found
            .inflight
            .iter()
            .map(|open| (open.packet_id, open.delivery.as_ref().map(|d| d.message.stamp())))
            .collect();
        assert_eq!(inflight, [(packet_id(2), None), (packet_id(3), Some(stamp(12)))]);
        assert!(Arc::ptr_eq(&recovered.retained[0], kept), "one body for the queue and for the topic");
        assert_eq!((recovered.last_stamp, recovered.last_session), (Some(stamp(13)), 3));
        log.close();
    }
}

#[test]
fn marks_outlive_everything_that_used_them() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions { segment_bytes: 256, ..OpenOptions::new(directory.path()) };
    let (log, _) = open(&options);
    log.append(opened(41));
    log.append(queued(message(1000), [41]));
    let last = log.append(Record::SessionEnded { session: session(41) });
    wait(&log, last);
    for round in 0..100 {
        log.append(opened(1));
        let last = log.append(Record::RetainedRemoved(format!("topic {round}").into()));
        wait(&log, last);
    }
    drop(log);
    let (_, recovered) = open(&options);
    assert_eq!((recovered.last_stamp, recovered.last_session), (Some(stamp(1000)), 41));
    let oldest = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!oldest.into_iter().any(|name| name == "0000000000000001.log"), "the first segment is gone");
}

#[test]
fn unawaited_records_are_written_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(directory.path());
    let (log, _) = open(&options);
    log.append(opened(1));
    log.append(queued(message(5), [1]));
    log.close();
    assert_eq!(log.durable(), Ticket::new(2));
    drop(log);
    assert_eq!(stamps(only_session(&open(&options).1)), [5]);
}

#[test]
fn time_goes_on_while_the_broker_is_down() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(directory.path());
    let now = crate::clock::now();
    let at = |seconds| Some(now + Duration::from_secs(seconds));
    let (log, _) = SegmentLog::open(&options, now, WALL, &metrics()).unwrap();
    log.append(opened(1));
    log.append(queued(message_on("a", b"", 1, at(60)), [1]));
    log.append(queued(message_on("a", b"", 2, at(90)), [1]));
    log.append(queued(message_on("a", b"", 3, at(60)), [1]));
    log.append(Record::Sent { session: session(1), messages: vec![(packet_id(1), stamp(3))] });
    log.append(Record::Retained(message_on("b", b"", 4, at(60))));
    log.append(Record::Retained(message_on("c", b"", 5, at(90))));
    drop(log);
    let metrics = metrics();
    let later = WALL + 70_000_000_000;
    let (_, recovered) = SegmentLog::open(&options, now, later, &metrics).unwrap();
    let found = only_session(&recovered);
    assert_eq!(stamps(found), [2]);
    assert_eq!(found.queued[0].message.expires_at(), at(20));
    // Its delivery had begun: it is not expired any more [MQTT-3.3.2-5].
    assert_eq!(found.inflight[0].packet_id, packet_id(1));
    let retained: Vec<_> = recovered.retained.iter().map(|message| message.topic()).collect();
    assert_eq!(retained, ["c"]);
    assert_eq!(metrics.expired_messages.get(), 3);
}

#[test]
fn second_broker_is_kept_out() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(directory.path());
    let (log, _) = open(&options);
    let error = SegmentLog::open(&options, crate::clock::now(), WALL, &metrics()).unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(log);
    open(&options);
}
