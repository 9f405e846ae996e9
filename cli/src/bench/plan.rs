//! What a run will do: the options, checked against each other and against hard limits. Everything behind it relies on
//! these checks.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, pki_types::ServerName};

use super::{
    failure::Failure,
    options::{Options, Shape, Version},
    tls,
    wire::Connect,
};

/// Connections of one kind in one run: what the local ports of the loopback addresses 127.0.0.1 to 127.0.0.10 carry.
const CONNECTIONS_MAX: u32 = 200_000;
/// Largest payload: enough to see how a broker treats large messages.
const PAYLOAD_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Largest window of a publisher; packet ids stay unique far below their 65,535.
const WINDOW_MAX: u16 = 10_000;
/// Most messages published and not received, in bytes of payload: what the generator may put into a broker's memory.
const OUTSTANDING_BYTES_MAX: u64 = 1 << 30;
/// Smallest default of the closed loop: one publisher alone must be able to keep many subscribers busy.
const OUTSTANDING_MIN: u64 = 200;
const SECONDS_DEFAULT: f64 = 10.0;
/// Bound of a run that is to end by `--count`.
const SECONDS_WITH_COUNT: f64 = 600.0;
const SECONDS_MAX: f64 = 86_400.0;
/// Sequence numbers have 40 bits; this is less.
const COUNT_MAX: u64 = 1_000_000_000_000;
const RATE_MAX: u32 = 10_000_000;
const THREADS_MAX: u16 = 64;
/// Each subscriber follows each publisher whose messages it receives: 16 bytes each.
const SEQUENCES_MAX: u64 = 10_000_000;
/// Shortest payload that carries sequence number and time.
pub(super) const STAMP_BYTES: u32 = 16;
/// Shortest payload with `--json-payload`: `{"value":1.0123456789012,"text":""}`.
const JSON_BYTES_MIN: u32 = 35;

/// A checked run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(super) version: Version,
    pub(super) publishers: u32,
    pub(super) subscribers: u32,
    /// Idle connections, or simultaneous connects.
    pub(super) connections: u32,
    pub(super) qos: u8,
    pub(super) payload_bytes: u32,
    pub(super) json_payload: bool,
    pub(super) window: u16,
    /// Closed loop: messages published and not received. `None` = open.
    pub(super) outstanding: Option<u64>,
    pub(super) rate: Option<u32>,
    pub(super) duration: Duration,
    pub(super) count: Option<u64>,
    pub(super) persistent: bool,
    pub(super) offline: bool,
    pub(super) pid: Option<u32>,
    pub(super) threads: u16,
    pub(super) quiet: bool,
    /// Marks the messages of this run.
    pub(super) tag: u16,
    /// All times on the wire count from here.
    pub(super) epoch: Instant,
    client_prefix: String,
    topic_prefix: String,
    publisher_login: Login,
    subscriber_login: Login,
}

#[derive(Debug, Clone, Default)]
struct Login {
    user: Option<String>,
    password: Option<Vec<u8>>,
}

/// Which side of the load a client is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Publishes, or only connects.
    Publisher,
    Subscriber,
}

impl Plan {
    /// Checks the options; `tag` marks the run.
    ///
    /// # Errors
    /// [`Failure::Usage`] if they make no sense together, [`Failure::Failed`] if a host or file cannot be used.
    pub(super) fn new(options: &Options, tag: u16, epoch: Instant) -> Result<Self, Failure> {
        let (publishers, subscribers) = parties(options)?;
        let connections = match options.shape {
            Shape::Idle => options.connections.unwrap_or(1000),
            _ => options.connections.unwrap_or(50),
        };
        in_range("--publishers", publishers, 1, CONNECTIONS_MAX)?;
        in_range("--subscribers", subscribers.max(1), 1, CONNECTIONS_MAX)?;
        in_range("--connections", connections, 1, CONNECTIONS_MAX)?;
        in_range("--payload", options.payload, 0, PAYLOAD_BYTES_MAX)?;
        in_range("--window", options.window, 1, WINDOW_MAX)?;
        in_range("--threads", options.threads, 1, THREADS_MAX)?;
        in_range("--count", options.count.unwrap_or(1), 1, COUNT_MAX)?;
        in_range("--rate", options.rate.unwrap_or(1), 1, RATE_MAX)?;
        check_offline(options)?;
        check_json(options)?;
        let followed = u64::from(publishers) * u64::from(subscribers);
        if options.shape == Shape::FanIn && followed > SEQUENCES_MAX && options.payload >= STAMP_BYTES {
            return Err(Failure::usage(format!(
                "{publishers} publishers x {subscribers} subscribers are more than {SEQUENCES_MAX} sequences to \
                 follow: use fewer, or --payload {} without sequence numbers",
                STAMP_BYTES - 1
            )));
        }
        let port = options.port.unwrap_or(if options.tls { 8883 } else { 1883 });
        let publisher_login =
            login(&options.user, options.password.as_deref(), options.password_file.as_deref())?;
        let subscriber_login = match &options.subscriber_user {
            Some(_) => login(&options.subscriber_user, None, options.subscriber_password_file.as_deref())?,
            None => publisher_login.clone(),
        };
        Ok(Self {
            shape: options.shape,
            address: resolve(&options.host, port, options.allow_remote)?,
            tls: tls::configure(options)?,
            version: options.mqtt,
            publishers,
            subscribers,
            connections,
            qos: options.qos,
            payload_bytes: options.payload,
            json_payload: options.json_payload,
            window: options.window,
            outstanding: outstanding(options, publishers)?,
            rate: options.rate,
            duration: duration(options)?,
            count: options.count,
            persistent: options.persistent || options.offline,
            offline: options.offline,
            pid: options.pid,
            threads: options.threads,
            quiet: options.quiet,
            tag,
            epoch,
            client_prefix: prefix("--client-prefix", &options.client_prefix, &format!("bench{tag:04x}"))?,
            topic_prefix: prefix("--topic-prefix", &options.topic_prefix, &format!("bench/{tag:04x}"))?,
            publisher_login,
            subscriber_login,
        })
    }

