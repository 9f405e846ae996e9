//! `gaugeline acl check`: may this client do that, and which line says so?

use std::path::Path;

use clap::ValueEnum;
use gaugeline_broker::auth::{AccessKind, Acl, Decision, acl};
use gaugeline_protocol::{TopicFilter, TopicName};

use super::{
    printable,
    source::{self, Rules, Source},
};
use crate::{failure::Failure, output::say};

const EXAMPLES: &str = "\
Examples:
  gaugeline acl check -c gaugeline-data/broker.toml --user sensor write sensors/d1/temperature
  gaugeline acl check --acl acl --user viewer --client-id desk subscribe 'sensors/#'
  gaugeline acl check --acl acl read public/news        a client without a user name

Prints yes or no, and the file and the line that decide. Exit status 0 for yes, 1 for no.";

/// Say whether a client may read, write or subscribe, and which line of the ACL file decides
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The user name; without it, a client without one
    #[arg(short = 'u', long, value_name = "NAME")]
    user: Option<String>,
    /// The client identifier; without it, no line with %c matches
    #[arg(short = 'i', long, value_name = "ID", default_value = "", hide_default_value = true)]
    client_id: String,
    /// What the client wants: read is to receive a message, write is to publish one
    #[arg(value_name = "read|write|subscribe", hide_possible_values = true)]
    access: Access,
    /// The topic; for subscribe, the filter
    #[arg(value_name = "TOPIC")]
    topic: String,
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Access {
    Read,
    Write,
    Subscribe,
}

/// Runs the subcommand. Whether the answer is yes.
pub(super) fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let rules = arguments.source.rules()?;
    let wanted = Wanted::new(arguments.access, &arguments.topic)?;
    let user = arguments.user.as_deref().filter(|user| !user.is_empty());
    if let Some(note) = obstacles(&rules, user) {
        say(format_args!("note: {note}"));
    }
    let Some(path) = &rules.acl_file else {
        let allowed = wanted.is_allowed_without_rules();
        let reason = if allowed { "no acl_file is configured, so everybody may" } else { BY_THE_BROKER };
        say(format_args!("{}: {reason}", yes_or_no(allowed)));
        return Ok(allowed);
    };
    let content = source::read_file(path)?;
    let acl = Acl::parse(path, &content, rules.options).map_err(Failure::configuration)?;
    let decision = wanted.decide(&acl, user, &arguments.client_id);
    say(format_args!("{}: {}", yes_or_no(decision.allowed), reason(path, &content, decision, &wanted)));
    Ok(decision.allowed)
}

const BY_THE_BROKER: &str = "no client may, whatever a file says";

/// What a client wants, and can be wanted.
enum Wanted {
    Topic(AccessKind, TopicName),
    Subscription(TopicFilter),
}

impl Wanted {
    fn new(access: Access, topic: &str) -> Result<Self, Failure> {
        let invalid = |what: &str| Failure::usage(format!("`{}` is not a {what}", printable(topic)));
        let named = |kind| match TopicName::new(topic) {
            Ok(topic) => Ok(Self::Topic(kind, topic)),
            Err(_) => Err(invalid("topic, which has no + and no #; subscribe takes a filter")),
        };
        match access {
            Access::Read => named(AccessKind::Read),
            Access::Write => named(AccessKind::Write),
            Access::Subscribe => {
                TopicFilter::new(topic).map(Self::Subscription).map_err(|_| invalid("topic filter"))
            }
        }
    }

    fn is_allowed_without_rules(&self) -> bool {
        match self {
            Self::Topic(kind, topic) => acl::builtin_allows(*kind, topic.as_str()),
            Self::Subscription(_) => true,
        }
    }

    fn decide(&self, acl: &Acl, user: Option<&str>, client_id: &str) -> Decision {
        match self {
            Self::Topic(kind, topic) => acl.decide(user, client_id, *kind, topic.as_str()),
            Self::Subscription(filter) => acl.decide_subscribe(user, client_id, filter),
        }
    }
}

fn yes_or_no(allowed: bool) -> &'static str {
    if allowed { "yes" } else { "no" }
}

/// The line that decided, as `file:line: text`, or why there is none.
fn reason(path: &Path, content: &[u8], decision: Decision, wanted: &Wanted) -> String {
    let path = path.display();
    if let Some(number) = decision.line {
        let index = usize::try_from(number.get() - 1).unwrap_or(usize::MAX);
        let line = content.split(|byte| *byte == b'\n').nth(index).unwrap_or_default();
        return format!("{path}:{number}: {}", printable(String::from_utf8_lossy(line).trim()));
    }
    match wanted {
        _ if !wanted.is_allowed_without_rules() => BY_THE_BROKER.to_owned(),
        Wanted::Subscription(_) if decision.allowed => {
            "every subscription is granted; `read` decides what is delivered".to_owned()
        }
        Wanted::Subscription(_) | Wanted::Topic(..) => format!("{path} has no line that allows it"),
    }
}

/// Why such a client would not even come in.
fn obstacles(rules: &Rules, user: Option<&str>) -> Option<String> {
    match (user, &rules.passwords) {
        (None, _) if rules.allow_anonymous == Some(false) => {
            Some("clients without a user name may not connect (allow_anonymous = false)".to_owned())
        }
        (Some(user), Some(passwords))
            if passwords.find(user).is_none()
                && rules.scram.as_ref().is_none_or(|scram| scram.find(user).is_none()) =>
        {
            let path = rules.password_file.as_deref().unwrap_or_else(|| Path::new("the password file"));
            let outcome = match rules.has_certified_users {
                true => "who needs a certificate with that name to log in",
                false => "who cannot log in",
            };
            Some(format!("{} has no user `{}`, {outcome}", path.display(), printable(user)))
        }
        _ => None,
    }
}
