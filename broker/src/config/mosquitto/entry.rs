//! One line of a mosquitto.conf: its key, and its value as mosquitto takes it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::config::ConfigError;

/// The longest value of mosquitto's.
const VALUE_BYTES_MAX: usize = 65_535;

/// A line with a key.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) key: String,
    /// What follows the space after the key.
    rest: String,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: Arc<Path>,
    /// From 1.
    pub(super) line: u32,
}

impl Place {
    pub(super) fn error(&self, found: impl fmt::Display, expected: impl fmt::Display) -> ConfigError {
        ConfigError::at(&self.path, self.line, found, expected)
    }
}

/// The lines of a file that are neither empty nor comments, as mosquitto tells them: only `#` as the very first byte
/// begins a comment, and only spaces separate a key from its value.
///
/// # Errors
/// A line with a NUL byte, where mosquitto goes on with half of it, or one that is not UTF-8.
pub(super) fn entries(path: &Arc<Path>, content: &[u8]) -> Result<Vec<Entry>, ConfigError> {
    let mut entries = Vec::new();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let place = Place { path: Arc::clone(path), line: u32::try_from(index + 1).unwrap_or(u32::MAX) };
        if matches!(line.first(), None | Some(b'#' | b'\r')) {
            continue;
        }
        if line.contains(&0) {
            return Err(place.error("a NUL byte", "text"));
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(place.error("bytes that are not UTF-8", "text in UTF-8"));
        };
        let line = line.trim_end_matches('\r').trim_start_matches(' ');
        if line.is_empty() {
            continue;
        }
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        entries.push(Entry { place, key: key.to_owned(), rest: rest.to_owned() });
    }
    Ok(entries)
}

impl Entry {
    /// An error at this line.
    pub(super) fn error(&self, found: impl fmt::Display, expected: impl fmt::Display) -> ConfigError {
        self.place.error(found, expected)
    }

    /// An error about a value.
    pub(super) fn wrong(&self, value: impl fmt::Display, expected: impl fmt::Display) -> ConfigError {
        self.error(format_args!("`{} {value}`", self.key), expected)
    }

    fn empty(&self, expected: &str) -> ConfigError {
        self.error(format_args!("`{}` without a value", self.key), expected)
    }

    /// The words of the value.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.rest.split(' ').filter(|word| !word.is_empty())
    }

    /// The first word; what follows does not matter.
    pub(super) fn word(&self, expected: &str) -> Result<&str, ConfigError> {
        self.words().next().ok_or_else(|| self.empty(expected))
    }

    /// `true` or `1`, `false` or `0`.
    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        match self.word("true or false")? {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(self.wrong(other, "true or false")),
        }
    }

    /// A whole number as `strtol` reads it: `0x10` is 16 and `010` is 8.
    pub(super) fn int(&self) -> Result<i32, ConfigError> {
        let word = self.word("a number")?;
        strtol(word)
            .and_then(|number| i32::try_from(number).ok())
            .ok_or_else(|| self.wrong(word, "a number of at most 31 bits"))
    }

    /// A whole number from 0 that may be too large for [`Self::int`].
    pub(super) fn long(&self) -> Result<usize, ConfigError> {
        let word = self.word("a number")?;
        strtol(word)
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| self.wrong(word, "a number from 0"))
    }

    /// A whole number in a range.
    pub(super) fn int_within(&self, least: i32, most: i32) -> Result<i32, ConfigError> {
        let number = self.int()?;
        if !(least..=most).contains(&number) {
            return Err(self.wrong(number, format_args!("{least} to {most}")));
        }
        Ok(number)
    }

    /// A whole number of which those below 0 stand for 0.
    pub(super) fn count(&self) -> Result<usize, ConfigError> {
        Ok(usize::try_from(self.int()?).unwrap_or(0))
    }

    /// The whole value, spaces in it included; no quotes, no comments.
    pub(super) fn text(&self) -> Result<&str, ConfigError> {
        let text = self.rest.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        if text.is_empty() {
            return Err(self.empty("one"));
        }
        if text.len() > VALUE_BYTES_MAX {
            return Err(self.error(
                format_args!("a value of `{}` of {} bytes", self.key, text.len()),
                format_args!("at most {VALUE_BYTES_MAX}"),
            ));
        }
        Ok(text)
    }

    /// The whole value as a path from the working directory, as mosquitto takes it.
    pub(super) fn path(&self) -> Result<PathBuf, ConfigError> {
        let text = self.text()?;
        std::path::absolute(text).map_err(|error| self.wrong(text, format_args!("a path ({error})")))
    }
}

/// C's `strtol` with base 0, for a word that must be a number to its end.
fn strtol(word: &str) -> Option<i64> {
    let word = word.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (radix, digits) = match hexadecimal {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Vec<(u32, String, String)>, String> {
        let path: Arc<Path> = Path::new("m.conf").into();
        let entries = entries(&path, content).map_err(|error| error.to_string())?;
        Ok(entries.into_iter().map(|entry| (entry.place.line, entry.key, entry.rest)).collect())
    }

    #[test]
    fn lines_are_cut_as_by_mosquitto() {
        for (content, expected) in [
            (&b""[..], vec![]),
            (b"\n\r\n   \n#a b", vec![]),
            (b"\rignored", vec![]),
            (b"a b", vec![(1, "a", "b")]),
            (b"\n  a   b c  \r\n", vec![(2, "a", "  b c  ")]),
            (b"a", vec![(1, "a", "")]),
            (b" # a", vec![(1, "#", "a")]),
            (b"a\tb c", vec![(1, "a\tb", "c")]),
            (b"\xef\xbb\xbfa b", vec![(1, "\u{feff}a", "b")]),
        ] {
            let expected = expected.into_iter().map(|(line, key, rest)| (line, key.into(), rest.into()));
            assert_eq!(read(content).unwrap(), expected.collect::<Vec<_>>(), "{content:?}");
        }
        assert_eq!(read(b"\na\0b").unwrap_err(), "m.conf:2: found a NUL byte, expected text");
        assert!(read(b"a \xff").unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn values_are_read_as_by_mosquitto() {
        let entry = |rest: &str| Entry {
            place: Place { path: Path::new("m.conf").into(), line: 1 },
            key: "k".into(),
            rest: rest.into(),
        };
        for (rest, expected) in [
            ("true", Some(true)),
            (" 1 # comment", Some(true)),
            ("false", Some(false)),
            ("0", Some(false)),
            ("yes", None),
            ("True", None),
            ("2", None),
            ("true\t", None),
            ("", None),
        ] {
            assert_eq!(entry(rest).flag().ok(), expected, "{rest:?}");
        }
        for (rest, expected) in [
            ("5", Some(5)),
            ("-5", Some(-5)),
            ("+5 x", Some(5)),
            ("\t5", Some(5)),
            ("0x10", Some(16)),
            ("-0x10", Some(-16)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("08", None),
            ("5x", None),
            ("0x", None),
            ("--5", None),
            ("2147483647", Some(i32::MAX)),
            ("2147483648", None),
            ("99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(entry(rest).int().ok(), expected, "{rest:?}");
        }
        for (rest, expected) in
            [(" a b # c ", Some("a b # c")), ("\ta\t", Some("a")), ("", None), (" \t ", None)]
        {
            assert_eq!(entry(rest).text().ok(), expected, "{rest:?}");
        }
        assert!(entry(&"a".repeat(65_536)).text().is_err());
        assert_eq!(entry("-1").count().unwrap(), 0);
    }
}
