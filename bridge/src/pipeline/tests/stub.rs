//! A server of which a test decides every answer. Not a server of InfluxDB: what it answers is in the tests.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: String,
    pub(super) body: String,
}

/// What to do about a request.
pub(super) enum Answer {
    /// Status, more headers (each with its line end), body.
    Reply(u16, &'static str, String),
    /// Close the connection without a word.
    Close,
}

impl Answer {
    pub(super) fn written() -> Self {
        Self::Reply(204, "", String::new())
    }
}

/// Runs until it is dropped.
pub(super) struct Stub {
    pub(super) url: String,
    pub(super) requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stub {
    pub(super) async fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move { serve(stream, &seen, &*answer).await });
            }
        });
        Self { url, requests, task }
    }

    /// The bodies of all writes so far.
    pub(super) fn bodies(&self) -> Vec<String> {
        let requests = self.requests.lock();
        requests
            .iter()
            .filter(|request| !request.body.is_empty())
            .map(|request| request.body.clone())
            .collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request) -> Answer + Send + Sync),
) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        seen.lock().push(request.clone());
        let Answer::Reply(status, headers, body) = answer(&request) else { return };
        let reply = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (first, headers) = head.split_once("\r\n").unwrap();
            let length = headers
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                buffer.drain(..head.len() + 4 + length);
                return Some(Request {
                    target: first.split(' ').nth(1).unwrap().to_owned(),
                    headers: headers.to_lowercase(),
                    body: body[..length].to_owned(),
                });
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
