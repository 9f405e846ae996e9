//! A mosquitto of one's own: on a free port of the loopback, stopped when dropped.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::TempDir;

/// Where Debian puts it, which is not in everybody's path.
const PROGRAMS: [&str; 2] = ["/usr/sbin/mosquitto", "mosquitto"];
/// Another process may take a port between looking and listening.
const ATTEMPTS: usize = 5;

/// A running broker.
pub(crate) struct Mosquitto {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    child: Child,
    _directory: TempDir,
}

impl Mosquitto {
    /// Starts it with these lines of configuration for its one listener.
    pub(crate) fn start(configuration: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), configuration)
    }

    /// With a password file of one user.
    pub(crate) fn start_with_user(user: &str, password: &str, configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("passwd");
        let status =
            Command::new("mosquitto_passwd").args(["-c", "-b"]).arg(&file).args([user, password]).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "mosquitto_passwd is missing: apt-get install mosquitto"
        );
        let configuration =
            format!("allow_anonymous false\npassword_file {}\n{configuration}", file.display());
        Self::start_in(directory, &configuration)
    }

    /// With an ACL file for anybody.
    pub(crate) fn start_with_acl(acl: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("acl");
        fs::write(&file, acl).expect("written");
        let configuration = format!("allow_anonymous true\nacl_file {}\n", file.display());
        Self::start_in(directory, &configuration)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn start_in(directory: TempDir, configuration: &str) -> Self {
        let mut log = String::new();
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let file = directory.path().join("mosquitto.conf");
            let head = format!("listener {port} 127.0.0.1\nlog_dest stderr\nuser root\n");
            fs::write(&file, head + configuration).expect("written");
            let mut child = PROGRAMS
                .iter()
                .find_map(|program| {
                    Command::new(program)
                        .arg("-c")
                        .arg(&file)
                        .stderr(Stdio::piped())
                        .stdout(Stdio::null())
                        .spawn()
                        .ok()
                })
                .expect("mosquitto is missing, and this test needs a real broker: apt-get install mosquitto");
            let mut lines = BufReader::new(child.stderr.take().expect("piped"));
            if runs(&mut lines, &mut log) {
                // It stops when nobody reads its log.
                thread::spawn(move || lines.read_to_end(&mut Vec::new()));
                return Self { port, child, _directory: directory };
            }
            child.wait().expect("waited for");
        }
        panic!("mosquitto does not start: {log}");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().expect("still ours");
        self.child.wait().expect("waited for");
    }
}

/// Reads the log until the broker says that it runs, or has ended.
fn runs(lines: &mut impl BufRead, log: &mut String) -> bool {
    let mut line = String::new();
    while lines.read_line(&mut line).expect("text") > 0 {
        if line.trim_end().ends_with(" running") {
            return true;
        }
        write!(log, "{line}").expect("memory");
        line.clear();
    }
    false
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}
