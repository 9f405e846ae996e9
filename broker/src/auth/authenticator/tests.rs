use std::{future::Future, num::NonZeroU32, path::Path, pin::pin, task::Poll};

use super::*;
use crate::{
    auth::{
        Realm,
        guard::{BackoffLimits, GuardLimits},
        hash::{Hashing, PasswordHash, SaltLength},
    },
    metrics::MetricsSource as _,
};

const LIMITS: AuthenticatorLimits = AuthenticatorLimits { concurrent: 1, waiting: 1 };

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn passwords(password: &str) -> PasswordFile {
    let cheap = NonZeroU32::new(1).unwrap();
    let hash = PasswordHash::create(password.as_bytes(), Hashing::Pbkdf2(cheap, SaltLength::Twelve)).unwrap();
    PasswordFile::parse(Path::new("passwd"), format!("alice:{hash}\n")).unwrap()
}

fn access(password: Option<&str>, allow_anonymous: bool) -> Access {
    let passwords = password.map(passwords);
    Access::new(vec![Realm { passwords: passwords.map(Arc::new), allow_anonymous, ..Realm::default() }])
}

fn authenticator(access: Access) -> (Authenticator, Arc<AccessHandle>, Arc<Metrics>) {
    let (access, metrics) = (Arc::new(AccessHandle::new(access)), Metrics::new());
    let authenticator =
        Authenticator::new(access.clone(), metrics.clone(), LIMITS, LiveGuardLimits::default()).unwrap();
    (authenticator, access, metrics)
}

/// How many hashes were computed.
fn hashes(metrics: &Metrics) -> u64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, metrics.registry()).unwrap();
    let (_, count) = text.split_once("gaugeline_password_hash_seconds_count ").unwrap();
    count.lines().next().unwrap().parse().unwrap()
}

fn cause(result: Result<Authenticated, Refusal>) -> Result<Option<String>, RefusalCause> {
    result
        .map(|authenticated| authenticated.user.map(|user| user.to_string()))
        .map_err(|refusal| refusal.cause)
}

/// mosquitto's table of who may connect, for a listener.
#[tokio::test]
async fn who_may_connect() {
    use RefusalCause::*;
    let alice = || Ok(Some("alice".to_owned()));
    let bob = || Ok(Some("bob".to_owned()));
    for (password_file, allow_anonymous, user, password, expected) in [
        (None, false, None, None, Err(NoUserName)),
        (None, false, Some("alice"), Some("pw"), Err(NoPasswordFile)),
        (None, true, None, None, Ok(None)),
        (None, true, Some("bob"), Some("whatever"), bob()),
        (None, true, Some("bob"), None, bob()),
        (Some("pw"), false, None, None, Err(NoUserName)),
        (Some("pw"), false, Some(""), Some("pw"), Err(NoUserName)),
        (Some("pw"), false, Some("alice"), Some("pw"), alice()),
        (Some("pw"), false, Some("alice"), Some("pw\0ignored"), alice()),
        (Some("pw"), false, Some("alice"), Some("pv"), Err(WrongPassword)),
        (Some("pw"), false, Some("alice"), Some(""), Err(NoPassword)),
        (Some("pw"), false, Some("alice"), Some("\0pw"), Err(NoPassword)),
        (Some("pw"), false, Some("alice"), None, Err(NoPassword)),
        (Some("pw"), false, Some("bob"), Some("pw"), Err(UnknownUser)),
        (Some("pw"), false, Some("bob"), None, Err(NoPassword)),
        (Some("pw"), true, None, None, Ok(None)),
        (Some("pw"), true, Some(""), Some("x"), Ok(None)),
        (Some("pw"), true, Some("bob"), Some("pw"), Err(UnknownUser)),
        (Some("pw"), true, Some("alice"), Some("pv"), Err(WrongPassword)),
        (Some("pw"), true, Some("alice"), Some("pw"), alice()),
    ] {
        let (authenticator, ..) = authenticator(access(password_file, allow_anonymous));
        for _ in 0..2 {
            let found =
                authenticator.authenticate(RealmId::FIRST, user, password.map(str::as_bytes), ADDRESS).await;
            assert_eq!(cause(found), expected, "{password_file:?} {allow_anonymous} {user:?} {password:?}");
        }
    }
}

#[tokio::test]
async fn the_client_does_not_learn_why() {
    let (authenticator, _, metrics) = authenticator(access(Some("pw"), false));
    let unknown =
        authenticator.authenticate(RealmId::FIRST, Some("eve"), Some(b"pw"), ADDRESS).await.unwrap_err();
    let wrong =
        authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"x"), ADDRESS).await.unwrap_err();
    assert_eq!((unknown.reason(), wrong.reason()), (ReasonCode::NotAuthorized, ReasonCode::NotAuthorized));
    assert_eq!((unknown.to_string(), wrong.to_string()), ("unknown user".into(), "wrong password".into()));
    assert_eq!(hashes(&metrics), 2, "both cost one hash");
}

