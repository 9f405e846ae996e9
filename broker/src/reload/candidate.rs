//! Everything that a reload would put in place, read and checked, and not in use yet.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::{ReloadError, Subject, next_start, realms};
use crate::{
    admin::AdminToken, auth::Access, config::Config, net::PlannedListeners, settings::Settings,
    watch::FileWatch,
};

/// How often the files are read again because one of them changed meanwhile. Then whoever writes them all the time has
/// to live with what was found.
const READS_MAX: usize = 5;

/// See the module.
pub(super) struct Candidate {
    pub(super) config: Config,
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
    /// Reads and checks all files, in a state in which none of them changed while they were read. Blocks.
    pub(super) fn read(subject: &Subject) -> Result<Self, ReloadError> {
        let mut paths = subject.started.watched();
        let mut reads = 0;
        loop {
            reads += 1;
            let watch = FileWatch::new(paths.clone());
            let before = digest(&paths);
            let read = Self::read_once(subject, watch, before);
            let others = read.as_ref().ok().map(|candidate| candidate.config.watched());
            let is_settled =
                others.as_ref().is_none_or(|others| *others == paths) && digest(&paths) == before;
            if is_settled || reads >= READS_MAX {
                return read;
            }
            paths = others.unwrap_or(paths);
        }
    }

    fn read_once(subject: &Subject, watch: FileWatch, digest: [u8; 32]) -> Result<Self, ReloadError> {
        let mut config = match &subject.reread {
            Some(reread) => reread()?,
            None => subject.started.clone(),
        };
        let slots = realms::settle(&mut config, &subject.hub.access.snapshot());
        let access = Access::load_slots(&slots)?;
        let mut at_next_start = next_start::changed_keys(&subject.started, &config);
        let listeners = subject.listeners.plan(&config.listeners, &mut at_next_start)?;
        let token = config.admin_token_file.as_deref().map(AdminToken::load).transpose()?;
        let settings = Settings::new(&config);
        Ok(Self { config, access, settings, listeners, token, at_next_start, watch, digest })
    }
}

/// Of the content of all files; one that cannot be read has none.
fn digest(paths: &[PathBuf]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for path in expand(paths) {
        let content = std::fs::read(&path).map(zeroize::Zeroizing::new).ok();
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
        match std::fs::read_dir(path) {
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
