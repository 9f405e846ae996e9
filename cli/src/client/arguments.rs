//! The options that `pub` and `sub` share: where the broker is, who logs in, how the session behaves. Letters and
//! names are those of mosquitto_pub and mosquitto_sub, as far as there are such options here.

use std::{path::PathBuf, str::FromStr, time::Duration};

use bytes::Bytes;
use gaugeline_protocol::{
    QoS, TopicName, Version,
    packet::{Connect, ConnectProperties, Will},
};

use super::{
    tls,
    url::{PLAIN_PORT, TLS_PORT, Url},
};
use crate::{failure::Failure, files, random, secret::Secret};

/// A session that never expires [MQTT 5.0, section 3.1.2.11.2].
const NEVER_EXPIRES: u32 = u32::MAX;

/// Where the broker is and how to log in.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// The broker as mqtt(s)://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC]
    #[arg(short = 'L', long, value_name = "URL", conflicts_with_all = ["host", "port"])]
    url: Option<Url>,
    /// The broker's host name or address
    #[arg(short = 'h', long, default_value = "localhost")]
    host: String,
    /// The broker's port; by default 8883 with TLS and 1883 without
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// User name
    #[arg(short = 'u', long, alias = "username")]
    user: Option<String>,
    /// Password; other users of this machine may see it: prefer --password-file
    #[arg(short = 'P', long, alias = "pw", allow_hyphen_values = true, conflicts_with = "password_file")]
    password: Option<Secret>,
    /// File that holds the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// MQTT version: 5, 3.1.1 or 3.1
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "5", value_parser = parse_version)]
    protocol_version: Version,
    /// Client identifier; random by default
    #[arg(short = 'i', long)]
    id: Option<String>,
    /// How a random client identifier begins, for brokers whose rights depend on it
    #[arg(short = 'I', long, value_name = "PREFIX", conflicts_with = "id")]
    id_prefix: Option<String>,
    /// Say on stderr what is sent and received
    #[arg(short = 'd', long)]
    debug: bool,
    /// Keep the session: the broker holds messages while the client is away. Needs --id
    #[arg(short = 'c', long, alias = "disable-clean-session", requires = "id")]
    persistent: bool,
    /// How long the broker keeps the session after the connection ends (MQTT 5); with --persistent: for ever
    #[arg(short = 'x', long, value_name = "SECONDS", requires = "id")]
    session_expiry: Option<u32>,
    /// Seconds between two signs of life; 0: none
    #[arg(short = 'k', long, value_name = "SECONDS", default_value_t = 60)]
    keepalive: u16,
    #[command(flatten)]
    will: WillArguments,
    #[command(flatten)]
    tls: tls::Arguments,
    /// Print this help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// The message that the broker publishes if the client vanishes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
struct WillArguments {
    /// Topic of the message that the broker publishes if this client vanishes
    #[arg(long, value_name = "TOPIC", value_parser = parse_topic, help_heading = "Will")]
    will_topic: Option<TopicName>,
    /// Its content
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        requires = "will_topic",
        help_heading = "Will"
    )]
    will_payload: Option<String>,
    /// Its quality of service
    #[arg(
        long, value_name = "0|1|2", default_value = "0", value_parser = parse_qos, requires = "will_topic",
        help_heading = "Will"
    )]
    will_qos: QoS,
    /// Whether the broker retains it
    #[arg(long, requires = "will_topic", help_heading = "Will")]
    will_retain: bool,
}

/// What is needed to connect, free of contradictions.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// DNS name or IP address.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// How to secure the connection; `None`: not at all.
    pub(crate) tls: Option<std::sync::Arc<rustls::ClientConfig>>,
    /// The first packet.
    pub(crate) connect: Connect,
}

impl Arguments {
    /// The topic of `--url`.
    pub(crate) fn url_topic(&self) -> Option<&str> {
        self.url.as_ref().and_then(|url| url.topic.as_deref())
    }

