//! `gaugeline passwd`: mosquitto_passwd's command line over a safe way to edit the file.
//!
//! Options, prompts and messages are those of mosquitto_passwd 2.1. Different on purpose: no line is ever dropped,
//! the file is replaced in one step, and `-U` leaves hashes alone.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use gaugeline_broker::auth::{
    hash::{Hashing, ITERATIONS_DEFAULT, SaltLength},
    password_edit::{EditError, PasswordEditor, SetOutcome},
    scram::{self, ScramCredential},
};
use zeroize::Zeroizing;

use crate::{failure::Failure, output::say, secret::Secret};

const EXAMPLES: &str = "\
Examples:
  gaugeline passwd gaugeline-data/passwd greenhouse              asks for the password twice
  gaugeline passwd -c passwd greenhouse                          creates the file
  gaugeline passwd -b gaugeline-data/passwd greenhouse secret    others may see it while it runs
  gaugeline passwd -I 1000 gaugeline-data/passwd greenhouse      for a long random password: quick logins
  gaugeline passwd -D gaugeline-data/passwd greenhouse           removes the user
  gaugeline passwd -U old-passwd                                 hashes passwords that are plain text
  gaugeline passwd --scram -c gaugeline-data/scram greenhouse    for clients that log in with SCRAM-SHA-256

The format is mosquitto's. A running broker follows the file within a second: a new user can log in, and a user
who is removed or whose password changes is disconnected. The file is replaced as a whole, or not at all, and a
file that the broker would refuse is not written.";

/// Edit a password file: add, change and remove users
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Take the password from the command line instead of asking for it
    #[arg(short = 'b')]
    batch: bool,
    /// Create the file; it must not exist. With -b, the file `-` is standard output
    #[arg(short = 'c')]
    create: bool,
    /// Remove the user
    #[arg(short = 'D')]
    delete: bool,
    /// Hash the passwords that stand in the file as plain text; those that are hashed stay
    #[arg(short = 'U')]
    update: bool,
    /// How to hash: sha512-pbkdf2 (default), argon2id, or sha512, which is weak
    #[arg(short = 'H', value_name = "ALGORITHM", hide_possible_values = true)]
    hash: Option<Algorithm>,
    /// Iterations of sha512-pbkdf2, 210000 by default; more make guessing and every first login slower
    #[arg(short = 'I', value_name = "COUNT")]
    iterations: Option<NonZeroU32>,
    /// The file is `scram_file` of broker.toml: users of MQTT 5 clients that log in with SCRAM-SHA-256. -I is then what
    /// the client computes at each login, 15000 by default and at least 4096
    #[arg(long)]
    scram: bool,
    /// The oldest mosquitto that must be able to read the hash. 2.0 is what you get without it; 1.6 reads sha512
    /// only; 2.1 makes the salt as long as mosquitto 2.1 does, which 2.0 cannot read
    #[arg(long, value_name = "1.6|2.0|2.1", hide_possible_values = true)]
    compat: Option<Compatibility>,
    /// The password file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user
    #[arg(value_name = "USER")]
    user: Option<String>,
    /// The password, with -b
    #[arg(value_name = "PASSWORD", allow_hyphen_values = true)]
    password: Option<Secret>,
}

/// The hashes that a password can be stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Algorithm {
    /// Argon2id, `$argon2id$`
    Argon2id,
    /// PBKDF2 with HMAC-SHA512, `$7$`
    Sha512Pbkdf2,
    /// One SHA-512, `$6$`
    Sha512,
}

/// Which mosquitto must be able to read what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Compatibility {
    /// Up to 1.6: `$6$` with 12 bytes of salt
    #[value(name = "1.6")]
    V1_6,
    /// 2.0: `$6$` or `$7$` with 12 bytes of salt
    #[value(name = "2.0")]
    V2_0,
    /// 2.1: all, with 64 bytes of salt
    #[value(name = "2.1")]
    V2_1,
}

/// What is to be done, free of contradictions.
#[derive(Debug, PartialEq, Eq)]
enum Operation {
    /// Adds the user or changes the password; `None`: to be asked for.
    Set { user: String, password: Option<Secret> },
    /// Removes the user.
    Delete { user: String },
    /// Hashes what is plain text.
    Update,
}

