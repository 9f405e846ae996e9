//! Every key that any mosquitto knows, and what becomes of it here. This is the only such list: the documentation is
//! checked against it.

mod bridges;
mod broker;
mod listener;
mod log;
mod rules;
mod tls;

use super::{entry::Entry, reader::Reader};
use crate::config::ConfigError;

/// A key of mosquitto.conf.
pub struct Key {
    /// Its name; one that ends in `*` stands for all that begin so.
    pub name: &'static str,
    /// In short what it does here, or what happens in its place, or the way out.
    pub text: &'static str,
    action: Action,
}

/// What becomes of a key.
#[derive(Clone, Copy)]
enum Action {
    /// It is honoured.
    Set(fn(&mut Reader, &Entry) -> Result<(), ConfigError>),
    /// Its value is checked, and otherwise it is ignored with a warning.
    Ignore(Shape),
    /// The file is refused: to ignore the key would weaken security or lose messages.
    Refuse,
    /// As above, with a way out that depends on the value.
    RefuseBy(fn(&Entry) -> &'static str),
}

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Flag,
    Int(i32, i32),
    Anything,
    /// It must stand below a listener, and be as this says.
    OfListener(fn(&mut Reader, &Entry) -> Result<(), ConfigError>),
}

impl Key {
    const fn set(
        name: &'static str,
        text: &'static str,
        set: fn(&mut Reader, &Entry) -> Result<(), ConfigError>,
    ) -> Self {
        Self { name, text, action: Action::Set(set) }
    }

    const fn ignore(name: &'static str, shape: Shape, text: &'static str) -> Self {
        Self { name, text, action: Action::Ignore(shape) }
    }

    const fn refuse(name: &'static str, text: &'static str) -> Self {
        Self { name, text, action: Action::Refuse }
    }

    const fn refuse_by(name: &'static str, text: &'static str, way_out: fn(&Entry) -> &'static str) -> Self {
        Self { name, text, action: Action::RefuseBy(way_out) }
    }

    /// `honoured`, `ignored` or `refused`.
    pub fn treatment(&self) -> &'static str {
        match self.action {
            Action::Set(_) => "honoured",
            Action::Ignore(_) => "ignored",
            Action::Refuse | Action::RefuseBy(_) => "refused",
        }
    }

    fn is_for(&self, key: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == self.name,
        }
    }
}

/// All keys, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Key> {
    [listener::KEYS, rules::KEYS, tls::KEYS, broker::KEYS, log::KEYS, bridges::KEYS].into_iter().flatten()
}

/// Why the key of a line must not stand there, whatever its value is.
pub(super) fn refusal(entry: &Entry) -> Option<ConfigError> {
    let Some(key) = find(entry) else { return Some(unknown(entry)) };
    let way_out = match key.action {
        Action::Refuse => key.text,
        Action::RefuseBy(way_out) => way_out(entry),
        Action::Set(_) | Action::Ignore(_) => return None,
    };
    Some(entry.error(format_args!("`{}`", entry.key), way_out))
}

fn find(entry: &Entry) -> Option<&'static Key> {
    all().find(|key| key.is_for(&entry.key))
}

/// Does what a line says.
pub(super) fn apply(reader: &mut Reader, entry: &Entry) -> Result<(), ConfigError> {
    let Some(key) = find(entry) else { return Err(unknown(entry)) };
    match key.action {
        Action::Set(set) => set(reader, entry),
        Action::Refuse | Action::RefuseBy(_) => refusal(entry).map_or(Ok(()), Err),
        Action::Ignore(shape) => {
            match shape {
                Shape::Flag => drop(entry.flag()?),
                Shape::Int(least, most) => drop(entry.int_within(least, most)?),
                Shape::Anything => {}
                Shape::OfListener(check) => check(reader, entry)?,
            }
            reader.warn(&entry.place, format!("`{}` is ignored: {}", entry.key, key.text));
            Ok(())
        }
    }
}

fn unknown(entry: &Entry) -> ConfigError {
    let found = format_args!("the unknown key `{}`", entry.key.escape_debug());
    if entry.key.starts_with('#') {
        return entry.error("a comment that does not begin its line", "`#` as the first byte of a line");
    }
    if entry.key.starts_with('\u{feff}') {
        return entry.error("a byte order mark", "UTF-8 without one");
    }
    if entry.key.contains('\t') {
        return entry.error(found, "a space, not a tab, behind the key");
    }
    entry.error(found, "a key of mosquitto.conf, in lower case")
}
