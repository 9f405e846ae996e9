//! The segment log beside two embedded engines, and beside the disk itself, on the broker's load: groups of durable
//! QoS 1 messages with one receiver each, one sync a group, settled later.
//!
//! `cargo bench -p gaugeline-broker --bench storage_engines [-- DIRECTORY]`; the directory must be on the disk to be
//! measured, and is the system's temporary one if none is given. Linux: CPU time is read from /proc.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use gaugeline_broker::{
    metrics::Metrics,
    router::{Draft, MailboxId, Message, Stamp},
    storage::{OpenOptions, Receiver, Record, SegmentLog, Store},
};
use gaugeline_protocol::{ClientId, QoS};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// 100 publishers with a window of 20: what is queued when a sync ends.
const GROUP_MESSAGES: u64 = 2000;
/// How many groups a message waits until it is settled.
const SETTLED_AFTER_GROUPS: u64 = 10;
const GROUPS: u64 = 250;
const QUEUED_MESSAGES: u64 = 1_000_000;
const SESSION: u64 = 1;
const TOPIC: &str = "sensors/device-0001/temperature";

fn main() -> Outcome<()> {
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let parent = directory.map_or_else(std::env::temp_dir, PathBuf::from);
    let root = tempfile::tempdir_in(parent)?;
    disk(root.path())?;
    println!(
        "| engine | payload | messages/s | CPU s per million | recovery of 1 million queued | bytes a message |"
    );
    println!("|---|---|---|---|---|---|");
    for payload in [64, 1024] {
        row::<Log>("segment log", &root.path().join("log"), payload)?;
        row::<Fjall>("fjall", &root.path().join("fjall"), payload)?;
        row::<Redb>("redb", &root.path().join("redb"), payload)?;
    }
    Ok(())
}

/// What is measured.
trait Engine: Sized {
    fn open(path: &Path) -> Outcome<(Self, usize)>;
    /// Takes messages in and settles others, and returns when that is safe.
    fn commit(&mut self, queued: Vec<Arc<Message>>, settled: impl Iterator<Item = u64>) -> Outcome<()>;
}

fn row<E: Engine>(name: &str, path: &Path, payload_bytes: usize) -> Outcome<()> {
    let payload = vec![b'x'; payload_bytes];
    let (mut engine, _) = E::open(path)?;
    let (started, cpu_before) = (now(), cpu_seconds()?);
    for group in 0..GROUPS {
        let first = group * GROUP_MESSAGES;
        let settled = first.checked_sub(SETTLED_AFTER_GROUPS * GROUP_MESSAGES);
        let settled = settled.into_iter().flat_map(|first| first..first + GROUP_MESSAGES);
        engine.commit(messages(first..first + GROUP_MESSAGES, &payload), settled)?;
    }
    let seconds = now().duration_since(started).as_secs_f64();
    let count = (GROUPS * GROUP_MESSAGES) as f64;
    let cpu = (cpu_seconds()? - cpu_before) / count * 1e6;
    drop(engine);
    fs::remove_dir_all(path)?;

    let (mut engine, _) = E::open(path)?;
    for first in (0..QUEUED_MESSAGES).step_by(5 * GROUP_MESSAGES as usize) {
        engine.commit(messages(first..first + 5 * GROUP_MESSAGES, &payload), std::iter::empty())?;
    }
    drop(engine);
    let bytes = directory_bytes(path)?;
    let began = now();
    let (engine, recovered) = E::open(path)?;
    let recovery = now().duration_since(began).as_secs_f64();
    assert_eq!(recovered as u64, QUEUED_MESSAGES);
    drop(engine);
    fs::remove_dir_all(path)?;
    let (rate, each) = (count / seconds, bytes as f64 / QUEUED_MESSAGES as f64);
    println!("| {name} | {payload_bytes} B | {rate:.0} | {cpu:.2} | {recovery:.2} s | {each:.0} |");
    Ok(())
}

fn messages(stamps: std::ops::Range<u64>, payload: &[u8]) -> Vec<Arc<Message>> {
    stamps.map(|stamp| message(stamp, payload)).collect()
}

fn message(stamp: u64, payload: &[u8]) -> Arc<Message> {
    let draft = Draft {
        topic: TOPIC,
        payload,
        properties: &[],
        qos: QoS::AtLeastOnce,
        expires_at: None,
        publisher: Some(MailboxId::from_number(2)),
    };
    Arc::new(Message::new(&draft, Stamp::from_nanoseconds(stamp)))
}

struct Log(SegmentLog);

impl Engine for Log {
    fn open(path: &Path) -> Outcome<(Self, usize)> {
        let metrics = Metrics::new();
        let (log, recovered) = SegmentLog::open(&OpenOptions::new(path), now(), 0, &metrics.storage)?;
        log.append(Record::SessionOpened {
            session: MailboxId::from_number(SESSION),
            client_id: ClientId::new("bridge").ok_or("no client id")?,
            user: None,
            realm: None,
            expiry_seconds: u32::MAX,
            will: None,
        });
        Ok((Self(log), recovered.sessions.iter().map(|session| session.queued.len()).sum()))
    }