impl Arguments {
    /// Finds contradictions, in mosquitto_passwd's words.
    fn operation(&self) -> Result<Operation, Failure> {
        let flags = [(self.create, "-c"), (self.batch, "-b"), (self.delete, "-D"), (self.update, "-U")];
        for (first, second) in [("-c", "-D"), ("-c", "-U"), ("-b", "-D"), ("-b", "-U"), ("-D", "-U")] {
            let given = |name| flags.iter().any(|(given, flag)| *given && *flag == name);
            if given(first) && given(second) {
                return Err(Failure::failed(format!("{first} and {second} cannot be used together.")));
            }
        }
        let operation = match (self.update, self.delete, self.user.clone(), self.password.clone()) {
            (true, _, None, None) => Operation::Update,
            (true, ..) => return Err(Failure::failed("-U takes a file and nothing else.")),
            (_, _, None, _) => {
                return Err(Failure::failed("The user is missing: gaugeline passwd FILE USER"));
            }
            (_, true, Some(user), None) => Operation::Delete { user },
            (_, true, ..) => return Err(Failure::failed("-D takes a file, a user and nothing else.")),
            (_, _, Some(user), password) => {
                if password.is_some() != self.batch {
                    return Err(Failure::failed(
                        "A password on the command line needs -b, and -b needs one.",
                    ));
                }
                Operation::Set { user, password }
            }
        };
        Ok(operation)
    }
}

impl Arguments {
    /// How to hash, unless what is asked for cannot be had together.
    fn hashing(&self) -> Result<Hashing, Failure> {
        let salt = match self.compat {
            Some(Compatibility::V2_1) => SaltLength::SixtyFour,
            Some(Compatibility::V1_6 | Compatibility::V2_0) | None => SaltLength::Twelve,
        };
        let default = match self.compat {
            Some(Compatibility::V1_6) => Algorithm::Sha512,
            _ => Algorithm::Sha512Pbkdf2,
        };
        let algorithm = self.hash.unwrap_or(default);
        match (algorithm, self.compat) {
            (Algorithm::Sha512Pbkdf2 | Algorithm::Argon2id, Some(Compatibility::V1_6)) => {
                Err(Failure::usage("mosquitto 1.6 reads -H sha512 only."))
            }
            (Algorithm::Argon2id, Some(Compatibility::V2_0)) => {
                Err(Failure::usage("mosquitto 2.0 does not read argon2id."))
            }
            (Algorithm::Argon2id, _) => Ok(Hashing::Argon2id),
            (Algorithm::Sha512, _) => Ok(Hashing::Sha512(salt)),
            (Algorithm::Sha512Pbkdf2, _) => {
                Ok(Hashing::Pbkdf2(self.iterations.unwrap_or(ITERATIONS_DEFAULT), salt))
            }
        }
    }
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let operation = arguments.operation()?;
    if arguments.scram {
        return edit_scram(arguments, operation);
    }
    let hashing = arguments.hashing()?;
    if arguments.iterations.is_some() && !matches!(hashing, Hashing::Pbkdf2(..)) {
        // mosquitto_passwd ignores it silently.
        eprintln!("Warning: -I counts only with sha512-pbkdf2.");
    }
    let file = &arguments.file;
    match operation {
        Operation::Set { user, password } => {
            let opened = || open(file, arguments.create).map_err(failure);
            set(arguments, opened, &user, password, |editor, password| editor.set(&user, password, hashing))
        }
        Operation::Delete { user } => edit(file, |editor| editor.delete(&user)),
        Operation::Update => edit(file, |editor| editor.upgrade(hashing).map(drop)),
    }
}

/// Does the same with a file for SCRAM.
fn edit_scram(arguments: &Arguments, operation: Operation) -> Result<(), Failure> {
    if arguments.hash.is_some() || arguments.compat.is_some() {
        return Err(Failure::usage("--scram has one hash of its own: leave out -H and --compat."));
    }
    let iterations = arguments.iterations.unwrap_or(scram::ITERATIONS_DEFAULT);
    if !ScramCredential::allows_iterations(iterations) {
        return Err(Failure::usage("-I with --scram takes 4096 (RFC 7677) to 10000000."));
    }
    let file = &arguments.file;
    let opened = || open(file, arguments.create).and_then(PasswordEditor::into_scram).map_err(failure);
    match operation {
        Operation::Set { user, password } => set(arguments, opened, &user, password, |editor, password| {
            editor.set_scram(&user, password, iterations)
        }),
        Operation::Delete { user } => {
            let mut editor = opened()?;
            editor.delete(&user).and_then(|()| editor.save()).map_err(failure)
        }
        Operation::Update => Err(Failure::usage("--scram and -U cannot be used together.")),
    }
}

fn open(file: &Path, create: bool) -> Result<PasswordEditor, EditError> {
    if create { PasswordEditor::create(file) } else { PasswordEditor::open(file) }
}

