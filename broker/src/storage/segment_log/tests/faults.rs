//! What goes wrong, one thing at a time.

use super::{
    faulty_disk::{Crash, FaultyDisk},
    *,
};

const NAME: &str = "0000000000000001.log";

fn small() -> OpenOptions {
    OpenOptions { segment_bytes: 1024, ..OpenOptions::new("/disk") }
}

fn try_open(disk: &FaultyDisk, options: &OpenOptions) -> Result<(SegmentLog, Recovered), OpenError> {
    let anchor = Anchor { now: crate::clock::now(), wall_nanoseconds: WALL };
    SegmentLog::start(options, Box::new(disk.clone()), None, anchor, &metrics())
}

fn open_on(disk: &FaultyDisk) -> (SegmentLog, Recovered) {
    try_open(disk, &OpenOptions::new("/disk")).unwrap()
}

fn append_all(log: &SegmentLog, records: impl IntoIterator<Item = Record>) {
    for record in records {
        let ticket = log.append(record);
        wait(log, ticket);
    }
}

fn until_failure(log: &SegmentLog) -> String {
    until("the failure", || log.failure().is_some());
    log.failure().unwrap()
}

/// A log with a session and three messages, each a group of its own; the disk, and where the groups end.
fn three_groups(options: &OpenOptions) -> (FaultyDisk, Vec<usize>) {
    let disk = FaultyDisk::default();
    let (log, _) = try_open(&disk, options).unwrap();
    append_all(&log, [opened(1)]);
    let mut ends = vec![disk.sizes()[NAME]];
    for stamp in 1..=3 {
        append_all(&log, [queued(message(stamp), [1])]);
        ends.push(disk.sizes()[NAME]);
    }
    drop(log);
    (disk, ends)
}

#[test]
fn after_a_failed_sync_nothing_is_promised_any_more() {
    let disk = FaultyDisk::default();
    let (log, _) = open_on(&disk);
    append_all(&log, [opened(1), queued(message(1), [1])]);
    let durable = log.durable();
    disk.faults(|faults| faults.syncs_left = Some(0));
    let ticket = log.append(queued(message(2), [1]));
    assert!(log.wait(ticket, Waker::noop()));
    let failure = until_failure(&log);
    assert!(failure.contains(NAME) && failure.contains("restart"), "{failure}");
    let syncs = disk.syncs();
    log.append(queued(message(3), [1]));
    log.close();
    assert_eq!(log.durable(), durable);
    assert_eq!(disk.syncs(), syncs, "no sync after the one that failed");
    let (_, recovered) = open_on(&disk.crash(Crash::Power(1)));
    assert_eq!(stamps(only_session(&recovered)), [1]);
}

