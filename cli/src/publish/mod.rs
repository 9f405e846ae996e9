//! `gaugeline pub`: publishes messages and says what became of them.

mod source;

use std::time::Duration;

use gaugeline_protocol::{QoS, ReasonCode, TopicName, client::Publication};

use crate::{
    client::{self, Connection, Happened, parse_qos, parse_topic},
    failure::Failure,
};
use source::Source;

const EXAMPLES: &str = "\
Examples:
  gaugeline pub --cafile gaugeline-data/pki/ca.crt \\
      -u sensor --password-file gaugeline-data/secrets/sensor \\
      -q 1 -t sensors/kitchen/temperature -m 21.5
  vmstat 1 | gaugeline pub -L mqtt://localhost/host/vmstat -l

It takes the most used options of mosquitto_pub, which mean the same here.

Exit status: 0 all messages are sent and, at QoS 1 and 2, acknowledged; 4 the broker refused \
the login or a message; 1 anything else. A broker can only say that it refused a message with \
MQTT 5 and at QoS 1 or 2.";

/// How many bytes may wait to be sent before the next message is taken from the source.
const PENDING_BYTES_MAX: usize = 64 * 1024;

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
    /// See [`client::Arguments::log_level`].
    pub(crate) fn log_level(&self) -> &'static str {
        self.client.log_level()
    }

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

/// Runs the subcommand.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let topic = arguments.topic()?;
    let target = arguments.client.target("gaugeline-pub")?;
    let source = arguments.source.open(arguments.repeat, arguments.repeat_delay).await?;
    let model = Publication {
        retain: arguments.retain,
        ..Publication::new(topic, arguments.qos, bytes::Bytes::new())
    };
    let mut connection = Connection::open(&target).await?;
    let refusals = publish(&mut connection, source, &model, arguments.quiet).await?;
    connection.close().await?;
    match refusals {
        None => Ok(()),
        Some(Refusals { reason, count }) => Err(Failure::refused(format!(
            "refused: {reason}: {} to {} of user {}",
            crate::output::counted(usize::try_from(count).unwrap_or(usize::MAX), "message"),
            model.topic,
            target.connect.user_name.as_deref().unwrap_or("(none)"),
        ))),
    }
}

/// Messages that the broker did not take.
struct Refusals {
    /// Why, at the first.
    reason: ReasonCode,
    count: u64,
}

/// Publishes all that the source has, and returns when the broker has answered all of it.
async fn publish(
    connection: &mut Connection,
    mut source: Source,
    model: &Publication,
    quiet: bool,
) -> Result<Option<Refusals>, Failure> {
    let mut refusals: Option<Refusals> = None;
    let mut line = Vec::new();
    let mut ended = false;
    loop {
        while let Some(happened) = connection.take()? {
            match happened {
                Happened::Published { reason, .. } if reason.is_error() => {
                    if !quiet {
                        eprintln!("refused: {reason}: a message to {}", model.topic);
                    }
                    refusals.get_or_insert(Refusals { reason, count: 0 }).count += 1;
                }
                Happened::Published { reason: ReasonCode::NoMatchingSubscribers, .. } => {
                    tracing::info!("{} has no subscriber", model.topic);
                }
                // A kept session may bring messages: they stay with the broker.
                Happened::Published { .. }
                | Happened::Subscribed(_)
                | Happened::Unsubscribed
                | Happened::Message(_) => {}
            }
        }
        let pending_bytes = connection.pending_bytes();
        if ended && pending_bytes == 0 && connection.client().unacknowledged() == 0 {
            return Ok(refusals);
        }
        let has_room = model.qos == QoS::AtMostOnce || connection.client().window() > 0;
        let may_publish = !ended && has_room && pending_bytes < PENDING_BYTES_MAX;
        tokio::select! {
            payload = source.next(&mut line), if may_publish => match payload? {
                Some(payload) => {
                    let publication = Publication { payload, ..model.clone() };
                    let (topic, qos, bytes) = (&publication.topic, publication.qos, publication.payload.len());
                    tracing::debug!(%topic, ?qos, bytes, "sending PUBLISH");
                    connection.client().publish(&publication).map_err(Failure::failed)?;
                }
                None => ended = true,
            },
            waited = connection.wait() => waited?,
        }
    }
}