    /// What to log unless `--log` says otherwise.
    pub(crate) fn log_level(&self) -> &'static str {
        if self.debug { "warn,gaugeline=debug" } else { "warn" }
    }

    /// Puts the options together; `prefix` starts the name of a client that has no other.
    pub(crate) fn target(&self, prefix: &str) -> Result<Target, Failure> {
        let url = self.url.as_ref();
        let with_tls = url.is_some_and(|url| url.tls) || self.tls.any() || self.port == Some(TLS_PORT);
        if url.is_some_and(|url| !url.tls) && self.tls.any() {
            return Err(Failure::usage("mqtt:// is a connection without TLS: write mqtts://"));
        }
        if self.tls.insecure && !with_tls {
            return Err(Failure::usage("--insecure says how to use TLS: add --cafile FILE or --tls"));
        }
        let default_port = if with_tls { TLS_PORT } else { PLAIN_PORT };
        Ok(Target {
            host: url.map_or_else(|| self.host.clone(), |url| url.host.clone()),
            port: url.map_or_else(|| self.port.unwrap_or(default_port), |url| url.port),
            tls: if with_tls { Some(self.tls.client_config()?) } else { None },
            connect: self.connect(prefix)?,
        })
    }

    /// The CONNECT packet.
    fn connect(&self, prefix: &str) -> Result<Connect, Failure> {
        let version = self.protocol_version;
        let url = self.url.as_ref();
        let user_name = self.user.clone().or_else(|| url.and_then(|url| url.user.clone()));
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(path)) => Some(Secret::from(files::read_secret(path)?)),
            (None, None) => url.and_then(|url| url.password.clone()),
        };
        if password.is_some() && user_name.is_none() && !version.is_v5() {
            return Err(Failure::usage("a password needs a user name (--user) before MQTT 5"));
        }
        if self.session_expiry.is_some() && !version.is_v5() {
            return Err(Failure::usage("--session-expiry needs MQTT 5: before, --persistent is for ever"));
        }
        let random = || random::bytes::<4>().map(hex::encode);
        let client_id = match (&self.id, &self.id_prefix) {
            (Some(id), _) => id.clone(),
            (None, Some(prefix)) => format!("{prefix}{}", random()?),
            (None, None) => format!("{prefix}-{}", random()?),
        };
        let session_expiry_seconds =
            self.session_expiry.unwrap_or(if self.persistent { NEVER_EXPIRES } else { 0 });
        Ok(Connect {
            version,
            client_id,
            clean_start: !self.persistent,
            keep_alive_seconds: self.keepalive,
            will: self.will.will(),
            user_name,
            password: password.map(|password| Bytes::copy_from_slice(password.as_bytes())),
            properties: ConnectProperties {
                session_expiry_seconds: if version.is_v5() { session_expiry_seconds } else { 0 },
                ..ConnectProperties::default()
            },
        })
    }
}

impl WillArguments {
    /// The will, if a topic is given.
    fn will(&self) -> Option<Will> {
        Some(Will {
            topic: self.will_topic.clone()?,
            payload: self.will_payload.clone().unwrap_or_default().into(),
            qos: self.will_qos,
            retain: self.will_retain,
            delay_seconds: 0,
            message_expiry_seconds: None,
            properties: Bytes::new(),
        })
    }
}

/// 0, 1 or 2.
pub(crate) fn parse_qos(text: &str) -> Result<QoS, String> {
    u8::from_str(text).ok().and_then(QoS::from_bits).ok_or_else(|| "expected 0, 1 or 2".to_owned())
}

/// A topic to publish to.
pub(crate) fn parse_topic(text: &str) -> Result<TopicName, String> {
    TopicName::new(text).map_err(|error| error.to_string())
}

/// The spellings that mosquitto's clients take, and plain numbers.
fn parse_version(text: &str) -> Result<Version, String> {
    match text {
        "5" | "5.0" | "mqttv5" => Ok(Version::V5),
        "311" | "3.1.1" | "4" | "mqttv311" => Ok(Version::V311),
        "31" | "3.1" | "3" | "mqttv31" => Ok(Version::V31),
        _ => Err("expected 5, 3.1.1 or 3.1".to_owned()),
    }
}

