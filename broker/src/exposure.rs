//! Who else may read a file with a secret.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use crate::file_error::FileError;

/// Whether users can read or write the file who should not: everybody, or a group that is neither root's nor ours. `secret`
/// is what is in it, `expected` what to do.
///
/// A group that this process is in was given the file on purpose: Debian's `ssl-cert`, a `fsGroup` in Kubernetes.
pub(crate) fn exposure(path: &Path, secret: &str, expected: &str) -> Result<Option<FileError>, FileError> {
    let found = fs::metadata(path).map_err(|error| FileError::unreadable(path, &error))?;
    let mode = found.mode();
    let who = if mode & 0o006 != 0 {
        "everybody".to_owned()
    } else if mode & 0o060 != 0 && !is_trusted_group(found.gid()) {
        format!("group {}, which is neither root's nor one of this process,", found.gid())
    } else {
        return Ok(None);
    };
    let found = format_args!("{secret} that {who} can read or change (mode {:04o})", mode & 0o7777);
    Ok(Some(FileError::whole(path, found, expected)))
}

fn is_trusted_group(group: u32) -> bool {
    group == 0
        || group == rustix::process::getegid().as_raw()
        || rustix::process::getgroups().is_ok_and(|groups| groups.iter().any(|own| own.as_raw() == group))
}
