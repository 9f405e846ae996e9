//! Follows the password file and the ACL file: a change holds at once, a mistake changes nothing.
//!
//! The files are looked at once a second, by what the system says of them (which file it is, its size and its time of
//! change): that notices writing in place, renaming, and symbolic links that are switched, on every file system.

use std::{fs::Metadata, os::unix::fs::MetadataExt as _, sync::Arc};

use super::{Access, AccessHandle, RealmConfig};
use crate::file_error::FileError;

/// What tells one content of a file from another, without reading it.
type Fingerprint = Option<(u64, u64, u64, i64, i64)>;

/// The files that the rules come from, as they were when they were last read.
#[derive(Debug)]
pub struct AccessFiles {
    realms: Vec<RealmConfig>,
    seen: Vec<Fingerprint>,
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
    pub fn new(realms: &[RealmConfig]) -> Self {
        let mut files = Self { realms: realms.to_vec(), seen: Vec::new() };
        files.seen = files.fingerprints();
        files
    }

    /// Reads the files.
    ///
    /// # Errors
    /// The first mistake in them.
    pub fn load(&self) -> Result<Access, FileError> {
        Access::load(&self.realms)
    }

    /// Reads the files again if one of them has changed, and replaces the rules if all are right. Blocks while it reads.
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

    fn fingerprints(&self) -> Vec<Fingerprint> {
        let files = self.realms.iter().flat_map(|realm| [&realm.password_file, &realm.acl_file]);
        files.map(|path| Some(fingerprint(&std::fs::metadata(path.as_deref()?).ok()?))).collect()
    }
}

fn fingerprint(found: &Metadata) -> (u64, u64, u64, i64, i64) {
    (found.dev(), found.ino(), found.len(), found.ctime(), found.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::auth::{AccessKind, Identity, RealmId};

    const ALICE: &str = "alice:$7$101$AbYZGA+Ej19dH8Mc$aELzQqgx/9bzT3Yz5muTMSh98B4av5j40hd7iHm63X139n7kbCGhpd/Ro8TUpMFejYJrCKkdBGAvTPxsZpXZCA==\n";

    fn admits_alice(access: &AccessHandle, before: &Access) -> bool {
        access.load().realm(RealmId::FIRST).still_admits(Some("alice"), before.realm(RealmId::FIRST))
    }

    #[test]
    fn a_change_holds_and_a_mistake_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (passwd, acl) = (directory.path().join("passwd"), directory.path().join("acl"));
        fs::write(&passwd, ALICE).unwrap();
        fs::write(&acl, "user alice\ntopic read a\n").unwrap();
        let realm = RealmConfig {
            password_file: Some(passwd.clone()),
            acl_file: Some(acl.clone()),
            ..RealmConfig::default()
        };
        let mut files = AccessFiles::new(&[realm]);
        let handle = AccessHandle::new(files.load().unwrap());
        assert!(matches!(files.look(&handle), Look::Unchanged));
        let alice = Identity {
            realm: RealmId::FIRST,
            user: Some("alice".into()),
            client_id: gaugeline_protocol::ClientId::new("c").unwrap(),
            address: ([127, 0, 0, 1], 1).into(),
        };
        let may_read = |topic: &str| handle.load().decide(&alice, AccessKind::Read, topic).allowed;

        fs::write(&acl, "user alice\ntopic read b\n").unwrap();
        let Look::Reloaded(before) = files.look(&handle) else { panic!("not reloaded") };
        assert!(may_read("b") && !may_read("a"));
        assert!(admits_alice(&handle, &before));

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
        assert!(!admits_alice(&handle, &before));
        fs::remove_file(&passwd).unwrap();
        assert!(matches!(files.look(&handle), Look::Refused(_)));
    }
}
