//! Tells when files have changed, without reading them.
//!
//! A file is told from another by what the system says of it: which file it is, its size, and its time of change. That
//! notices writing in place, renaming, and symbolic links that are switched, as in the volumes of Kubernetes, on every
//! file system and across bind mounts. Nothing here decides how often to look.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

/// What tells one content of a file from another: device, file, size, time of change.
type Fingerprint = Option<(u64, u64, u64, i64, i64)>;

/// Some files and directories, as they were when they were last looked at.
#[derive(Debug, Default)]
pub struct FileWatch {
    paths: Vec<PathBuf>,
    seen: Vec<Fingerprint>,
}

impl FileWatch {
    /// Looks for the first time; to be called before the files are read. A directory stands for itself and the files in
    /// it, but not for directories in it.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths = Vec::from_iter(paths);
        Self { seen: fingerprints(&paths), paths }
    }

    /// Looks again: whether something is different from the last look. A file that is missing is a difference too, once.
    pub fn look(&mut self) -> bool {
        let found = fingerprints(&self.paths);
        let changed = found != self.seen;
        self.seen = found;
        changed
    }
}

fn fingerprints(paths: &[PathBuf]) -> Vec<Fingerprint> {
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        let found = fs::metadata(path).ok();
        all.push(found.as_ref().map(fingerprint));
        if found.is_some_and(|found| found.is_dir()) {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let mut inside = entries.map(|entry| entry.path()).collect::<Vec<_>>();
            inside.sort();
            all.extend(inside.iter().map(|path| fs::metadata(path).ok().as_ref().map(fingerprint)));
        }
    }
    all
}

fn fingerprint(found: &Metadata) -> (u64, u64, u64, i64, i64) {
    (found.dev(), found.ino(), found.len(), found.ctime(), found.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_way_to_change_a_file_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "one").unwrap();
        let mut watch = FileWatch::new([path("file"), path("missing")]);
        assert!(!watch.look());
        let mut expect_change = |what: &str| {
            assert!(watch.look(), "{what}");
            assert!(!watch.look(), "{what}: again");
        };
        fs::write(path("file"), "longer").unwrap();
        expect_change("writing in place");
        fs::write(path("other"), "renamed").unwrap();
        fs::rename(path("other"), path("file")).unwrap();
        expect_change("renaming");
        fs::write(path("missing"), "").unwrap();
        expect_change("a new file");
        fs::remove_file(path("missing")).unwrap();
        expect_change("a file that is gone");
    }

    /// The layout of a volume in Kubernetes: the file is a link into `..data`, itself a link that is replaced.
    #[test]
    fn a_switched_link_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("tls.crt"), "same").unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/tls.crt", path("tls.crt")).unwrap();
        let mut watch = FileWatch::new([path("tls.crt")]);
        symlink("..2", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        assert!(watch.look());
    }

    #[test]
    fn files_in_a_directory_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a"), "").unwrap();
        let mut watch = FileWatch::new([directory.path().to_owned()]);
        fs::write(path("b"), "").unwrap();
        assert!(watch.look());
        fs::write(path("a"), "changed").unwrap();
        assert!(watch.look());
        assert!(!watch.look());
    }
}
