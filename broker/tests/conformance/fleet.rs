//! A fleet that comes back at once: each user's slow hash is computed once, not for each connection.

use std::{fmt::Write as _, sync::Arc};

use gaugeline_broker::{
    auth::hash::{Hashing, PasswordHash, SaltLength},
    metrics::MetricsSource as _,
};
use gaugeline_protocol::{ReasonCode, Version};

use crate::support::{Client, Server, Setup, by, clean, in_time};

const USERS: usize = 10_000;
/// How many of them connect at the same time; each of the others waits for one to be done.
const TOGETHER: usize = 100;

/// Every user logs in with a password of its own, and goes.
async fn everybody_connects(server: &Arc<Server>) {
    let mut groups = tokio::task::JoinSet::new();
    for group in 0..TOGETHER {
        let server = Arc::clone(server);
        groups.spawn(async move {
            for user in (group..USERS).step_by(TOGETHER) {
                let connect = clean(Version::V5, &format!("client{user}"));
                let connect = by(connect, &format!("user{user}"), &format!("password{user}"));
                let (_, answer) = Client::try_connect(&server, &connect).await;
                assert_eq!(answer.reason, ReasonCode::Success, "user{user}");
            }
        });
    }
    while let Some(done) = in_time("a group of the fleet", groups.join_next()).await {
        done.unwrap();
    }
}

/// How many hashes were computed.
fn hashes(server: &Server) -> usize {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, server.metrics().registry()).unwrap();
    let (_, count) = text.split_once("gaugeline_password_hash_seconds_count ").unwrap();
    count.lines().next().unwrap().parse().unwrap()
}

/// What the power cut of a site is to a broker that stays up. The hashes of this test are cheap; that none is computed the
/// second time is what counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_users_who_come_back_cost_no_hash() {
    let mut file = String::new();
    for user in 0..USERS {
        let password = format!("password{user}");
        let hash = PasswordHash::create(password.as_bytes(), Hashing::Sha512(SaltLength::Twelve)).unwrap();
        writeln!(file, "user{user}:{hash}").unwrap();
    }
    let server = Arc::new(Setup::new().password_file(&file).start().await);
    everybody_connects(&server).await;
    assert_eq!(hashes(&server), USERS);
    everybody_connects(&server).await;
    assert_eq!(hashes(&server), USERS, "nobody is hashed again");

    let wrong = by(clean(Version::V5, "client0"), "user0", "password1");
    assert_eq!(Client::try_connect(&server, &wrong).await.1.reason, ReasonCode::NotAuthorized);
    assert_eq!(hashes(&server), USERS + 1, "but for a wrong password");
}
