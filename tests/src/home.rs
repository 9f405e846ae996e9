//! A data directory as `gaugeline init` makes it, and the servers that run in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    gaugeline, http, port,
    process::{Ended, Process, run},
    wait,
};

/// A data directory and the ports that its broker uses.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
    /// Where its broker listens with TLS.
    pub tls_port: u16,
    /// Where its broker listens without.
    pub plain_port: u16,
    /// Where its broker serves metrics and health.
    pub admin_port: u16,
}

impl Home {
    /// A directory that does not exist yet, and ports.
    ///
    /// # Panics
    /// If the system gives no temporary directory.
    pub fn empty() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            tls_port: port::free(),
            plain_port: port::free(),
            admin_port: port::free(),
        }
    }

    /// What `gaugeline init` makes, with the ports changed.
    ///
    /// # Panics
    /// If that fails.
    pub fn new() -> Self {
        let home = Self::empty();
        gaugeline::gaugeline(&["init", home.path("").to_str().unwrap()]).successful();
        home.replace("broker.toml", "0.0.0.0:8883", &format!("127.0.0.1:{}", home.tls_port));
        home.replace("broker.toml", "127.0.0.1:1883", &format!("127.0.0.1:{}", home.plain_port));
        home.replace("broker.toml", "127.0.0.1:9883", &format!("127.0.0.1:{}", home.admin_port));
        home.replace(
            "bridge.toml",
            "mqtts://localhost:8883",
            &format!("mqtts://localhost:{}", home.tls_port),
        );
        home
    }

    /// A file in the directory; "" is the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        let data = self.directory.path().join("data");
        if name.is_empty() { data } else { data.join(name) }
    }

    /// The same as text, for a command line.
    ///
    /// # Panics
    /// If the temporary directory's name is not UTF-8.
    pub fn argument(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The content of a text file.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes a file.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Appends to a text file.
    ///
    /// # Panics
    /// If it cannot be read or written.
    pub fn append(&self, name: &str, text: &str) {
        self.write(name, &(self.read(name) + text));
    }

    /// Changes a text in a file.
    ///
    /// # Panics
    /// If the file does not contain it.
    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no `{from}`:\n{text}");
        self.write(name, &text.replace(from, to));
    }

    /// The password of one of the first users.
    ///
    /// # Panics
    /// If there is none.
    pub fn secret(&self, user: &str) -> String {
        self.read(&format!("secrets/{user}")).trim_end().to_owned()
    }

    /// Adds a user with a password.
    ///
    /// # Panics
    /// If that fails.
    pub fn add_user(&self, user: &str, password: &str) {
        gaugeline::gaugeline(&["passwd", "-b", &self.argument("passwd"), user, password]).successful();
    }

    /// Starts `gaugeline up` here, with these options, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn up(&self, options: &[&str]) -> Process {
        let mut process = self.start_up(options);
        self.wait_until_ready(&mut process);
        process
    }

    /// Starts `gaugeline up` here, with these options.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_up(&self, options: &[&str]) -> Process {
        let ports = [self.tls_port, self.plain_port, self.admin_port].map(|port| port.to_string());
        let mut command = gaugeline::command();
        command.arg("up").arg(self.path(""));
        command
            .args(["--port", &ports[0], "--plain-port", &ports[1], "--admin-port", &ports[2]])
            .args(options);
        Process::start("gaugeline up", &mut command)
    }

    /// Starts `gaugeline broker` here and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn broker(&self) -> Process {
        let mut process = self.start_broker(&[]);
        self.wait_until_ready(&mut process);
        process
    }

    /// Starts `gaugeline broker` here, with these options.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_broker(&self, options: &[&str]) -> Process {
        let mut command = gaugeline::command();
        command.args(["broker", "-c"]).arg(self.path("broker.toml")).args(options);
        Process::start("gaugeline broker", &mut command)
    }

    /// Starts `gaugeline bridge` here.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn bridge(&self) -> Process {
        let mut command = gaugeline::command();
        command.args(["bridge", "-c"]).arg(self.path("bridge.toml"));
        Process::start("gaugeline bridge", &mut command)
    }

    /// Waits until `/readyz` says so.
    ///
    /// # Panics
    /// If it does not, or if the process ends.
    pub fn wait_until_ready(&self, process: &mut Process) {
        wait::until("/readyz to say ready", || {
            process.expect_running();
            http::get(self.admin_port, "/readyz").filter(|answer| answer.status == 200)
        });
    }

    /// A number of `/metrics`: the sum over all label values that contain `labels`. 0 if there is none.
    ///
    /// # Panics
    /// If the metrics cannot be read.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        http::metric(self.admin_port, name, labels)
    }

    /// `mosquitto_pub` or `mosquitto_sub` on the TLS port, as one of the first users.
    pub fn mosquitto_client(&self, program: &Path, user: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "localhost", "-p", &self.tls_port.to_string(), "--cafile"]);
        command.arg(self.path("pki/ca.crt")).args(["-u", user, "-P", &self.secret(user)]);
        command
    }

    /// `gaugeline pub` or `gaugeline sub` on the TLS port, as one of the first users.
    pub fn client(&self, subcommand: &str, user: &str) -> Command {
        let mut command = gaugeline::command();
        command.args([subcommand, "-h", "localhost", "-p", &self.tls_port.to_string(), "--cafile"]);
        command.arg(self.path("pki/ca.crt")).args(["-u", user, "--password-file"]);
        command.arg(self.path(&format!("secrets/{user}")));
        command
    }

    /// Publishes one message at QoS 1 as `sensor`, with `gaugeline pub`.
    ///
    /// # Panics
    /// If the broker does not acknowledge it.
    pub fn publish(&self, topic: &str, payload: &str) -> Ended {
        let mut command = self.client("pub", "sensor");
        run("gaugeline pub", command.args(["-q", "1", "-t", topic, "-m", payload])).successful()
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}
