//! `gaugeline sub`: subscribes and writes the messages to stdout.

mod format;

use std::{
    io::{self, BufWriter, Stdout, Write},
    pin::pin,
    time::Duration,
};

use gaugeline_protocol::{
    QoS, ReasonCode, TopicFilter,
    client::Receipt,
    packet::{RetainHandling, SubscribeFilter},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    client::{self, Connection, Happened, parse_qos},
    clock,
    failure::Failure,
    signals::Shutdown,
};
use format::{Message, Output, Template};

const EXAMPLES: &str = "\
Examples:
  gaugeline sub --cafile gaugeline-data/pki/ca.crt \\
      -u viewer --password-file gaugeline-data/secrets/viewer \\
      -v -t 'sensors/#'
  gaugeline sub -L 'mqtt://localhost/sensors/#' --json -C 10 -W 60

It takes the most used options of mosquitto_sub, which mean the same here.

Placeholders of --format: %t topic, %p payload, %x payload in hex, %l its length in bytes, \
%q QoS, %r retained (0 or 1), %I time of arrival (ISO 8601), %U the same in seconds since 1970, \
%j all of it as JSON, %% a percent sign; \\n \\t \\0 \\\\ as in C.

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
    /// Topic filter of messages that are not printed (repeatable)
    #[arg(short = 'T', long = "filter-out", value_name = "FILTER", value_parser = parse_filter)]
    filter_out: Vec<TopicFilter>,
    /// Topic filter to unsubscribe from, of a session that was kept (repeatable)
    #[arg(short = 'U', long = "unsubscribe", value_name = "FILTER", value_parser = parse_filter)]
    unsubscribe: Vec<TopicFilter>,
    /// End once the broker has answered the subscriptions, as to begin a session that it keeps
    #[arg(short = 'E')]
    end_when_subscribed: bool,
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
    /// See [`client::Arguments::log_level`].
    pub(crate) fn log_level(&self) -> &'static str {
        self.client.log_level()
    }

    /// The filters from both places.
    fn filters(&self) -> Result<Vec<TopicFilter>, Failure> {
        let mut filters = self.topics.clone();
        if let Some(text) = self.client.url_topic() {
            let filter =
                parse_filter(text).map_err(|error| Failure::usage(format!("the topic in --url {error}")))?;
            filters.push(filter);
        }
        if filters.is_empty() && self.unsubscribe.is_empty() {
            return Err(Failure::usage("no topic: add --topic FILTER"));
        }
        Ok(filters)
    }

    /// What to ask the broker for.
    fn subscription(&self, filter: TopicFilter) -> SubscribeFilter {
        SubscribeFilter {
            filter,
            qos: self.qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: if self.no_retained {
                RetainHandling::Never
            } else {
                RetainHandling::OnSubscribe
            },
        }
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

/// Runs the subcommand.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let filters = arguments.filters()?;
    let target = arguments.client.target("gaugeline-sub")?;
    let mut shutdown = Shutdown::listen()?;
    let time_over = async {
        match arguments.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
        Failure::timed_out("the time of --timeout is over")
    };
    let mut time_over = pin!(time_over);
    let mut connection = tokio::select! {
        opened = Connection::open(&target) => opened?,
        () = shutdown.requested() => return Ok(()),
        late = &mut time_over => return Err(late),
    };
    if connection.session_present() {
        tracing::info!("the broker kept the session");
    }
    request(&mut connection, arguments, &filters)?;
    let ended = tokio::select! {
        ended = receive(&mut connection, Printer::new(arguments), &filters) => ended,
        () = shutdown.requested() => Ok(()),
        late = &mut time_over => Err(late),
    };
    // However it ended: a client that takes no leave has its will published.
    let closed = connection.close().await;
    ended.and(closed)
}

/// Asks for what is wanted, and for what is no longer wanted.
fn request(
    connection: &mut Connection,
    arguments: &Arguments,
    filters: &[TopicFilter],
) -> Result<(), Failure> {
    let names = |filters: &[TopicFilter]| filters.iter().map(TopicFilter::to_string).collect::<Vec<_>>();
    if !arguments.unsubscribe.is_empty() {
        tracing::debug!(filters = ?names(&arguments.unsubscribe), "sending UNSUBSCRIBE");
        connection.client().unsubscribe(arguments.unsubscribe.clone()).map_err(Failure::failed)?;
    }
    if !filters.is_empty() {
        tracing::debug!(filters = ?names(filters), qos = ?arguments.qos, "sending SUBSCRIBE");
        let subscribe = filters.iter().map(|filter| arguments.subscription(filter.clone())).collect();
        connection.client().subscribe(subscribe, None).map_err(Failure::failed)?;
    }
    Ok(())
}

