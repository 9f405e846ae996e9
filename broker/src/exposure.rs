//! Who else may read a file with a secret.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use crate::{file_error::FileError, process_user};

/// Whether users can read or write the file who should not: everybody, or a group that is neither root's nor ours. `secret`
/// is what is in it, `expected` what is good beside the mode 0600.
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
    let expected = format!("mode 0600 ({}){expected}", remedy(path));
    Ok(Some(FileError::whole(path, found, expected)))
}

/// The command that keeps a file from other users, and not from this process: it may have become another user than the
/// one who made the file.
pub(crate) fn remedy(path: &Path) -> String {
    let owner = fs::metadata(path).map(|found| found.uid()).ok();
    remedy_for(path, owner, rustix::process::geteuid().as_raw(), &process_user::name())
}

fn remedy_for(path: &Path, owner: Option<u32>, own: u32, name: &str) -> String {
    let path = path.display();
    if own == 0 || owner == Some(own) {
        return format!("`chmod 600 {path}`");
    }
    format!("`chown {name} {path} && chmod 600 {path}`, or a group of {name} and mode 0640")
}

fn is_trusted_group(group: u32) -> bool {
    group == 0
        || group == rustix::process::getegid().as_raw()
        || rustix::process::getgroups().is_ok_and(|groups| groups.iter().any(|own| own.as_raw() == group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_does_not_lock_the_process_out() {
        let remedy = |owner, own, name| remedy_for(Path::new("p"), owner, own, name);
        let only_mode = "`chmod 600 p`";
        assert_eq!(remedy(Some(7), 7, "mosquitto"), only_mode);
        assert_eq!(
            (remedy(Some(0), 0, "root"), remedy(Some(7), 0, "root")),
            (only_mode.into(), only_mode.into())
        );
        let with_owner = "`chown mosquitto p && chmod 600 p`, or a group of mosquitto and mode 0640";
        assert_eq!(
            (remedy(Some(0), 7, "mosquitto"), remedy(None, 7, "mosquitto")),
            (with_owner.into(), with_owner.into())
        );
    }
}
