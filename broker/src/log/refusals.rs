//! Refusals in the log and the audit log: told at once the first time, and then summed up.
//!
//! Whoever is refused thousands of times a second, or comes with ever new names, must not fill the disk, nor push what
//! happened before out of the audit log. So the first refusal of a client for a reason is told, and the next ones are
//! counted; how many they were is told after a while, and after longer ones as long as it goes on. Metrics count them all.

use std::{
    fmt,
    hash::BuildHasher as _,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::{HashMap, quality::RandomState};
use parking_lot::Mutex;

use super::{OneLine, user_name};
use crate::{
    audit::{Audit, Event, Reason},
    auth::{AddressKey, Identity},
    clock,
    metrics::{Reason as _, RefusalReason},
};

/// When it is told how many more there were, for the first time; then after twice as long each time.
const WINDOW_FIRST: Duration = Duration::from_secs(10);
/// The longest time between two lines about the same: a device that is set up wrongly is not forgotten.
const WINDOW_MAX: Duration = Duration::from_secs(600);
/// How many clients of one address are told apart: a gateway with a few of them, but not names that are made up.
const CLIENTS_PER_ADDRESS_MAX: u32 = 10;
/// How many are told apart in all: at worst so many lines, and as many sums, every ten seconds.
const ENTRIES_MAX: usize = 256;

/// What a connected client was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refused {
    /// To write a topic.
    Publish,
    /// To subscribe to a filter.
    Subscribe,
    /// A retained message, for want of room.
    Retain,
    /// A message for a queue that is full.
    Queue,
    /// To be read as fast as it sends.
    Pace,
    /// Its will.
    Will,
    /// The connection, because it broke the protocol.
    Connection,
}

/// What was refused, as far as refusals are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    /// Something that a connected client wanted.
    Wish(Refused),
    /// To come in.
    Admission(RefusalReason),
    /// A request to the admin server.
    Admin,
}

/// Whose refusals are summed up: the first of these that there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// Those of a client, known by a hash of its name, or of what is wrong if it has none.
    Client(AddressKey, u64, What),
    /// Those of all further clients of an address.
    Address(AddressKey, What),
    /// Those of everybody else.
    Everybody(What),
}

/// Who is refused; what is not known is left out.
#[derive(Debug, Clone, Copy)]
struct Whom<'a> {
    client: Option<&'a str>,
    user: Option<&'a str>,
    address: Option<SocketAddr>,
}

/// Who was refused; what is not the same for all of a sum is left out.
#[derive(Debug, Clone, Default)]
struct Who {
    client: Option<String>,
    user: Option<String>,
    address: Option<SocketAddr>,
}

#[derive(Debug)]
struct Entry {
    who: Who,
    ends: Instant,
    window: Duration,
    more: u64,
    /// One of them.
    example: String,
}

/// So many were not told.
#[derive(Debug)]
struct Sum {
    who: Who,
    what: What,
    window: Duration,
    more: u64,
    example: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Refusals {
    audit: Arc<Audit>,
    hasher: RandomState,
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    entries: HashMap<Key, Entry>,
    clients: HashMap<AddressKey, u32>,
}

impl Refusals {
    /// Nobody was refused yet.
    pub(crate) fn new(audit: Arc<Audit>) -> Self {
        Self { audit, hasher: RandomState::default(), sums: Mutex::default() }
    }

    /// Something that a connected client wanted was refused.
    pub(crate) fn refused(&self, what: Refused, identity: &Identity, reason: fmt::Arguments<'_>) {
        let (client, user, address) =
            (identity.client_id.as_str(), identity.user.as_deref(), identity.address);
        if !self.is_told(What::Wish(what), Some(client), user, Some(address), reason) {
            return;
        }
        self.audit.record(Event::Refused { client, user, address, reason: Reason(reason) });
        tracing::warn!(client, user = user_name(user), %address, "refused: {}", OneLine(reason));
    }

