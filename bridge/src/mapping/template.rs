//! Topic templates: `sensors/{device}/{field}`, `+/status/#`.
//!
//! A level is a literal, `+` (any level), `{name}` (any level, kept under a name) or, as the last one, `#` (all
//! levels that are left, none included, as in a subscription). Whole levels only: no patterns inside a level.

use std::fmt;

/// The most levels of a template.
pub(crate) const TEMPLATE_LEVELS_MAX: usize = 64;

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A template needs a level.
    #[error("is empty, and a template such as `sensors/{{device}}/{{field}}` was expected")]
    Empty,
    /// Matching must stay cheap.
    #[error("has more than {TEMPLATE_LEVELS_MAX} levels")]
    TooManyLevels,
    /// As in a subscription, `#` is the whole last level.
    #[error("has a `#` that is not the whole last level")]
    MisplacedHash,
    /// As in a subscription, `+` is a whole level.
    #[error("has a `+` that is not a whole level")]
    MisplacedPlus,
    /// A capture is a whole level.
    #[error("has the level `{0}`: a capture is a whole level, such as `{{device}}`")]
    MisplacedBrace(String),
    /// A capture's name becomes a tag's name.
    #[error(
        "has the capture `{0}`: a name has letters, digits and `_`, begins with a letter and is not `time`"
    )]
    CaptureName(String),
    /// Two tags of one name cannot both be kept.
    #[error("has the capture `{{{0}}}` twice")]
    CapturedTwice(String),
    /// A topic cannot have this character.
    #[error("contains the character U+0000")]
    Null,
}

/// One level of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Level {
    Literal(Box<str>),
    Any,
    Capture(Box<str>),
}

/// What a topic has to look like for a rule to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    levels: Vec<Level>,
    /// Whether the template ends in `#`.
    open: bool,
    has_leading_wildcard: bool,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let mut levels: Vec<Level> = Vec::new();
        let mut open = false;
        for level in text.split('/') {
            if open {
                return Err(TemplateError::MisplacedHash);
            }
            if level == "#" {
                open = true;
                continue;
            }
            let level = parse_level(level)?;
            if let Level::Capture(name) = &level
                && levels.contains(&level)
            {
                return Err(TemplateError::CapturedTwice(name.to_string()));
            }
            levels.push(level);
        }
        if levels.len() > TEMPLATE_LEVELS_MAX {
            return Err(TemplateError::TooManyLevels);
        }
        let has_leading_wildcard = !matches!(levels.first(), Some(Level::Literal(_)));
        Ok(Self { levels, open, has_leading_wildcard })
    }

    /// The template that every topic has the form of, those that begin with `$` included.
    pub(crate) fn everything() -> Self {
        Self { levels: Vec::new(), open: true, has_leading_wildcard: false }
    }

    /// Whether the topic has this form. As in a subscription, a leading wildcard (or capture) does not match a
    /// topic that begins with `$` [MQTT-4.7.2-1].
    pub(crate) fn matches(&self, topic: &str) -> bool {
        if self.has_leading_wildcard && topic.starts_with('$') {
            return false;
        }
        let mut found = topic.split('/');
        for level in &self.levels {
            match (level, found.next()) {
                (Level::Literal(wanted), Some(found)) if **wanted == *found => {}
                (Level::Any | Level::Capture(_), Some(_)) => {}
                _ => return false,
            }
        }
        self.open || found.next().is_none()
    }

    /// The captures and where they stand.
    pub(crate) fn captures(&self) -> impl Iterator<Item = (usize, &str)> {
        self.levels.iter().enumerate().filter_map(|(at, level)| match level {
            Level::Capture(name) => Some((at, &**name)),
            _ => None,
        })
    }

    /// The first level that is a plain word.
    pub(crate) fn first_literal(&self) -> Option<&str> {
        self.levels.iter().find_map(|level| match level {
            Level::Literal(text) if !text.is_empty() => Some(&**text),
            _ => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, level) in self.levels.iter().enumerate() {
            let separator = if at == 0 { "" } else { "/" };
            match level {
                Level::Literal(text) => write!(f, "{separator}{text}")?,
                Level::Any => write!(f, "{separator}+")?,
                Level::Capture(name) => write!(f, "{separator}{{{name}}}")?,
            }
        }
        match (self.open, self.levels.is_empty()) {
            (false, _) => Ok(()),
            (true, true) => f.write_str("#"),
            (true, false) => f.write_str("/#"),
        }
    }
}

fn parse_level(level: &str) -> Result<Level, TemplateError> {
    if level == "+" {
        return Ok(Level::Any);
    }
    if let Some(name) = level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return if is_capture_name(name) {
            Ok(Level::Capture(name.into()))
        } else {
            Err(TemplateError::CaptureName(level.to_owned()))
        };
    }
    match level.chars().find(|c| ['#', '+', '{', '}', '\0'].contains(c)) {
        None => Ok(Level::Literal(level.into())),
        Some('#') => Err(TemplateError::MisplacedHash),
        Some('+') => Err(TemplateError::MisplacedPlus),
        Some('\0') => Err(TemplateError::Null),
        Some(_) => Err(TemplateError::MisplacedBrace(level.to_owned())),
    }
}

/// Letters, digits and `_`, a letter first; not `time`, which InfluxDB keeps for itself.
pub(crate) fn is_capture_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name != "time"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_are_none() {
        use TemplateError as E;
        for (text, expected) in [
            ("", E::Empty),
            ("a/#/b", E::MisplacedHash),
            ("a#", E::MisplacedHash),
            ("#/#", E::MisplacedHash),
            ("a/b+", E::MisplacedPlus),
            ("a/{b", E::MisplacedBrace("{b".into())),
            ("a/b}", E::MisplacedBrace("b}".into())),
            ("a/x{b}", E::MisplacedBrace("x{b}".into())),
            ("a/{}", E::CaptureName("{}".into())),
            ("a/{_b}", E::CaptureName("{_b}".into())),
            ("a/{b c}", E::CaptureName("{b c}".into())),
            ("a/{time}", E::CaptureName("{time}".into())),
            ("{a}/{b}/{a}", E::CapturedTwice("a".into())),
            ("a\0", E::Null),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
        let deep = "a/".repeat(TEMPLATE_LEVELS_MAX);
        assert_eq!(Template::parse(&deep), Err(TemplateError::TooManyLevels));
    }

    #[test]
    fn matching() {
        for (template, topic, expected) in [
            ("a/{b}", "a/x", true),
            ("a/{b}", "a/", true),
            ("a/{b}", "a", false),
            ("a/{b}", "a/x/y", false),
            ("a/{b}/c", "a/x/c", true),
            ("a/+/c", "a/x/d", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a", true),
            ("#", "$SYS/a", false),
            ("{a}/b", "$SYS/b", false),
            ("$SYS/{a}", "$SYS/b", true),
            ("/a", "/a", true),
            ("é/{b}", "é/ü", true),
        ] {
            let parsed = Template::parse(template).unwrap();
            assert_eq!(parsed.matches(topic), expected, "{template} {topic}");
            assert_eq!(parsed.to_string(), template);
        }
    }

    #[test]
    fn captures() {
        let template = Template::parse("+/{site}/x/{device}/#").unwrap();
        assert_eq!(template.captures().collect::<Vec<_>>(), [(1, "site"), (3, "device")]);
        assert_eq!(template.first_literal(), Some("x"));
        assert_eq!(Template::parse("+/{a}").unwrap().first_literal(), None);
    }
}
