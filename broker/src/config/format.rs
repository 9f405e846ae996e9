//! Which of the two kinds of file a configuration is.

use std::path::Path;

/// In what a configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// broker.toml.
    Toml,
    /// mosquitto.conf.
    Mosquitto,
}

impl Format {
    /// Told from the ending of the name, otherwise from the first line that says something: only in TOML is it a `[table]` or
    /// has a `=` behind its first word.
    pub fn detect(path: &Path, content: &[u8]) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("toml") => return Self::Toml,
            Some("conf") => return Self::Mosquitto,
            _ => {}
        }
        let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let first = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with(b"#"));
        let Some(first) = first else { return Self::Mosquitto };
        let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.\"".contains(byte);
        let after = first.iter().skip_while(|byte| is_key(byte)).find(|byte| !byte.is_ascii_whitespace());
        if first.starts_with(b"[") || after == Some(&b'=') { Self::Toml } else { Self::Mosquitto }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_then_the_first_line() {
        for (name, content, expected) in [
            ("a.toml", "listener 1883", Format::Toml),
            ("a.conf", "[[listener]]", Format::Mosquitto),
            ("a", "# a = 1\n\n [[listener]]\n", Format::Toml),
            ("a", "admin=\"off\"", Format::Toml),
            ("a", "listener 1883", Format::Mosquitto),
            ("a", "password_file a=b", Format::Mosquitto),
            ("a", "", Format::Mosquitto),
        ] {
            assert_eq!(Format::detect(Path::new(name), content.as_bytes()), expected, "{name} {content}");
        }
    }
}