    /// A client was not let in. `client` and `user` are what it claims to be; unknown if it did not get as far.
    pub(crate) fn not_admitted(
        &self,
        counted: RefusalReason,
        client: Option<&str>,
        user: Option<&str>,
        address: SocketAddr,
        reason: fmt::Arguments<'_>,
    ) {
        if !self.is_told(What::Admission(counted), client, user, Some(address), reason) {
            return;
        }
        self.audit.record(Event::LoginRefused { client, user, address, reason: Reason(reason) });
        tracing::warn!(
            client = client.unwrap_or("-"),
            user = user_name(user),
            %address,
            "connection refused: {}",
            OneLine(reason)
        );
    }

    /// Somebody asked the admin server without the right to.
    pub(crate) fn admin(&self, method: &str, path: &str, status: u16) {
        let reason = format_args!("{method} {path}: {status}");
        if self.is_told(What::Admin, None, None, None, reason) {
            self.audit.record(Event::Admin { method, path, status });
            tracing::warn!("admin: a request was refused: {}", OneLine(reason));
        }
    }

    /// Tells how many were not told, of those whose time has come.
    pub(crate) fn sum_up(&self, now: Instant) {
        let due = self.sums.lock().due(now);
        due.iter().for_each(|sum| self.tell(sum));
    }

    /// The same of all, at the end.
    pub(crate) fn sum_up_all(&self) {
        let entries = std::mem::take(&mut self.sums.lock().entries);
        for (key, entry) in entries.into_iter().filter(|(_, entry)| entry.more > 0) {
            let Entry { who, window, more, example, .. } = entry;
            self.tell(&Sum { who, what: key.what(), window, more, example });
        }
    }

    fn tell(&self, sum: &Sum) {
        let Who { client, user, address } = &sum.who;
        let (client, user) = (client.as_deref(), user.as_deref());
        let seconds = sum.window.as_secs();
        self.audit.record(Event::MoreRefused {
            what: sum.what.name(),
            client,
            user,
            address: *address,
            count: sum.more,
            seconds,
            example: &sum.example,
        });
        let (count, example) = (Grouped(sum.more), &sum.example);
        let text = format_args!(
            "{}, and {count} more in the last {seconds} s, such as: {example}",
            sum.what.title()
        );
        match address {
            Some(address) => tracing::warn!(
                client = client.unwrap_or("-"),
                user = user_name(user),
                %address,
                "{}",
                OneLine(text)
            ),
            None => tracing::warn!("{}", OneLine(text)),
        }
    }

    /// Whether this refusal is told now; if not, it is counted.
    fn is_told(
        &self,
        what: What,
        client: Option<&str>,
        user: Option<&str>,
        address: Option<SocketAddr>,
        reason: fmt::Arguments<'_>,
    ) -> bool {
        let name = match client {
            Some(client) => self.hasher.hash_one((client, user)),
            // Without a name, what is wrong tells those behind one address apart.
            None => self.hasher.hash_one(reason.to_string()),
        };
        self.sums.lock().note(what, Whom { client, user, address }, name, reason, clock::now())
    }
}

impl Sums {
    /// Whether this one is the first.
    fn note(
        &mut self,
        what: What,
        whom: Whom<'_>,
        name: u64,
        reason: fmt::Arguments<'_>,
        now: Instant,
    ) -> bool {
        let key = self.key(what, whom.address, name);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.more += 1;
            // Not each time: it costs more than to count.
            if entry.more.is_power_of_two() {
                entry.example = cut(&reason.to_string());
            }
            return false;
        }
        if let Key::Client(address, ..) = key {
            *self.clients.entry(address).or_default() += 1;
        }
        let (ends, window) = (now + WINDOW_FIRST, WINDOW_FIRST);
        let entry = Entry { who: key.who(whom), ends, window, more: 0, example: String::new() };
        self.entries.insert(key, entry);
        true
    }

