//! What the program tells the person who started it, on stdout.

use std::{
    fmt,
    io::{self, Write},
};

/// Writes a text and a line end. That nobody reads it any more is no reason to stop serving.
pub(crate) fn say(text: impl fmt::Display) {
    let mut stdout = io::stdout().lock();
    // There is nobody to tell about a failure.
    drop(writeln!(stdout, "{text}").and_then(|()| stdout.flush()));
}
