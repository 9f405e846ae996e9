use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    sync::atomic::AtomicBool,
    thread,
};

use gaugeline_protocol::{Version, session::Negotiated};

use super::*;
use crate::router::{LiveLimits, MailboxId, MailboxLimits, MailboxOptions, QueueTotal};

const THREADS: usize = 4;
/// How often each thread connects. The whole takes a fraction of a second.
const CONNECTIONS: usize = 5_000;

fn client_id(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
}

fn session(number: u64) -> Box<Parked> {
    let client_id = client_id("a");
    let negotiated = Negotiated {
        version: Version::V311,
        client_id: client_id.clone(),
        client_id_assigned: false,
        clean_start: false,
        session_expiry_seconds: u32::MAX,
        session_expiry_max_seconds: u32::MAX,
        keep_alive_seconds: 0,
        keep_alive_overridden: false,
        window: NonZeroU16::MAX,
        receive_maximum: NonZeroU16::MAX,
        outgoing_packet_bytes_max: u32::MAX,
        topic_alias_maximum: 0,
        maximum_qos: gaugeline_protocol::QoS::ExactlyOnce,
        retain_available: true,
        request_problem_information: true,
    };
    let identity = Identity {
        realm: crate::auth::RealmId::FIRST,
        user: None,
        client_id,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
    };
    let limits = MailboxLimits { stall_bytes: 1, bytes: 1, messages: 1 };
    let limits = Arc::new(LiveLimits::new(limits));
    let total = Arc::new(QueueTotal::new(1));
    let options = MailboxOptions { persistent: true, ..MailboxOptions::default() };
    Box::new(Parked {
        session: Session::new(negotiated, crate::clock::now()),
        mailbox: Arc::new(Mailbox::new(MailboxId::from_number(number), identity, options, limits, total)),
        walks: Vec::new(),
        expires_at: None,
        will: None,
        away_since: None,
    })
}

/// What a connection gets from its claim; `None` if a newer one came in between.
fn wait_for(claim: Claim) -> Option<Option<Box<Parked>>> {
    match claim {
        Claim::Free => Some(None),
        Claim::Parked(parked) => Some(Some(parked)),
        Claim::Occupied(session) => session.blocking_recv().ok(),
        Claim::Foreign => panic!("nobody has a user here"),
    }
}

/// Several threads connect as the same client at the same time, over and over. The session is made once, is never in
/// two places, and is there at the end.
#[test]
fn a_session_is_in_one_place_at_a_time() {
    let registry = Registry::default();
    let (held, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let connect = || {
        let seat = Arc::new(Seat::default());
        let Some(found) = wait_for(registry.claim(&client_id("a"), &seat, &Access::default())) else {
            return;
        };
        assert!(!held.swap(true, Ordering::SeqCst), "two connections have the session");
        let parked = found.unwrap_or_else(|| {
            made.fetch_add(1, Ordering::SeqCst);
            session(7)
        });
        assert_eq!(parked.mailbox.id(), MailboxId::from_number(7));
        held.store(false, Ordering::SeqCst);
        assert!(registry.leave(&client_id("a"), &seat, Some(parked)).is_none(), "nobody took the session");
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..CONNECTIONS).for_each(|_| connect()));
        }
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
    assert_eq!(registry.counts(), (0, 1));
    assert!(matches!(registry.claim(&client_id("a"), &Arc::default(), &Access::default()), Claim::Parked(_)));
}

/// The same with sessions that end with their connections: nothing is left.
#[test]
fn nothing_is_left_of_sessions_that_end() {
    let registry = Registry::default();
    let alive = AtomicUsize::new(0);
    let connect = || {
        let seat = Arc::new(Seat::default());
        let Some(found) = wait_for(registry.claim(&client_id("a"), &seat, &Access::default())) else {
            return;
        };
        assert!(found.is_none(), "a session out of nothing");
        assert_eq!(alive.fetch_add(1, Ordering::SeqCst), 0, "two connections are in");
        alive.fetch_sub(1, Ordering::SeqCst);
        assert!(registry.leave(&client_id("a"), &seat, None).is_none());
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..CONNECTIONS).for_each(|_| connect()));
        }
    });
    assert_eq!(registry.counts(), (0, 0));
    assert!(!registry.knows(&client_id("a")));
}

