//! Client identifiers that belong to users, so that nobody takes over the session of another.

/// Which client identifiers a user may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientIdRule {
    /// Any.
    #[default]
    Any,
    /// The user name itself.
    User,
    /// The user name, or the user name, this separator and more. The separator should be something that no user name
    /// contains: `:` never stands in those of a password file.
    UserAndMore(String),
}

impl ClientIdRule {
    /// From the word in a configuration: `*`, `%u`, or `%u`, a separator and `*`. `None` if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let rest = text.strip_prefix("%u")?;
        if rest.is_empty() {
            return Some(Self::User);
        }
        let separator = rest.strip_suffix('*')?;
        let plain = !separator.is_empty() && !separator.contains(['*', '%']);
        plain.then(|| Self::UserAndMore(separator.to_owned()))
    }

    /// Whether a client of this user may have this identifier. A client without a user name may have none that is bound.
    pub fn admits(&self, user: Option<&str>, client_id: &str) -> bool {
        let more = |separator: &str| {
            let rest = user.and_then(|user| client_id.strip_prefix(user));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(separator))
        };
        match self {
            Self::Any => true,
            Self::User => user == Some(client_id),
            Self::UserAndMore(separator) => more(separator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, expected) in [
            ("*", Some(ClientIdRule::Any)),
            ("%u", Some(ClientIdRule::User)),
            ("%u:*", Some(ClientIdRule::UserAndMore(":".into()))),
            ("%u-x-*", Some(ClientIdRule::UserAndMore("-x-".into()))),
            ("%u*", None),
            ("%u:", None),
            ("%c", None),
            ("x%u", None),
            ("%u%u*", None),
            ("", None),
        ] {
            assert_eq!(ClientIdRule::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn identifiers() {
        let (user, more) = (ClientIdRule::User, ClientIdRule::UserAndMore(":".into()));
        for (name, client_id, by_user, by_more) in [
            (Some("al"), "al", true, true),
            (Some("al"), "al:1", false, true),
            (Some("al"), "al:", false, true),
            (Some("al"), "albert", false, false),
            (Some("al"), "albert:1", false, false),
            (Some("al"), "a", false, false),
            (Some("al"), "", false, false),
            (None, "al", false, false),
            (None, "", false, false),
        ] {
            assert!(ClientIdRule::Any.admits(name, client_id));
            assert_eq!(user.admits(name, client_id), by_user, "{name:?} {client_id}");
            assert_eq!(more.admits(name, client_id), by_more, "{name:?} {client_id}");
        }
    }
}
