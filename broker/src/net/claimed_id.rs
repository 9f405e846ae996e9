//! Which client identifier a connection gets: its own, its user's name, or one that the broker makes.

use gaugeline_protocol::{ClientId, ReasonCode, packet::Connect};

use crate::{config::ClientIds, log::Excerpt};

/// Why a client's identifier is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclaimable {
    pub(super) reason: ReasonCode,
    pub(super) detail: String,
}

/// Puts the user's name in the identifier's place, if that is the rule, and looks whether a client may leave it out.
pub(super) fn settle(
    rules: &ClientIds,
    user: Option<&str>,
    connect: &mut Connect,
) -> Result<(), Unclaimable> {
    let refused = |reason, detail: &str| Err(Unclaimable { reason, detail: detail.to_owned() });
    if rules.from_user_name {
        let Some(user) = user else {
            let detail = "no user name to take as the client identifier (user_name_as_client_id)";
            return refused(ReasonCode::NotAuthorized, detail);
        };
        user.clone_into(&mut connect.client_id);
    }
    if connect.client_id.is_empty() && !rules.allow_empty {
        let detail = "no client identifier (allow_empty_client_ids is off)";
        return refused(ReasonCode::ClientIdentifierNotValid, detail);
    }
    Ok(())
}

/// Whether an identifier, whoever made it, begins as it must.
pub(super) fn check_prefix(rules: &ClientIds, client_id: &ClientId) -> Result<(), Unclaimable> {
    let begins = |prefix: &std::sync::Arc<str>| client_id.as_str().starts_with(&**prefix);
    if rules.prefixes.is_empty() || rules.prefixes.iter().any(begins) {
        return Ok(());
    }
    let detail =
        format!("the client identifier `{}` has none of client_id_prefixes", Excerpt(client_id.as_str()));
    Err(Unclaimable { reason: ReasonCode::NotAuthorized, detail })
}

/// A client identifier for a client that sent none: unguessable, so that nobody can take it over.
pub(super) fn assigned(rules: &ClientIds) -> ClientId {
    let mut random = [0; 16];
    // Without random numbers the identifier would be a known one: better none than one that others can take over.
    if getrandom::fill(&mut random).is_err() {
        tracing::error!(
            "the system gives no random numbers: assigned client identifiers are not unguessable"
        );
    }
    let begin = rules.assigned_prefix.to_string();
    let text = random.iter().fold(begin, |text, byte| format!("{text}{byte:02x}"));
    ClientId::new(&text).unwrap_or_else(|| unreachable!("the text is not empty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigned_client_ids_differ_and_are_valid() {
        let rules = ClientIds { assigned_prefix: "made-".into(), ..ClientIds::default() };
        let (one, other) = (assigned(&rules), assigned(&rules));
        assert_ne!(one, other);
        assert!(one.as_str().starts_with("made-"));
        assert_eq!(one.as_str().len(), "made-".len() + 32);
    }
}