    fn commit(&mut self, queued: Vec<Arc<Message>>, settled: impl Iterator<Item = u64>) -> Outcome<()> {
        let session = MailboxId::from_number(SESSION);
        let settled: Vec<_> = settled.map(Stamp::from_nanoseconds).collect();
        for messages in settled.chunks(20) {
            self.0.append(Record::Settled { session, messages: messages.to_vec() });
        }
        let mut last = self.0.durable();
        for message in queued {
            let receiver = Receiver { session, qos: QoS::AtLeastOnce, retain: false, subscription_ids: None };
            last = self.0.append(Record::Messages {
                messages: vec![message],
                receivers: vec![receiver],
                received: None,
            });
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while self.0.wait(last, &waker) {
            thread::park();
        }
        Ok(())
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

struct Fjall {
    database: Database,
    messages: Keyspace,
    queue: Keyspace,
}

impl Engine for Fjall {
    fn open(path: &Path) -> Outcome<(Self, usize)> {
        let database = Database::builder(path).open()?;
        let messages = database.keyspace("messages", KeyspaceCreateOptions::default)?;
        let queue = database.keyspace("queue", KeyspaceCreateOptions::default)?;
        let mut recovered = Vec::new();
        for entry in queue.iter() {
            let key = entry.key()?;
            let (_, stamp) = key.split_at(8);
            let value = messages.get(stamp)?.ok_or("a message is missing")?;
            recovered.push(message(u64::from_be_bytes(stamp.try_into()?), &value));
        }
        Ok((Self { database, messages, queue }, recovered.len()))
    }

    fn commit(&mut self, queued: Vec<Arc<Message>>, settled: impl Iterator<Item = u64>) -> Outcome<()> {
        let mut batch = self.database.batch();
        for message in queued {
            let stamp = message.stamp().nanoseconds();
            batch.insert(&self.messages, stamp.to_be_bytes(), [TOPIC.as_bytes(), message.payload()].concat());
            batch.insert(&self.queue, queue_key(stamp), [1]);
        }
        for stamp in settled {
            batch.remove(&self.messages, stamp.to_be_bytes());
            batch.remove(&self.queue, queue_key(stamp));
        }
        batch.durability(Some(PersistMode::SyncData)).commit()?;
        Ok(())
    }
}

struct Redb(redb::Database);

const MESSAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("messages");
const QUEUE: TableDefinition<'_, (u64, u64), u8> = TableDefinition::new("queue");

impl Engine for Redb {
    fn open(path: &Path) -> Outcome<(Self, usize)> {
        fs::create_dir_all(path)?;
        let database = redb::Database::create(path.join("redb"))?;
        let write = database.begin_write()?;
        write.open_table(MESSAGES)?;
        write.open_table(QUEUE)?;
        write.commit()?;
        let read = database.begin_read()?;
        let (messages, queue) = (read.open_table(MESSAGES)?, read.open_table(QUEUE)?);
        let mut recovered = Vec::new();
        for entry in queue.iter()? {
            let (_, stamp) = entry?.0.value();
            recovered.push(message(stamp, messages.get(stamp)?.ok_or("a message is missing")?.value()));
        }
        Ok((Self(database), recovered.len()))
    }

    fn commit(&mut self, queued: Vec<Arc<Message>>, settled: impl Iterator<Item = u64>) -> Outcome<()> {
        let write = self.0.begin_write()?;
        {
            let (mut messages, mut queue) = (write.open_table(MESSAGES)?, write.open_table(QUEUE)?);
            for message in queued {
                let stamp = message.stamp().nanoseconds();
                messages.insert(stamp, [TOPIC.as_bytes(), message.payload()].concat().as_slice())?;
                queue.insert((SESSION, stamp), 1)?;
            }
            for stamp in settled {
                messages.remove(stamp)?;
                queue.remove((SESSION, stamp))?;
            }
        }
        write.commit()?;
        Ok(())
    }
}

fn queue_key(stamp: u64) -> Vec<u8> {
    [SESSION.to_be_bytes(), stamp.to_be_bytes()].concat()
}

/// What the disk does by itself: appends and syncs, in groups as large as the log's.
fn disk(root: &Path) -> Outcome<()> {
    use std::io::Write as _;
    for bytes in [4 << 10, 256 << 10, 2 << 20] {
        let mut file = fs::File::create(root.join("disk"))?;
        let block = vec![b'x'; bytes];
        let (started, mut syncs) = (now(), 0_u32);
        while now().duration_since(started) < Duration::from_secs(1) {
            file.write_all(&block)?;
            file.sync_data()?;
            syncs += 1;
        }
        let seconds = now().duration_since(started).as_secs_f64();
        println!("disk: {:.0} syncs/s of {} KiB each", f64::from(syncs) / seconds, bytes >> 10);
    }
    fs::remove_file(root.join("disk"))?;
    Ok(())
}

fn directory_bytes(path: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { directory_bytes(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}

/// The CPU time of this process, all threads, in steps of 10 ms.
fn cpu_seconds() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("no process name")?.1.split_whitespace();
    // Fields 14 and 15 of proc(5), utime and stime; the name that was cut off is field 2.
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is about time")]
fn now() -> Instant {
    Instant::now()
}