#[tokio::test]
async fn credentials_that_were_right_are_not_hashed_again() {
    let (authenticator, handle, metrics) = authenticator(access(Some("pw"), false));
    for _ in 0..10 {
        authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), ADDRESS).await.unwrap();
    }
    assert_eq!(hashes(&metrics), 1);
    for wrong in [b"wrong", b"wrong", b"other"] {
        authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(wrong), ADDRESS).await.unwrap_err();
    }
    assert_eq!(hashes(&metrics), 4, "wrong ones are");

    handle.swap(access(Some("changed"), false));
    let refused = authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), ADDRESS).await;
    assert_eq!(cause(refused), Err(RefusalCause::WrongPassword));
    handle.swap(Access::default());
    let refused = authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), ADDRESS).await;
    assert_eq!(cause(refused), Err(RefusalCause::NoPasswordFile));
}

#[tokio::test]
async fn what_is_remembered_is_forgotten_with_the_users_line_alone() {
    let line = |user: &str, password: &str| {
        let passwords = passwords(password);
        let (_, hash) = passwords.find("alice").unwrap();
        format!("{user}:{hash}\n")
    };
    let access = |lines: &[&str]| {
        let passwords = PasswordFile::parse(Path::new("passwd"), lines.concat()).unwrap();
        Access::new(vec![Realm { passwords: Some(passwords.into()), ..Realm::default() }])
    };
    let (alice, bob) = (line("alice", "a"), line("bob", "b"));
    let (authenticator, handle, metrics) = authenticator(access(&[&alice, &bob]));
    let log_in = async |user: &str, password: &str| {
        cause(
            authenticator.authenticate(RealmId::FIRST, Some(user), Some(password.as_bytes()), ADDRESS).await,
        )
    };
    log_in("alice", "a").await.unwrap();
    log_in("bob", "b").await.unwrap();
    assert_eq!(hashes(&metrics), 2);

    // The same password with a new salt is another line.
    handle.swap(access(&["# new\n", &line("alice", "a"), &bob]));
    log_in("bob", "b").await.unwrap();
    assert_eq!(hashes(&metrics), 2, "the line of bob is the same");
    log_in("alice", "a").await.unwrap();
    assert_eq!(hashes(&metrics), 3);

    handle.swap(access(&[&line("alice", "new"), &bob]));
    assert_eq!(log_in("alice", "a").await, Err(RefusalCause::WrongPassword));
    handle.swap(access(&[&bob]));
    assert_eq!(log_in("alice", "a").await, Err(RefusalCause::UnknownUser));
    assert_eq!(hashes(&metrics), 5);
    log_in("bob", "b").await.unwrap();
    assert_eq!(hashes(&metrics), 5);
}

#[tokio::test]
async fn guesses_wait_and_who_was_in_before_does_not() {
    let hour = std::time::Duration::from_secs(3600);
    let backoff = BackoffLimits { free: 2, wait_first: hour, wait_max: hour, forget_after: hour };
    let guard =
        GuardLimits { backoff, unlimited: vec!["10.0.0.0/8".parse().unwrap()], ..GuardLimits::default() };
    let (access, metrics) = (Arc::new(AccessHandle::new(access(Some("pw"), false))), Metrics::new());
    let new = || {
        Authenticator::new(access.clone(), metrics.clone(), LIMITS, LiveGuardLimits::new(guard.clone()))
            .unwrap()
    };
    let log_in = async |at: &Authenticator, address: [u8; 4], user: &str, password: &str| {
        at.authenticate(RealmId::FIRST, Some(user), Some(password.as_bytes()), address.into()).await
    };
    let (one, other, spared) = ([192, 0, 2, 1], [192, 0, 2, 2], [10, 0, 0, 1]);

    let known = new();
    log_in(&known, one, "alice", "pw").await.unwrap();
    for authenticator in [&known, &new()] {
        for user in ["eve", "alice", "mallory"] {
            log_in(authenticator, one, user, "guess").await.unwrap_err();
        }
        let hashed = hashes(&metrics);
        let refused = log_in(authenticator, one, "bob", "guess").await.unwrap_err();
        assert!(matches!(refused.cause, RefusalCause::TooEarly { wait_seconds: 3590..=3601 }), "{refused}");
        assert_eq!(refused.reason(), ReasonCode::ConnectionRateExceeded);
        assert_eq!(hashes(&metrics), hashed, "and costs no hash");
    }
    log_in(&known, one, "alice", "pw").await.unwrap();
    log_in(&new(), other, "alice", "pw").await.unwrap();

    // A user whose password is guessed from everywhere waits everywhere, but not long.
    let fresh = new();
    for address in 10..13 {
        log_in(&fresh, [192, 0, 2, address], "alice", "guess").await.unwrap_err();
    }
    let refused = log_in(&fresh, other, "alice", "pw").await.unwrap_err();
    assert!(matches!(refused.cause, RefusalCause::TooEarly { wait_seconds: 1..=6 }), "{refused}");
    log_in(&fresh, spared, "alice", "pw").await.unwrap();
    // Where the right password came from before does not let it in from elsewhere without a wait: that would be a guess.
    let refused = log_in(&fresh, other, "alice", "pw").await.unwrap_err();
    assert!(matches!(refused.cause, RefusalCause::TooEarly { .. }), "{refused}");
    for _ in 0..10 {
        let refused = log_in(&fresh, spared, "alice", "guess").await.unwrap_err();
        assert_eq!(refused.cause, RefusalCause::WrongPassword);
    }
}

