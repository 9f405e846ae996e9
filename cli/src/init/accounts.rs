//! The first users of a data directory: a password file and, for each user, the password as a file.
//!
//! Passwords are written before the password file. So a run that was cut short leaves secrets that the next run
//! takes up, and never a user whose password nobody knows. Once there is a password file it is the operator's:
//! it is not edited here, or a user that was removed would come back.

use gaugeline_broker::auth::{
    PasswordFile,
    hash::{Hashing, ITERATIONS_RANDOM_PASSWORD, PasswordHash, SaltLength},
};

use super::report::{Outcome, Report};
use crate::{failure::Failure, files, random};

/// The password file.
pub(crate) const PASSWORD_FILE: &str = "passwd";
/// The user whose account the bridge reads with.
pub(crate) const BRIDGE: &str = "bridge";
/// The user that may write `sensors/#`.
pub(crate) const SENSOR: &str = "sensor";
/// The user that may read `sensors/#`.
pub(crate) const VIEWER: &str = "viewer";

/// Whose secret the admin token is: no user of MQTT.
pub(crate) const ADMIN: &str = "admin";

const USERS: [&str; 3] = [BRIDGE, SENSOR, VIEWER];
/// As many random bytes as make guessing hopeless: 256 bits.
const SECRET_BYTES: usize = 32;

/// Where a user's password is kept, within the data directory.
pub(crate) fn secret_file(user: &str) -> String {
    format!("secrets/{user}")
}

/// Creates the secrets and the password file, or checks those that are there.
pub(super) fn complete(report: &mut Report) -> Result<(), Failure> {
    if files::exists(&report.directory().join(PASSWORD_FILE)) {
        return check(report);
    }
    let mut text = String::from(
        "# Users and password hashes, mosquitto's format. Edit with `gaugeline passwd`.\n\
         # The passwords of these first users are in the directory `secrets`.\n",
    );
    for user in USERS {
        let hash = hash(&secret(report, user)?)?;
        text.push_str(&format!("{user}:{hash}\n"));
    }
    match report.create(PASSWORD_FILE, files::PRIVATE, text.as_bytes())? {
        Outcome::Created => Ok(()),
        // Another `init` was faster.
        Outcome::Kept => check(report),
    }
}

/// Creates the token that operators show to the broker's admin server.
pub(super) fn complete_admin_token(report: &mut Report) -> Result<(), Failure> {
    secret(report, ADMIN).map(drop)
}

/// The user's password: the one that is there, or a new one.
fn secret(report: &mut Report, user: &str) -> Result<String, Failure> {
    let name = secret_file(user);
    let mut secret = hex::encode(random::bytes::<SECRET_BYTES>()?);
    secret.push('\n');
    report.create(&name, files::PRIVATE, secret.as_bytes())?;
    // Read back, for the file may have been there.
    files::read_secret(&report.directory().join(name))
}

/// The hash of a random password, in the form that every mosquitto reads.
fn hash(secret: &str) -> Result<PasswordHash, Failure> {
    PasswordHash::create(secret.as_bytes(), Hashing::Pbkdf2(ITERATIONS_RANDOM_PASSWORD, SaltLength::Twelve))
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))
}

/// The password file is there: says which of the first users cannot be used with the secrets that are there.
fn check(report: &mut Report) -> Result<(), Failure> {
    report.kept(PASSWORD_FILE);
    let path = report.directory().join(PASSWORD_FILE);
    let passwords = PasswordFile::load(&path).map_err(Failure::configuration)?;
    for user in USERS {
        let name = secret_file(user);
        let secret_path = report.directory().join(&name);
        let known = passwords.find(user).is_some();
        let present = files::exists(&secret_path);
        if present {
            report.kept(&name);
        }
        let remedy = format!(
            "give `{user}` a new password with `gaugeline passwd {} {user}` and write it to that file",
            path.display()
        );
        match (known, present) {
            (true, true) => {
                if !passwords.verify(user, files::read_secret(&secret_path)?.as_bytes()) {
                    report.warn(format!(
                        "{name} is not the password that {PASSWORD_FILE} has for `{user}`: {remedy}"
                    ));
                }
            }
            (true, false) => {
                report.warn(format!("{name} is missing, and {PASSWORD_FILE} holds only a hash: {remedy}"));
            }
            (false, true) => {
                report.warn(format!("{name} is there, but {PASSWORD_FILE} has no user `{user}`"))
            }
            (false, false) => {}
        }
    }
    Ok(())
}
