//! What the files say so far: the state that mosquitto keeps while it reads, with its odd scopes.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use gaugeline_protocol::Version;

use super::{
    Warning,
    entry::{Entry, Place, entries},
    include, keys,
};
use crate::config::{ConfigError, LogDestination, SyslogFacility};

/// Everything that was read.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) settings: Settings,
    /// The rules outside of `per_listener_settings`.
    pub(super) rules: Rules,
    pub(super) listeners: Vec<Draft>,
    /// The listener of `port` and `bind_address`, and of what stands before every listener.
    pub(super) default_listener: Option<usize>,
    /// No `listener`, `port` or `bind_address` so far.
    pub(super) local_only: bool,
    pub(super) per_listener_settings: bool,
    pub(super) warnings: Vec<Warning>,
    /// The files that were read, and the directories that were looked into.
    pub(super) files: Vec<PathBuf>,
    /// The lines are those of an included file.
    in_included: bool,
    /// The listener that the next lines are about.
    current: Option<usize>,
    /// A rule was read, so that `per_listener_settings` comes too late.
    rules_read: bool,
    /// Keys that may stand once, and have.
    once: HashSet<String>,
    /// Every line with a key that is refused, and the first with any other mistake.
    mistakes: Vec<ConfigError>,
    /// After a mistake of another kind, what is read means nothing: only keys that are refused are looked for.
    is_broken: bool,
}

/// What holds for the whole broker. `None`: not said.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) persistence: bool,
    pub(super) persistence_file: Option<String>,
    pub(super) persistence_location: Option<(Place, PathBuf)>,
    pub(super) queue_qos0_messages: bool,
    pub(super) upgrade_outgoing_qos: bool,
    pub(super) inflight_messages: Option<u16>,
    pub(super) queued_messages: Option<usize>,
    pub(super) queued_bytes: Option<usize>,
    pub(super) memory_bytes: Option<usize>,
    pub(super) packet_bytes: Option<usize>,
    pub(super) payload_bytes: Option<usize>,
    pub(super) keep_alive_seconds: Option<u16>,
    pub(super) connections: Option<usize>,
    pub(super) sessions: Option<usize>,
    pub(super) session_expiry_seconds: Option<u32>,
    pub(super) no_retained: bool,
    pub(super) retained_expiry_minutes: Option<u32>,
    pub(super) sys_interval_seconds: Option<u32>,
    pub(super) client_id_prefix: Option<String>,
    pub(super) user: Option<String>,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) log: Log,
}

/// The keys that begin with `log_`.
#[derive(Debug)]
pub(super) struct Log {
    /// `None`: standard error.
    pub(super) destinations: Option<Vec<LogDestination>>,
    /// The last word was `none`.
    pub(super) none: bool,
    pub(super) has_file: bool,
    pub(super) facility: SyslogFacility,
    /// `None`: up to information.
    pub(super) types: Option<Vec<String>>,
    pub(super) timestamp: bool,
    pub(super) timestamp_format: Option<String>,
    pub(super) connection_messages: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            destinations: None,
            none: false,
            has_file: false,
            facility: SyslogFacility::Daemon,
            types: None,
            timestamp: true,
            timestamp_format: None,
            connection_messages: true,
        }
    }
}

/// Who may come in and do what.
#[derive(Debug, Default, Clone)]
pub(super) struct Rules {
    pub(super) password_file: Option<(Place, PathBuf)>,
    pub(super) acl_file: Option<(Place, PathBuf)>,
    pub(super) allow_anonymous: Option<bool>,
    pub(super) no_empty_client_ids: bool,
    pub(super) assigned_prefix: Option<String>,
}

