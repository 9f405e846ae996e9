//! When a change of files is to be taken. Others who follow files use it too.

use std::time::Duration;

use crate::watch::FileWatch;

/// How often the files are looked at. A change holds two looks later: well within a second.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A change is taken once a look finds no further one, so that half-written files are not read; but after so many looks
/// in any case, or something that is written all the time would never be read.
const LOOKS_MAX: u32 = 8;
/// While the files are wrong, they are read again after so many looks, even if they have not changed: what is wrong may
/// be that something that is not watched yet is missing.
const RETRY_LOOKS: u32 = 8;

/// Some files, and how the looks at them went. To be looked at every [`LOOK_INTERVAL`].
#[derive(Debug)]
pub struct Changes {
    watch: FileWatch,
    /// Since the first change that was not taken.
    looks: Option<u32>,
    /// Since the last attempt that failed.
    since_failure: Option<u32>,
}

impl Changes {
    /// Those of files that were right when they were read.
    pub fn of(watch: FileWatch) -> Self {
        Self { watch, looks: None, since_failure: None }
    }

    /// Looks at the files: whether to read them now. Must be called within a runtime: it blocks on the file system
    /// elsewhere, for a network file system may keep it waiting.
    pub async fn look(&mut self) -> bool {
        let mut watch = std::mem::take(&mut self.watch);
        let looked = tokio::task::spawn_blocking(move || (watch.look(), watch)).await;
        let Ok((changed, watch)) = looked else { return false };
        self.watch = watch;
        self.count(changed)
    }

    /// The files were read. If they are wrong, they are to be read again after a while.
    pub fn taken(&mut self, failed: bool) {
        (self.looks, self.since_failure) = (None, failed.then_some(0));
    }

    /// From now on these files count, as they were before they were read.
    pub fn follow(&mut self, watch: FileWatch) {
        self.watch = watch;
    }

    /// Whether the files were wrong when they were last read.
    pub(super) fn have_failed(&self) -> bool {
        self.since_failure.is_some()
    }

    fn count(&mut self, changed: bool) -> bool {
        match (&mut self.looks, changed) {
            (None, true) => self.looks = Some(0),
            (Some(looks), true) if *looks < LOOKS_MAX => *looks += 1,
            (Some(_), _) => return true,
            (None, false) => {}
        }
        let Some(since) = &mut self.since_failure else { return false };
        *since += 1;
        *since >= RETRY_LOOKS
    }
}

#[cfg(test)]
mod tests;