#[tokio::test]
async fn a_guess_that_is_right_waits_like_every_other_though_its_user_is_in() {
    let hour = std::time::Duration::from_secs(3600);
    let backoff = BackoffLimits { free: 0, wait_first: hour, wait_max: hour, forget_after: hour };
    let guard = LiveGuardLimits::new(GuardLimits { backoff, ..GuardLimits::default() });
    let (access, metrics) = (Arc::new(AccessHandle::new(access(Some("pw"), false))), Metrics::new());
    let authenticator = Authenticator::new(access, metrics.clone(), LIMITS, guard).unwrap();
    let log_in = async |address: &str, password: &str| {
        let address = address.parse().unwrap();
        cause(
            authenticator
                .authenticate(RealmId::FIRST, Some("alice"), Some(password.as_bytes()), address)
                .await,
        )
    };
    log_in("2001:db8::1", "pw").await.unwrap();
    assert_eq!(log_in("192.0.2.9", "guess").await, Err(RefusalCause::WrongPassword));
    let refused = log_in("192.0.2.9", "pw").await;
    assert!(matches!(refused, Err(RefusalCause::TooEarly { wait_seconds: 3590..=3601 })), "{refused:?}");
    log_in("2001:db8::2", "pw").await.expect("the same network of 64 bits");
    assert_eq!(hashes(&metrics), 2);
}

#[tokio::test]
async fn a_fleet_that_comes_back_from_elsewhere_costs_no_hash() {
    let (authenticator, _, metrics) = authenticator(access(Some("pw"), false));
    for host in 1..100 {
        let address = IpAddr::from([192, 0, 2, host]);
        authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), address).await.unwrap();
    }
    assert_eq!(hashes(&metrics), 1);
}

#[tokio::test]
async fn guesses_that_are_sent_at_once_are_not_all_looked_at() {
    let hour = std::time::Duration::from_secs(3600);
    let backoff = BackoffLimits { free: 0, wait_first: hour, wait_max: hour, forget_after: hour };
    let guard = GuardLimits { backoff, ..GuardLimits::default() };
    let (access, metrics) = (Arc::new(AccessHandle::new(access(Some("pw"), false))), Metrics::new());
    let limits = AuthenticatorLimits { concurrent: 1, waiting: 100 };
    let authenticator =
        Authenticator::new(access, metrics.clone(), limits, LiveGuardLimits::new(guard)).unwrap();
    let running = authenticator.running.clone().acquire_owned().await.unwrap();
    let guess = || authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"guess"), ADDRESS);
    let mut guesses = (0..50).map(|_| Box::pin(guess())).collect::<Vec<_>>();
    for guess in &mut guesses {
        assert!(is_pending(guess).await);
    }
    drop(running);
    for guess in guesses {
        guess.await.unwrap_err();
    }
    assert!(hashes(&metrics) <= 2, "{}", hashes(&metrics));
}

async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| Poll::Ready(pin!(&mut *future).poll(context).is_pending())).await
}

#[tokio::test]
async fn waiting_is_bounded_and_the_storm_of_one_user_costs_one_hash() {
    let (authenticator, _, metrics) = authenticator(access(Some("pw"), false));
    let running = authenticator.running.clone().acquire_owned().await.unwrap();
    let mut first = Box::pin(authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), ADDRESS));
    let mut second =
        Box::pin(authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), ADDRESS));
    assert!(is_pending(&mut first).await && is_pending(&mut second).await);
    let third =
        authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), ADDRESS).await.unwrap_err();
    assert_eq!((third.cause, third.reason()), (RefusalCause::Busy, ReasonCode::ServerBusy));

    drop(running);
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(hashes(&metrics), 1);
    authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), ADDRESS).await.unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_gives_up_its_place() {
    let (authenticator, ..) = authenticator(access(Some("pw"), false));
    let running = authenticator.running.clone().acquire_owned().await.unwrap();
    for _ in 0..10 {
        let mut waiting =
            Box::pin(authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), ADDRESS));
        assert!(is_pending(&mut waiting).await);
    }
    drop(running);
    authenticator.authenticate(RealmId::FIRST, Some("alice"), Some(b"pw"), ADDRESS).await.unwrap();
}
