//! A real mosquitto that reads its files again on demand.

use std::{
    fs::{self, File},
    io::Read as _,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    client::Client,
    reference::{self, Version},
};

/// How long it may take to start or to read its files, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(1);

/// A running one, which ends with its handle.
pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    program: PathBuf,
    directory: TempDir,
    child: Child,
    log: File,
    /// What it has logged since it was last told to read its files.
    said: String,
}

impl Mosquitto {
    /// Starts it with a password file and, if there is one, an ACL file. `None` if it is missing, see [`reference`].
    pub(crate) fn start(version: Version, passwords: &[u8], acl: Option<&[u8]>) -> Option<Self> {
        let program = reference::program(version)?;
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("passwd"), passwords).unwrap();
        let mut text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n\
             log_type error\nlog_type warning\nlog_type notice\nlog_type information\nconnection_messages false\nset_tcp_nodelay true\npassword_file {}\n",
            path("passwd").display()
        );
        if let Some(acl) = acl {
            fs::write(path("acl"), acl).unwrap();
            text += &format!("acl_file {}\n", path("acl").display());
        }
        fs::write(path("mosquitto.conf"), text).unwrap();
        let (child, log) = spawn(&program, &directory);
        let mut started = Self { port, program, directory, child, log, said: String::new() };
        started.wait_until_it_runs();
        Some(started)
    }

    /// Has it read new passwords; returns what it logged. Also whether it runs still: 2.1 ends at a file with a mistake.
    pub(crate) fn read_passwords(&mut self, content: &[u8]) -> (String, bool) {
        self.read("passwd", content)
    }

    /// Has it read new rules, as [`Self::read_passwords`].
    pub(crate) fn read_acl(&mut self, content: &[u8]) -> (String, bool) {
        self.read("acl", content)
    }

    /// Starts it again after it has ended, with this content instead of what ended it.
    pub(crate) fn restart_with(&mut self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
        (self.child, self.log) = spawn(&self.program, &self.directory);
        self.said.clear();
        self.wait_until_it_runs();
    }

    fn read(&mut self, name: &str, content: &[u8]) -> (String, bool) {
        fs::write(self.path(name), content).unwrap();
        self.listen();
        self.said.clear();
        let killed = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        // The line comes before the files are read; but no packet is looked at in between.
        self.until("reads its files again", |said| said.contains("Reloading config."));
        // Whoever is served now is served by the new files, and all is logged.
        let serves = Client::try_connect(self.port, "fence", None).is_some();
        if !serves {
            let status = self.child.wait().unwrap();
            assert_eq!(status.code(), Some(3), "the exit status for a file with a mistake");
        }
        self.listen();
        (self.said.clone(), serves)
    }

    /// It listens before that, but forgets a signal that comes before it runs.
    fn wait_until_it_runs(&mut self) {
        self.until("runs", |said| said.contains(" running\n"));
    }

    fn until(&mut self, what: &str, condition: impl Fn(&str) -> bool) {
        let mut waited = Duration::ZERO;
        self.listen();
        while !condition(&self.said) {
            let ended = self.child.try_wait().unwrap();
            self.listen();
            if condition(&self.said) {
                return;
            }
            assert!(ended.is_none(), "mosquitto has ended: {ended:?}\n{}", self.said);
            assert!(waited < PATIENCE, "mosquitto does not do it: {what}\n{}", self.said);
            std::thread::sleep(PAUSE);
            waited += PAUSE;
            self.listen();
        }
    }

    /// Reads what has been logged meanwhile.
    fn listen(&mut self) {
        let mut more = Vec::new();
        self.log.read_to_end(&mut more).unwrap();
        self.said += &String::from_utf8_lossy(&more);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// The process, and its log.
fn spawn(program: &Path, directory: &TempDir) -> (Child, File) {
    let path = |name: &str| directory.path().join(name);
    let child = Command::new(program)
        .arg("-c")
        .arg(path("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(path("log")).unwrap())
        .spawn()
        .unwrap();
    (child, File::open(path("log")).unwrap())
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.listen();
            let last = self.said.lines().rev().take(10).collect::<Vec<_>>();
            eprintln!("mosquitto said, the last line first:\n{}", last.join("\n"));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
