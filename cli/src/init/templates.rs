//! The text of the files that a new data directory starts with. Configuration starts as the samples in `config/`, which
//! explain every key.

/// broker.toml
pub(super) const BROKER_TOML: &str = include_str!("../../../config/broker.toml");

/// bridge.toml
pub(super) const BRIDGE_TOML: &str = include_str!("../../../config/bridge.toml");

/// acl
pub(super) const ACL: &str = r"# Who may read and write which topics. mosquitto's format:
#   user NAME
#   topic [read|write|readwrite|deny] FILTER     for the user above; without a word: readwrite
#   pattern [read|write|readwrite|deny] FILTER   for everybody; %u is the user name, %c the client id
# What no line allows is refused. A `topic` line before the first `user` line is for clients without a user name.

# The bridge reads everything and writes nothing.
user bridge
topic read #

# Sensors report and read nothing.
user sensor
topic write sensors/#

# People and dashboards look.
user viewer
topic read sensors/#
topic read $SYS/#
";
