//! `gaugeline sub`: subscribes and writes the messages to stdout.

mod format;

use std::time::Duration;

use gaugeline_protocol::{QoS, TopicFilter};

use crate::{
    client::{self, parse_qos},
    failure::Failure,
};
use format::{Output, Template};

const EXAMPLES: &str = "\
Examples:
  gaugeline sub --cafile gaugeline-data/pki/ca.crt \\
      -u viewer --password-file gaugeline-data/secrets/viewer \\
      -v -t 'sensors/#'
  gaugeline sub -L 'mqtt://localhost/sensors/#' --json -C 10 -W 60

Options are those of mosquitto_sub.

Placeholders of --format: %t topic, %p payload, %x payload in hex, %l its length in bytes, \
%q QoS, %r retained (0 or 1), %% a percent sign; \\n \\t \\0 \\\\ as in C.

Exit status: 0 after --count messages or Ctrl-C; 4 the broker refused the login or a \
subscription; 27 --timeout is over; 1 anything else.";

/// Subscribe and print messages
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Topic filter to subscribe to (repeatable); may also stand in --url
    #[arg(short = 't', long = "topic", value_name = "FILTER", value_parser = parse_filter)]
    topics: Vec<TopicFilter>,
    /// The highest quality of service to receive
    #[arg(short = 'q', long, value_name = "0|1|2", default_value = "0", value_parser = parse_qos)]
    qos: QoS,
    /// Print the topic before the payload
    #[arg(short = 'v', long, group = "shape")]
    verbose: bool,
    /// Print each message like this; see below
    #[arg(short = 'F', long, value_name = "TEXT", group = "shape")]
    format: Option<Template>,
    /// Print each message as a JSON object
    #[arg(long, group = "shape")]
    json: bool,
    /// Print no line end after a message
    #[arg(short = 'N', long)]
    no_newline: bool,
    /// End after this many messages
    #[arg(short = 'C', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this many seconds, with status 27
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = client::parse_seconds)]
    timeout: Option<Duration>,
    /// Leave out messages that were retained before the subscription
    #[arg(short = 'R', long = "no-retained", alias = "no-stale", conflicts_with = "retained_only")]
    no_retained: bool,
    /// Print retained messages only, and end at the first that is not
    #[arg(long)]
    retained_only: bool,
    #[command(flatten)]
    client: client::Arguments,
}

impl Arguments {
    /// The filters from both places.
    fn filters(&self) -> Result<Vec<TopicFilter>, Failure> {
        let mut filters = self.topics.clone();
        if let Some(text) = self.client.url_topic() {
            let filter =
                parse_filter(text).map_err(|error| Failure::usage(format!("the topic in --url {error}")))?;
            filters.push(filter);
        }
        if filters.is_empty() {
            return Err(Failure::usage("no topic: add --topic FILTER"));
        }
        Ok(filters)
    }

    /// How a message is written.
    fn output(&self) -> Output {
        match &self.format {
            Some(template) => Output::Template(template.clone()),
            None if self.json => Output::Json,
            None if self.verbose => Output::Verbose,
            None => Output::Payload,
        }
    }
}

/// A filter to subscribe to.
fn parse_filter(text: &str) -> Result<TopicFilter, String> {
    TopicFilter::new(text).map_err(|error| error.to_string())
}
