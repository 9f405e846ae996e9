//! Sessions whose clients are away: which there are, what waits for them, and how an operator ends one for good.

use std::{future::poll_fn, task::Poll, time::Duration};

use gaugeline_protocol::ClientId;
use serde::Serialize;

use super::control::{Amount, Control, PAGE_MAX, seconds};
use crate::{
    audit::Event,
    clock,
    log::Excerpt,
    sessions::{AwayClient, Removal},
    storage::Ticket,
};

/// How long the disk may take to have the end of a session: less than operators wait for an answer.
const SAFE_TIME_MAX: Duration = Duration::from_secs(4);

/// Some sessions, in the order of their clients' identifiers.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    sessions: Vec<AwayStatus>,
    /// Where the next page begins: to be asked for with `after`. `null`: this was the last one.
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct AwayStatus {
    client: String,
    user: Option<String>,
    queued: Amount,
    /// Seconds since 1970; `null`: since before the broker was started.
    away_since: Option<u64>,
    /// `null` is never.
    expires_in_seconds: Option<u64>,
}

/// What became of a session that an operator wanted to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgotten {
    /// It has ended, with so many messages, and does not come back.
    Done(usize),
    /// It has ended, but the disk does not have that yet: after a crash it may come back.
    NotSafe,
    /// Its client is connected: nothing was changed.
    Connected,
    /// There is none.
    Unknown,
}

impl Control {
    /// The sessions behind this client, at most so many.
    pub(super) fn away(&self, after: Option<&str>, limit: usize) -> Page {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut found = self.hub.registry.away_after(after, limit + 1);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.client_id.as_str().to_owned());
        let now = clock::now();
        let status = |away: AwayClient| AwayStatus {
            client: away.client_id.as_str().to_owned(),
            user: away.user.as_deref().map(str::to_owned),
            queued: Amount { messages: away.waiting.0, bytes: away.waiting.1 },
            away_since: away.since.map(seconds),
            expires_in_seconds: away.expires_at.map(|at| at.saturating_duration_since(now).as_secs()),
        };
        Page { sessions: found.into_iter().map(status).collect(), next }
    }

    /// Ends the session of a client that is away, with its subscriptions and messages. Returns once that is on disk.
    pub(super) async fn forget(&self, client: &str) -> Forgotten {
        let Some(client_id) = ClientId::new(client) else { return Forgotten::Unknown };
        let parked = match self.hub.registry.remove_parked(&client_id) {
            Removal::Done(parked) => parked,
            Removal::Online => return Forgotten::Connected,
            Removal::Absent => return Forgotten::Unknown,
        };
        let messages = parked.mailbox.waiting().0 + parked.session.inflight();
        let ticket = self.hub.end_session(*parked, clock::now());
        tracing::info!(client, messages, "its session was ended by an operator");
        self.audit().record(Event::Forget { client: Excerpt(client), messages });
        match tokio::time::timeout(SAFE_TIME_MAX, self.safe(ticket)).await {
            Ok(()) => Forgotten::Done(messages),
            Err(_) => Forgotten::NotSafe,
        }
    }

    async fn safe(&self, ticket: Ticket) {
        poll_fn(|context| match self.hub.store.wait(ticket, context.waker()) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }
}
