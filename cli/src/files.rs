//! Files that are written whole or not at all, over one that exists only where that is the point.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// Readable by everybody: certificates, configuration.
pub(crate) const PUBLIC: u32 = 0o644;
/// Readable by the owner alone: keys, passwords.
pub(crate) const PRIVATE: u32 = 0o600;

/// Creates `path` with this content and these permissions. Fails with [`io::ErrorKind::AlreadyExists`] if
/// something is there, a dangling link included. After a crash the file is either absent or complete.
pub(crate) fn create_new(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let directory = parent(path);
    let mut file = tempfile::Builder::new()
        .prefix(".gaugeline-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(&directory)?;
    file.write_all(content)?;
    // The umask may have taken bits away.
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    fs::File::open(directory)?.sync_all()
}

/// Puts a file with this content in the place of the one that is there, if any, in one step; a link is replaced by the
/// file itself. The owner and the permissions stay those of the old one; `mode` is for a new one.
pub(crate) fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let directory = parent(path);
    let old = fs::metadata(path).ok();
    let mode = old.as_ref().map_or(mode, |old| old.mode() & 0o7777);
    let mut file = tempfile::Builder::new()
        .prefix(".gaugeline-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(&directory)?;
    file.write_all(content)?;
    let new = file.as_file().metadata()?;
    if let Some(old) = old
        && (old.uid(), old.gid()) != (new.uid(), new.gid())
    {
        // Done as root for a broker that runs as somebody else, who must be able to read the new one too.
        fchown(file.as_file(), Some(old.uid()), Some(old.gid()))?;
    }
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(directory)?.sync_all()
}

/// Creates a directory and those above it, if missing; `mode` applies to the last one, and only if created.
pub(crate) fn create_directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(parent(path))?;
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => created,
    }
}

/// Whether something has this name, be it a dangling link.
pub(crate) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The bytes of a file that the user named.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// The bytes of a configuration, which may be in any encoding.
pub(crate) fn read_configuration(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::configuration(format!("{}: {error}", path.display())))
}

/// The text of a file, or whose file could not be read.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::configuration(format!("{}: {error}", path.display())))
}

/// A password as a file holds it: without the final line end.
pub(crate) fn read_secret(path: &Path) -> Result<String, Failure> {
    let text = read_text(path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(Failure::configuration(format!("{}: is empty, expected a password", path.display())));
    }
    Ok(secret.to_owned())
}

/// The directory that holds `path`.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_once_with_its_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        create_new(&path, PRIVATE, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, PRIVATE);
        let again = create_new(&path, PRIVATE, b"two").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_file_is_replaced_and_keeps_its_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        replace(&path, PRIVATE, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, PRIVATE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, PRIVATE, b"two").unwrap();
        assert_eq!(
            (fs::metadata(&path).unwrap().mode() & 0o7777, fs::read(&path).unwrap()),
            (0o640, b"two".to_vec())
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_dangling_link_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("link");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(exists(&path));
        assert!(create_new(&path, PUBLIC, b"").is_err());
    }

    #[test]
    fn a_secret_loses_its_line_end_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, " a b \r\n").unwrap();
        assert_eq!(read_secret(&path).unwrap(), " a b ");
        fs::write(&path, "\n").unwrap();
        assert!(read_secret(&path).unwrap_err().to_string().contains("is empty"));
    }
}
