//! What the program tells the person who started it, on stdout.

use std::{
    fmt,
    io::{self, Write},
};

/// A number of things, with an `s` unless it is one.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Writes a text and a line end. That nobody reads it any more is no reason to stop serving.
pub(crate) fn say(text: impl fmt::Display) {
    let mut stdout = io::stdout().lock();
    // There is nobody to tell about a failure.
    drop(writeln!(stdout, "{text}").and_then(|()| stdout.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let texts = [0, 1, 2].map(|count| counted(count, "user"));
        assert_eq!(texts, ["0 users", "1 user", "2 users"]);
    }
}
