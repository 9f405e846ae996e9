//! Why a log could not be opened.

use std::{io, path::PathBuf};

use crate::process_user::told;

/// Why a log could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused something.
    #[error("{}: cannot {action}: {}", path.display(), told(source))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another broker uses the directory.
    #[error(
        "{}: in use by another broker ({owner}): stop it, or give this one a directory of its own", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who holds the lock, as they wrote it.
        owner: String,
    },
    /// A file with the name of a segment that is not one.
    #[error("{}: not a file of this broker: move it away, or give the broker a directory of its own", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A segment of a format that this program does not know.
    #[error(
        "{}: written in format {found} of the log, and this program knows only format 1: start the version that \
         wrote it", path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u32,
    },
    /// Something that was safely on the disk is not there any more.
    #[error(
        "{}: damaged at byte {offset}: {detail}. This was acknowledged and the disk has lost it. Restore the \
         directory from a backup, or start with --accept-storage-loss: the damaged file is moved aside, everything \
         that can be read is kept, and what was in the damaged part is lost or may be delivered again", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins, in bytes from the start of the file.
        offset: u64,
        /// What is wrong.
        detail: &'static str,
    },
}