    /// How many subscribers receive each message.
    pub(super) fn copies(&self) -> u64 {
        match self.shape {
            Shape::FanIn | Shape::FanOut => u64::from(self.subscribers),
            Shape::Pairs => 1,
            Shape::PublishOnly | Shape::Connect | Shape::Idle => 0,
        }
    }

    /// Topic of a publisher.
    pub(super) fn topic(&self, publisher: u32) -> String {
        let number = if self.shape == Shape::FanOut { 0 } else { publisher };
        format!("{}/{number}", self.topic_prefix)
    }

    /// Filter of a subscriber.
    pub(super) fn filter(&self, subscriber: u32) -> String {
        match self.shape {
            Shape::FanIn => format!("{}/+", self.topic_prefix),
            Shape::FanOut => format!("{}/0", self.topic_prefix),
            _ => format!("{}/{subscriber}", self.topic_prefix),
        }
    }

    /// The publishers whose messages a subscriber receives: the first, and how many.
    pub(super) fn followed(&self, subscriber: u32) -> (u32, u32) {
        if self.shape == Shape::Pairs { (subscriber, 1) } else { (0, self.publishers) }
    }

    /// How many messages a publisher may send in all.
    pub(super) fn share(&self, publisher: u32) -> u64 {
        let publishers = u64::from(self.publishers);
        self.count.map_or(COUNT_MAX, |count| {
            count / publishers + u64::from(u64::from(publisher) < count % publishers)
        })
    }

    /// The CONNECT packet of a client. `clean` and `keep`: how its session begins and ends.
    pub(super) fn connect(&self, side: Side, number: u64, clean: bool, keep: bool) -> Vec<u8> {
        let (letter, login) = match side {
            Side::Publisher => ('p', &self.publisher_login),
            Side::Subscriber => ('s', &self.subscriber_login),
        };
        let client_id = format!("{}{letter}{number}", self.client_prefix);
        Connect {
            version: self.version,
            client_id: &client_id,
            clean,
            keep,
            user: login.user.as_deref(),
            password: login.password.as_deref(),
        }
        .encode()
    }
}

/// Publishers and subscribers of the shape.
fn parties(options: &Options) -> Result<(u32, u32), Failure> {
    let shape = options.shape.as_str();
    let given = (options.publishers, options.subscribers);
    if given != (None, None) && !options.shape.publishes() {
        return Err(Failure::usage(format!(
            "--shape {shape} takes --connections, not publishers or subscribers"
        )));
    }
    if options.connections.is_some() && options.shape.publishes() {
        return Err(Failure::usage(format!(
            "--shape {shape} takes --publishers and --subscribers, not --connections"
        )));
    }
    match (options.shape, given) {
        (Shape::FanIn, (publishers, subscribers)) => {
            Ok((publishers.unwrap_or(100), subscribers.unwrap_or(1)))
        }
        (Shape::FanOut, (publishers, subscribers)) => {
            Ok((publishers.unwrap_or(1), subscribers.unwrap_or(500)))
        }
        (Shape::Pairs, (Some(publishers), Some(subscribers))) if publishers != subscribers => {
            Err(Failure::usage("--shape pairs needs as many subscribers as publishers: give one of the two"))
        }
        (Shape::Pairs, (publishers, subscribers)) => {
            let pairs = publishers.or(subscribers).unwrap_or(50);
            Ok((pairs, pairs))
        }
        (Shape::PublishOnly, (_, Some(1..))) => {
            Err(Failure::usage("--shape publish-only has no subscribers: use fan-in, fan-out or pairs"))
        }
        (Shape::PublishOnly, (publishers, _)) => Ok((publishers.unwrap_or(50), 0)),
        (Shape::Connect | Shape::Idle, _) => Ok((1, 0)),
    }
}

