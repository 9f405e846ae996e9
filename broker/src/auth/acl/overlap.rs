//! Whether two filters have a topic in common, and whether one filter covers another.
//!
//! The topics that two filters share are again the topics of one filter, so both questions are exact. `#` alone is read as
//! `+/#`, which matches the same topics: a topic has at least one level.

use super::entry::SHARE_PREFIX;

/// A filter, level by level. A multi-level wildcard is never first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Levels<'a>(Vec<Level<'a>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level<'a> {
    Text(&'a str),
    /// `+`
    One,
    /// `#`: any number of levels, none included.
    Rest,
}

impl<'a> Levels<'a> {
    /// `None` for the empty text, which is not a filter.
    pub(super) fn of_text(filter: &'a str) -> Option<Self> {
        (!filter.is_empty()).then(|| Self::of_levels(filter.split('/').collect()))?
    }

    /// `None` for no levels at all.
    pub(super) fn of_levels(texts: Vec<&'a str>) -> Option<Self> {
        let mut levels = Vec::with_capacity(texts.len() + 1);
        for text in texts {
            match text {
                "+" => levels.push(Level::One),
                "#" => {
                    if levels.is_empty() {
                        levels.push(Level::One);
                    }
                    levels.push(Level::Rest);
                }
                text => levels.push(Level::Text(text)),
            }
        }
        (!levels.is_empty()).then_some(Self(levels))
    }

    /// The filter of the topics that match both; `None` if there are none.
    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        let mut met = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut ours, mut theirs) = (self.0.iter().copied(), other.0.iter().copied());
        loop {
            let level = match (ours.next(), theirs.next()) {
                (None, None) => return Some(Self(met)),
                (Some(Level::Rest), rest) => {
                    met.extend(rest.into_iter().chain(theirs));
                    return Some(Self(met));
                }
                (rest, Some(Level::Rest)) => {
                    met.extend(rest.into_iter().chain(ours));
                    return Some(Self(met));
                }
                (Some(Level::One), Some(Level::One)) => Level::One,
                (Some(Level::One), Some(Level::Text(text))) | (Some(Level::Text(text)), Some(Level::One)) => {
                    if !one_matches(met.is_empty(), text) {
                        return None;
                    }
                    Level::Text(text)
                }
                (Some(Level::Text(a)), Some(Level::Text(b))) if a == b => Level::Text(a),
                _ => return None,
            };
            met.push(level);
        }
    }

    /// Whether every topic of `other` matches this filter.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.0.iter().copied(), other.0.iter().copied());
        let mut is_first = true;
        loop {
            match (ours.next(), theirs.next()) {
                (Some(Level::Rest), _) | (None, None) => return true,
                (Some(Level::One), Some(Level::One)) => {}
                (Some(Level::One), Some(Level::Text(text))) if one_matches(is_first, text) => {}
                (Some(Level::Text(a)), Some(Level::Text(b))) if a == b => {}
                _ => return false,
            }
            is_first = false;
        }
    }

    /// Whether nobody can read any of its topics: only the empty one, which is none, or those below `$share`.
    pub(super) fn is_unreadable(&self) -> bool {
        match self.0.as_slice() {
            [Level::Text("")] => true,
            [Level::Text(first), ..] => first.starts_with(SHARE_PREFIX),
            _ => false,
        }
    }
}

/// A leading `+` does not match a `$` level [MQTT-4.7.2-1].
fn one_matches(is_first: bool, text: &str) -> bool {
    !(is_first && text.starts_with('$'))
}