/// [MQTT-3.1.4-3]
#[test]
fn a_newer_connection_ends_the_older_one_and_gets_its_session() {
    let registry = Registry::default();
    let (first, second) = (Arc::new(Seat::default()), Arc::new(Seat::default()));
    assert!(matches!(registry.claim(&client_id("a"), &first, &Access::default()), Claim::Free));
    let Claim::Occupied(mut heritage) = registry.claim(&client_id("a"), &second, &Access::default()) else {
        panic!()
    };
    assert_eq!(first.verdict(), Some(ReasonCode::SessionTakenOver));
    assert_eq!(second.verdict(), None);
    assert!(heritage.try_recv().is_err());
    assert!(registry.leave(&client_id("a"), &first, Some(session(1))).is_none());
    assert_eq!(heritage.try_recv().unwrap().unwrap().mailbox.id(), MailboxId::from_number(1));
    assert_eq!(registry.counts(), (1, 0));
    // The first one is no longer in its place: what it might still bring is not kept.
    assert!(registry.leave(&client_id("a"), &first, Some(session(2))).is_some());
    assert!(registry.leave(&client_id("a"), &second, None).is_none());
    assert_eq!(registry.counts(), (0, 0));
}

#[test]
fn an_heir_that_has_given_up_loses_no_session() {
    let registry = Registry::default();
    let (first, second) = (Arc::new(Seat::default()), Arc::new(Seat::default()));
    registry.claim(&client_id("a"), &first, &Access::default());
    drop(registry.claim(&client_id("a"), &second, &Access::default()));
    assert!(registry.leave(&client_id("a"), &first, Some(session(1))).is_none());
    assert_eq!(registry.counts(), (0, 1));
    assert!(matches!(registry.claim(&client_id("a"), &first, &Access::default()), Claim::Parked(_)));
}

#[test]
fn a_session_expires_only_when_its_time_has_come() {
    let registry = Registry::default();
    let now = crate::clock::now();
    let later = now + std::time::Duration::from_secs(1);
    let seat = Arc::new(Seat::default());
    registry.claim(&client_id("a"), &seat, &Access::default());
    assert!(registry.remove_expired(&client_id("a"), later).is_none(), "it is connected");
    let parked = Box::new(Parked { expires_at: Some(later), ..*session(1) });
    registry.leave(&client_id("a"), &seat, Some(parked));
    assert!(registry.remove_expired(&client_id("a"), now).is_none());
    assert!(registry.remove_expired(&client_id("b"), later).is_none());
    assert!(registry.remove_expired(&client_id("a"), later).is_some());
    assert_eq!(registry.counts(), (0, 0));
}

/// Another user gets neither the place nor the session, whether the owner is there or away, with or without an heir.
#[test]
fn the_place_of_another_user_is_not_touched() {
    use crate::auth::{PasswordFile, Realm, RealmId, hash};
    let hashing = hash::Hashing::Pbkdf2(std::num::NonZero::<u32>::MIN, hash::SaltLength::Twelve);
    let hash = hash::PasswordHash::create(b"x", hashing).unwrap();
    let file = PasswordFile::parse(std::path::Path::new("passwd"), format!("owner:{hash}\nthief:{hash}\n"));
    let access = Access::new(vec![Realm { passwords: Some(file.unwrap().into()), ..Realm::default() }]);
    let seat = |user: &str| Arc::new(Seat::of(RealmId::FIRST, Some(user.into())));
    let (registry, owner, thief) = (Registry::default(), seat("owner"), seat("thief"));
    assert!(matches!(registry.claim(&client_id("a"), &owner, &access), Claim::Free));
    assert!(matches!(registry.claim(&client_id("a"), &thief, &access), Claim::Foreign));
    assert_eq!(owner.verdict(), None, "nobody told it to end");
    let parked = session(7);
    let identity = Identity { user: Some("owner".into()), ..Identity::clone(&parked.mailbox.identity()) };
    parked.mailbox.set_identity(identity);
    registry.leave(&client_id("a"), &owner, Some(parked));
    assert!(matches!(registry.claim(&client_id("a"), &thief, &access), Claim::Foreign));
    assert_eq!(registry.counts(), (0, 1));
    // Once the owner would not be let in, it holds nothing.
    assert!(matches!(registry.claim(&client_id("a"), &thief, &Access::default()), Claim::Parked(_)));
}
