//! Everything that a reload would put in place, read and checked, and not in use yet.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use super::{ReloadError, Subject, next_start, realms};
use crate::{
    admin::AdminToken,
    auth::Access,
    clock,
    config::{Config, Loaded, mosquitto::Warning},
    net::PlannedListeners,
    settings::Settings,
    watch::FileWatch,
};

/// How often the files are read again because one of them changed meanwhile. Then whoever writes them all the time has
/// to live with what was found.
const READS_MAX: usize = 5;

/// A file that was changed this recently may be half-written.
const SETTLED_AFTER: Duration = Duration::from_millis(10);
/// The same for an empty one: it may be between the two steps of writing in place, by a program that waits for its turn.
const EMPTY_SETTLED_AFTER: Duration = Duration::from_secs(1);

/// What came of reading.
pub(super) enum Reading {
    Read(Box<Candidate>),
    Refused(ReloadError),
    /// Somebody is writing: to be tried again in a moment.
    Unsettled,
}

/// See the module.
pub(super) struct Candidate {
    pub(super) config: Config,
    /// What works otherwise than the configuration says.
    pub(super) warnings: Vec<Warning>,
    pub(super) access: Access,
    pub(super) settings: Settings,
    pub(super) listeners: PlannedListeners,
    pub(super) token: Option<AdminToken>,
    /// What has changed and cannot be taken without a start.
    pub(super) at_next_start: Vec<String>,
    /// The files that it was read from, as they were before they were read.
    pub(super) watch: FileWatch,
    /// Of what the files say.
    pub(super) digest: [u8; 32],
}

impl Candidate {
    /// Reads and checks all files, in a state in which none of them changed while they were read. `patient`: not while one
    /// of them looks half-written. Blocks.
    pub(super) fn read(subject: &Subject, patient: bool) -> Reading {
        let mut paths = subject.started.watched();
        let mut reads = 0;
        loop {
            reads += 1;
            let watch = FileWatch::new(paths.clone());
            let before = digest(&paths);
            // Between the two looks at the content, so that it is this content which is whole, and not what follows it.
            if patient && !all_settled(&paths) {
                return Reading::Unsettled;
            }
            let read = Self::read_once(subject, watch, before);
            let others = read.as_ref().ok().map(|candidate| candidate.config.watched());
            let is_unchanged =
                others.as_ref().is_none_or(|others| *others == paths) && digest(&paths) == before;
            if is_unchanged || reads >= READS_MAX {
                return match read {
                    Ok(candidate) => Reading::Read(Box::new(candidate)),
                    Err(error) => Reading::Refused(error),
                };
            }
            paths = others.unwrap_or(paths);
        }
    }

    fn read_once(subject: &Subject, watch: FileWatch, digest: [u8; 32]) -> Result<Self, ReloadError> {
        let Loaded { mut config, warnings, .. } = match &subject.reread {
            Some(reread) => reread()?,
            None => subject.started.clone().into(),
        };
        let slots = realms::settle(&mut config, &subject.hub.access.snapshot());
        let access = Access::load_slots(&slots)?;
        let mut at_next_start = next_start::changed_keys(&subject.started, &config);
        let listeners = subject.listeners.plan(&config.listeners, &mut at_next_start)?;
        let token = config.admin_token_file.as_deref().map(AdminToken::load).transpose()?;
        let settings = Settings::new(&config);
        Ok(Self { config, warnings, access, settings, listeners, token, at_next_start, watch, digest })
    }
}

fn all_settled(paths: &[PathBuf]) -> bool {
    let now = Duration::from_nanos(clock::wall_nanoseconds());
    expand(paths).iter().all(|path| is_settled(path, now))
}

/// Whether a file looks whole. One that is missing is not going to be written to.
fn is_settled(path: &Path, now: Duration) -> bool {
    let Ok(found) = fs::metadata(path) else { return true };
    let nanoseconds = u32::try_from(found.ctime_nsec()).unwrap_or(0);
    let changed = Duration::new(u64::try_from(found.ctime()).unwrap_or(0), nanoseconds);
    let settled_after = if found.is_file() && found.len() == 0 { EMPTY_SETTLED_AFTER } else { SETTLED_AFTER };
    now.saturating_sub(changed) >= settled_after
}

/// Of the content of all files; one that cannot be read has none.
fn digest(paths: &[PathBuf]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for path in expand(paths) {
        let content = fs::read(&path).map(zeroize::Zeroizing::new).ok();
        let length = content.as_ref().map_or(u64::MAX, |content| content.len() as u64);
        hasher.update(length.to_be_bytes());
        hasher.update(content.as_ref().map_or(&[][..], |content| content));
    }
    hasher.finalize().into()
}

/// A directory stands for the files in it.
fn expand(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        match fs::read_dir(path) {
            Ok(entries) => {
                let mut inside = entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>();
                inside.sort();
                all.extend(inside);
            }
            Err(_) => all.push(path.clone()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_settled_some_time_after_it_was_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("empty"), "").unwrap();
        fs::write(path("full"), "x").unwrap();
        let now = Duration::from_nanos(clock::wall_nanoseconds());
        for (name, after, expected) in [
            ("full", Duration::ZERO, false),
            ("full", SETTLED_AFTER, true),
            ("empty", SETTLED_AFTER, false),
            ("empty", EMPTY_SETTLED_AFTER, true),
            ("missing", Duration::ZERO, true),
        ] {
            // The time of a change may be rounded down to the tick of the system.
            let now = if expected { now + after } else { now.saturating_sub(Duration::from_millis(20)) };
            let now = if expected { now } else { now + after };
            assert_eq!(is_settled(&path(name), now), expected, "{name} {after:?}");
        }
    }
}
