//! The topics that the broker's session of the bridge is subscribed to, kept in a file across restarts.
//!
//! A session outlives the bridge and its configuration, and no client can ask a broker what it is subscribed to. Without
//! this, a topic that was taken out of `topics` would go on arriving for as long as the session lives.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use gaugeline_protocol::TopicFilter;
use tracing::warn;

/// The file's name.
const FILE: &str = "subscriptions.json";

/// What the session may be subscribed to: never less than it is.
#[derive(Debug)]
pub(crate) struct Remembered {
    path: PathBuf,
    filters: Vec<TopicFilter>,
}

impl Remembered {
    /// Reads the file. Without one, or with one that is damaged, nothing is remembered.
    pub(crate) fn load(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let filters = match read(&path) {
            Ok(filters) => filters,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                warn!(
                    "{}: {error}: topics that were removed from `topics` may go on arriving",
                    path.display()
                );
                Vec::new()
            }
        };
        Self { path, filters }
    }

    /// The broker has no session any more.
    pub(super) fn forget(&mut self) {
        self.filters.clear();
    }

    /// What the session has too much.
    pub(super) fn beyond(&self, wanted: &[TopicFilter]) -> Vec<TopicFilter> {
        self.filters.iter().filter(|filter| !wanted.contains(filter)).cloned().collect()
    }

    /// Before these are subscribed to: a crash in between must not forget them.
    pub(super) fn add(&mut self, wanted: &[TopicFilter]) {
        let mut filters = self.beyond(wanted);
        filters.extend_from_slice(wanted);
        self.replace(&filters);
    }

    /// The session has these and no others.
    pub(super) fn replace(&mut self, filters: &[TopicFilter]) {
        if self.filters == filters {
            return;
        }
        self.filters = filters.to_vec();
        // Short, and only when `topics` changes. Telemetry matters more than this memory.
        if let Err(error) = self.write() {
            warn!(
                "{}: {error}: topics that are removed from `topics` may go on arriving",
                self.path.display()
            );
        }
    }

    fn write(&self) -> io::Result<()> {
        let names: Vec<&str> = self.filters.iter().map(TopicFilter::as_str).collect();
        let text = serde_json::to_string(&names)? + "\n";
        let new = self.path.with_extension("json.new");
        fs::write(&new, text)?;
        fs::rename(new, &self.path)
    }
}

fn read(path: &Path) -> io::Result<Vec<TopicFilter>> {
    let names: Vec<String> = serde_json::from_str(&fs::read_to_string(path)?)?;
    let filters = names.iter().map(|name| TopicFilter::new(name).map_err(io::Error::other));
    filters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(names: &[&str]) -> Vec<TopicFilter> {
        names.iter().map(|name| TopicFilter::new(name).unwrap()).collect()
    }

    #[test]
    fn what_was_subscribed_is_known_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut remembered = Remembered::load(directory.path());
        assert_eq!(remembered.beyond(&[]), []);
        remembered.add(&filters(&["a/#", "b"]));
        let mut remembered = Remembered::load(directory.path());
        assert_eq!(remembered.beyond(&filters(&["b", "c"])), filters(&["a/#"]));
        remembered.add(&filters(&["b", "c"]));
        // A crash before the broker has answered.
        let mut remembered = Remembered::load(directory.path());
        assert_eq!(remembered.beyond(&filters(&["b", "c"])), filters(&["a/#"]));
        remembered.replace(&filters(&["b", "c"]));
        assert_eq!(Remembered::load(directory.path()).beyond(&filters(&["b", "c"])), []);
        remembered.forget();
        assert_eq!(remembered.beyond(&[]), []);
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["", "[", "[1]", "[\"a/#/b\"]"] {
            fs::write(directory.path().join(FILE), text).unwrap();
            assert_eq!(Remembered::load(directory.path()).beyond(&[]), [], "{text}");
        }
    }
}
