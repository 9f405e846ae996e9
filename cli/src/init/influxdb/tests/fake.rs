//! A server of HTTP whose answers a test decides, with a state between them.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::{Mutex, MutexGuard};

/// A question.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// Decoded.
    pub(super) query: BTreeMap<String, String>,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Request {
    pub(super) fn authorization(&self) -> &str {
        self.headers.get("authorization").map_or("", String::as_str)
    }

    /// The body, which has to be JSON and to say so.
    pub(super) fn json(&self) -> serde_json::Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The body, which has to be a form.
    pub(super) fn form(&self) -> BTreeMap<String, String> {
        assert_eq!(self.headers["content-type"], "application/x-www-form-urlencoded", "{self:?}");
        pairs(&self.body)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    status: u16,
    headers: &'static str,
    body: String,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl ToString) -> Self {
        Self { status, headers: "", body: body.to_string() }
    }

    /// With more headers, each with its line end.
    pub(super) fn with(self, headers: &'static str) -> Self {
        Self { headers, ..self }
    }
}

/// What answers, given the state and a question.
type Answer<S> = fn(&mut S, &Request) -> Reply;

/// A running server. It ends with the test's process.
pub(super) struct Fake<S> {
    address: SocketAddr,
    state: Arc<Mutex<S>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl<S: Send + 'static> Fake<S> {
    pub(super) fn start(state: S, answer: Answer<S>) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), state, answer)
    }

    /// At an address that was free a moment ago.
    pub(super) fn at(address: SocketAddr, state: S, answer: Answer<S>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(state));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (shared, seen) = (Arc::clone(&state), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, seen) = (Arc::clone(&shared), Arc::clone(&seen));
                thread::spawn(move || serve(&stream.unwrap(), &shared, &seen, answer));
            }
        });
        Self { address, state, requests }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, S> {
        self.state.lock()
    }

    /// `METHOD path` of what was asked since the last call.
    pub(super) fn take_requests(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.requests.lock());
        requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

fn serve<S>(stream: &TcpStream, state: &Mutex<S>, seen: &Mutex<Vec<Request>>, answer: Answer<S>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        seen.lock().push(request.clone());
        let Reply { status, headers, body } = answer(&mut state.lock(), &request);
        let length =
            if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let text = format!("HTTP/1.1 {status} Status\r\n{headers}{length}\r\n{body}");
        let mut writer = stream;
        if writer.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let first = read_line(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let body = String::from_utf8(body).unwrap();
    Some(Request { method, path: path.to_owned(), query: pairs(query), headers, body })
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decode(key), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.extend(hex::decode(digits).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
