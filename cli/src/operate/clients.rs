//! `gaugeline clients`: who is connected.

use std::time::UNIX_EPOCH;

use serde::Deserialize;

use super::{ANSWER_TIME_MAX, Target, request, status, target};
use crate::{clock, failure::Failure, output::say};

/// Clients that are asked for at once.
const PAGE: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  gaugeline clients
  gaugeline clients --limit 100 --json";

/// List the clients that are connected to a running broker
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    pub(super) limit: usize,
    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) target: target::Arguments,
}

#[derive(Debug, Deserialize)]
struct Page {
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

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let target = Target::find(&arguments.target)?;
    let now = clock::time_of_day().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut left = arguments.limit;
    let mut after = None;
    while left > 0 {
        let place = after.as_deref().map(|after| format!("&after={}", request::escaped(after)));
        let path = format!("/clients?limit={}{}", left.min(PAGE), place.unwrap_or_default());
        let page: Page = target.call("GET", &path, ANSWER_TIME_MAX)?.json()?;
        for client in &page.clients {
            if arguments.json {
                say(client);
            } else {
                say(line(client, now)?);
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
    let text = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), status::printable);
    Ok(format!(
        "{:<32} user {:<16} from {:<24} for {}",
        status::printable(&client.client),
        text(&client.user),
        text(&client.address),
        status::duration(now.saturating_sub(client.connected_at))
    ))
}
