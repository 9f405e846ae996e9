//! The command line of `gaugeline bench`: what can be asked for, in words. `plan.rs` decides whether it makes sense.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  100 sensors to one consumer at QoS 1, with the broker's own cost:
    gaugeline bench --qos 1 --pid $(pgrep -o mosquitto)
  One message to 500 subscribers, for 3 seconds, as JSON:
    gaugeline bench --shape fan-out --subscribers 500 --seconds 3 --json
  Latency at a fixed 5000 messages a second, measured from the moment each message was due:
    gaugeline bench --qos 1 --rate 5000
  Over TLS with a password:
    gaugeline bench --tls --cafile gaugeline-data/pki/ca.crt --topic-prefix sensors/bench \\
      --user sensor --password-file gaugeline-data/secrets/sensor \\
      --subscriber-user viewer --subscriber-password-file gaugeline-data/secrets/viewer
  Full TLS handshakes a second; memory of 10000 idle connections:
    gaugeline bench --shape connect --tls --cafile ca.crt --pid PID
    gaugeline bench --shape idle --connections 10000 --pid PID
  What a broker keeps for a subscriber that is away, and how fast it takes it:
    gaugeline bench --offline --qos 1 --publishers 20 --subscribers 1 --count 100000

Exit status:
  0  done, nothing lost
  1  the run could not be made or not finished (nobody listens, refused, disconnected)
  2  wrong usage
  3  messages were lost at QoS 1 or 2, or nothing arrived at all";

