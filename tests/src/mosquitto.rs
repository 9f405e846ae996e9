//! A real mosquitto of our own: the reference for password files, ACL files and behaviour.

use std::{fs, net::TcpStream, path::Path, process::Command};

use tempfile::TempDir;

use crate::{port, process::Process, reference::Reference, wait};

/// A running mosquitto.
#[derive(Debug)]
pub struct Mosquitto {
    /// Where it listens, without TLS.
    pub port: u16,
    process: Process,
    _directory: TempDir,
}

impl Mosquitto {
    /// Starts this one with these files.
    ///
    /// # Panics
    /// If it does not come up: it refuses a file, for instance.
    pub fn start(reference: &Reference, password_file: &Path, acl_file: Option<&Path>) -> Self {
        let program = reference.program("mosquitto");
        let directory = tempfile::tempdir().unwrap();
        let port = port::free();
        // Started as root it becomes another user, who must be able to read the files.
        let mut text = format!("listener {port} 127.0.0.1\nallow_anonymous false\nuser root\nlog_type all\n");
        text += &format!("password_file {}\n", password_file.display());
        if let Some(acl_file) = acl_file {
            text += &format!("acl_file {}\n", acl_file.display());
        }
        let configuration = directory.path().join("mosquitto.conf");
        fs::write(&configuration, text).unwrap();
        let mut process = Process::start("mosquitto", Command::new(program).arg("-c").arg(&configuration));
        wait::until("mosquitto to listen", || {
            process.expect_running();
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { port, process, _directory: directory }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.stderr()
    }
}