#[test]
fn after_a_failed_write_nothing_is_promised_any_more() {
    let disk = FaultyDisk::default();
    let (log, _) = open_on(&disk);
    append_all(&log, [opened(1), queued(message(1), [1])]);
    disk.faults(|faults| faults.writes_left = Some(0));
    let ticket = log.append(queued(message(2), [1]));
    assert!(log.wait(ticket, Waker::noop()));
    until_failure(&log);
    drop(log);
    let (_, recovered) = open_on(&disk.crash(Crash::Process));
    assert_eq!(stamps(only_session(&recovered)), [1]);
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again_at_the_start() {
    let disk = FaultyDisk::default();
    let (log, _) = open_on(&disk);
    append_all(&log, [opened(1)]);
    disk.faults(|faults| faults.syncs_left = Some(0));
    let ticket = log.append(queued(message(1), [1]));
    assert!(log.wait(ticket, Waker::noop()));
    until_failure(&log);
    // The next process finds the message in the cache, and hands it out; so it must not be gone after a power cut.
    let restarted = disk.crash(Crash::Process);
    let (log, recovered) = open_on(&restarted);
    assert_eq!(stamps(only_session(&recovered)), [1]);
    drop(log);
    for seed in 0..20 {
        let (_, recovered) = open_on(&restarted.crash(Crash::Power(seed)));
        assert_eq!(stamps(only_session(&recovered)), [1], "seed {seed}");
    }
}

#[test]
fn full_disk_is_waited_for() {
    let disk = FaultyDisk::default();
    let (log, _) = open_on(&disk);
    append_all(&log, [opened(1), queued(message(1), [1])]);
    let used: usize = disk.sizes().values().sum();
    disk.faults(|faults| faults.capacity = Some(used + 50));
    let durable = log.durable();
    let ticket = log.append(queued(message(2), [1]));
    assert!(log.wait(ticket, Waker::noop()));
    let failure = until_failure(&log);
    assert!(failure.contains("goes on by itself"), "{failure}");
    assert_eq!(log.durable(), durable);
    // A power cut now loses nothing that was promised.
    disk.faults(|faults| faults.capacity = None);
    wait(&log, ticket);
    assert_eq!(log.failure(), None);
    append_all(&log, [queued(message(3), [1])]);
    drop(log);
    let (_, recovered) = open_on(&disk.crash(Crash::Power(3)));
    assert_eq!(stamps(only_session(&recovered)), [1, 2, 3]);
}

#[test]
fn full_disk_is_waited_for_with_unsynced_groups_too() {
    let interval = Durability::Interval(Duration::from_secs(3600));
    let options = OpenOptions { durability: interval, ..OpenOptions::new("/disk") };
    let disk = FaultyDisk::default();
    let (log, _) = try_open(&disk, &options).unwrap();
    append_all(&log, [opened(1), queued(message(1), [1])]);
    disk.faults(|faults| faults.capacity = Some(0));
    let ticket = log.append(queued(message(2), [1]));
    assert!(log.wait(ticket, Waker::noop()));
    until_failure(&log);
    disk.faults(|faults| faults.capacity = None);
    wait(&log, ticket);
    drop(log);
    assert_eq!(stamps(only_session(&open_on(&disk).1)), [1, 2]);
}

#[test]
fn full_disk_does_not_hold_up_the_end() {
    let disk = FaultyDisk::default();
    let (log, _) = open_on(&disk);
    append_all(&log, [opened(1)]);
    disk.faults(|faults| faults.capacity = Some(0));
    log.append(queued(message(2), [1]));
    log.close();
    let (_, recovered) = open_on(&disk.crash(Crash::Process));
    assert!(stamps(only_session(&recovered)).is_empty());
}

#[test]
fn end_torn_at_any_byte_is_cut_to_the_last_whole_group() {
    let (disk, ends) = three_groups(&OpenOptions::new("/disk"));
    for length in ends[2]..ends[3] {
        let torn = disk.crash(Crash::Process);
        torn.damage(NAME, |file| file.truncate(length));
        let (log, recovered) = open_on(&torn);
        assert_eq!(stamps(only_session(&recovered)), [1, 2], "cut to {length}");
        let aside: Vec<_> = torn.sizes().into_iter().filter(|(name, _)| name.contains(".torn-")).collect();
        assert_eq!(aside.len(), usize::from(length > ends[2]));
        assert!(aside.iter().all(|(_, bytes)| *bytes == length - ends[2]));
        append_all(&log, [queued(message(4), [1])]);
        drop(log);
        assert_eq!(stamps(only_session(&open_on(&torn).1)), [1, 2, 4]);
    }
}

#[test]
fn header_torn_at_any_byte_begins_anew() {
    for length in 0..format::SEGMENT_HEADER_BYTES {
        let disk = FaultyDisk::default();
        drop(open_on(&disk));
        disk.damage(NAME, |file| file.truncate(length));
        let (log, recovered) = open_on(&disk);
        assert!(recovered.sessions.is_empty());
        append_all(&log, [opened(1)]);
        drop(log);
        only_session(&open_on(&disk).1);
    }
}

#[test]
fn damaged_middle_is_refused_and_says_what_to_do() {
    let (disk, ends) = three_groups(&OpenOptions::new("/disk"));
    disk.damage(NAME, |file| file[ends[1] + format::GROUP_HEADER_BYTES + 3] ^= 4);
    let error = try_open(&disk, &OpenOptions::new("/disk")).unwrap_err().to_string();
    for part in [&format!("/disk/{NAME}"), &format!("byte {}", ends[1]), "backup", "--accept-storage-loss"] {
        assert!(error.contains(part), "{part} in: {error}");
    }
    let accepting = OpenOptions { accept_damage: true, ..OpenOptions::new("/disk") };
    let (log, recovered) = try_open(&disk, &accepting).unwrap();
    assert_eq!(stamps(only_session(&recovered)), [1, 3]);
    assert!(disk.sizes().keys().any(|name| name.starts_with(&format!("{NAME}.damaged-"))));
    append_all(&log, [queued(message(4), [1])]);
    drop(log);
    // The loss was accepted once and for all.
    let (_, recovered) = open_on(&disk.crash(Crash::Power(9)));
    assert_eq!(stamps(only_session(&recovered)), [1, 3, 4]);
}

#[test]
fn accepting_damage_may_itself_be_interrupted_at_any_point() {
    let accepting = OpenOptions { accept_damage: true, ..small() };
    let (disk, ends) = three_groups(&small());
    let (log, _) = try_open(&disk, &small()).unwrap();
    append_all(&log, (4..40).map(|stamp| queued(message(stamp), [1])));
    drop(log);
    disk.damage(NAME, |file| file[ends[1] + format::GROUP_HEADER_BYTES + 3] ^= 4);
    let expected: Vec<_> = (1..40).filter(|stamp| *stamp != 2).collect();
    for syncs in 0..20 {
        let interrupted = disk.crash(Crash::Process);
        interrupted.faults(|faults| faults.syncs_left = Some(syncs));
        drop(try_open(&interrupted, &accepting));
        let (log, recovered) = try_open(&interrupted.crash(Crash::Power(syncs.into())), &accepting).unwrap();
        assert_eq!(stamps(only_session(&recovered)), expected, "after {syncs} syncs");
        drop(log);
    }
}

#[test]
fn missing_segment_is_refused() {
    let disk = FaultyDisk::default();
    let (log, _) = try_open(&disk, &small()).unwrap();
    append_all(&log, [opened(1)]);
    append_all(&log, (1..60).map(|stamp| queued(message(stamp), [1])));
    drop(log);
    let names: Vec<_> = disk.sizes().into_keys().collect();
    assert!(names.len() > 3);
    disk.clone().remove(&names[1]).unwrap();
    let error = try_open(&disk, &small()).unwrap_err().to_string();
    assert!(error.contains(&names[1]) && error.contains("missing"), "{error}");
    let accepting = OpenOptions { accept_damage: true, ..small() };
    let (log, recovered) = try_open(&disk, &accepting).unwrap();
    let kept = stamps(only_session(&recovered)).len();
    assert!((20..59).contains(&kept), "{kept}");
    drop(log);
    assert_eq!(stamps(only_session(&try_open(&disk, &small()).unwrap().1)).len(), kept);
}

#[test]
fn cut_off_segment_that_is_not_the_last_is_refused() {
    let disk = FaultyDisk::default();
    let (log, _) = try_open(&disk, &small()).unwrap();
    append_all(&log, [opened(1)]);
    append_all(&log, (1..40).map(|stamp| queued(message(stamp), [1])));
    drop(log);
    disk.damage(NAME, |file| file.truncate(file.len() - 8));
    let error = try_open(&disk, &small()).unwrap_err().to_string();
    assert!(error.contains(NAME), "{error}");
}

#[test]
fn file_of_somebody_else_is_refused_and_left_alone() {
    let disk = FaultyDisk::default();
    drop(disk.clone().create(NAME));
    let text = b"2026-01-01 a log of another kind, and rather long".repeat(3);
    disk.damage(NAME, |file| file.clone_from(&text));
    let error = try_open(&disk, &OpenOptions::new("/disk")).unwrap_err().to_string();
    assert!(error.contains("not a file of this broker"), "{error}");
    assert_eq!(disk.sizes()[NAME], text.len());
}

#[test]
fn later_format_is_refused() {
    let (disk, _) = three_groups(&OpenOptions::new("/disk"));
    disk.damage(NAME, |file| file[8] = 2);
    let error = try_open(&disk, &OpenOptions::new("/disk")).unwrap_err().to_string();
    assert!(error.contains("format 2"), "{error}");
}

#[test]
fn power_cut_that_keeps_a_later_unsynced_group_and_loses_an_earlier_is_no_damage() {
    let interval = Durability::Interval(Duration::from_secs(3600));
    let options = OpenOptions { durability: interval, ..OpenOptions::new("/disk") };
    let (disk, ends) = three_groups(&options);
    // As `three_groups` ends with a sync, nothing says that the groups were synced when they were written.
    disk.damage(NAME, |file| file[ends[0]..ends[1]].fill(0));
    let (_, recovered) = try_open(&disk, &options).unwrap();
    assert!(stamps(only_session(&recovered)).is_empty());
}

#[test]
fn interval_survives_the_end_of_the_process() {
    let interval = Durability::Interval(Duration::from_secs(3600));
    let options = OpenOptions { durability: interval, ..OpenOptions::new("/disk") };
    let disk = FaultyDisk::default();
    let (log, _) = try_open(&disk, &options).unwrap();
    let syncs = disk.syncs();
    append_all(&log, [opened(1), queued(message(1), [1])]);
    assert_eq!(disk.syncs(), syncs);
    assert_eq!(stamps(only_session(&open_on(&disk.crash(Crash::Process)).1)), [1]);
}

#[test]
fn disk_use_stays_within_three_times_what_is_needed() {
    let disk = FaultyDisk::default();
    let metrics = metrics();
    let anchor = Anchor { now: crate::clock::now(), wall_nanoseconds: WALL };
    let options = OpenOptions { segment_bytes: 4096, ..OpenOptions::new("/disk") };
    let (log, _) = SegmentLog::start(&options, Box::new(disk.clone()), None, anchor, &metrics).unwrap();
    append_all(&log, [opened(1), opened(2)]);
    // The first session is gone for good, with a long queue; the second one is busy.
    append_all(&log, (1..=400).map(|stamp| queued(message(stamp), [1, 2])));
    append_all(
        &log,
        (1..=400).map(|stamp| Record::Settled { session: session(2), messages: vec![self::stamp(stamp)] }),
    );
    let mut most = 0;
    for number in 1001..=3000 {
        append_all(
            &log,
            [
                queued(message(number), [2]),
                Record::Settled { session: session(2), messages: vec![stamp(number)] },
            ],
        );
        let used: usize = disk.sizes().values().sum();
        let needed = usize::try_from(metrics.live_bytes.get()).unwrap();
        assert!(used <= 3 * needed + 4 * 4096, "{used} bytes for {needed}");
        most = most.max(used);
    }
    let written = metrics.bytes_written.get();
    drop(log);
    assert!(written < 4_000_000, "{written} bytes were written");
    let (_, recovered) = open_on(&disk);
    let first = recovered.sessions.iter().find(|found| found.session == session(1)).unwrap();
    assert_eq!(stamps(first), (1..=400).collect::<Vec<_>>());
}

#[test]
fn emptied_log_becomes_small_without_further_traffic() {
    let disk = FaultyDisk::default();
    let (log, _) = try_open(&disk, &small()).unwrap();
    append_all(&log, [opened(1)]);
    append_all(&log, (1..=500).map(|stamp| queued(message(stamp), [1])));
    append_all(
        &log,
        (2..=500).map(|stamp| Record::Settled { session: session(1), messages: vec![self::stamp(stamp)] }),
    );
    while disk.sizes().values().sum::<usize>() > 5 * 1024 {
        thread::yield_now();
    }
    drop(log);
    assert_eq!(stamps(only_session(&open_on(&disk).1)), [1]);
}

#[test]
fn removed_files_stay_removed_in_order() {
    // A power cut that brought back an older segment but not a younger one would look like a missing segment.
    let disk = FaultyDisk::default();
    let (log, _) = try_open(&disk, &small()).unwrap();
    append_all(&log, [opened(1)]);
    for stamp in 1..300 {
        append_all(
            &log,
            [
                queued(message(stamp), [1]),
                Record::Settled { session: session(1), messages: vec![self::stamp(stamp)] },
            ],
        );
        if stamp % 10 == 0 {
            try_open(&disk.copy_after(Crash::Power(stamp)), &small()).unwrap();
        }
    }
}

#[test]
fn segment_that_cannot_be_removed_keeps_the_younger_ones() {
    let disk = FaultyDisk::default();
    let (log, _) = try_open(&disk, &small()).unwrap();
    append_all(&log, [opened(1)]);
    for stamp in 1..300 {
        if stamp % 50 == 0 {
            disk.faults(|faults| faults.failing_removals = 2);
        }
        append_all(
            &log,
            [
                queued(message(stamp), [1]),
                Record::Settled { session: session(1), messages: vec![self::stamp(stamp)] },
            ],
        );
        try_open(&disk.copy_after(Crash::Process), &small()).unwrap();
    }
    disk.faults(|faults| faults.failing_removals = 0);
    let few = usize::try_from(writer::SLACK_SEGMENTS).unwrap() + 3;
    until("empty segments are gone", || disk.sizes().len() <= few);
}

#[test]
fn waiter_that_asks_often_is_woken_once() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let queue = Queue::default();
    let count = Arc::new(Count(0.into()));
    let waker = Waker::from(Arc::clone(&count));
    for ticket in 1..=5 {
        queue.append(queued(message(ticket), [1]));
        assert!(queue.wait(ticket, &waker));
        assert!(queue.wait(ticket, &waker.clone()));
    }
    queue.advance(4);
    assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 0, "it waits for the last");
    queue.advance(5);
    assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(!queue.wait(5, &waker));
}
