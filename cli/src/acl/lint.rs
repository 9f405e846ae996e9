//! `gaugeline acl lint`: what in an ACL file is hardly meant so.

use gaugeline_broker::auth::acl::lint::{Severity, Surroundings, lint};

use super::{
    printable,
    source::{self, Source},
};
use crate::{failure::Failure, output::say};

const EXAMPLES: &str = "\
Examples:
  gaugeline acl lint -c gaugeline-data/broker.toml     knows the users too
  gaugeline acl lint --acl acl

Prints `file:line: warning: ...` for what is most likely a mistake and `note` for what is right but surprising.
Exit status 1 if there are warnings.";

/// Find lines of the ACL file that never hold, or that hold for others than it seems
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

/// Runs the subcommand. Whether there are no warnings.
pub(super) fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let rules = arguments.source.rules()?;
    let Some(path) = &rules.acl_file else {
        say("no acl_file is configured: everybody who may connect may do everything");
        return Ok(true);
    };
    let content = source::read_file(path)?;
    let surroundings = Surroundings {
        passwords: rules.passwords.as_ref(),
        scram: rules.scram.as_ref(),
        allow_anonymous: rules.allow_anonymous,
        has_certified_users: rules.has_certified_users,
    };
    let findings = lint(path, &content, rules.options, &surroundings).map_err(Failure::configuration)?;
    for finding in &findings {
        let line = finding.line.map_or_else(String::new, |line| format!("{line}:"));
        let message = printable(&finding.message);
        say(format_args!("{}:{line} {}: {message}", path.display(), finding.severity));
    }
    if findings.is_empty() {
        say(format_args!("OK: {}: nothing odd", path.display()));
    }
    Ok(findings.iter().all(|finding| finding.severity != Severity::Warning))
}
