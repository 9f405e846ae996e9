//! Where log lines go, and what stands before them, as `[logging]` of broker.toml says. Without a choice: standard error.

use std::{
    fmt, fs, io,
    io::{IsTerminal as _, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use gaugeline_broker::config::{LogDestination, LogTimestamp, LoggingConfig, SyslogFacility};
use parking_lot::Mutex;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::{MakeWriter, format, time::FormatTime};

use crate::failure::Failure;

/// Where the system takes log lines.
const SYSLOG: &str = "/dev/log";
/// What the system's log calls us.
const NAME: &str = "gaugeline";

static CHOICE: OnceLock<Choice> = OnceLock::new();

/// What was chosen.
#[derive(Debug)]
struct Choice {
    sinks: Vec<Sink>,
    timestamp: LogTimestamp,
}

/// One destination, open.
#[derive(Debug)]
enum Sink {
    Stderr,
    Stdout,
    File(Mutex<LogFile>),
    Syslog { socket: UnixDatagram, facility: u8 },
}

/// Chooses for the whole process, once, before the first line.
pub(crate) fn choose(config: &LoggingConfig) -> Result<(), Failure> {
    let open = |destination: &LogDestination| {
        Ok(match destination {
            LogDestination::Stderr => Sink::Stderr,
            LogDestination::Stdout => Sink::Stdout,
            LogDestination::File(path) => Sink::File(Mutex::new(LogFile::open(path)?)),
            LogDestination::Syslog(facility) => Sink::syslog(*facility)?,
        })
    };
    let sinks = config.destinations.iter().map(open).collect::<Result<Vec<_>, Failure>>()?;
    // It fails only if there was a choice before.
    CHOICE.set(Choice { sinks, timestamp: config.timestamp.clone() }).ok();
    Ok(())
}

/// Whether lines may be coloured: they go to a terminal and nowhere else.
pub(crate) fn is_coloured() -> bool {
    match CHOICE.get().map(|choice| choice.sinks.as_slice()) {
        None | Some([Sink::Stderr]) => io::stderr().is_terminal(),
        Some([Sink::Stdout]) => io::stdout().is_terminal(),
        Some(_) => false,
    }
}

impl Sink {
    fn syslog(facility: SyslogFacility) -> Result<Self, Failure> {
        let socket = UnixDatagram::unbound().and_then(|socket| socket.connect(SYSLOG).map(|()| socket));
        let socket = socket.map_err(|error| {
            Failure::failed(format!(
                "{SYSLOG}: {error} (is a syslog daemon running? or choose another log destination)"
            ))
        })?;
        // Facilities [RFC 5424, section 6.2.1].
        let facility = match facility {
            SyslogFacility::Daemon => 3,
            SyslogFacility::Local(number) => 16 + number,
        };
        Ok(Self::Syslog { socket, facility })
    }

    /// A line that cannot be written is lost: there is nowhere left to say so.
    fn write(&self, level: Level, line: &[u8]) {
        match self {
            Self::Stderr => drop(io::stderr().lock().write_all(line)),
            Self::Stdout => drop(io::stdout().lock().write_all(line)),
            Self::File(file) => file.lock().write(line),
            Self::Syslog { socket, facility } => {
                let severity = match level {
                    Level::ERROR => 3,
                    Level::WARN => 4,
                    Level::INFO => 6,
                    _ => 7,
                };
                let mut message = format!("<{}>{NAME}[{}]: ", facility * 8 + severity, std::process::id());
                message += String::from_utf8_lossy(line).trim_end();
                drop(socket.send(message.as_bytes()));
            }
        }
    }
}

/// A file that lines are added to. When it is moved away or removed, as by logrotate, the next line begins a new one.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: fs::File,
    /// Device and number of the open file.
    identity: (u64, u64),
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        Self::try_open(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
    }

    fn try_open(path: &Path) -> io::Result<Self> {
        let file = fs::File::options().create(true).append(true).open(path)?;
        let found = file.metadata()?;
        Ok(Self { path: path.to_owned(), file, identity: (found.dev(), found.ino()) })
    }

    fn write(&mut self, line: &[u8]) {
        let there = fs::metadata(&self.path).map(|found| (found.dev(), found.ino())).ok();
        if there != Some(self.identity)
            && let Ok(opened) = Self::try_open(&self.path)
        {
            *self = opened;
        }
        drop(self.file.write_all(line));
    }
}

/// Writes lines to every destination.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output;

impl<'a> MakeWriter<'a> for Output {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { level: Level::INFO, text: Vec::new() }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line { level: *metadata.level(), text: Vec::new() }
    }
}

/// A line on its way; it leaves as a whole.
#[derive(Debug)]
pub(crate) struct Line {
    level: Level,
    text: Vec<u8>,
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        match CHOICE.get() {
            None => Sink::Stderr.write(self.level, &self.text),
            Some(choice) => choice.sinks.iter().for_each(|sink| sink.write(self.level, &self.text)),
        }
    }
}

/// What stands before a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamp;

impl FormatTime for Timestamp {
    fn format_time(&self, writer: &mut format::Writer<'_>) -> fmt::Result {
        let now = jiff::Timestamp::try_from(crate::clock::time_of_day());
        let (Some(choice), Ok(now)) = (CHOICE.get(), now) else {
            return write_rfc3339(writer);
        };
        match &choice.timestamp {
            LogTimestamp::Rfc3339 => write_rfc3339(writer),
            LogTimestamp::None => Ok(()),
            LogTimestamp::Format(format) => {
                let local = now.to_zoned(jiff::tz::TimeZone::system());
                match jiff::fmt::strtime::format(format, &local) {
                    Ok(text) => write!(writer, "{text}"),
                    // Better any time than none.
                    Err(_) => write_rfc3339(writer),
                }
            }
        }
    }
}

fn write_rfc3339(writer: &mut format::Writer<'_>) -> fmt::Result {
    tracing_subscriber::fmt::time::SystemTime.format_time(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_that_was_moved_away_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        fs::write(&path, "before\n").unwrap();
        let mut file = LogFile::open(&path).unwrap();
        file.write(b"one\n");
        fs::rename(&path, &moved).unwrap();
        file.write(b"two\n");
        file.write(b"three\n");
        assert_eq!(fs::read_to_string(&moved).unwrap(), "before\none\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\nthree\n");
        let missing = LogFile::open(&directory.path().join("none/log")).unwrap_err();
        assert!(missing.to_string().contains("none/log: No such file"));
    }
}
