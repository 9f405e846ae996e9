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
    hash::{ITERATIONS_DEFAULT, SaltLength},
    password_edit::{EditError, Hashing, PasswordEditor, SetOutcome},
};

use crate::{failure::Failure, output::say};

const EXAMPLES: &str = "\
Examples:
  gaugeline passwd gaugeline-data/passwd greenhouse              asks for the password twice
  gaugeline passwd -b gaugeline-data/passwd greenhouse secret    others may see it while it runs
  gaugeline passwd -D gaugeline-data/passwd greenhouse           removes the user
  gaugeline passwd -U old-passwd                                 hashes passwords that are plain text

The format is mosquitto's. A running broker follows the file within a second.";

/// Edit a password file: add, change and remove users
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Take the password from the command line instead of asking for it
    #[arg(short = 'b')]
    batch: bool,
    /// Create the file; it must not exist
    #[arg(short = 'c')]
    create: bool,
    /// Remove the user
    #[arg(short = 'D')]
    delete: bool,
    /// Hash the passwords that stand in the file as plain text
    #[arg(short = 'U')]
    update: bool,
    /// How to hash: sha512-pbkdf2 is the only way
    #[arg(
        short = 'H',
        value_name = "ALGORITHM",
        default_value = "sha512-pbkdf2",
        hide_possible_values = true
    )]
    hash: Algorithm,
    /// PBKDF2 iterations
    #[arg(short = 'I', value_name = "COUNT")]
    iterations: Option<NonZeroU32>,
    /// Bytes of salt: every mosquitto reads 12, those since 2.1 also 64
    #[arg(long, value_name = "12|64", default_value = "12", value_parser = parse_salt)]
    salt: SaltLength,
    /// The password file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user
    #[arg(value_name = "USER")]
    user: Option<String>,
    /// The password, with -b
    #[arg(value_name = "PASSWORD", allow_hyphen_values = true)]
    password: Option<String>,
}

/// The hashes that a password can be stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Algorithm {
    /// PBKDF2 with HMAC-SHA512, `$7$`
    Sha512Pbkdf2,
}

/// What is to be done, free of contradictions.
#[derive(Debug, PartialEq, Eq)]
enum Operation {
    /// Adds the user or changes the password; `None`: to be asked for.
    Set { user: String, password: Option<String> },
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

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let operation = arguments.operation()?;
    let Algorithm::Sha512Pbkdf2 = arguments.hash;
    let hashing = Hashing {
        iterations: arguments.iterations.unwrap_or(ITERATIONS_DEFAULT),
        salt_length: arguments.salt,
    };
    let file = &arguments.file;
    match operation {
        Operation::Set { user, password } => set(file, arguments.create, &user, password, hashing),
        Operation::Delete { user } => edit(file, |editor| editor.delete(&user)),
        Operation::Update => edit(file, |editor| editor.upgrade(hashing).map(drop)),
    }
}

/// Adds a user or changes the password. `-` instead of a new file is stdout.
fn set(
    file: &Path,
    create: bool,
    user: &str,
    password: Option<String>,
    hashing: Hashing,
) -> Result<(), Failure> {
    // What is wrong with the file is said before anybody types a password.
    let opened = if create { PasswordEditor::create(file) } else { PasswordEditor::open(file) };
    let mut editor = opened.map_err(failure)?;
    let password = password.map_or_else(ask_twice, Ok)?;
    let outcome = editor.set(user, password.as_bytes(), hashing).map_err(failure)?;
    if create && file == Path::new("-") {
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

/// 12 or 64.
fn parse_salt(text: &str) -> Result<SaltLength, String> {
    match text {
        "12" => Ok(SaltLength::Twelve),
        "64" => Ok(SaltLength::SixtyFour),
        _ => Err("expected 12 or 64".to_owned()),
    }
}

/// Asks twice on the terminal; takes two lines if stdin is something else.
fn ask_twice() -> Result<String, Failure> {
    let stdin = io::stdin();
    let ask = |prompt: &str| {
        if stdin.is_terminal() {
            return rpassword::prompt_password(prompt);
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
fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The password, if both times it is the same and not empty.
fn agree(first: String, second: &str) -> Result<String, Failure> {
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
        assert_eq!(agree("a".to_owned(), "a").unwrap(), "a");
        assert_eq!(agree("a".to_owned(), "b").unwrap_err().exit_status(), 2);
        assert_eq!(agree(String::new(), "").unwrap_err().exit_status(), 1);
        assert_eq!(read_line(&mut "a b \r\nc".as_bytes()).unwrap(), "a b ");
    }
}
