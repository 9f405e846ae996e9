//! `gaugeline clients`: who is connected, or away with a session that is kept.

use std::time::UNIX_EPOCH;

use serde::Deserialize;

use super::{ANSWER_TIME_MAX, Target, request, status, target};
use crate::{clock, failure::Failure, output::say};

/// Clients that are asked for at once.
const PAGE: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  gaugeline clients
  gaugeline clients --limit 100 --json
  gaugeline clients --away

With --away: the sessions without a connection, what waits for each, and when they end by themselves. A queue that is full
refuses messages for everybody who publishes to it: `gaugeline forget CLIENT` ends such a session for good.";

/// List the clients that are connected to a running broker, or the sessions of those that are away
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    pub(super) limit: usize,
    /// Those that are away, for whom a session is kept
    #[arg(long)]
    pub(super) away: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) target: target::Arguments,
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(alias = "sessions")]
    clients: Vec<serde_json::Value>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Client {
    client: String,
    user: Option<String>,
    address: Option<String>,
    connected_at: u64,
}

#[derive(Debug, Deserialize)]
struct Away {
    client: String,
    user: Option<String>,
    queued: Amount,
    away_since: Option<u64>,
    expires_in_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Amount {
    messages: usize,
    bytes: usize,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let target = Target::find(&arguments.target)?;
    let now = clock::time_of_day().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut left = arguments.limit;
    let mut after = None;
    while left > 0 {
        let place = after.as_deref().map(|after| format!("&after={}", request::escaped(after)));
        let collection = if arguments.away { "sessions" } else { "clients" };
        let path = format!("/{collection}?limit={}{}", left.min(PAGE), place.unwrap_or_default());
        let page: Page = target.call("GET", &path, ANSWER_TIME_MAX)?.json()?;
        for client in &page.clients {
            match (arguments.json, arguments.away) {
                (true, _) => say(client),
                (false, true) => say(away_line(client, now)?),
                (false, false) => say(line(client, now)?),
            }
        }
        left = left.saturating_sub(page.clients.len());
        match page.next {
            Some(next) if !page.clients.is_empty() => after = Some(next),
            _ => break,
        }
    }
    Ok(())
}

fn line(client: &serde_json::Value, now: u64) -> Result<String, Failure> {
    let client = Client::deserialize(client)
        .map_err(|error| Failure::failed(format!("expected a client, found {client}: {error}")))?;
    Ok(format!(
        "{:<32} user {:<16} from {:<24} for {}",
        status::printable(&client.client),
        text(&client.user),
        text(&client.address),
        status::duration(now.saturating_sub(client.connected_at))
    ))
}

pub(super) fn away_line(session: &serde_json::Value, now: u64) -> Result<String, Failure> {
    let Away { client, user, queued, away_since, expires_in_seconds } = Away::deserialize(session)
        .map_err(|error| Failure::failed(format!("expected a session, found {session}: {error}")))?;
    let since = match away_since {
        Some(since) => format!("for {}", status::duration(now.saturating_sub(since))),
        None => "since before the broker was started".to_owned(),
    };
    let end = match expires_in_seconds {
        Some(seconds) => format!("in {}", status::duration(seconds)),
        None => "never".to_owned(),
    };
    Ok(format!(
        "{:<32} user {:<16} {} messages, {} bytes wait; away {since}; ends {end}",
        status::printable(&client),
        text(&user),
        queued.messages,
        queued.bytes
    ))
}

fn text(text: &Option<String>) -> String {
    text.as_deref().map_or_else(|| "-".to_owned(), status::printable)
}
