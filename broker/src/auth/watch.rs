//! Follows the password file and the ACL file: a change holds at once, a mistake changes nothing.
//!
//! The files are looked at once a second, by what the system says of them (which file it is, its size and its time of
//! change): that notices writing in place, renaming, and symbolic links that are switched, on every file system.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Access, AccessHandle};
use crate::file_error::FileError;

/// What tells one content of a file from another, without reading it.
type Fingerprint = Option<(u64, u64, u64, i64, i64)>;

/// The files that the rules come from, as they were when they were last read.
#[derive(Debug)]
pub struct AccessFiles {
    password_file: Option<PathBuf>,
    acl_file: Option<PathBuf>,
    allow_anonymous: bool,
    seen: [Fingerprint; 2],
}

/// What a look at the files brought.
#[derive(Debug)]
pub enum Look {
    /// Nothing has changed.
    Unchanged,
    /// New rules hold; these held before.
    Reloaded(Arc<Access>),
    /// A file has changed and cannot be used: the rules are as before. Told once for each change.
    Refused(FileError),
}

impl AccessFiles {
    /// Looks at the files for the first time; to be called before they are read.
    pub fn new(password_file: Option<&Path>, acl_file: Option<&Path>, allow_anonymous: bool) -> Self {
        let mut files = Self {
            password_file: password_file.map(Path::to_owned),
            acl_file: acl_file.map(Path::to_owned),
            allow_anonymous,
            seen: [None; 2],
        };
        files.seen = files.fingerprints();
        files
    }

    /// Reads the files.
    ///
    /// # Errors
    /// The first mistake in them.
    pub fn load(&self) -> Result<Access, FileError> {
        Access::load(self.password_file.as_deref(), self.acl_file.as_deref(), self.allow_anonymous)
    }

    /// Reads the files again if one of them has changed, and replaces the rules if both are right. Blocks while it reads.
    pub fn look(&mut self, access: &AccessHandle) -> Look {
        let found = self.fingerprints();
        if found == self.seen {
            return Look::Unchanged;
        }
        self.seen = found;
        match self.load() {
            Ok(new) => Look::Reloaded(access.swap(new)),
            Err(error) => Look::Refused(error),
        }
    }

    fn fingerprints(&self) -> [Fingerprint; 2] {
        [&self.password_file, &self.acl_file].map(|path| {
            let found = std::fs::metadata(path.as_deref()?).ok()?;
            Some(fingerprint(&found))
        })
    }
}

fn fingerprint(found: &Metadata) -> (u64, u64, u64, i64, i64) {
    (found.dev(), found.ino(), found.len(), found.ctime(), found.ctime_nsec())
}

impl Access {
    /// Whether someone who came in as `user` under the rules `before` would come in now, as far as can be told without
    /// the password: the user is still there, with the same hash; or there is no user, and that is still allowed.
    pub fn still_admits(&self, user: Option<&str>, before: &Self) -> bool {
        let Some(user) = user else { return self.allow_anonymous };
        let hash = |access: &Self| {
            access.passwords.as_ref().map(|file| file.find(user).map(|(_, hash)| hash.clone()))
        };
        match (hash(self), hash(before)) {
            (None, _) => self.allow_anonymous,
            (Some(now), Some(then)) => now.is_some() && now == then,
            (Some(now), None) => now.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::auth::{AccessKind, Identity};

    const ALICE: &str = "alice:$7$101$AbYZGA+Ej19dH8Mc$aELzQqgx/9bzT3Yz5muTMSh98B4av5j40hd7iHm63X139n7kbCGhpd/Ro8TUpMFejYJrCKkdBGAvTPxsZpXZCA==\n";

    #[test]
    fn a_change_holds_and_a_mistake_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (passwd, acl) = (directory.path().join("passwd"), directory.path().join("acl"));
        fs::write(&passwd, ALICE).unwrap();
        fs::write(&acl, "user alice\ntopic read a\n").unwrap();
        let mut files = AccessFiles::new(Some(&passwd), Some(&acl), false);
        let handle = AccessHandle::new(files.load().unwrap());
        assert!(matches!(files.look(&handle), Look::Unchanged));
        let alice = Identity {
            user: Some("alice".into()),
            client_id: gaugeline_protocol::ClientId::new("c").unwrap(),
            address: ([127, 0, 0, 1], 1).into(),
        };
        let may_read = |topic: &str| handle.load().decide(&alice, AccessKind::Read, topic).allowed;

        fs::write(&acl, "user alice\ntopic read b\n").unwrap();
        let Look::Reloaded(before) = files.look(&handle) else { panic!("not reloaded") };
        assert!(may_read("b") && !may_read("a"));
        assert!(handle.load().still_admits(Some("alice"), &before));

        fs::write(&acl, "user alice\ntopic raed b and more\n").unwrap();
        let Look::Refused(error) = files.look(&handle) else { panic!("a bad file was taken") };
        assert!(error.to_string().contains("acl:2"), "{error}");
        assert!(may_read("b"));
        assert!(matches!(files.look(&handle), Look::Unchanged), "told twice");

        // As an editor or a Kubernetes volume does it: another file under the same name.
        let other = directory.path().join("other");
        fs::write(&other, "user alice\ntopic read c\n").unwrap();
        fs::rename(&other, &acl).unwrap();
        assert!(matches!(files.look(&handle), Look::Reloaded(_)));
        assert!(may_read("c"));

        fs::write(&passwd, "# nobody\n").unwrap();
        let Look::Reloaded(before) = files.look(&handle) else { panic!("not reloaded") };
        assert!(!handle.load().still_admits(Some("alice"), &before));
        fs::remove_file(&passwd).unwrap();
        assert!(matches!(files.look(&handle), Look::Refused(_)));
    }
}