    /// With whom this one is summed up.
    fn key(&self, what: What, address: Option<SocketAddr>, name: u64) -> Key {
        let is_full = self.entries.len() >= ENTRIES_MAX;
        let Some(address) = address.map(|address| AddressKey::from(address.ip())) else {
            return Key::Everybody(what);
        };
        let key = Key::Client(address, name, what);
        let others = self.clients.get(&address).copied().unwrap_or(0);
        if self.entries.contains_key(&key) || !is_full && others < CLIENTS_PER_ADDRESS_MAX {
            return key;
        }
        let key = Key::Address(address, what);
        if self.entries.contains_key(&key) || !is_full { key } else { Key::Everybody(what) }
    }

    /// Forgets who was not refused again, and starts the next window of the others.
    fn due(&mut self, now: Instant) -> Vec<Sum> {
        let mut due = Vec::new();
        let clients = &mut self.clients;
        self.entries.retain(|key, entry| {
            if now < entry.ends {
                return true;
            }
            if entry.more == 0 {
                forget(clients, key);
                return false;
            }
            due.push(Sum {
                who: entry.who.clone(),
                what: key.what(),
                window: entry.window,
                more: std::mem::take(&mut entry.more),
                example: std::mem::take(&mut entry.example),
            });
            entry.window = (entry.window * 2).min(WINDOW_MAX);
            entry.ends = now + entry.window;
            true
        });
        due
    }
}

fn forget(clients: &mut HashMap<AddressKey, u32>, key: &Key) {
    if let Key::Client(address, ..) = key
        && let Some(count) = clients.get_mut(address)
    {
        *count -= 1;
        if *count == 0 {
            clients.remove(address);
        }
    }
}

impl Key {
    fn what(self) -> What {
        match self {
            Self::Client(_, _, what) | Self::Address(_, what) | Self::Everybody(what) => what,
        }
    }

    /// What those who are summed up have in common with one of them.
    fn who(self, one: Whom<'_>) -> Who {
        match self {
            Self::Client(..) => {
                Who { client: one.client.map(cut), user: one.user.map(cut), address: one.address }
            }
            Self::Address(..) => Who { address: one.address, ..Who::default() },
            Self::Everybody(_) => Who::default(),
        }
    }
}

impl What {
    /// The word for it in the audit log.
    fn name(self) -> &'static str {
        match self {
            Self::Wish(Refused::Publish) => "publish",
            Self::Wish(Refused::Subscribe) => "subscribe",
            Self::Wish(Refused::Retain) => "retain",
            Self::Wish(Refused::Queue) => "queue",
            Self::Wish(Refused::Pace) => "pace",
            Self::Wish(Refused::Will) => "will",
            Self::Wish(Refused::Connection) => "connection",
            Self::Admission(reason) => reason.label(),
            Self::Admin => "admin",
        }
    }

    /// How a line of the log begins.
    fn title(self) -> &'static str {
        match self {
            Self::Wish(_) => "refused",
            Self::Admission(_) => "connection refused",
            Self::Admin => "admin: a request was refused",
        }
    }
}

/// The longest text that is kept of a name or a reason, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// The beginning of a text that a stranger chose.
fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default().to_owned()
}