/// A listener as it was written.
#[derive(Debug)]
pub(super) struct Draft {
    /// Where it begins.
    pub(super) place: Place,
    /// The key that it begins with.
    pub(super) key: String,
    pub(super) port: u16,
    pub(super) host: Option<String>,
    pub(super) interface: Option<String>,
    pub(super) family: Option<Family>,
    pub(super) websockets: bool,
    pub(super) origins: Vec<String>,
    pub(super) connections: Option<usize>,
    pub(super) mount_point: Option<String>,
    pub(super) maximum_qos: Option<u8>,
    pub(super) topic_aliases: Option<u16>,
    pub(super) versions: Option<Vec<Version>>,
    pub(super) user_name_as_client_id: bool,
    pub(super) tls: TlsDraft,
    /// With `per_listener_settings`, and those keys that begin with `listener_`.
    pub(super) rules: Rules,
}

/// The keys about TLS.
#[derive(Debug, Default)]
pub(super) struct TlsDraft {
    pub(super) cafile: Option<(Place, PathBuf)>,
    pub(super) capath: Option<(Place, PathBuf)>,
    pub(super) certfile: Option<(Place, PathBuf)>,
    pub(super) keyfile: Option<(Place, PathBuf)>,
    pub(super) crlfile: Option<(Place, PathBuf)>,
    pub(super) require_certificate: Option<(Place, bool)>,
    pub(super) identity: Option<(Place, bool)>,
    pub(super) subject: Option<(Place, bool)>,
    pub(super) version: Option<(Place, String)>,
    pub(super) ciphers: Option<(Place, String)>,
    pub(super) ciphers_1_3: Option<(Place, String)>,
}

/// `socket_domain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Draft {
    fn new(entry: &Entry, port: u16) -> Self {
        Self {
            place: entry.place.clone(),
            key: entry.key.clone(),
            port,
            host: None,
            interface: None,
            family: None,
            websockets: false,
            origins: Vec::new(),
            connections: None,
            mount_point: None,
            maximum_qos: None,
            topic_aliases: None,
            versions: None,
            user_name_as_client_id: false,
            tls: TlsDraft::default(),
            rules: Rules::default(),
        }
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            rules: Rules::default(),
            listeners: Vec::new(),
            default_listener: None,
            local_only: true,
            per_listener_settings: false,
            warnings: Vec::new(),
            files: Vec::new(),
            in_included: false,
            current: None,
            rules_read: false,
            once: HashSet::new(),
            mistakes: Vec::new(),
            is_broken: false,
        }
    }
}

impl Reader {
    /// Reads a file.
    pub(super) fn read(&mut self, path: &Path, content: &[u8]) -> Result<(), ConfigError> {
        let path: Arc<Path> = path.into();
        self.files.push(path.to_path_buf());
        for entry in entries(&path, content)? {
            match keys::refusal(&entry) {
                Some(refused) => self.mistakes.push(refused),
                None if self.is_broken => {}
                None => {
                    if let Err(mistake) = keys::apply(self, &entry) {
                        self.mistakes.push(mistake);
                        self.is_broken = true;
                    }
                }
            }
        }
        Ok(())
    }

    /// What must be mended before the rest can be judged: whoever mends a file wants to know all of it.
    pub(super) fn mistakes(&mut self) -> Result<(), ConfigError> {
        let mut mistakes = std::mem::take(&mut self.mistakes).into_iter();
        mistakes.next().map_or(Ok(()), |first| Err(first.with_more(mistakes)))
    }

    /// Reads the files of a directory at this point. Each begins without a listener, and afterwards the one of before goes
    /// on, as with mosquitto.
    pub(super) fn include(&mut self, entry: &Entry) -> Result<(), ConfigError> {
        // The main file may be in the directory too, so the path does not tell.
        if self.in_included {
            return Err(entry.error("`include_dir` in an included file", "it only in the main file"));
        }
        let directory = entry.path()?;
        // A file that comes into it later is a change.
        self.files.push(directory.clone());
        let files = include::files(&directory).map_err(|error| {
            entry.wrong(directory.display(), format_args!("a directory that can be read ({error})"))
        })?;
        for file in files {
            let content = std::fs::read(&file).map_err(|error| ConfigError::unreadable(&file, &error))?;
            let outer = self.current.take();
            self.in_included = true;
            self.read(&file, &content)?;
            self.in_included = false;
            self.current = outer;
        }
        Ok(())
    }