/// Prints messages until there are enough, or nobody reads stdout any more.
async fn receive(
    connection: &mut Connection,
    mut printer: Printer<'_>,
    filters: &[TopicFilter],
) -> Result<(), Failure> {
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut unanswered =
        usize::from(!filters.is_empty()) + usize::from(!printer.arguments.unsubscribe.is_empty());
    loop {
        while !printer.done
            && let Some(happened) = connection.take()?
        {
            match happened {
                Happened::Message(message) => {
                    printer.print(&message)?;
                    receipts.extend(message.receipt.filter(|_| !printer.broken));
                }
                Happened::Subscribed(ack) => {
                    report(filters, &ack.reasons)?;
                    unanswered = unanswered.saturating_sub(1);
                }
                Happened::Unsubscribed => unanswered = unanswered.saturating_sub(1),
                Happened::Published { .. } => {}
            }
            printer.done |= printer.arguments.end_when_subscribed && unanswered == 0;
        }
        // A message is acknowledged once it is printed for good.
        printer.flush()?;
        for receipt in receipts.drain(..).take_while(|_| !printer.broken) {
            connection.client().acknowledge(receipt);
        }
        if printer.done {
            return Ok(());
        }
        connection.wait().await?;
    }
}

/// Says which filters were refused; fails if all were.
fn report(filters: &[TopicFilter], reasons: &[ReasonCode]) -> Result<(), Failure> {
    let refused = || filters.iter().zip(reasons).filter(|(_, reason)| reason.is_error());
    for (filter, reason) in refused() {
        eprintln!("refused: {reason}: subscription to {}", filter.as_str());
    }
    if refused().count() == filters.len() {
        return Err(Failure::refused("the broker refused every subscription"));
    }
    Ok(())
}

/// Writes messages to stdout.
struct Printer<'a> {
    arguments: &'a Arguments,
    output: Output,
    out: BufWriter<Stdout>,
    printed: u64,
    /// Whether no further message is wanted.
    done: bool,
    /// Whether nobody reads stdout any more, so that nothing is printed for good.
    broken: bool,
}

impl<'a> Printer<'a> {
    fn new(arguments: &'a Arguments) -> Self {
        let out = BufWriter::new(io::stdout());
        Self { arguments, output: arguments.output(), out, printed: 0, done: false, broken: false }
    }

    /// Writes a message, if it is wanted.
    fn print(&mut self, message: &client::Message) -> Result<(), Failure> {
        if message.retain && self.arguments.no_retained {
            return Ok(());
        }
        if !message.retain && self.arguments.retained_only {
            self.done = true;
            return Ok(());
        }
        let is_out = |filter: &TopicFilter| filter.matches(&message.topic);
        if self.arguments.filter_out.iter().any(is_out) {
            return Ok(());
        }
        let at = Timestamp::try_from(clock::time_of_day()).map_err(Failure::failed)?;
        let at = at.to_zoned(TimeZone::system());
        let line = Message {
            at: &at,
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos as u8,
            retain: message.retain,
            content_type: message.content_type.as_deref(),
        };
        let end: &[u8] = if self.arguments.no_newline { b"" } else { b"\n" };
        let written = self.output.write(&line, &mut self.out).and_then(|()| self.out.write_all(end));
        self.printed += 1;
        self.done = self.arguments.count.is_some_and(|count| self.printed >= count);
        self.check(written)
    }

    /// Hands everything to whoever reads stdout.
    fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        self.check(flushed)
    }

    /// A reader that went away, such as `head`, has had enough: that is no failure.
    fn check(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                (self.done, self.broken) = (true, true);
                Ok(())
            }
            written => written.map_err(|error| Failure::failed(format!("stdout: {error}"))),
        }
    }
}

/// A filter to subscribe to.
fn parse_filter(text: &str) -> Result<TopicFilter, String> {
    TopicFilter::new(text).map_err(|error| error.to_string())
}
