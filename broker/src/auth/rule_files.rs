//! The files of rules while all of them are read: each once, however many realms name it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Acl, AclOptions, PasswordFile, ScramFile};
use crate::file_error::FileError;

/// What has been read. Paths are compared as they are written in the configuration.
#[derive(Debug, Default)]
pub(super) struct RuleFiles {
    passwords: HashMap<PathBuf, Arc<PasswordFile>>,
    scram: HashMap<PathBuf, Arc<ScramFile>>,
    acls: Vec<(PathBuf, AclOptions, Arc<Acl>)>,
}

impl RuleFiles {
    pub(super) fn passwords(&mut self, path: &Path) -> Result<Arc<PasswordFile>, FileError> {
        once(&mut self.passwords, path, PasswordFile::load)
    }

    pub(super) fn scram(&mut self, path: &Path) -> Result<Arc<ScramFile>, FileError> {
        once(&mut self.scram, path, ScramFile::load)
    }

    pub(super) fn acl(&mut self, path: &Path, options: AclOptions) -> Result<Arc<Acl>, FileError> {
        let known = self.acls.iter().find(|(known, under, _)| known == path && *under == options);
        if let Some((_, _, acl)) = known {
            return Ok(Arc::clone(acl));
        }
        let acl = Arc::new(Acl::load(path, options)?);
        self.acls.push((path.to_owned(), options, Arc::clone(&acl)));
        Ok(acl)
    }
}

fn once<T>(
    known: &mut HashMap<PathBuf, Arc<T>>,
    path: &Path,
    load: impl FnOnce(&Path) -> Result<T, FileError>,
) -> Result<Arc<T>, FileError> {
    if let Some(known) = known.get(path) {
        return Ok(Arc::clone(known));
    }
    let read = Arc::new(load(path)?);
    known.insert(path.to_owned(), Arc::clone(&read));
    Ok(read)
}
