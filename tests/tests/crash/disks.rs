//! Disks that are full, and disks that have lost something.

use std::{fs, path::PathBuf};

use gaugeline_protocol::{QoS, packet::AckType};
use gaugeline_tests::{
    crash::{
        peer::{Entry, Peer},
        small_disk::SmallDisk,
    },
    home::Home,
    http, requirement, wait,
};

use crate::sessions::{TOPIC, absent, crash, numbers};

/// Room for the broker's log of such a test, many times over.
const DISK_BYTES: usize = 4 << 20;
/// More than a page of the disk: it does not fit into what is left of the last one.
const LARGE_BYTES: usize = 20_000;

/// Publishes these, one by one, so that each is in a group of its own.
fn publish(home: &Home, payloads: &[String]) {
    let mut publisher = Peer::join(home, &Entry::sensor("publisher"));
    for payload in payloads {
        publisher.publish(TOPIC, QoS::AtLeastOnce, payload);
    }
}

fn expect_not_ready(home: &Home) {
    let answer = wait::until("/readyz to say that the disk is full", || {
        http::get(home.admin_port, "/readyz").filter(|answer| answer.status == 503)
    });
    assert!(answer.body.contains(r#""storage":{"ready":false"#), "{}", answer.body);
    assert!(answer.body.contains("goes on by itself when there is room"), "{}", answer.body);
}

#[test]
fn full_file_system_stops_acknowledgements_until_there_is_room() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(&home.path("data"), DISK_BYTES) else {
        requirement::not_allowed("mounting a file system");
        return;
    };
    let mut broker = home.broker();
    let reader = Entry::viewer("reader");
    absent(&home, &reader, QoS::AtLeastOnce);
    publish(&home, &numbers(0..50));
    let large = "x".repeat(LARGE_BYTES);
    let mut publisher = Peer::join(&home, &Entry::sensor("large"));

    disk.fill();
    let id = publisher.send_message(TOPIC, QoS::AtLeastOnce, &large);
    expect_not_ready(&home);
    broker.wait_for_log(&["the disk is full"]);
    // It is served, but not acknowledged. What needs no disk goes on.
    publisher.expect_no_message();
    let mut direct = Peer::join(&home, &Entry { session_expiry_seconds: 0, ..Entry::viewer("direct") });
    direct.subscribe("sensors/#", QoS::AtMostOnce);
    publisher.send_message("sensors/other/value", QoS::AtMostOnce, "still there");
    assert_eq!(direct.message().payload, "still there");
    assert_eq!(publisher.arrived(), None);

    disk.make_room();
    publisher.expect(AckType::PubAck, id);
    home.wait_until_ready(&mut broker);
    publish(&home, &numbers(50..60));

    // Full again, and killed while it is. It starts on the full disk, too.
    disk.fill();
    publisher.send_message(TOPIC, QoS::AtLeastOnce, &large);
    expect_not_ready(&home);
    publisher.expect_no_message();
    let broker = crash(&home, broker);
    disk.make_room();
    let mut peer = Peer::resume(&home, &reader);
    let mut expected = numbers(0..50);
    expected.push(large);
    expected.extend(numbers(50..60));
    assert_eq!(peer.take_payloads(61), expected);
    publish(&home, &["after".to_owned()]);
    // Between the two may be the large message that was never acknowledged.
    while peer.take_payloads(1) != ["after"] {}
    drop(broker);
}

/// The last segment of the broker's log.
fn last_segment(home: &Home) -> PathBuf {
    let segments = files(home, ".log").into_iter();
    segments.filter(|path| path.extension().unwrap() == "log").max().unwrap()
}

/// The files of the broker's storage with this in their names.
fn files(home: &Home, part: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(home.path("data")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_str().unwrap().contains(part)).collect()
}

/// Where the groups of a segment begin.
fn groups(segment: &[u8]) -> Vec<usize> {
    segment.windows(4).enumerate().filter(|(_, four)| four == b"GRUP").map(|(at, _)| at).collect()
}

/// Spoils a segment from its last group on.
type Tear = fn(&mut Vec<u8>, usize);

#[test]
fn torn_end_of_the_log_is_cut_off_and_counted() {
    let home = Home::new();
    let mut broker = home.broker();
    let reader = Entry::viewer("reader");
    absent(&home, &reader, QoS::AtLeastOnce);
    publish(&home, &numbers(0..20));
    // What a group that was being written leaves: nothing but its beginning, or all of it with a page that was not.
    let beginning: Tear = |bytes, last| bytes.truncate(last + 50);
    let zeros: Tear = |bytes, last| bytes[last + 44..].fill(0);
    let garbage: Tear = |bytes, last| bytes[last..].reverse();
    for tear in [beginning, zeros, garbage] {
        publish(&home, &["torn".to_owned()]);
        broker.kill();
        let segment = last_segment(&home);
        let mut bytes = fs::read(&segment).unwrap();
        let message = bytes.windows(4).rposition(|four| four == b"torn").unwrap();
        let last = groups(&bytes).into_iter().rfind(|at| *at < message).unwrap();
        // What comes behind it: the end of the publisher's connection.
        bytes.truncate(groups(&bytes).into_iter().find(|at| *at > message).unwrap_or(bytes.len()));
        tear(&mut bytes, last);
        let torn = bytes.len() - last;
        fs::write(&segment, bytes).unwrap();
        broker = home.broker();
        broker.wait_for_log(&["torn end cut off", &format!("bytes={torn}"), "moved_to="]);
        assert_eq!(home.metric("gaugeline_storage_quarantined_bytes_total", ""), torn as f64);
        assert_eq!(fs::metadata(&segment).unwrap().len(), last as u64);
        assert!(!files(&home, ".torn-").is_empty());
    }
    let mut peer = Peer::resume(&home, &reader);
    assert_eq!(peer.take_payloads(20), numbers(0..20));
    peer.expect_no_message();
}

#[test]
fn damaged_middle_of_the_log_is_refused_until_the_loss_is_accepted() {
    let home = Home::new();
    let broker = home.broker();
    let reader = Entry::viewer("reader");
    absent(&home, &reader, QoS::AtLeastOnce);
    publish(&home, &numbers(10..30));
    broker.kill();
    let segment = last_segment(&home);
    let mut bytes = fs::read(&segment).unwrap();
    let groups = groups(&bytes);
    let (damaged, next) = (groups[groups.len() / 2], groups[groups.len() / 2 + 1]);
    bytes[(damaged + next) / 2] ^= 0x10;
    fs::write(&segment, &bytes).unwrap();

    let refused = home.start_broker(&[]).wait().with_code(1);
    let (file, offset) = (segment.to_str().unwrap(), format!("damaged at byte {damaged}"));
    for part in [file, &offset, "Restore the directory from a backup", "--accept-storage-loss"] {
        assert!(refused.stderr.contains(part), "{part} is missing:\n{}", refused.stderr);
    }
    assert_eq!(fs::read(&segment).unwrap(), bytes, "nothing was changed");

    let mut broker = home.start_broker(&["--accept-storage-loss"]);
    home.wait_until_ready(&mut broker);
    broker.wait_for_log(&["damage, and the loss is accepted", &format!("offset={damaged}")]);
    let aside = files(&home, ".damaged-");
    assert_eq!(aside.len(), 1);
    assert_eq!(fs::read(&aside[0]).unwrap(), bytes, "it is kept as it was");
    // From now on all is in order.
    let _broker = crash(&home, broker);
    let mut peer = Peer::resume(&home, &reader);
    let found = peer.take_payloads(19);
    let lost: Vec<_> = numbers(10..30).into_iter().filter(|number| !found.contains(number)).collect();
    assert_eq!((lost.len(), found.is_sorted()), (1, true), "{found:?}");
    peer.expect_no_message();
}