/// Adds a user or changes the password. `-` instead of a new file is stdout. What is wrong with the file was said before
/// anybody types a password.
fn set(
    arguments: &Arguments,
    open: impl Fn() -> Result<PasswordEditor, Failure>,
    user: &str,
    password: Option<Secret>,
    change: impl FnOnce(&mut PasswordEditor, &[u8]) -> Result<SetOutcome, EditError>,
) -> Result<(), Failure> {
    let password = match password {
        Some(password) => password,
        None => {
            // What is wrong with the file is said before anybody types a password. Others may change it meanwhile.
            drop(open()?);
            ask_twice()?
        }
    };
    let mut editor = open()?;
    let outcome = change(&mut editor, password.as_bytes()).map_err(failure)?;
    if arguments.create && arguments.file == Path::new("-") {
        return io::stdout().write_all(editor.content()).map_err(Failure::failed);
    }
    editor.save().map_err(failure)?;
    match outcome {
        SetOutcome::Added => say(format_args!("Added user {user}.")),
        SetOutcome::Updated => say(format_args!("Changed the password of user {user}.")),
    }
    Ok(())
}

/// Opens a file, changes it and saves it.
fn edit(
    file: &Path,
    change: impl FnOnce(&mut PasswordEditor) -> Result<(), EditError>,
) -> Result<(), Failure> {
    let mut editor = PasswordEditor::open(file).map_err(failure)?;
    change(&mut editor).map_err(failure)?;
    editor.save().map_err(failure)
}

/// Everything that goes wrong with the file has exit status 1, as with mosquitto_passwd.
fn failure(error: EditError) -> Failure {
    Failure::failed(error)
}

/// Asks twice on the terminal; takes two lines if stdin is something else.
fn ask_twice() -> Result<Secret, Failure> {
    let stdin = io::stdin();
    let ask = |prompt: &str| {
        if stdin.is_terminal() {
            return rpassword::prompt_password(prompt).map(Secret::from);
        }
        print!("{prompt}");
        io::stdout().flush()?;
        read_line(&mut stdin.lock())
    };
    let first = ask("Password: ").map_err(Failure::failed)?;
    let second = ask("Reenter password: ").map_err(Failure::failed)?;
    if !stdin.is_terminal() {
        say("");
    }
    agree(first, &second)
}

