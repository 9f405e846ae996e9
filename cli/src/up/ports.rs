//! The ports that `gaugeline up` was told on the command line, put into the broker's configuration.

use std::path::Path;

use gaugeline_broker::config::{ADMIN_DEFAULT, Config, ConfigError, ListenerConfig};

use crate::failure::Failure;

/// Ports instead of those in broker.toml; 0 is any free port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Port for MQTT over TLS instead of the one in broker.toml; 0: any free port
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    port: Option<u16>,
    /// Port for MQTT without TLS instead of the one in broker.toml; 0: any free port
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    plain_port: Option<u16>,
    /// Port for metrics and health instead of the one in broker.toml; 0: any free port
    #[arg(long, value_name = "PORT", help_heading = "Ports")]
    admin_port: Option<u16>,
}

impl Arguments {
    /// Whether the port that the bridge uses may differ from the one in bridge.toml.
    pub(super) fn tls_port_given(self) -> bool {
        self.port.is_some()
    }

    /// Reads the configuration for a reload: the ports of the command line hold on.
    pub(super) fn reread(self, path: &Path) -> Result<Config, ConfigError> {
        let mut config = Config::load(path)?;
        self.apply(&mut config).map_err(|failure| {
            let expected = "as many listeners as the options of `gaugeline up` want";
            ConfigError::whole(path, format_args!("other listeners ({failure})"), expected)
        })?;
        Ok(config)
    }

    /// Changes the configuration.
    pub(super) fn apply(self, config: &mut Config) -> Result<(), Failure> {
        let listeners = &mut config.listeners;
        set(listeners, self.port, "--port", "with TLS", |listener| listener.tls.is_some())?;
        set(listeners, self.plain_port, "--plain-port", "without TLS", |listener| listener.tls.is_none())?;
        if let Some(port) = self.admin_port {
            config.admin.get_or_insert(ADMIN_DEFAULT).set_port(port);
        }
        Ok(())
    }
}

/// Gives the only listener of a kind another port.
fn set(
    listeners: &mut [ListenerConfig],
    port: Option<u16>,
    option: &str,
    kind: &str,
    is_of_kind: impl Fn(&ListenerConfig) -> bool,
) -> Result<(), Failure> {
    let Some(port) = port else { return Ok(()) };
    let mut found = listeners.iter_mut().filter(|listener| is_of_kind(listener));
    match (found.next(), found.count()) {
        (Some(listener), 0) => {
            listener.bind.set_port(port);
            Ok(())
        }
        (None, _) => Err(Failure::usage(format!("{option}: broker.toml has no listener {kind}"))),
        (Some(_), others) => Err(Failure::usage(format!(
            "{option}: broker.toml has {} listeners {kind}: change their ports there",
            others + 1
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init;

    /// The configuration of a new directory: one listener with TLS, one without.
    fn config() -> Config {
        let directory = tempfile::tempdir().unwrap();
        init::complete(directory.path(), &[]).unwrap();
        Config::load(&directory.path().join(init::BROKER_CONFIG)).unwrap()
    }

    #[test]
    fn each_option_changes_its_port_and_no_other() {
        let mut config = config();
        let before = config.clone();
        Arguments::default().apply(&mut config).unwrap();
        assert_eq!(config, before);
        config.admin = None;
        let all = Arguments { port: Some(0), plain_port: Some(7), admin_port: Some(9) };
        all.apply(&mut config).unwrap();
        let binds = config.listeners.iter().map(|listener| listener.bind.to_string()).collect::<Vec<_>>();
        assert_eq!(binds, ["0.0.0.0:0", "127.0.0.1:7"]);
        assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:9");
    }

    #[test]
    fn an_option_without_exactly_one_listener_is_refused() {
        let port = Arguments { port: Some(1), ..Arguments::default() };
        let mut config = config();
        config.listeners.push(config.listeners[0].clone());
        let two = port.apply(&mut config).unwrap_err();
        assert!(two.to_string().contains("has 2 listeners with TLS"), "{two}");
        config.listeners.retain(|listener| listener.tls.is_none());
        let none = port.apply(&mut config).unwrap_err();
        assert_eq!(none.to_string(), "--port: broker.toml has no listener with TLS");
        assert_eq!(none.exit_status(), 2);
    }
}
