//! A client for the few requests that tests make: HTTP/1.0, so that the end of the connection is the end of the body.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A server that has accepted a request and says nothing for this long is as good as none.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// GET of a path, with its query, from a loopback port. `None` if nothing answers.
pub fn get(port: u16, path: &str) -> Option<Answer> {
    request(port, &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"))
}

/// GET of a path, with a bearer token.
pub fn get_with_token(port: u16, path: &str, token: &str) -> Option<Answer> {
    request(port, &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"))
}

/// POST without a body, with a bearer token.
pub fn post_with_token(port: u16, path: &str, token: &str) -> Option<Answer> {
    let head = format!("POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n");
    request(port, &format!("{head}Content-Length: 0\r\n\r\n"))
}

/// POST of a form's body.
pub fn post(port: u16, path: &str, body: &str) -> Option<Answer> {
    request(
        port,
        &format!(
            "POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

fn request(port: u16, text: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(READ_TIMEOUT)).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

/// A text for use in a query string or a form.
pub fn escape(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A number of `/metrics` at this port: the sum over all label values that contain `labels`. 0 if there is none.
///
/// # Panics
/// If the metrics cannot be read.
pub fn metric(port: u16, name: &str, labels: &str) -> f64 {
    let text = get(port, "/metrics").unwrap().body;
    text.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| line.contains(labels))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}