/// A line without its end.
fn read_line(input: &mut impl BufRead) -> io::Result<Secret> {
    let mut line = Zeroizing::new(String::new());
    input.read_line(&mut line)?;
    Ok(Secret::from(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The password, if both times it is the same and not empty.
fn agree(first: Secret, second: &Secret) -> Result<Secret, Failure> {
    if first.is_empty() {
        return Err(Failure::failed("Empty password."));
    }
    if first != *second {
        // The same exit status, 2, as mosquitto_passwd.
        return Err(Failure::usage("Passwords do not match."));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;
    use gaugeline_broker::auth::PasswordFile;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// Runs the subcommand with few iterations, for speed.
    fn passwd(arguments: &[&str]) -> Result<(), (u8, String)> {
        let line = Line::try_parse_from(["passwd", "-I", "10"].iter().chain(arguments)).unwrap();
        run(&line.arguments).map_err(|failure| (failure.exit_status(), failure.to_string()))
    }

    #[test]
    fn users_are_added_changed_and_removed_and_other_lines_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        let file = path.to_str().unwrap();
        let verify =
            |user: &str, password: &str| PasswordFile::load(&path).unwrap().verify(user, password.as_bytes());
        passwd(&["-c", "-b", file, "alice", "one"]).unwrap();
        let with_comment = format!("# mine\n\n{}", fs::read_to_string(&path).unwrap());
        fs::write(&path, &with_comment).unwrap();
        passwd(&["-b", file, "bob", "two"]).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with(&with_comment));
        assert!(verify("alice", "one") && verify("bob", "two"));
        passwd(&["-b", file, "alice", "three"]).unwrap();
        assert!(verify("alice", "three") && !verify("alice", "one"));
        passwd(&["-D", file, "alice"]).unwrap();
        assert!(!verify("alice", "three") && verify("bob", "two"));
        assert_eq!(passwd(&["-D", file, "alice"]).unwrap_err().0, 1);
        let before = fs::read(&path).unwrap();
        passwd(&["-U", file]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before, "a hash is not hashed again");
    }

    #[test]
    fn every_algorithm_and_compatibility() {
        let directory = tempfile::tempdir().unwrap();
        for (number, (options, start, length)) in [
            (&[][..], "u:$7$10$", 113),
            (&["-H", "sha512-pbkdf2"], "u:$7$10$", 113),
            (&["-H", "sha512"], "u:$6$", 110),
            (&["-H", "argon2id"], "u:$argon2id$v=19$m=47104,t=1,p=1$", 206),
            (&["--compat", "1.6"], "u:$6$", 110),
            (&["--compat", "2.0"], "u:$7$10$", 113),
            (&["--compat", "2.0", "-H", "sha512"], "u:$6$", 110),
            (&["--compat", "2.1"], "u:$7$10$", 185),
            (&["--compat", "2.1", "-H", "sha512"], "u:$6$", 182),
            (&["--compat", "2.1", "-H", "argon2id"], "u:$argon2id$", 206),
        ]
        .into_iter()
        .enumerate()
        {
            let path = directory.path().join(format!("passwd{number}"));
            let arguments = [&["-c"], options, &["-b", path.to_str().unwrap(), "u", "p w"]].concat();
            passwd(&arguments).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(start) && text.trim_end().len() == length, "{options:?} {text}");
            assert!(PasswordFile::load(&path).unwrap().verify("u", b"p w"), "{text}");
        }
        for options in [["1.6", "argon2id"], ["1.6", "sha512-pbkdf2"], ["2.0", "argon2id"]] {
            let (status, message) =
                passwd(&["--compat", options[0], "-H", options[1], "-b", "f", "u", "p"]).unwrap_err();
            assert_eq!((status, message.contains("mosquitto")), (2, true), "{message}");
        }
    }

    #[test]
    fn the_password_is_not_in_debug_output() {
        let line = Line::try_parse_from(["passwd", "-b", "f", "u", "hunter2"]).unwrap();
        assert!(!format!("{line:?} {:?}", line.arguments.operation().unwrap()).contains("hunter2"));
    }

    #[test]
    fn entries_for_scram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scram");
        let file = path.to_str().unwrap();
        let scram = |rest: &[&str]| {
            let line = Line::try_parse_from(["passwd", "--scram"].iter().chain(rest)).unwrap();
            run(&line.arguments).map_err(|failure| failure.to_string())
        };
        let text = || fs::read_to_string(&path).unwrap();
        scram(&["-I", "4096", "-c", "-b", file, "u", "p w"]).unwrap();
        assert!(text().starts_with("u:SCRAM-SHA-256$4096:"), "{}", text());
        let before = text();
        for (rest, part) in [
            (&["-I", "4095", "-b", file, "v", "p"][..], "4096 (RFC 7677)"),
            (&["-I", "4096", "-b", file, "v", "\u{e4}"], "printable ASCII"),
            (&["-I", "4096", "-b", file, "v", ""], "empty"),
            (&["-I", "4096", "-H", "sha512", "-b", file, "v", "p"], "leave out -H"),
            (&["-I", "4096", "-U", file], "--scram and -U"),
            (&["-I", "4096", "-D", file, "v"], "has no user `v`"),
        ] {
            let message = scram(rest).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
        assert!(passwd(&["-b", file, "v", "p"]).is_err(), "not a password file");
        assert_eq!(text(), before);
        scram(&["-I", "5000", "-b", file, "v", "p"]).unwrap();
        scram(&["-I", "5000", "-D", file, "u"]).unwrap();
        assert!(text().starts_with("v:SCRAM-SHA-256$5000:") && text().lines().count() == 1, "{}", text());
    }

    #[test]
    fn plain_text_is_hashed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        fs::write(&path, "alice:one\n# x\nbob:two").unwrap();
        passwd(&["-U", path.to_str().unwrap()]).unwrap();
        let file = PasswordFile::load(&path).unwrap();
        assert!(file.verify("alice", b"one") && file.verify("bob", b"two"));
    }

    #[test]
    fn an_existing_file_is_not_created_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        fs::write(&path, "keep").unwrap();
        let (status, message) = passwd(&["-c", "-b", path.to_str().unwrap(), "a", "b"]).unwrap_err();
        assert_eq!(status, 1);
        assert!(message.contains("exists already"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"keep");
    }

    #[test]
    fn contradictions_are_refused_as_mosquitto_passwd_does() {
        for (arguments, part) in [
            (&["-c", "-D", "f", "u"][..], "-c and -D cannot be used together."),
            (&["-c", "-U", "f"], "-c and -U cannot be used together."),
            (&["-b", "-D", "f", "u"], "-b and -D cannot be used together."),
            (&["-D", "-U", "f"], "-D and -U cannot be used together."),
            (&["-U", "f", "u"], "-U takes a file"),
            (&["-D", "f", "u", "p"], "-D takes a file"),
            (&["f"], "The user is missing"),
            (&["-b", "f", "u"], "-b needs one"),
            (&["f", "u", "p"], "needs -b"),
            (&["-b", "missing/f", "u", "p"], "missing/f"),
        ] {
            let (status, message) = passwd(arguments).unwrap_err();
            assert_eq!(status, 1, "{arguments:?}");
            assert!(message.contains(part), "{arguments:?}: {message}");
        }
    }

    #[test]
    fn both_times_the_password_must_be_the_same() {
        let secret = |text: &str| Secret::from(text.to_owned());
        assert_eq!(agree(secret("a"), &secret("a")).unwrap(), secret("a"));
        assert_eq!(agree(secret("a"), &secret("b")).unwrap_err().exit_status(), 2);
        assert_eq!(agree(secret(""), &secret("")).unwrap_err().exit_status(), 1);
        assert_eq!(read_line(&mut "a b \r\nc".as_bytes()).unwrap(), secret("a b "));
    }
}