/// A number with its thousands apart.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: What = What::Wish(Refused::Publish);
    const LOGIN: What = What::Admission(RefusalReason::NotAuthorized);

    /// As [`Refusals::is_told`], with a number for the name.
    fn told(sums: &mut Sums, what: What, last: u8, client: &str, now: Instant) -> bool {
        let address = Some(SocketAddr::from(([192, 0, 2, last], 7)));
        let whom = Whom { client: Some(client), user: None, address };
        let name = client.bytes().fold(1, |name: u64, byte| name.wrapping_mul(257) + u64::from(byte));
        sums.note(what, whom, name, format_args!("no {client}"), now)
    }

    #[test]
    fn the_first_is_told_and_the_others_are_summed_up() {
        let (mut sums, start) = (Sums::default(), clock::now());
        assert!(told(&mut sums, WRITE, 1, "a", start));
        assert!((0..4211).all(|_| !told(&mut sums, WRITE, 1, "a", start)));
        assert!(told(&mut sums, LOGIN, 1, "a", start), "another reason");
        assert!(told(&mut sums, WRITE, 1, "b", start), "another client");
        assert!(told(&mut sums, WRITE, 2, "a", start), "another address");
        assert!(sums.due(start + WINDOW_FIRST / 2).is_empty());
        let due = sums.due(start + WINDOW_FIRST);
        let [sum] = due.as_slice() else { panic!("{due:?}") };
        assert_eq!((sum.more, sum.what, sum.example.as_str()), (4211, WRITE, "no a"));
        assert_eq!((sum.who.client.as_deref(), sum.window), (Some("a"), WINDOW_FIRST));
        // The others were not refused again, and so are told at once the next time.
        assert!(told(&mut sums, WRITE, 1, "b", start + WINDOW_FIRST));
        assert!(!told(&mut sums, WRITE, 1, "a", start + WINDOW_FIRST));
    }

    #[test]
    fn what_goes_on_is_told_less_and_less_often() {
        let (mut sums, mut now) = (Sums::default(), clock::now());
        let start = now;
        let mut told_after = vec![];
        told(&mut sums, WRITE, 1, "a", now);
        for _ in 0..3600 {
            now += Duration::from_secs(1);
            told(&mut sums, WRITE, 1, "a", now);
            let due = sums.due(now);
            told_after.extend(due.iter().map(|sum| ((now - start).as_secs(), sum.more)));
        }
        let expected = [(10, 10), (30, 20), (70, 40), (150, 80), (310, 160), (630, 320), (1230, 600)];
        assert_eq!(told_after[..7], expected);
        assert_eq!(told_after.len(), 7 + 3);
        // Once it has stopped, it is news again.
        now += 2 * WINDOW_MAX;
        assert_eq!(sums.due(now).len(), 1);
        assert_eq!(sums.due(now + WINDOW_MAX).len(), 0);
        assert!(told(&mut sums, WRITE, 1, "a", now + WINDOW_MAX));
    }

    #[test]
    fn ever_new_names_are_told_a_few_times() {
        let (mut sums, now) = (Sums::default(), clock::now());
        let lines = (0..1000).filter(|n| told(&mut sums, LOGIN, 1, &n.to_string(), now)).count();
        // And one for all others.
        assert_eq!(lines, CLIENTS_PER_ADDRESS_MAX as usize + 1);
        let due = sums.due(now + WINDOW_FIRST);
        let [sum] = due.as_slice() else { panic!("{due:?}") };
        assert_eq!(sum.more, 1000 - lines as u64);
        assert!(sum.who.client.is_none() && sum.who.address.is_some());
        assert!(sums.clients.is_empty(), "they have not come again");
    }

    #[test]
    fn memory_is_bounded_however_many_addresses_there_are() {
        let (mut sums, now) = (Sums::default(), clock::now());
        let mut lines = 0;
        for last in 0..=255 {
            for client in 0..20 {
                lines += usize::from(told(&mut sums, LOGIN, last, &client.to_string(), now));
            }
        }
        assert_eq!((lines, sums.entries.len()), (ENTRIES_MAX + 1, ENTRIES_MAX + 1));
        let due = sums.due(now + WINDOW_FIRST);
        let everybody = due.iter().find(|sum| sum.who.address.is_none()).unwrap();
        assert!(everybody.more > 4000, "{everybody:?}");
        let more = due.iter().map(|sum| sum.more).sum::<u64>();
        assert_eq!(more + lines as u64, 256 * 20);
    }

    #[test]
    fn what_strangers_chose_is_cut_and_numbers_are_readable() {
        assert_eq!(cut(&"\u{fc}".repeat(200)).len(), TEXT_BYTES_MAX);
        assert_eq!(cut(&format!("a{}", "\u{fc}".repeat(200))).len(), TEXT_BYTES_MAX - 1);
        for (number, text) in [(1, "1"), (999, "999"), (4211, "4,211"), (1_234_567, "1,234,567")] {
            assert_eq!(Grouped(number).to_string(), text);
        }
    }
}
