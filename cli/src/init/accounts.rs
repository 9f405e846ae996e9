//! The first users of a data directory: a password file and, for each user, the password as a file.
//!
//! Passwords are written before the password file. So a run that was cut short leaves secrets that the next run
//! takes up, and never a user whose password nobody knows. Once there is a password file it is the operator's:
//! it is not edited here, or a user that was removed would come back.

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
        text.push_str(&hash_record(user, &secret(report, user)?)?);
        text.push('\n');
    }
    match report.create(PASSWORD_FILE, files::PRIVATE, text.as_bytes())? {
        Outcome::Created => Ok(()),
        // Another `init` was faster.
        Outcome::Kept => check(report),
    }
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

/// The password file is there: says which of the first users cannot be used with the secrets that are there.
fn check(report: &mut Report) -> Result<(), Failure> {
    report.kept(PASSWORD_FILE);
    let path = report.directory().join(PASSWORD_FILE);
    let text = files::read_text(&path)?;
    for user in USERS {
        let name = secret_file(user);
        let known = text.lines().any(|line| line.split(':').next() == Some(user));
        let present = files::exists(&report.directory().join(&name));
        match (known, present) {
            (true, true) => report.kept(&name),
            (true, false) => report.warn(format!(
                "{name} is missing, and {PASSWORD_FILE} holds only a hash: give `{user}` a new password with \
                 `gaugeline passwd {} {user}` and write it to that file",
                path.display()
            )),
            (false, true) => {
                report.warn(format!("{name} is there, but {PASSWORD_FILE} has no user `{user}`"))
            }
            (false, false) => {}
        }
    }
    Ok(())
}

/// TEMPORARY until broker::auth lands.
fn hash_record(user: &str, secret: &str) -> Result<String, Failure> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let salt = random::bytes::<12>()?;
    let mut hash = [0; 64];
    pbkdf2::pbkdf2_hmac::<sha2::Sha512>(secret.as_bytes(), &salt, 20_000, &mut hash);
    Ok(format!("{user}:$7$20000${}${}", STANDARD.encode(salt), STANDARD.encode(hash)))
}