    /// Begins a listener.
    pub(super) fn begin_listener(&mut self, entry: &Entry, port: u16) -> Option<&mut Draft> {
        self.local_only = false;
        self.listeners.push(Draft::new(entry, port));
        self.current = Some(self.listeners.len() - 1);
        self.listeners.last_mut()
    }

    /// The listener of the lines before; one must have begun.
    pub(super) fn listener(&mut self, entry: &Entry) -> Result<&mut Draft, ConfigError> {
        self.current.and_then(|index| self.listeners.get_mut(index)).ok_or_else(|| {
            entry.error(
                format_args!("`{}` before a listener that it could hold for", entry.key),
                "it below the line `listener PORT`",
            )
        })
    }

    /// The listener of the lines before, which must not be that of `port`.
    pub(super) fn own_listener(&mut self, entry: &Entry) -> Result<&mut Draft, ConfigError> {
        if self.current.is_some() && self.current == self.default_listener {
            let found = format_args!("`{}` for the listener of `port` or `bind_address`", entry.key);
            return Err(entry.error(found, "it below a line `listener PORT`"));
        }
        self.listener(entry)
    }

    /// The listener of the lines before; if there is none, that of `port`, which exists from now on.
    pub(super) fn listener_or_default(&mut self, entry: &Entry) -> Result<&mut Draft, ConfigError> {
        if self.current.is_none() {
            self.enter_default_listener(entry);
        }
        self.listener(entry)
    }

    /// The listener of `port` and `bind_address`, from here on.
    pub(super) fn enter_default_listener(&mut self, entry: &Entry) {
        let index = *self.default_listener.get_or_insert_with(|| {
            self.listeners.push(Draft::new(entry, 1883));
            self.listeners.len() - 1
        });
        self.current = Some(index);
    }

    /// The rules that the next key is about: those of the listener with `per_listener_settings`, else those of all.
    pub(super) fn rules(&mut self, entry: &Entry) -> Result<&mut Rules, ConfigError> {
        self.rules_read = true;
        if self.per_listener_settings {
            return Ok(&mut self.listener(entry)?.rules);
        }
        Ok(&mut self.rules)
    }

    /// `per_listener_settings`: once true it stays so, and it must stand before all rules.
    pub(super) fn set_per_listener(&mut self, entry: &Entry) -> Result<(), ConfigError> {
        if self.per_listener_settings {
            return Ok(());
        }
        self.per_listener_settings = entry.flag()?;
        if self.per_listener_settings && self.rules_read {
            return Err(entry.error(
                "`per_listener_settings true` below a password_file, acl_file, allow_anonymous or the like",
                "it before them",
            ));
        }
        Ok(())
    }

    /// Refuses a key that has been here before, for all or for this listener.
    pub(super) fn once(&mut self, entry: &Entry, of_listener: bool) -> Result<(), ConfigError> {
        let scope = if of_listener { self.current } else { None };
        if self.once.insert(format!("{} {scope:?}", entry.key)) {
            return Ok(());
        }
        Err(entry.error(format_args!("a second `{}`", entry.key), "one"))
    }

    /// The main file as a whole.
    pub(super) fn start(&self) -> Place {
        let path = self.files.first().map_or_else(|| Path::new("mosquitto.conf"), PathBuf::as_path);
        Place { path: path.into(), line: 0 }
    }

    /// Notes something that the user should know.
    pub(super) fn warn(&mut self, place: &Place, text: impl Into<String>) {
        self.warnings.push(Warning { path: place.path.to_path_buf(), line: place.line, text: text.into() });
    }
}
