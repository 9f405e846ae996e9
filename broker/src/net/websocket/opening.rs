//! The opening handshake: an HTTP request that asks for MQTT in a WebSocket, or something else that gets a helpful answer.

use std::io;

use bytes::BytesMut;
use tungstenite::{
    error::{Error, ProtocolError},
    handshake::{
        machine::TryParse as _,
        server::{Request, Response, create_response, write_response},
    },
    http::{HeaderValue, StatusCode, header},
};

use super::WebSocket;
use crate::{config::WebSocketConfig, net::stream::Stream};

/// How much of the request is read at once: most are smaller.
const READ_BYTES: usize = 1024;
/// The names of MQTT that a client may offer [MQTT-6.0.0-3], the best first. The second is that of MQTT 3.1.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Why there is no WebSocket.
#[derive(Debug)]
pub(in crate::net) enum NotOpened {
    /// The stream ended or broke.
    Lost(io::Error),
    /// The request was refused. What the client is told is on the stream already, if it speaks HTTP.
    Refused(Box<Refusal>),
}

/// A request that was refused.
#[derive(Debug)]
pub(in crate::net) struct Refusal {
    /// For the log.
    pub(in crate::net) detail: String,
    /// Whether it was because of the page that the client's script comes from.
    pub(in crate::net) origin: bool,
    /// For what is still to be told to the client.
    pub(in crate::net) stream: Stream,
    /// What is to be told.
    pub(in crate::net) answer: Vec<u8>,
}

/// What a refused request is answered with.
struct Answer {
    status: StatusCode,
    /// A header of its own.
    header: Option<(&'static str, &'static str)>,
    detail: &'static str,
    origin: bool,
}

impl Answer {
    const fn new(status: StatusCode, detail: &'static str) -> Self {
        Self { status, header: None, detail, origin: false }
    }

    fn bytes(&self) -> Vec<u8> {
        let text = format!("{}.\nThis is an MQTT broker: MQTT over WebSocket only.\n", self.detail);
        let extra = self.header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        format!(
            "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: close\r\n{extra}\r\n{text}",
            self.status,
            text.len()
        )
        .into_bytes()
    }
}

/// Reads the request and answers it.
pub(in crate::net) async fn open(
    mut stream: Stream,
    config: &WebSocketConfig,
) -> Result<WebSocket, NotOpened> {
    let refused = match read_request(&mut stream, config.header_bytes_max).await? {
        Received::Request(request) => match accept(&request, config) {
            Ok(response) => return answer(stream, &response).await,
            Err(refused) => refused,
        },
        Received::Other(refused) => refused,
        Received::NoHttp => {
            let detail = "no HTTP request: the client does not speak WebSocket on this port".to_owned();
            let refusal = Refusal { detail, origin: false, stream, answer: Vec::new() };
            return Err(NotOpened::Refused(Box::new(refusal)));
        }
    };
    Err(NotOpened::Refused(Box::new(Refusal {
        detail: format!("WebSocket handshake: {} ({})", refused.detail, refused.status),
        origin: refused.origin,
        stream,
        answer: refused.bytes(),
    })))
}

async fn answer(mut stream: Stream, response: &Response) -> Result<WebSocket, NotOpened> {
    let mut bytes = Vec::new();
    write_response(&mut bytes, response).map_err(|error| NotOpened::Lost(io::Error::other(error)))?;
    stream.write_whole(&bytes).await.map_err(NotOpened::Lost)?;
    Ok(WebSocket::new(stream))
}

enum Received {
    Request(Box<Request>),
    Other(Answer),
    NoHttp,
}

async fn read_request(stream: &mut Stream, bytes_max: usize) -> Result<Received, NotOpened> {
    let mut received = BytesMut::new();
    loop {
        let filled = received.len();
        received.resize((filled + READ_BYTES).min(bytes_max), 0);
        let read = stream.read(received.get_mut(filled..).unwrap_or_default()).await;
        let read = read.map_err(NotOpened::Lost)?;
        if read == 0 {
            return Err(NotOpened::Lost(io::ErrorKind::UnexpectedEof.into()));
        }
        received.truncate(filled + read);
        if received.first().is_some_and(|first| !first.is_ascii_uppercase()) {
            return Ok(Received::NoHttp);
        }
        // Looked for in what is new, and the three bytes before: parsing at every byte would cost a square.
        let unseen = received.get(filled.saturating_sub(3)..).unwrap_or_default();
        if unseen.windows(4).any(|four| four == b"\r\n\r\n") {
            return Ok(parse(&received));
        }
        if received.len() >= bytes_max {
            let detail = "the request is longer than the limit for its headers";
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Ok(Received::Other(Answer::new(status, detail)));
        }
    }
}

fn parse(received: &[u8]) -> Received {
    match Request::try_parse(received) {
        Ok(Some((length, request))) if length == received.len() => Received::Request(Box::new(request)),
        Ok(_) => {
            let detail = "something follows the request before it was answered";
            Received::Other(Answer::new(StatusCode::BAD_REQUEST, detail))
        }
        Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => Received::Other(Answer {
            header: Some(("Allow", "GET")),
            ..Answer::new(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened with GET")
        }),
        Err(Error::Protocol(ProtocolError::WrongHttpVersion)) => Received::Other(Answer::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "a WebSocket is opened with HTTP/1.1",
        )),
        Err(_) => {
            Received::Other(Answer::new(StatusCode::BAD_REQUEST, "the request is not well-formed HTTP"))
        }
    }
}

/// The answer that opens the WebSocket.
fn accept(request: &Request, config: &WebSocketConfig) -> Result<Response, Answer> {
    let mut response = create_response(request).map_err(|error| match error {
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => Answer {
            header: Some(("Upgrade", "websocket")),
            ..Answer::new(StatusCode::UPGRADE_REQUIRED, "the request does not ask for a WebSocket")
        },
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => Answer {
            header: Some(("Sec-WebSocket-Version", "13")),
            ..Answer::new(StatusCode::UPGRADE_REQUIRED, "only version 13 of WebSocket is spoken here")
        },
        _ => Answer::new(StatusCode::BAD_REQUEST, "the request lacks a valid Sec-WebSocket-Key"),
    })?;
    if !may_come_from(request.headers().get_all(header::ORIGIN).iter(), &config.origins) {
        let detail = "the page that the script comes from is not among the `origins` of this listener";
        return Err(Answer { origin: true, ..Answer::new(StatusCode::FORBIDDEN, detail) });
    }
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = offered.iter().filter_map(|value| value.to_str().ok());
    let offered = offered.flat_map(|list| list.split(',').map(str::trim)).collect::<Vec<_>>();
    let Some(chosen) = SUBPROTOCOLS.into_iter().find(|name| offered.contains(name)) else {
        let detail = "the client does not offer the WebSocket subprotocol `mqtt` [MQTT-6.0.0-3]";
        return Err(Answer::new(StatusCode::BAD_REQUEST, detail));
    };
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
    Ok(response)
}

/// Whether a script of such a page may connect. Who says nothing is no browser, and could say anything.
fn may_come_from<'a>(mut found: impl Iterator<Item = &'a HeaderValue>, allowed: &[String]) -> bool {
    let known = |origin: &HeaderValue| {
        allowed.iter().any(|allowed| origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
    };
    allowed.is_empty() || found.all(known)
}
