//! Stand-ins for InfluxDB 2 and 3, which Debian does not package. They answer as the documentation and the observed
//! behaviour of InfluxDB 2.7 and 3.6 say: what they prove is that requests have the right form and that answers are
//! understood, not that a real server would take them.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use flate2::read::MultiGzDecoder;
use parking_lot::Mutex;

/// A request as a server sees it.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET or POST.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query, still escaped.
    pub query: HashMap<String, String>,
    /// The header fields, names in lower case.
    pub headers: HashMap<String, String>,
    /// The body, inflated if it was compressed.
    pub body: String,
}

/// What to answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Reply {
    /// An answer with this status and body.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into() }
    }
}

/// A running stub. It ends with the test's process.
#[derive(Debug)]
pub struct Stub {
    /// Where it listens, on loopback.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Answers to the next writes; without any it takes everything.
    replies: VecDeque<Reply>,
    requests: Vec<Request>,
    answers: Vec<u16>,
}

impl Stub {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no port.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(&stream.unwrap(), &state));
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers the next write so; further ones wait their turn.
    pub fn reply(&self, reply: Reply) {
        self.state.lock().replies.push_back(reply);
    }

    /// The writes that came so far.
    pub fn writes(&self) -> Vec<Request> {
        self.state.lock().requests.clone()
    }

    /// The lines of the writes that were taken.
    pub fn lines_taken(&self) -> Vec<String> {
        let state = self.state.lock();
        let taken = state.requests.iter().zip(&state.answers).filter(|(_, status)| **status == 204);
        taken.flat_map(|(request, _)| request.body.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        let is_write = request.method == "POST";
        let mut state = state.lock();
        let reply = if is_write { state.replies.pop_front() } else { None };
        let reply = reply.unwrap_or_else(|| Reply::new(204, ""));
        if is_write {
            state.requests.push(request);
            state.answers.push(reply.status);
        }
        drop(state);
        let Reply { status, body } = reply;
        // No content, so no length either [RFC 9110, section 8.6].
        let length =
            if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let answer =
            format!("HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{length}\r\n{body}");
        let mut writer = stream;
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads a request with a `Content-Length`. `None` at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let first = read_line(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        let mut inflated = Vec::new();
        MultiGzDecoder::new(body.as_slice()).read_to_end(&mut inflated).unwrap();
        body = inflated;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Some(Request { method, path: path.to_owned(), query, headers, body: String::from_utf8(body).unwrap() })
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
}
