//! Which changes of the configuration a running broker cannot take.

use crate::config::{Config, LoggingConfig};

/// The keys that differ between what runs and what is wanted, of those that only a start can change.
pub(super) fn changed_keys(started: &Config, wanted: &Config) -> Vec<String> {
    // Where lines go and what they look like; of which events there are some is a matter of each event.
    let output = |config: &Config| LoggingConfig { connection_messages: true, ..config.logging.clone() };
    let (old, new) = (&started.limits, &wanted.limits);
    let differences = [
        ("admin", started.admin != wanted.admin),
        ("audit", started.audit != wanted.audit),
        ("persistence", started.persistence.mode != wanted.persistence.mode),
        ("persistence_directory", started.persistence.directory != wanted.persistence.directory),
        ("password_checks", old.password_checks != new.password_checks),
        ("password_checks_waiting", old.password_checks_waiting != new.password_checks_waiting),
        ("log destinations and the shape of log lines", output(started) != output(wanted)),
        ("user and pid_file", started.process != wanted.process),
    ];
    differences.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogLevel, Persistence};

    #[test]
    fn only_what_needs_a_start_is_named() {
        let started = Config::listening_on(Vec::new());
        type Change = fn(&mut Config);
        let changes: [(Change, &[&str]); 8] = [
            (|_| {}, &[]),
            (|config| config.log = LogLevel::Debug, &[]),
            (|config| config.logging.connection_messages = false, &[]),
            (|config| config.clients.sys_interval = None, &[]),
            (|config| config.limits.queue_bytes = 1, &[]),
            (|config| config.admin = Some(crate::config::ADMIN_DEFAULT), &["admin"]),
            (|config| config.persistence.mode = Persistence::Durable, &["persistence"]),
            (|config| config.limits.password_checks = 77, &["password_checks"]),
        ];
        for (change, expected) in changes {
            let mut wanted = started.clone();
            change(&mut wanted);
            assert_eq!(changed_keys(&started, &wanted), expected);
        }
    }
}