/// A time in seconds, fractions allowed. At most a year: more is a typing error.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    const YEAR: f64 = 366.0 * 24.0 * 3600.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=YEAR).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds, such as 5 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(disable_help_flag = true)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn target(line: &str) -> Result<Target, String> {
        let line = Line::try_parse_from(["pub"].into_iter().chain(line.split_whitespace()))
            .map_err(|error| error.to_string())?;
        line.arguments.target("test").map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_place_follows_from_the_options() {
        let directory = tempfile::tempdir().unwrap();
        crate::init::complete(directory.path(), &[]).unwrap();
        let ca = directory.path().join(crate::init::CA_CERTIFICATE);
        let ca = format!("--cafile {}", ca.display());
        for (line, host, port, tls) in [
            ("", "localhost", 1883, false),
            ("-h a -p 7", "a", 7, false),
            (&ca, "localhost", 8883, true),
            (&format!("{ca} -h ::1 -p 1883"), "::1", 1883, true),
            (&format!("{ca} -L mqtts://b"), "b", 8883, true),
            ("-L mqtt://b:9/t", "b", 9, false),
        ] {
            let target = target(line).unwrap();
            assert_eq!(
                (target.host.as_str(), target.port, target.tls.is_some()),
                (host, port, tls),
                "{line}"
            );
        }
    }

    #[test]
    fn login_and_session_follow_from_the_options() {
        let connect = |line: &str| target(line).unwrap().connect;
        let bare = connect("");
        assert!(bare.client_id.starts_with("test-") && bare.clean_start && bare.version.is_v5());
        assert_ne!(bare.client_id, connect("").client_id);
        let url = connect("-L mqtt://u:p@h");
        assert_eq!((url.user_name.as_deref(), url.password.as_deref()), (Some("u"), Some(&b"p"[..])));
        let option = connect("-L mqtt://u:p@h -u v -P -q");
        assert_eq!((option.user_name.as_deref(), option.password.as_deref()), (Some("v"), Some(&b"-q"[..])));
        let prefixed = connect("-I desk-");
        assert!(prefixed.client_id.starts_with("desk-") && prefixed.client_id.len() > 5);
        let kept = connect("-i me -c");
        assert!(!kept.clean_start && kept.properties.session_expiry_seconds == NEVER_EXPIRES);
        assert_eq!(connect("-i me -c -x 60").properties.session_expiry_seconds, 60);
        assert_eq!(connect("-i me -c -V 311").properties.session_expiry_seconds, 0);
        let will = connect("--will-topic w --will-payload -1 --will-qos 1 --will-retain").will.unwrap();
        assert_eq!((will.topic.as_str(), &will.payload[..], will.retain), ("w", &b"-1"[..], true));
        for (text, version) in [("5", Version::V5), ("mqttv311", Version::V311), ("3.1", Version::V31)] {
            assert_eq!(connect(&format!("-V {text}")).version, version);
        }
    }

    #[test]
    fn contradictions_are_explained() {
        for (line, part) in [
            ("-L mqtt://h -h a", "cannot be used with"),
            ("-L mqtt://h --tls", "write mqtts://"),
            ("-L localhost", "expected mqtts://"),
            ("--insecure", "--cafile FILE or --tls"),
            ("--tls --cafile x", "cannot be used with"),
            ("--cert x", "--key"),
            ("--cafile /none", "/none"),
            ("-P x -V 311", "needs a user name"),
            ("-P x --password-file y", "cannot be used with"),
            ("-u x --password-file /none", "/none"),
            ("-c", "--id"),
            ("-i me -I you", "cannot be used with"),
            ("-i me -x 5 -V 311", "needs MQTT 5"),
            ("--will-qos 1", "--will-topic"),
            ("--will-topic a/#", "wildcard"),
            ("-V 6", "expected 5, 3.1.1 or 3.1"),
            ("-p 0", "1..="),
        ] {
            let error = target(line).map(|target| target.host).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn seconds_may_have_fractions_but_no_nonsense() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["-1", "nan", "inf", "1e99", "x", ""] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
