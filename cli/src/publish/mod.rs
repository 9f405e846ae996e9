//! `gaugeline pub`: publishes messages and says what became of them.

mod source;

use std::time::Duration;

use gaugeline_protocol::{QoS, TopicName};

use crate::{
    client::{self, parse_qos, parse_topic},
    failure::Failure,
};

const EXAMPLES: &str = "\
Examples:
  gaugeline pub --cafile gaugeline-data/pki/ca.crt \\
      -u sensor --password-file gaugeline-data/secrets/sensor \\
      -q 1 -t sensors/kitchen/temperature -m 21.5
  vmstat 1 | gaugeline pub -L mqtt://localhost/host/vmstat -l

Options are those of mosquitto_pub.

Exit status: 0 all messages are sent and, at QoS 1 and 2, acknowledged; 4 the broker refused \
the login or a message; 1 anything else. A broker can only say that it refused a message with \
MQTT 5 and at QoS 1 or 2.";

/// Publish messages
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Topic to publish to; may also stand in --url
    #[arg(short = 't', long, value_parser = parse_topic)]
    topic: Option<TopicName>,
    #[command(flatten)]
    source: source::Arguments,
    /// Quality of service: 0 at most once, 1 at least once, 2 exactly once
    #[arg(short = 'q', long, value_name = "0|1|2", default_value = "0", value_parser = parse_qos)]
    qos: QoS,
    /// Ask the broker to keep the message for future subscribers
    #[arg(short = 'r', long)]
    retain: bool,
    /// Send the message this many times
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Seconds between two times
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = client::parse_seconds)]
    repeat_delay: Duration,
    /// Do not say that messages were refused; the exit status still does
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    client: client::Arguments,
}

impl Arguments {
    /// The topic from either place.
    fn topic(&self) -> Result<TopicName, Failure> {
        match (&self.topic, self.client.url_topic()) {
            (Some(topic), None) => Ok(topic.clone()),
            (None, Some(text)) => {
                parse_topic(text).map_err(|error| Failure::usage(format!("the topic in --url {error}")))
            }
            (None, None) => Err(Failure::usage("no topic: add --topic TOPIC")),
            (Some(_), Some(_)) => Err(Failure::usage("--topic and a topic in --url: give one of them")),
        }
    }
}
