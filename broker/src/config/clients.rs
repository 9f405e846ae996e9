//! What clients may ask for, beside what they may use up: identifiers, retained messages, `$SYS`.

use std::{sync::Arc, time::Duration};

/// Which client identifiers a realm takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIds {
    /// Whether a client may come without one, where its version of MQTT allows that; it gets one. Default: it may.
    /// mosquitto's `allow_zero_length_clientid`.
    pub allow_empty: bool,
    /// What identifiers that the broker gives begin with; random digits follow. At most
    /// [`Self::ASSIGNED_PREFIX_BYTES_MAX`] bytes. mosquitto's `auto_id_prefix`.
    pub assigned_prefix: Arc<str>,
    /// With one of these an identifier must begin, also one that the broker gives. Empty: any will do. mosquitto's
    /// `clientid_prefixes`.
    pub prefixes: Vec<Arc<str>>,
    /// Whether the user name takes the identifier's place; then clients without one are refused. mosquitto's
    /// `use_username_as_clientid`.
    pub from_user_name: bool,
}

impl ClientIds {
    /// The longest prefix of given identifiers, as mosquitto's.
    pub const ASSIGNED_PREFIX_BYTES_MAX: usize = 50;
}

impl Default for ClientIds {
    fn default() -> Self {
        Self {
            allow_empty: true,
            assigned_prefix: "auto-".into(),
            prefixes: Vec::new(),
            from_user_name: false,
        }
    }
}

/// The section `[clients]`: what clients may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientsConfig {
    /// Whether messages may be retained; if not, MQTT 5 clients are told, and whoever retains one is disconnected with
    /// 0x9A. Default: they may.
    pub retain_available: bool,
    /// How long a message stays retained that names no expiry itself. `None`, the default: for ever.
    pub retained_expiry: Option<Duration>,
    /// Whether an MQTT 3 client whose keep-alive is longer than `keep_alive_max_seconds`, or that has none, is refused with
    /// return code 2: it cannot be told a shorter one. Default: it is let in with its own.
    pub refuse_long_keep_alive: bool,
    /// How often the topics under `$SYS` are published. `None`, the default: there are none.
    pub sys_interval: Option<Duration>,
}

impl Default for ClientsConfig {
    fn default() -> Self {
        Self {
            retain_available: true,
            retained_expiry: None,
            refuse_long_keep_alive: false,
            sys_interval: None,
        }
    }
}
