//! One question to an admin server, over HTTP/1.1, with a time limit.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;

use crate::{clock, failure::Failure};

/// A page of clients is the largest answer; whoever sends more is something else.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    /// Takes a whole answer apart.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, body: body.to_owned() })
    }

    /// The body, if it is what was asked for.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.body).map_err(|_| self.failure())
    }

    /// What the server says instead of what was asked for.
    pub(super) fn failure(&self) -> Failure {
        let body = serde_json::from_str::<serde_json::Value>(&self.body).unwrap_or_default();
        let error = body.get("error").and_then(serde_json::Value::as_str);
        let text = match error {
            Some(error) => error.to_owned(),
            None => format!("expected the answer of a broker, found status {}", self.status),
        };
        match self.status {
            401 | 403 => Failure::refused(text),
            _ => Failure::failed(text),
        }
    }
}

/// The whole answer, head and body. `header` holds further lines, each with its line end.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    header: &str,
    time_max: Duration,
) -> io::Result<Vec<u8>> {
    let deadline = clock::now() + time_max;
    let late =
        || io::Error::new(io::ErrorKind::TimedOut, format!("it took longer than {} s", time_max.as_secs()));
    let mut stream = TcpStream::connect_timeout(&address, remaining(deadline).ok_or_else(late)?)?;
    stream.set_write_timeout(Some(remaining(deadline).ok_or_else(late)?))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        stream.set_read_timeout(Some(remaining(deadline).ok_or_else(late)?))?;
        let length = match stream.read(&mut part) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            read => read?,
        };
        answer.extend(part.iter().take(length));
        if length == 0 || answer.len() > ANSWER_BYTES_MAX {
            return Ok(answer);
        }
    }
}

/// How long is left; `None` if nothing is.
fn remaining(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(clock::now())).filter(|left| !left.is_zero())
}

/// A text as one segment of a path, or as a value of a query [RFC 3986, section 2].
pub(super) fn escaped(text: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let each = text.bytes().map(|byte| match is_plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    each.collect()
}