fn check_offline(options: &Options) -> Result<(), Failure> {
    let subscribed = matches!(options.shape, Shape::FanIn | Shape::FanOut | Shape::Pairs);
    if (options.offline || options.persistent) && !subscribed {
        return Err(Failure::usage(
            "--persistent and --offline need a shape with subscribers: fan-in, fan-out, pairs",
        ));
    }
    if options.offline && options.qos == 0 {
        return Err(Failure::usage("--offline needs --qos 1 or 2: at QoS 0 nothing is kept for who is away"));
    }
    Ok(())
}

fn check_json(options: &Options) -> Result<(), Failure> {
    if !options.json_payload {
        return Ok(());
    }
    if options.shape != Shape::PublishOnly {
        return Err(Failure::usage(
            "--json-payload needs --shape publish-only: subscribers look for sequence numbers, which it has not",
        ));
    }
    in_range("--payload (with --json-payload)", options.payload, JSON_BYTES_MIN, PAYLOAD_BYTES_MAX).map(drop)
}

fn outstanding(options: &Options, publishers: u32) -> Result<Option<u64>, Failure> {
    // Nobody receives while the subscribers are away: the window of acknowledgements is the only loop then.
    if options.flood || options.rate.is_some() || options.offline || options.shape == Shape::PublishOnly {
        return Ok(None);
    }
    let bytes_max = OUTSTANDING_BYTES_MAX / u64::from(options.payload.max(64));
    match options.outstanding {
        Some(given) => in_range("--outstanding (for this payload)", given, 1, bytes_max).map(Some),
        None => {
            Ok(Some((u64::from(publishers) * u64::from(options.window)).max(OUTSTANDING_MIN).min(bytes_max)))
        }
    }
}

fn duration(options: &Options) -> Result<Duration, Failure> {
    let default = if options.count.is_some() { SECONDS_WITH_COUNT } else { SECONDS_DEFAULT };
    let seconds = options.seconds.unwrap_or(default);
    if !(0.01..=SECONDS_MAX).contains(&seconds) {
        return Err(Failure::usage(format!("--seconds is {seconds}; it must be from 0.01 to {SECONDS_MAX}")));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn in_range<N: PartialOrd + std::fmt::Display>(
    name: &str,
    value: N,
    least: N,
    most: N,
) -> Result<N, Failure> {
    if value < least || value > most {
        return Err(Failure::usage(format!("{name} is {value}; it must be from {least} to {most}")));
    }
    Ok(value)
}

/// A prefix short enough for every text field, and without wildcards.
fn prefix(name: &str, given: &Option<String>, default: &str) -> Result<String, Failure> {
    let prefix = given.as_deref().unwrap_or(default);
    if prefix.len() > 1000 || prefix.contains(['+', '#', '\0']) {
        return Err(Failure::usage(format!("{name} must be at most 1000 bytes without +, # and NUL")));
    }
    Ok(prefix.to_owned())
}

fn login(user: &Option<String>, password: Option<&str>, file: Option<&Path>) -> Result<Login, Failure> {
    let password = match (password, file) {
        (Some(password), _) => Some(password.as_bytes().to_vec()),
        (None, Some(path)) => {
            let content = fs::read(path).map_err(|error| {
                Failure::failed(format!(
                    "{}: {error}: give a file whose first line is the password",
                    path.display()
                ))
            })?;
            content.split(|byte| matches!(byte, b'\n' | b'\r')).next().map(<[u8]>::to_vec)
        }
        (None, None) => None,
    };
    let too_long = |text: &[u8]| text.len() > usize::from(u16::MAX);
    if user.as_ref().is_some_and(|user| too_long(user.as_bytes()))
        || password.as_deref().is_some_and(too_long)
    {
        return Err(Failure::usage("user name and password must be at most 65535 bytes"));
    }
    Ok(Login { user: user.clone(), password })
}

/// Finds the broker, and refuses to load a machine that the user has not said to own.
fn resolve(host: &str, port: u16, allow_remote: bool) -> Result<SocketAddr, Failure> {
    let unknown = |error: io::Error| Failure::failed(format!("--host {host}: {error}"));
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(unknown)?.collect();
    if let Some(remote) = addresses.iter().find(|address| !is_loopback(address.ip()))
        && !allow_remote
    {
        return Err(Failure::usage(format!(
            "--host {host} is {}, another machine: a load generator can take a broker down; add --allow-remote if \
             that broker is yours to load",
            remote.ip()
        )));
    }
    // A broker that listens on "localhost" does so by IPv4 more often than by both.
    addresses.sort_by_key(|address| !address.is_ipv4());
    addresses.first().copied().ok_or_else(|| Failure::failed(format!("--host {host} has no address")))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests;
