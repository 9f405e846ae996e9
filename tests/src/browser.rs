//! A real browser without a window, and the page that it shows.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::Arc,
    thread,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use rustls::{
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use tempfile::TempDir;

use crate::{process::Process, requirement, wait};

/// A page on loopback, what it is told under `/plan`, and what it reports under `/result`.
#[derive(Debug)]
pub struct Page {
    /// Where it is served.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    html: String,
    plan: Mutex<String>,
    result: Mutex<Option<String>>,
}

impl Page {
    /// Serves this page until the test's process ends.
    ///
    /// # Panics
    /// If the system gives no port.
    pub fn serve(html: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { html, plan: Mutex::default(), result: Mutex::default() });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                // A browser opens connections on which it asks nothing.
                thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { port, shared }
    }

    /// What the page is to do, as JSON.
    pub fn set_plan(&self, plan: String) {
        *self.shared.plan.lock() = plan;
    }

    /// What the page has reported.
    ///
    /// # Panics
    /// If it reports nothing in time, or the browser ends.
    pub fn result(&self, browser: &mut Browser) -> String {
        wait::until_within(wait::LONG_PATIENCE, "the page's report", || {
            browser.process.expect_running();
            self.shared.result.lock().take()
        })
    }
}

fn answer(stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, kind, text) = match request.split(' ').take(2).collect::<Vec<_>>().as_slice() {
        ["GET", "/"] => ("200 OK", "text/html", shared.html.clone()),
        ["GET", "/plan"] => ("200 OK", "application/json", shared.plan.lock().clone()),
        ["POST", "/result"] => {
            *shared.result.lock() = Some(String::from_utf8_lossy(&body).into_owned());
            ("200 OK", "text/plain", String::new())
        }
        _ => ("404 Not Found", "text/plain", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    reader.get_mut().write_all((head + &text).as_bytes()).ok()
}

/// Debian's chromium, which ends with this.
#[derive(Debug)]
pub struct Browser {
    process: Process,
    _profile: TempDir,
}

impl Browser {
    /// Opens the page, with the certificate of this private key as the only one that it trusts beside those of the
    /// system. `None` if there is no browser, see [`requirement`].
    ///
    /// # Panics
    /// If it does not start, or if the key cannot be read.
    pub fn open(page: &Page, trusted_key: &Path) -> Option<Self> {
        let program = requirement::program("chromium")?;
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--disable-extensions", "--disable-breakpad", "--mute-audio"])
            // Nothing but this machine is reached.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--ignore-certificate-errors-spki-list={}", fingerprint(trusted_key)))
            .arg(format!("http://127.0.0.1:{}/", page.port))
            .env("HOME", profile.path());
        Some(Self { process: Process::start("chromium", &mut command), _profile: profile })
    }

    /// Asks it to end.
    ///
    /// # Panics
    /// If it does not.
    pub fn close(self) {
        self.process.terminate();
    }
}

/// SHA-256 of the public key, as chromium wants it.
fn fingerprint(key: &Path) -> String {
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let public = key.public_key().unwrap();
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    BASE64_STANDARD.encode(suite.common.hash_provider.hash(public.as_ref()).as_ref())
}
