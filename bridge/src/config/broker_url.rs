//! Where the broker is: `mqtts://HOST[:PORT]` or `mqtt://HOST[:PORT]`.

use std::{fmt, str::FromStr};

/// The registered ports of MQTT without and with TLS.
const PORT: u16 = 1883;
const PORT_TLS: u16 = 8883;

/// The address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// `mqtts`.
    pub tls: bool,
    /// A name or an address, an IPv6 address without brackets.
    pub host: String,
    /// 8883 with TLS and 1883 without, unless given.
    pub port: u16,
}

/// Why a text is not the address of a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form mqtts://HOST:PORT or mqtt://HOST:PORT")]
pub struct BrokerUrlError(String);

impl FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(text: &str) -> Result<Self, BrokerUrlError> {
        Self::parse(text).ok_or_else(|| BrokerUrlError(text.to_owned()))
    }
}

impl BrokerUrl {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let tls = match scheme {
            "mqtts" => true,
            "mqtt" => false,
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
            }
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let is_host = |c: char| c.is_alphanumeric() || ['.', '-', '_', ':'].contains(&c);
        if host.is_empty() || !host.chars().all(is_host) {
            return None;
        }
        let port = match port {
            None if tls => PORT_TLS,
            None => PORT,
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        };
        Some(Self { tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, expected) in [
            ("mqtts://localhost", Some("mqtts://localhost:8883")),
            ("mqtt://broker.example/", Some("mqtt://broker.example:1883")),
            ("mqtts://127.0.0.1:9000", Some("mqtts://127.0.0.1:9000")),
            ("mqtt://[::1]", Some("mqtt://[::1]:1883")),
            ("mqtts://[fe80::1]:1", Some("mqtts://[fe80::1]:1")),
            ("localhost:1883", None),
            ("http://localhost", None),
            ("mqtt://", None),
            ("mqtt://:1883", None),
            ("mqtt://host:0", None),
            ("mqtt://host:65536", None),
            ("mqtt://host:x", None),
            ("mqtt://user@host", None),
            ("mqtt://host/path", None),
            ("mqtt://[::1]x", None),
            ("mqtt://[nine]", None),
            ("mqtt://::1", None),
        ] {
            let found = text.parse::<BrokerUrl>().ok().map(|url| url.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
