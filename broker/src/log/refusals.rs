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

use super::{Excerpt, client_name, one_line, user_name};
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
/// How many clients of one address are told apart: those behind a gateway, but not names that are made up without end.
const CLIENTS_PER_ADDRESS_MAX: u32 = 50;
/// How many are told apart in all: at worst so many lines, and as many sums, every ten seconds.
const ENTRIES_MAX: usize = 1024;

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

impl Refused {
    const ALL: [Self; 7] =
        [Self::Publish, Self::Subscribe, Self::Retain, Self::Queue, Self::Pace, Self::Will, Self::Connection];
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
    began: Instant,
    ends: Instant,
    window: Duration,
    more: u64,
    /// The last of them.
    last: String,
}

/// So many were not told.
#[derive(Debug)]
struct Sum {
    who: Who,
    what: What,
    /// How long it took.
    elapsed: Duration,
    more: u64,
    last: String,
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
        self.audit.record(Event::Refused {
            client: Excerpt(client),
            user: user.map(Excerpt),
            address,
            reason: Reason(reason),
        });
        tracing::warn!(
            client = &*client_name(client),
            user = &*user_name(user),
            %address,
            "refused: {}",
            one_line(reason)
        );
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
        self.audit.record(Event::LoginRefused {
            client: client.map(Excerpt),
            user: user.map(Excerpt),
            address,
            reason: Reason(reason),
        });
        tracing::warn!(
            client = &*client_name(client.unwrap_or("-")),
            user = &*user_name(user),
            %address,
            "connection refused: {}",
            one_line(reason)
        );
    }

    /// Somebody asked the admin server without the right to.
    pub(crate) fn admin(&self, method: &str, path: &str, status: u16) {
        let reason = format_args!("{method} {}: {status}", Excerpt(path));
        if self.is_told(What::Admin, None, None, None, reason) {
            self.audit.record(Event::Admin { method, path: Excerpt(path), status });
            tracing::warn!("admin: a request was refused: {}", one_line(reason));
        }
    }

    /// Tells how many were not told, of those whose time has come.
    pub(crate) fn sum_up(&self, now: Instant) {
        let due = self.sums.lock().due(now);
        due.iter().for_each(|sum| self.tell(sum));
    }

    /// A client has gone: what was counted of its refusals is told soon.
    pub(crate) fn client_left(&self, identity: &Identity) {
        let mut sums = self.sums.lock();
        if sums.entries.is_empty() {
            return;
        }
        let address = AddressKey::from(identity.address.ip());
        let name = self.hasher.hash_one((identity.client_id.as_str(), identity.user.as_deref()));
        sums.hasten(&Refused::ALL.map(|what| Key::Client(address, name, What::Wish(what))), clock::now());
    }

    /// As [`Self::sum_up`], of all, at the end.
    pub(crate) fn sum_up_all(&self) {
        let rest = self.sums.lock().rest(clock::now());
        rest.iter().for_each(|sum| self.tell(sum));
    }

    fn tell(&self, sum: &Sum) {
        let Who { client, user, address } = &sum.who;
        let (client, user) = (client.as_deref(), user.as_deref());
        let seconds = sum.seconds();
        self.audit.record(Event::MoreRefused {
            what: sum.what.name(),
            client,
            user,
            address: *address,
            count: sum.more,
            seconds,
            last: &sum.last,
        });
        let (count, last) = (Grouped(sum.more), &sum.last);
        let text =
            format_args!("{}, and {count} more in the last {seconds} s, at last: {last}", sum.what.title());
        match address {
            Some(address) => tracing::warn!(
                client = client.unwrap_or("-"),
                user = user.unwrap_or("-"),
                %address,
                "{}",
                one_line(text)
            ),
            None => tracing::warn!("{}", one_line(text)),
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
            entry.last.clear();
            // It ends early if there is no more room.
            fmt::write(&mut Beginning(&mut entry.last), reason).ok();
            return false;
        }
        if let Key::Client(address, ..) = key {
            *self.clients.entry(address).or_default() += 1;
        }
        let (ends, window) = (now + WINDOW_FIRST, WINDOW_FIRST);
        let entry = Entry { who: key.who(whom), began: now, ends, window, more: 0, last: String::new() };
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
            due.push(entry.sum(key.what(), now));
            entry.window = (entry.window * 2).min(WINDOW_MAX);
            (entry.began, entry.ends) = (now, now + entry.window);
            true
        });
        due
    }

    /// Those that were not told.
    fn rest(&mut self, now: Instant) -> Vec<Sum> {
        let entries = std::mem::take(&mut self.entries);
        let open = entries.into_iter().filter(|(_, entry)| entry.more > 0);
        open.map(|(key, mut entry)| entry.sum(key.what(), now)).collect()
    }

    /// Lets the windows of these end, but not before the first one would have.
    fn hasten(&mut self, keys: &[Key], now: Instant) {
        for key in keys {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.ends = entry.ends.min(now.max(entry.began + WINDOW_FIRST));
            }
        }
    }
}

impl Entry {
    /// What was counted, which begins anew.
    fn sum(&mut self, what: What, now: Instant) -> Sum {
        Sum {
            who: self.who.clone(),
            what,
            elapsed: now.saturating_duration_since(self.began),
            more: std::mem::take(&mut self.more),
            last: std::mem::take(&mut self.last),
        }
    }
}

impl Sum {
    /// How long it took, at least one.
    fn seconds(&self) -> u64 {
        ((self.elapsed + Duration::from_millis(500)).as_secs()).max(1)
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

/// What is kept of a name.
fn kept(name: &str) -> String {
    Excerpt(name).to_string()
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
                Who { client: one.client.map(kept), user: one.user.map(kept), address: one.address }
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

/// The longest sentence that is kept of a refusal, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Takes the beginning of a text.
struct Beginning<'a>(&'a mut String);

impl fmt::Write for Beginning<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.floor_char_boundary(TEXT_BYTES_MAX.saturating_sub(self.0.len()));
        self.0.push_str(text.get(..end).unwrap_or_default());
        // Nothing shorter behind it is taken either.
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
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
mod tests;
