//! Processes that end with the test that started them.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;

use crate::wait;

/// A running process, and what it has said.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    said: Arc<Mutex<Said>>,
    readers: Vec<JoinHandle<()>>,
}

/// The lines of both streams, each in its order.
#[derive(Debug, Default)]
struct Said {
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// How a process that has ended did so.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Process {
    /// Starts the command. `name` is for messages.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error} ({command:?})"));
        let said = Arc::new(Mutex::new(Said::default()));
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        let readers = vec![
            follow(stdout, &said, |said| &mut said.stdout),
            follow(stderr, &said, |said| &mut said.stderr),
        ];
        Self { name: name.to_owned(), child, said, readers }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        self.said.lock().stdout.join("\n")
    }

    /// How many lines of standard output there are so far.
    pub fn stdout_lines(&self) -> usize {
        self.said.lock().stdout.len()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        self.said.lock().stderr.join("\n")
    }

    /// The lines of standard error in which all of these parts occur.
    pub fn log_lines(&self, parts: &[&str]) -> Vec<String> {
        let has_all = |line: &&String| parts.iter().all(|part| line.contains(part));
        self.said.lock().stderr.iter().filter(has_all).cloned().collect()
    }

    /// Waits for a line of standard error with all of these parts, and returns the first.
    ///
    /// # Panics
    /// If none comes in time.
    pub fn wait_for_log(&self, parts: &[&str]) -> String {
        wait::until(&format!("a log line of {} with {parts:?}", self.name), || {
            self.log_lines(parts).into_iter().next()
        })
    }

    /// Its exit status, if it has ended.
    ///
    /// # Panics
    /// If the system cannot tell.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Does nothing while it runs.
    ///
    /// # Panics
    /// If it has ended.
    pub fn expect_running(&mut self) {
        if let Some(status) = self.status() {
            panic!("{} has ended: {status}", self.name);
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait(mut self) -> Ended {
        let what = format!("the end of {}", self.name);
        let status = wait::until(&what, || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ended { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Asks it to end, with SIGTERM, and waits until it has.
    ///
    /// # Panics
    /// If it does not.
    pub fn terminate(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    /// Ends it without asking, with SIGKILL.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal: `TERM`, `INT`, `STOP`, `CONT`.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn signal(&self, signal: &str) {
        let kill = format!("kill -s {signal} {}", self.pid());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "{}: {kill}: {status}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; a stopped process ends too.
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("--- {} wrote to standard output:\n{}", self.name, self.stdout());
            eprintln!("--- {} wrote to standard error:\n{}", self.name, self.stderr());
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started or does not end.
pub fn run(name: &str, command: &mut Command) -> Ended {
    Process::start(name, command).wait()
}

impl Ended {
    /// Returns itself if the exit code is 0.
    ///
    /// # Panics
    /// If it is not, with what the process said.
    pub fn successful(self) -> Self {
        self.with_code(0)
    }

    /// Returns itself if this is the exit code.
    ///
    /// # Panics
    /// If it is not, with what the process said.
    pub fn with_code(self, expected: i32) -> Self {
        let Self { code, stdout, stderr } = &self;
        assert_eq!(*code, Some(expected), "exit code\n--- stdout:\n{stdout}\n--- stderr:\n{stderr}");
        self
    }
}

fn follow(
    stream: impl Read + Send + 'static,
    said: &Arc<Mutex<Said>>,
    lines: fn(&mut Said) -> &mut Vec<String>,
) -> JoinHandle<()> {
    let said = Arc::clone(said);
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            lines(&mut said.lock()).push(text);
            line.clear();
        }
    })
}
