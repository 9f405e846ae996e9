//! `mqtt://` and `mqtts://` addresses as mosquitto's clients take them:
//! `mqtt(s)://[user[:password]@]host[:port][/topic]`, with percent-encoding in user, password and topic.

use std::str::FromStr;

use crate::secret::Secret;

/// The standard port of MQTT over TLS.
pub(crate) const TLS_PORT: u16 = 8883;
/// The standard port of MQTT.
pub(crate) const PLAIN_PORT: u16 = 1883;

/// An address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Whether the scheme is `mqtts`.
    pub(crate) tls: bool,
    /// DNS name or IP address, without brackets.
    pub(crate) host: String,
    /// The port, by default that of the scheme.
    pub(crate) port: u16,
    /// Who logs in.
    pub(crate) user: Option<String>,
    /// The password.
    pub(crate) password: Option<Secret>,
    /// What stands after the first slash, if anything.
    pub(crate) topic: Option<String>,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = if let Some(rest) = text.strip_prefix("mqtts://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("mqtt://") {
            (false, rest)
        } else {
            return Err("expected mqtts://HOST[:PORT] or mqtt://HOST[:PORT]".to_owned());
        };
        let (authority, topic) = match rest.split_once('/') {
            Some((authority, topic)) => (authority, Some(topic).filter(|topic| !topic.is_empty())),
            None => (rest, None),
        };
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').ok_or(login)) {
            None => (None, None),
            Some(Ok((user, password))) => (Some(decode(user)?), Some(Secret::from(decode(password)?))),
            Some(Err(user)) => (Some(decode(user)?), None),
        };
        let (host, port) = host_and_port(address)?;
        let port = port.unwrap_or(if tls { TLS_PORT } else { PLAIN_PORT });
        Ok(Self { tls, host, port, user, password, topic: topic.map(decode).transpose()? })
    }
}

/// Splits `host`, `host:port`, `[::1]` and `[::1]:port`.
fn host_and_port(address: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("expected `]` after the IPv6 address")?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(format!("expected `:PORT` after `]`, found `{rest}`")),
            }
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() {
        return Err("has no host".to_owned());
    }
    let number = |port: &str| {
        let number = port.parse::<u16>().ok().filter(|number| *number != 0);
        number.ok_or_else(|| format!("`{port}` is not a port (1 to 65535; IPv6 addresses need brackets)"))
    };
    Ok((host.to_owned(), port.map(number).transpose()?))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let encoded = rest.split_at_checked(2).and_then(|(digits, after)| {
            rest = after;
            hex::decode(digits).ok()
        });
        bytes.extend(encoded.ok_or_else(|| format!("`{text}`: expected two hex digits after `%`"))?);
    }
    String::from_utf8(bytes).map_err(|_| format!("`{text}` is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Url, String> {
        text.parse()
    }

    #[test]
    fn an_address_is_taken_apart() {
        let plain = Url {
            tls: false,
            host: "localhost".to_owned(),
            port: 1883,
            user: None,
            password: None,
            topic: None,
        };
        assert_eq!(parse("mqtt://localhost"), Ok(plain.clone()));
        assert_eq!(parse("mqtt://localhost/"), Ok(plain.clone()));
        assert_eq!(parse("mqtts://localhost"), Ok(Url { tls: true, port: 8883, ..plain.clone() }));
        let ipv6 = Url { host: "::1".to_owned(), port: 7, ..plain.clone() };
        assert_eq!(parse("mqtt://[::1]:7"), Ok(ipv6));
        let all = Url {
            user: Some("a@b".to_owned()),
            password: Some(Secret::from("c:d/".to_owned())),
            topic: Some("e/f g".to_owned()),
            ..plain
        };
        assert_eq!(parse("mqtt://a%40b:c:d%2f@localhost/e/f%20g"), Ok(all));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (text, part) in [
            ("localhost", "expected mqtts://"),
            ("mqtt://", "no host"),
            ("mqtt://:1883", "no host"),
            ("mqtt://::1", "no host"),
            ("mqtt://a:b", "not a port"),
            ("mqtt://a:0", "not a port"),
            ("mqtt://[::1", "expected `]`"),
            ("mqtt://[::1]x", "expected `:PORT`"),
            ("mqtt://%4@a", "two hex digits"),
            ("mqtt://%zz@a", "two hex digits"),
            ("mqtt://%ff@a", "not UTF-8"),
        ] {
            assert!(parse(text).unwrap_err().contains(part), "{text}: {:?}", parse(text));
        }
    }
}
