//! Keeps each set of rules in its place, however the configuration orders them.
//!
//! Connections and sessions name their rules by the place. A place must therefore never come to hold other rules: one whose
//! rules are gone stays, closed. So is one that no listener uses: nobody can come in under its rules, and what sessions from
//! before left there must not fall under rules that nobody wrote for them.

use crate::{
    auth::{Access, IdentitySource, RealmConfig, RealmId, Slot},
    config::Config,
};

/// The rules of a configuration in the places that they have in `held`, new ones behind them; the listeners of the
/// configuration are told the places.
pub(crate) fn settle(config: &mut Config, held: &Access) -> Vec<Slot> {
    let mut places = vec![None; config.realms.len()];
    let slot = |at: usize, rules: &RealmConfig| slot_of(config, RealmId::from_index(at), rules);
    let mut slots = Vec::with_capacity(held.realms().len().max(config.realms.len()));
    for (at, old) in held.realms().iter().enumerate() {
        let mut named = config.realms.iter().zip(&mut places).enumerate();
        match named.find(|(_, (new, place))| place.is_none() && new.name == old.name) {
            Some((index, (new, place))) => {
                *place = Some(RealmId::from_index(at));
                slots.push(slot(index, new));
            }
            None => slots.push(Slot::Closed(old.name.clone())),
        }
    }
    for (index, (new, place)) in config.realms.iter().zip(&mut places).enumerate() {
        if place.is_none() {
            *place = Some(RealmId::from_index(slots.len()));
            slots.push(slot(index, new));
        }
    }
    for listener in &mut config.listeners {
        listener.realm = places.get(listener.realm.index()).copied().flatten().unwrap_or(RealmId::NONE);
    }
    slots
}

fn slot_of(config: &Config, realm: RealmId, rules: &RealmConfig) -> Slot {
    let mut users = config.listeners.iter().filter(|listener| listener.realm == realm).peekable();
    if users.peek().is_none() {
        return Slot::Closed(rules.name.clone());
    }
    let has_certified_users = users.any(|listener| listener.identity != IdentitySource::Password);
    Slot::Used { rules: rules.clone(), has_certified_users }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        auth::{Realm, RealmConfig},
        config::ListenerConfig,
    };

    fn named(name: &str) -> Option<Arc<str>> {
        (!name.is_empty()).then(|| name.into())
    }

    /// A configuration with these realms, and a listener for each.
    fn config(names: &[&str]) -> Config {
        let listeners = (0..names.len()).map(|at| ListenerConfig {
            realm: RealmId::from_index(at),
            ..ListenerConfig::new(([127, 0, 0, 1], 1).into())
        });
        let realms = names.iter().map(|name| RealmConfig { name: named(name), ..RealmConfig::default() });
        Config { realms: realms.collect(), ..Config::listening_on(listeners.collect()) }
    }

    #[test]
    fn rules_keep_their_place_or_leave_it_closed() {
        for (held, wanted, expected, places) in [
            (&["", "a"][..], &["", "a"][..], &["+", "+a"][..], &[0, 1][..]),
            (&["", "a", "b"], &["", "b"], &["+", "-a", "+b"], &[0, 2]),
            (&["", "a", "b"], &["", "b", "a"], &["+", "+a", "+b"], &[0, 2, 1]),
            (&["", "a"], &["", "c", "a"], &["+", "+a", "+c"], &[0, 2, 1]),
            (&["", "a"], &["", "b"], &["+", "-a", "+b"], &[0, 2]),
            // Two listeners at a port that the system chooses have the same name.
            (&["", "a", "a"], &["", "a"], &["+", "+a", "-a"], &[0, 1]),
        ] {
            let realms = held.iter().map(|name| Realm { name: named(name), ..Realm::default() });
            let mut config = config(wanted);
            let slots = settle(&mut config, &Access::new(realms.collect()));
            let slots = slots.iter().map(|slot| match slot {
                Slot::Used { rules, .. } => format!("+{}", rules.name.as_deref().unwrap_or_default()),
                Slot::Closed(name) => format!("-{}", name.as_deref().unwrap_or_default()),
            });
            assert_eq!(slots.collect::<Vec<_>>(), expected, "{held:?} {wanted:?}");
            let found = config.listeners.iter().map(|listener| listener.realm.index()).collect::<Vec<_>>();
            assert_eq!(found, places, "{held:?} {wanted:?}");
        }
    }

    #[test]
    fn rules_that_no_listener_uses_are_closed() {
        let mut config = config(&["", "a"]);
        config.listeners.remove(0);
        for held in [Access::new(Vec::new()), Access::default()] {
            let slots = settle(&mut config.clone(), &held);
            assert!(matches!(slots.as_slice(), [Slot::Closed(None), Slot::Used { .. }]), "{slots:?}");
        }
        config.listeners.clear();
        let access = Access::load_slots(&settle(&mut config, &Access::new(Vec::new()))).unwrap();
        let identity = crate::auth::Identity {
            realm: RealmId::FIRST,
            user: None,
            client_id: gaugeline_protocol::ClientId::new("c").unwrap(),
            address: ([127, 0, 0, 1], 1).into(),
        };
        assert!(!access.decide(&identity, crate::auth::AccessKind::Write, "will").allowed);
    }

    #[test]
    fn rules_know_whether_certificates_name_users() {
        let mut config = config(&["", "a"]);
        config.listeners[1].identity = IdentitySource::CommonName;
        let access = Access::load_slots(&settle(&mut config, &Access::new(Vec::new()))).unwrap();
        let certified = access.realms().iter().map(|realm| realm.has_certified_users).collect::<Vec<_>>();
        assert_eq!(certified, [false, true]);
    }
}
