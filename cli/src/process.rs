//! The broker as a process of its system: in the background, with a file that tells its number, as a user without
//! privileges.
//!
//! All of this must happen before the first thread starts: what it changes holds for the threads that come later.

use std::{ffi::CString, fs, path::PathBuf};

use gaugeline_broker::{
    config::{ProcessConfig, User},
    process_user,
};
use nix::unistd::{self, Uid};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use crate::failure::Failure;

/// Who nobody is, where no other user was made for the broker.
const NOBODY: &str = "nobody";

/// Goes into the background: the process that was started ends at once, and the broker goes on without a terminal, in the same
/// directory.
pub(crate) fn daemonise() -> Result<(), Failure> {
    unistd::daemon(true, false)
        .map_err(|error| Failure::failed(format!("cannot go into the background: {error}")))
}

/// Does what the configuration says. The file with the number of the process goes when the returned value does.
pub(crate) fn settle(config: &ProcessConfig) -> Result<Option<PidFile>, Failure> {
    let pid_file = config.pid_file.clone().map(PidFile::write).transpose()?;
    if let Some(user) = &config.user
        && Uid::effective().is_root()
    {
        become_user(user)?;
    }
    Ok(pid_file)
}

/// For a check: becomes the user that the broker would become, so that what this process cannot read, the broker cannot
/// read either. Returns what could not be tried.
pub(crate) fn rehearse(config: &ProcessConfig) -> Result<Option<String>, Failure> {
    let Some(user) = &config.user else { return Ok(None) };
    let present = Uid::effective();
    if present.is_root() {
        return become_user(user).map(|()| None);
    }
    let name = &user.name;
    Ok(match find_account(user)? {
        Some(account) if account.uid == present => None,
        Some(account) => Some(format!(
            "started as root, the broker becomes the user `{}`; whether that user can read and write its files was not \
             tried: that needs root",
            account.name
        )),
        None if user.or_nobody => None,
        None => Some(format!("there is no user `{name}`: started as root, the broker would not go on")),
    })
}

/// Who is meant.
fn find_account(user: &User) -> Result<Option<unistd::User>, Failure> {
    let find = |name: &str| unistd::User::from_name(name).map_err(Failure::failed);
    match find(&user.name)? {
        None if user.or_nobody => find(NOBODY),
        found => Ok(found),
    }
}

/// Says who the process is: a file that cannot be read then is no riddle. To be called when there is a log.
pub(crate) fn tell_user(config: &ProcessConfig) {
    let present = Uid::effective();
    if present.is_root() {
        tracing::warn!(
            "runs as root: start it as a user of its own, or name one with `user`; it needs no right of root but to read \
             its files"
        );
    } else if config.user.is_some() {
        let name = process_user::name();
        tracing::info!(
            "runs as the user `{name}`, who must be able to read the files that the configuration names"
        );
    }
}

/// Gives up root's rights for good, but for one: ports below 1024, at the start and after a reload.
fn become_user(user: &User) -> Result<(), Failure> {
    let Some(account) = find_account(user)? else {
        let hint = "(expected one that exists, or `root` to go on as root)";
        return Err(Failure::configuration(format!("there is no user `{}` {hint}", user.name)));
    };
    let refused = |error| Failure::failed(format!("cannot become the user `{}`: {error}", account.name));
    let name = CString::new(account.name.as_str()).map_err(Failure::failed)?;
    unistd::initgroups(&name, account.gid).map_err(refused)?;
    unistd::setgid(account.gid).map_err(refused)?;
    let failed = |error: rustix::io::Errno| {
        Failure::failed(format!("cannot give up root's rights for those of `{}`: {error}", account.name))
    };
    thread::set_keep_capabilities(true).map_err(failed)?;
    unistd::setuid(account.uid).map_err(refused)?;
    // What is kept may be less than that: a container can have been started without it.
    let permitted = thread::capabilities(None).map_err(failed)?.permitted;
    let low_ports = permitted & CapabilitySet::NET_BIND_SERVICE;
    let kept =
        CapabilitySets { effective: low_ports, permitted: low_ports, inheritable: CapabilitySet::empty() };
    thread::set_capabilities(None, kept).map_err(failed)
}

/// A file with the number of this process, for scripts that send it signals.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    fn write(path: PathBuf) -> Result<Self, Failure> {
        fs::write(&path, format!("{}\n", std::process::id()))
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // It may be root's, while we are somebody else by now.
        fs::remove_file(&self.0).ok();
    }
}
