//! The beginning of what a stranger chose: long names and topics must not fill the log and the audit log.

use std::{borrow::Cow, fmt};

/// So many characters of a client identifier, a user name, a topic or a filter are told: enough to know which one it is.
/// Escaped, each of them may become ten.
pub(crate) const CHARACTERS_MAX: usize = 128;
/// So many characters of a sentence are told. It may quote more than one text that a stranger chose.
pub(crate) const SENTENCE_CHARACTERS_MAX: usize = 1024;

/// A text, and if it is too long its beginning, `…` and its length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl<'a> Excerpt<'a> {
    /// For a field of a log line.
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self.beginning() {
            None => Cow::Borrowed(self.0),
            Some(_) => Cow::Owned(self.to_string()),
        }
    }

    /// What is told of a text that is too long.
    fn beginning(self) -> Option<&'a str> {
        let (end, _) = self.0.char_indices().nth(CHARACTERS_MAX)?;
        self.0.get(..end)
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.beginning() {
            None => f.write_str(self.0),
            Some(beginning) => write!(f, "{beginning}… ({} bytes)", self.0.len()),
        }
    }
}

/// A sentence, and if it is too long its beginning and `…`.
pub(crate) struct Sentence<'a> {
    pub(crate) text: fmt::Arguments<'a>,
    /// Control characters are written as in Rust, so that it stays on one line.
    pub(crate) escaped: bool,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bounded = Bounded { to: f, left: SENTENCE_CHARACTERS_MAX, escaped: self.escaped };
        match fmt::write(&mut bounded, self.text) {
            // The rest is not even put together.
            Err(_) if bounded.left == 0 => f.write_str("…"),
            result => result,
        }
    }
}

struct Bounded<'f, 'g> {
    to: &'f mut fmt::Formatter<'g>,
    left: usize,
    escaped: bool,
}

impl fmt::Write for Bounded<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            match self.escaped && c.is_control() {
                true => write!(self.to, "{}", c.escape_debug())?,
                false => fmt::Write::write_char(self.to, c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_line(text: fmt::Arguments<'_>) -> String {
        Sentence { text, escaped: true }.to_string()
    }

    #[test]
    fn long_names_are_cut_between_characters_and_short_ones_are_not() {
        for (text, expected) in [
            (String::new(), String::new()),
            ("a".repeat(128), "a".repeat(128)),
            ("\u{fc}".repeat(128), "\u{fc}".repeat(128)),
            ("a".repeat(129), format!("{}… (129 bytes)", "a".repeat(128))),
            ("\u{fc}".repeat(30_000), format!("{}… (60000 bytes)", "\u{fc}".repeat(128))),
        ] {
            assert_eq!(Excerpt(&text).to_string(), expected);
            assert_eq!(Excerpt(&text).text(), expected);
        }
    }

    #[test]
    fn a_message_stays_on_one_line() {
        let topic = "a\nWARN forged\r\u{1b}[2J\u{85} \"\u{fc}\"";
        let text = one_line(format_args!("it may not write {topic}"));
        assert_eq!(text, "it may not write a\\nWARN forged\\r\\u{1b}[2J\\u{85} \"\u{fc}\"");
        assert_eq!(Sentence { text: format_args!("{topic}"), escaped: false }.to_string(), topic);
    }

    #[test]
    fn a_sentence_is_bounded_however_much_it_quotes() {
        let long = "\u{1}".repeat(65_000);
        let expected = format!("a{}…", "\\u{1}".repeat(SENTENCE_CHARACTERS_MAX - 1));
        assert_eq!(one_line(format_args!("a{long}b")), expected);
        let whole = "b".repeat(SENTENCE_CHARACTERS_MAX);
        assert_eq!(one_line(format_args!("{whole}")), whole);
    }
}
