//! As which user the process runs, for messages about files.

use std::io;

use nix::unistd::{Uid, User};

/// Its name; its number if it has none.
pub fn name() -> String {
    let present = Uid::effective();
    let account = User::from_uid(present).ok().flatten();
    account.map_or_else(|| present.to_string(), |account| account.name)
}

/// What the system said, and for what it does not permit, to whom: the program may run as somebody else than the user who
/// has started it.
pub(crate) fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{error}, as the user `{}`", name()),
        _ => error.to_string(),
    }
}
