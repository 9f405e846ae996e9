//! `gaugeline status`: the state of a running broker, for people or as the JSON that the broker tells.

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use serde::Deserialize;

use super::{ANSWER_TIME_MAX, Target, target};
use crate::{
    clock,
    failure::Failure,
    output::{counted, say},
};

const EXAMPLES: &str = "\
Examples:
  gaugeline status
  gaugeline status -c /srv/gaugeline/broker.toml --json
  docker compose exec broker gaugeline status";

/// Show the state of a running broker: listeners, sessions, the last reload, certificates
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print the JSON that the broker tells
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) target: target::Arguments,
}

/// The part of the answer that people are shown.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    version: String,
    uptime_seconds: u64,
    ready: bool,
    components: BTreeMap<String, Component>,
    listeners: Vec<Listener>,
    connections: i64,
    sessions: Sessions,
    queued: Amount,
    retained: Amount,
    configuration: Configuration,
    certificates: Vec<Certificate>,
    storage: Storage,
}

#[derive(Debug, Deserialize)]
struct Component {
    ready: bool,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listener {
    address: String,
    tls: bool,
    websocket: bool,
}

#[derive(Debug, Deserialize)]
struct Sessions {
    online: usize,
    offline: usize,
    subscriptions: i64,
}

#[derive(Debug, Deserialize)]
struct Amount {
    messages: usize,
    bytes: usize,
}

#[derive(Debug, Deserialize)]
struct Configuration {
    files: Vec<String>,
    loaded_at: u64,
    rules: Vec<Rules>,
    at_next_start: Vec<String>,
    last_reload: Option<LastReload>,
}

#[derive(Debug, Deserialize)]
struct Rules {
    listener: Option<String>,
    password_file: Option<String>,
    acl_file: Option<String>,
    users: usize,
    allow_anonymous: bool,
}

#[derive(Debug, Deserialize)]
struct LastReload {
    at: u64,
    trigger: String,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    file: String,
    what: String,
    until: i64,
}

#[derive(Debug, Deserialize)]
struct Storage {
    persistence: String,
    disk_bytes: i64,
    failure: Option<String>,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = Target::find(&arguments.target)?.call("GET", "/status", ANSWER_TIME_MAX)?;
    let status: Status = answer.json()?;
    if arguments.json {
        say(answer.body.trim_end());
        return Ok(());
    }
    let now = clock::time_of_day().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    lines(&status, now).iter().for_each(say);
    Ok(())
}

/// What people are shown.
pub(super) fn lines(status: &Status, now: u64) -> Vec<String> {
    let ready = if status.ready { "ready" } else { "not ready" };
    let mut lines = vec![format!(
        "gaugeline {}, {ready}, up for {}",
        printable(&status.version),
        duration(status.uptime_seconds)
    )];
    for (name, component) in &status.components {
        if let Some(reason) = &component.reason {
            let word = if component.ready { "note" } else { "problem" };
            lines.push(format!("  {word}: {name}: {}", printable(reason)));
        }
    }
    for listener in &status.listeners {
        let protocol = if listener.websocket { "WebSocket, " } else { "" };
        let kind = if listener.tls { "TLS" } else { "no TLS" };
        lines.push(format!("listener       {} ({protocol}{kind})", listener.address));
    }
    let Sessions { online, offline, subscriptions } = &status.sessions;
    lines.push(format!("connections    {}", status.connections));
    let subscriptions = counted(usize::try_from(*subscriptions).unwrap_or_default(), "subscription");
    lines.push(format!("sessions       {online} connected, {offline} away, {subscriptions}"));
    for (name, Amount { messages, bytes }) in [("queued  ", &status.queued), ("retained", &status.retained)] {
        lines.push(format!("{name}       {messages} messages, {bytes} bytes"));
    }
    let Storage { persistence, disk_bytes, failure } = &status.storage;
    let failure = failure.as_ref().map(|failure| format!(", FAILED: {}", printable(failure)));
    lines.push(format!(
        "storage        {persistence}, {disk_bytes} bytes on disk{}",
        failure.unwrap_or_default()
    ));
    lines.extend(configuration(&status.configuration, now));
    for Certificate { file, what, until } in &status.certificates {
        let left = until.saturating_sub_unsigned(now);
        let text = match u64::try_from(left) {
            Ok(left) => format!("ends in {}", duration(left)),
            Err(_) => "HAS ENDED".to_owned(),
        };
        lines.push(format!("{what:<14} {} {text}", printable(file)));
    }
    lines
}

fn configuration(configuration: &Configuration, now: u64) -> Vec<String> {
    let ago = |at: u64| format!("{} ago", duration(now.saturating_sub(at)));
    let files = configuration.files.iter().map(|file| printable(file)).collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!("configuration  {files}, loaded {}", ago(configuration.loaded_at))];
    for rules in &configuration.rules {
        let scope = rules.listener.as_deref().map_or_else(|| "all listeners".to_owned(), printable);
        let file = |file: &Option<String>| file.as_deref().map_or_else(|| "none".to_owned(), printable);
        let anonymous = if rules.allow_anonymous { ", anonymous clients allowed" } else { "" };
        lines.push(format!(
            "rules          {scope}: users {} ({}), rights {}{anonymous}",
            file(&rules.password_file),
            rules.users,
            file(&rules.acl_file)
        ));
    }
    lines.push(match &configuration.last_reload {
        None => "last reload    none since the start".to_owned(),
        Some(LastReload { at, trigger, error: None }) => {
            format!("last reload    done {} ({})", ago(*at), printable(trigger))
        }
        Some(LastReload { at, trigger, error: Some(error) }) => {
            format!("last reload    REFUSED {} ({}): {}", ago(*at), printable(trigger), printable(error))
        }
    });
    let waiting = configuration.at_next_start.iter();
    lines.extend(waiting.map(|key| format!("at next start  {}", printable(key))));
    lines
}

/// Texts from elsewhere must not steer the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() }).collect()
}

/// A duration in its largest unit, rounded down.
pub(super) fn duration(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (size, name) = units.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "second"));
    let count = seconds / size;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}
