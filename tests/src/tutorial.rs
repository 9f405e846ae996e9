//! A directory like `/etc/mosquitto`, filled as tutorials of mosquitto say: certificates by openssl, a password file and
//! an ACL by hand, a mosquitto.conf; and gaugeline as the broker that runs with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    gaugeline, http, port,
    process::{Ended, Process, run},
    requirement, wait,
};

/// See the module.
#[derive(Debug)]
pub struct Tutorial {
    directory: TempDir,
    openssl: PathBuf,
    /// In mosquitto.conf `PORT0`, `PORT1` and `PORT2`.
    pub ports: [u16; 3],
    admin_port: u16,
}

impl Tutorial {
    /// An empty directory. `None` if openssl is not installed, see [`requirement`].
    ///
    /// # Panics
    /// If the system gives no temporary directory.
    pub fn new() -> Option<Self> {
        Some(Self {
            directory: tempfile::tempdir().unwrap(),
            openssl: requirement::program("openssl")?,
            ports: [port::free(), port::free(), port::free()],
            admin_port: port::free(),
        })
    }

    /// A file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file. `@` stands for the directory, `PORT0` and so on for ports.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        let mut text = text.replace('@', &self.directory.path().display().to_string());
        for (index, port) in self.ports.iter().enumerate() {
            text = text.replace(&format!("PORT{index}"), &port.to_string());
        }
        fs::write(self.path(name), text).unwrap();
    }

    /// Appends to a file, as `cat >>` does.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn append(&self, name: &str, text: &str) {
        self.write(name, &(self.read(name) + text));
    }

    /// The content of a file.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs openssl in the directory. The words of the command line have spaces between them.
    ///
    /// # Panics
    /// If it fails.
    pub fn openssl(&self, words: &str) {
        let mut command = Command::new(&self.openssl);
        command.current_dir(self.directory.path()).args(words.split(' '));
        run(words, &mut command).successful();
    }

    /// Makes a certificate authority as mosquitto-tls(7) says: `ca.crt` and `ca.key`.
    pub fn make_authority(&self) {
        self.openssl(
            "req -new -x509 -days 3650 -extensions v3_ca -nodes -subj /CN=authority -keyout ca.key -out ca.crt",
        );
    }

    /// Makes a certificate as mosquitto-tls(7) says, with no word about extensions: OpenSSL before 3.2 makes version 1.
    pub fn make_certificate(&self, file: &str, common_name: &str) {
        self.openssl(&format!("genrsa -out {file}.key 2048"));
        self.openssl(&format!("req -out {file}.csr -key {file}.key -new -subj /CN={common_name}"));
        self.openssl(&format!(
            "x509 -req -in {file}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {file}.crt -days 365"
        ));
    }

    /// Runs gaugeline in the directory.
    pub fn gaugeline(&self, arguments: &[&str]) -> Ended {
        let mut command = gaugeline::command();
        run("gaugeline", command.current_dir(self.directory.path()).args(arguments))
    }

    /// Starts `gaugeline broker -c mosquitto.conf`, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn broker(&self) -> Process {
        let mut command = gaugeline::command();
        command.current_dir(self.directory.path()).args(["broker", "-c", "mosquitto.conf", "--admin"]);
        let mut process =
            Process::start("gaugeline broker", command.arg(format!("127.0.0.1:{}", self.admin_port)));
        wait::until("/readyz to say ready", || {
            process.expect_running();
            http::get(self.admin_port, "/readyz").filter(|answer| answer.status == 200)
        });
        process
    }

    /// How many subscriptions the broker has.
    pub fn subscriptions(&self) -> f64 {
        http::metric(self.admin_port, "gaugeline_subscriptions", "")
    }

    /// `mosquitto_pub` or `mosquitto_sub` at one of the ports. `None` if it is not installed, see [`requirement`].
    pub fn client(&self, program: &str, port: u16, access: &Access<'_>) -> Option<Command> {
        let mut command = Command::new(requirement::program(program)?);
        command.current_dir(self.directory.path());
        command.args(["-h", "localhost", "-p", &port.to_string(), "-q", "1"]);
        if access.tls {
            command.args(["--cafile", "ca.crt"]);
        }
        if let Some(name) = access.certificate {
            command.args(["--cert", &format!("{name}.crt"), "--key", &format!("{name}.key")]);
        }
        if let Some((user, password)) = access.login {
            command.args(["-u", user, "-P", password]);
        }
        Some(command)
    }

    /// Whether openssl gets to see this certificate at a port with TLS.
    ///
    /// # Panics
    /// If the certificate cannot be read.
    pub fn shows(&self, port: u16, certificate: &str) -> bool {
        let mut command = Command::new(&self.openssl);
        command.args(["s_client", "-servername", "localhost", "-connect", &format!("localhost:{port}")]);
        let pem = self.read(certificate);
        let (_, pem) = pem.split_at(pem.find("-----BEGIN").unwrap());
        run("openssl s_client", &mut command).stdout.contains(pem.trim())
    }

    /// Puts files in the place of others as careful programs do, by renaming.
    ///
    /// # Panics
    /// If one is not there.
    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// What a client shows of itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access<'a> {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The name of the files of its certificate.
    pub certificate: Option<&'a str>,
    /// User and password.
    pub login: Option<(&'a str, &'a str)>,
}