/// Load an MQTT broker and measure messages a second, latency, losses and the broker's cost
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Who sends what to whom
    #[arg(long, value_enum, default_value_t = Shape::FanIn)]
    pub(super) shape: Shape,
    /// The broker's host name or address
    #[arg(long, short = 'H', default_value = "127.0.0.1")]
    pub(super) host: String,
    /// The broker's port [default: 1883, with --tls 8883]
    #[arg(long, short)]
    pub(super) port: Option<u16>,
    /// Allow a broker that is not on this machine: only load what is yours
    #[arg(long)]
    pub(super) allow_remote: bool,

    /// Publishing connections [default: fan-in 100, fan-out 1, pairs and publish-only 50]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) publishers: Option<u32>,
    /// Subscribing connections [default: fan-in 1, fan-out 500, pairs as many as publishers]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) subscribers: Option<u32>,
    /// Idle connections to hold, or connections opened at the same time [default: idle 1000, connect 50]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) connections: Option<u32>,
    /// Quality of service of publications and subscriptions
    #[arg(long, short, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2), help_heading = "Load")]
    pub(super) qos: u8,
    /// Payload size; from 16 bytes on it carries a sequence number and a time: losses, duplicates, latency
    #[arg(long, value_name = "BYTES", default_value_t = 64, help_heading = "Load")]
    pub(super) payload: u32,
    /// The payload is JSON, a number and a text, for a broker whose messages go into a database (shape publish-only)
    #[arg(long, help_heading = "Load")]
    pub(super) json_payload: bool,
    /// Unacknowledged messages per publisher (QoS 1 and 2), and messages per write (QoS 0)
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = "Load")]
    pub(super) window: u16,
    /// Messages published and not yet received by the subscribers, in all [default: publishers x window, at least 200]
    ///
    /// This closed loop keeps a fast publisher from overrunning the broker's queues.
    #[arg(long, value_name = "N", conflicts_with_all = ["flood", "rate"], help_heading = "Load")]
    pub(super) outstanding: Option<u64>,
    /// Do not wait for the subscribers: publish as fast as the broker reads
    #[arg(long, conflicts_with = "rate", help_heading = "Load")]
    pub(super) flood: bool,
    /// Messages a second, in all; latency, also of acknowledgements, is then measured from the time each message was due
    #[arg(long, value_name = "PER_SECOND", help_heading = "Load")]
    pub(super) rate: Option<u32>,
    /// Stop publishing after this time; for idle: hold the connections this long
    /// [default: 10; with --count up to 600]
    #[arg(long, value_name = "SECONDS", help_heading = "Load")]
    pub(super) seconds: Option<f64>,
    /// Stop after this many publications (shape connect: connections), in all
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) count: Option<u64>,
    /// Subscribe with sessions that outlive the connection (removed when the run ends)
    #[arg(long, help_heading = "Load")]
    pub(super) persistent: bool,
    /// Publish while the subscribers are away, then let them come back for their messages
    #[arg(long, help_heading = "Load")]
    pub(super) offline: bool,

    /// Protocol version
    #[arg(long, value_enum, default_value_t = Version::V311, help_heading = "Client")]
    pub(super) mqtt: Version,
    /// Speak TLS
    #[arg(long, help_heading = "Client")]
    pub(super) tls: bool,
    /// PEM file with the authorities to trust
    #[arg(long, value_name = "FILE", requires = "tls", help_heading = "Client")]
    pub(super) cafile: Option<PathBuf>,
    /// Accept any certificate: for measurements only
    #[arg(long, requires = "tls", conflicts_with = "cafile", help_heading = "Client")]
    pub(super) insecure: bool,
    /// User name
    #[arg(long, short, value_name = "NAME", help_heading = "Client")]
    pub(super) user: Option<String>,
    /// Password; visible to other users of this machine, so better use --password-file
    #[arg(
        long,
        value_name = "PASSWORD",
        requires = "user",
        conflicts_with = "password_file",
        help_heading = "Client"
    )]
    pub(super) password: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user", help_heading = "Client")]
    pub(super) password_file: Option<PathBuf>,
    /// User name of the subscribers, if another
    #[arg(long, value_name = "NAME", requires = "subscriber_password_file", help_heading = "Client")]
    pub(super) subscriber_user: Option<String>,
    /// File whose first line is the subscribers' password
    #[arg(long, value_name = "FILE", requires = "subscriber_user", help_heading = "Client")]
    pub(super) subscriber_password_file: Option<PathBuf>,
    /// Client identifiers begin so; p0, p1... and s0, s1... are added [default: bench and a random part]
    #[arg(long, value_name = "TEXT", help_heading = "Client")]
    pub(super) client_prefix: Option<String>,
    /// Topics begin so; /0, /1... are added [default: bench/ and a random part]
    #[arg(long, value_name = "TOPIC", help_heading = "Client")]
    pub(super) topic_prefix: Option<String>,

    /// Process id of the broker, on this machine: reports its CPU seconds and memory
    #[arg(long, help_heading = "Measure")]
    pub(super) pid: Option<u32>,
    /// Threads that make the load; one is enough for most brokers
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Measure")]
    pub(super) threads: u16,
    /// Print the result as one JSON object
    #[arg(long, help_heading = "Measure")]
    pub(super) json: bool,
    /// No progress lines
    #[arg(long, help_heading = "Measure")]
    pub(super) quiet: bool,
}

/// Who sends what to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    /// Every publisher has a topic of its own, every subscriber takes them all by a wildcard
    FanIn,
    /// All publish to one topic, all subscribe to it
    FanOut,
    /// Publisher i publishes to topic i, to which subscriber i subscribes
    Pairs,
    /// Nobody subscribes
    PublishOnly,
    /// Connect, log in, disconnect, again and again
    Connect,
    /// Open connections and hold them
    Idle,
}

impl Shape {
    /// As written on the command line.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::FanIn => "fan-in",
            Self::FanOut => "fan-out",
            Self::Pairs => "pairs",
            Self::PublishOnly => "publish-only",
            Self::Connect => "connect",
            Self::Idle => "idle",
        }
    }

    /// Whether the shape publishes at all.
    pub(super) fn publishes(self) -> bool {
        !matches!(self, Self::Connect | Self::Idle)
    }
}

/// Protocol version of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Version {
    /// MQTT 3.1.1
    #[value(name = "3.1.1")]
    V311,
    /// MQTT 5.0
    #[value(name = "5")]
    V5,
}

impl Version {
    /// As written on the command line.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        }
    }
}
