//! The same mosquitto.conf at gaugeline and at a real mosquitto.

use std::{
    fs,
    io::{ErrorKind, Read as _},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    gaugeline, port,
    process::{Ended, Process},
    reference::Reference,
    wait,
};

/// Within this time after it listens a mosquitto has ended if it does not like its files.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// Who reads the file.
#[derive(Debug, Clone, Copy)]
pub enum Reader {
    /// The program under test.
    Gaugeline,
    /// A real one.
    Mosquitto(&'static Reference),
}

/// A mosquitto.conf with ports of its own, and the files that it names.
#[derive(Debug)]
pub struct Conf {
    /// What `PORT1` and `PORT2` stand for.
    pub ports: [u16; 2],
    directory: TempDir,
    reader: Reader,
}

impl Conf {
    /// Writes the file. In the text `@` stands for its directory, in which `files` are, and `PORT1` and `PORT2` for ports.
    ///
    /// # Panics
    /// If the directory cannot be written.
    pub fn write(reader: Reader, text: &str, files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let conf = Self { ports: [port::free(), port::free()], directory, reader };
        for (name, text) in files {
            let path = conf.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, conf.fill_in(text)).unwrap();
        }
        // mosquitto becomes another user otherwise, who cannot read the directory. The last `user` of a file counts in 2.1,
        // and 2.0 refuses a second one.
        let user = if text.contains("user ") { "" } else { "\nuser root\n" };
        fs::write(conf.path("m.conf"), conf.fill_in(text) + user).unwrap();
        conf
    }

    fn fill_in(&self, text: &str) -> String {
        let directory = self.directory.path().display().to_string();
        let [first, second] = self.ports.map(|port| port.to_string());
        text.replace('@', &directory).replace("PORT1", &first).replace("PORT2", &second)
    }

    /// A file beside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = match self.reader {
            Reader::Gaugeline => {
                let mut command = gaugeline::command();
                command.arg("broker");
                command
            }
            Reader::Mosquitto(reference) => Command::new(reference.program("mosquitto")),
        };
        // The port of a file without a listener.
        let port = self.ports[0].to_string();
        command.current_dir(self.directory.path()).args(["-p", &port, "-c", "m.conf"]).args(options);
        command
    }

    /// Whether the reader takes the file; what it said, if not.
    ///
    /// # Panics
    /// If it does neither.
    pub fn is_taken(&self) -> Result<(), String> {
        let Reader::Mosquitto(_) = self.reader else {
            let ended = crate::process::run("gaugeline", &mut self.command(&["--test-config"]));
            return if ended.code == Some(0) { Ok(()) } else { Err(ended.stderr) };
        };
        // 2.1 could be asked with --test-config, but does not open any of the files then.
        let mut process = Process::start("mosquitto", &mut self.command(&["-v"]));
        let taken = wait::until("mosquitto to start or to end", || match process.status() {
            Some(_) => Some(false),
            // It may log or listen somewhere else.
            None => {
                let runs = || !process.log_lines(&["mosquitto version ", " running"]).is_empty();
                (runs() || self.keeps_connections()).then_some(true)
            }
        });
        if taken { Ok(()) } else { Err(process.wait().stderr) }
    }

    /// Whether a connection is open for a while: a mosquitto listens before it reads certificates, and ends if they are wrong.
    fn keeps_connections(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.ports[0])) else { return false };
        stream.set_read_timeout(Some(ENDS_WITHIN)).unwrap();
        let waits = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
        stream.read(&mut [0]).is_err_and(|error| waits.contains(&error.kind()))
    }

    /// Runs the reader with these options until it ends.
    pub fn run(&self, options: &[&str]) -> Ended {
        crate::process::run(&format!("{:?}", self.reader), &mut self.command(options))
    }

    /// Starts the reader.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start(&self) -> Process {
        let mut process = Process::start(&format!("{:?}", self.reader), &mut self.command(&[]));
        wait::until("a listener", || {
            process.expect_running();
            TcpStream::connect(("127.0.0.1", self.ports[0])).ok()
        });
        process
    }
}
