//! The text of the files that a new data directory starts with. Every key is explained where it stands.

/// broker.toml
pub(super) const BROKER_TOML: &str = include_str!("../../../config/broker.toml");

/// bridge.toml
pub(super) const BRIDGE_TOML: &str = r##"# gaugeline: the bridge from MQTT to InfluxDB. Paths are relative to this file.
# `gaugeline check -c bridge.toml` says whether the file is right.

# The broker, and the account that reads from it.
[mqtt]
url = "mqtts://localhost:8883"
ca = "pki/ca.crt"
user = "bridge"
password_file = "secrets/bridge"
# Names the session that the broker keeps while the bridge is away: change it and that session is lost.
client_id = "gaugeline-bridge"
# What to subscribe to, at QoS 1.
topics = ["#"]

# How a message becomes a point; the first rule whose topic fits decides. `{name}` captures one topic level as
# a tag; {measurement} and {field} name the measurement and the field. Without {measurement} the first level of
# the template is the measurement: `sensors`.

# sensors/kitchen/temperature with payload 21.5  ->  sensors,device=kitchen temperature=21.5
[[rule]]
topic = "sensors/{device}/{field}"

# sensors/kitchen with payload {"temperature": 21.5, "humidity": 40}
#   ->  sensors,device=kitchen temperature=21.5,humidity=40
[[rule]]
topic = "sensors/{device}"
payload = "json"

# What no rule fits is kept all the same: measurement = first topic level, tag `topic`.

# Where the points go.
[sink]
# Line protocol files that the `influx` command can import.
kind = "file"
directory = "telemetry"
#
# InfluxDB 1:
# kind = "influx1"
# url = "http://127.0.0.1:8086"
# database = "telemetry"
#
# InfluxDB 2:
# kind = "influx2"
# url = "http://127.0.0.1:8086"
# organization = "home"
# bucket = "telemetry"
# token_file = "secrets/influx-token"
#
# InfluxDB 3:
# kind = "influx3"
# url = "http://127.0.0.1:8181"
# database = "telemetry"
# token_file = "secrets/influx-token"

# A batch is written when one of these is reached.
[batch]
lines = 5000
bytes = 1048576
milliseconds = 200
"##;

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
