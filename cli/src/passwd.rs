//! `gaugeline passwd`: mosquitto_passwd's command line over a safe way to edit the file.
//!
//! Options, prompts and messages are those of mosquitto_passwd 2.1. Different on purpose: no line is ever dropped,
//! the file is replaced in one step, and `-U` leaves hashes alone.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
};

use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  gaugeline passwd gaugeline-data/passwd greenhouse              asks for the password twice
  gaugeline passwd -b gaugeline-data/passwd greenhouse secret    others may see it while it runs
  gaugeline passwd -D gaugeline-data/passwd greenhouse           removes the user
  gaugeline passwd -U old-passwd                                 hashes passwords that are plain text

The format is mosquitto's. A running broker reads the file again when it starts.";

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
    /// How to hash
    #[arg(short = 'H', value_name = "ALGORITHM", default_value = "sha512-pbkdf2")]
    hash: Algorithm,
    /// PBKDF2 iterations
    #[arg(short = 'I', value_name = "COUNT")]
    iterations: Option<std::num::NonZeroU32>,
    /// The password file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user
    #[arg(value_name = "USER")]
    user: Option<String>,
    /// The password, with -b
    #[arg(value_name = "PASSWORD")]
    password: Option<String>,
}

/// The hashes that a password can be stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Algorithm {
    /// PBKDF2 with HMAC-SHA512, `$7$`
    Sha512Pbkdf2,
    /// One round of SHA-512, `$6$`: for mosquitto before 1.6, easy to guess
    Sha512,
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

/// Asks twice on the terminal; takes two lines if stdin is something else.
fn ask_twice() -> Result<String, Failure> {
    let stdin = io::stdin();
    let mut ask = |prompt: &str| {
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
        println!();
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
