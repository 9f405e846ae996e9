//! Keeps each set of rules in its place, however the configuration orders them.
//!
//! Connections and sessions name their rules by the place. A place must therefore never come to hold other rules: one whose
//! rules are gone stays, closed.

use crate::{
    auth::{Access, RealmId, Slot},
    config::Config,
};

/// The rules of a configuration in the places that they have in `held`, new ones behind them; the listeners of the
/// configuration are told the places.
pub(super) fn settle(config: &mut Config, held: &Access) -> Vec<Slot> {
    let mut places = vec![None; config.realms.len()];
    let mut slots = Vec::with_capacity(held.realms().len().max(config.realms.len()));
    for (at, old) in held.realms().iter().enumerate() {
        let mut named = config.realms.iter().zip(&mut places);
        match named.find(|(new, place)| place.is_none() && new.name == old.name) {
            Some((new, place)) => {
                *place = Some(RealmId::from_index(at));
                slots.push(Slot::Used(new.clone()));
            }
            None => slots.push(Slot::Closed(old.name.clone())),
        }
    }
    for (new, place) in config.realms.iter().zip(&mut places).filter(|(_, place)| place.is_none()) {
        *place = Some(RealmId::from_index(slots.len()));
        slots.push(Slot::Used(new.clone()));
    }
    for listener in &mut config.listeners {
        listener.realm = places.get(listener.realm.index()).copied().flatten().unwrap_or(RealmId::NONE);
    }
    slots
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
                Slot::Used(realm) => format!("+{}", realm.name.as_deref().unwrap_or_default()),
                Slot::Closed(name) => format!("-{}", name.as_deref().unwrap_or_default()),
            });
            assert_eq!(slots.collect::<Vec<_>>(), expected, "{held:?} {wanted:?}");
            let found = config.listeners.iter().map(|listener| listener.realm.index()).collect::<Vec<_>>();
            assert_eq!(found, places, "{held:?} {wanted:?}");
        }
    }
}
