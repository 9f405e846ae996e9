//! On which terms a listener takes clients.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use gaugeline_protocol::{QoS, Version, session::ServerSettings};

use super::{mount_point::MountPoint, standing::Standing, tls::LiveTls};
use crate::{
    auth::RealmId,
    config::{ClientIdRule, IdentitySource, ListenerConfig, Protocol},
    metrics::RefusalReason,
    settings::Settings,
};

/// What holds for the clients of a listener.
#[derive(Debug)]
pub(crate) struct ListenerTerms {
    pub(crate) tls: Option<Arc<LiveTls>>,
    pub(crate) protocol: Protocol,
    /// Whose rules hold for them.
    pub(crate) realm: RealmId,
    /// Where they have their user names from.
    pub(crate) identity: IdentitySource,
    /// Which client identifiers they may have.
    pub(crate) client_id_rule: ClientIdRule,
    pub(crate) mount_point: Option<MountPoint>,
    versions: Vec<Version>,
    maximum_qos: QoS,
    topic_alias_maximum: Option<u16>,
    connections_max: usize,
    /// Shared with the terms that follow these.
    connections: Arc<AtomicUsize>,
    /// Shared with the terms that follow these, unless those who came in on these must not escape the difference.
    pub(crate) standing: Arc<Standing>,
}

/// A place among a listener's connections; given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ListenerTerms {
    pub(crate) fn new(config: &ListenerConfig, tls: Option<Arc<LiveTls>>) -> Self {
        Self {
            tls,
            protocol: config.protocol.clone(),
            realm: config.realm,
            identity: config.identity,
            client_id_rule: config.client_id_rule.clone(),
            mount_point: config.mount_point.clone().map(MountPoint::new),
            versions: config.versions.clone(),
            maximum_qos: config.maximum_qos,
            topic_alias_maximum: config.topic_alias_maximum,
            connections_max: config.connections_max.unwrap_or(usize::MAX),
            connections: Arc::default(),
            standing: Arc::new(Standing::new(config)),
        }
    }

    /// Whoever is inside stays so when these terms take the place of others.
    pub(crate) fn count_on(&mut self, before: &Self) {
        self.connections = Arc::clone(&before.connections);
    }

    /// Whether a connection from this address may try to come in: its network is not kept out, and the listener not full.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), RefusalReason> {
        if !self.standing.admits(address) {
            return Err(RefusalReason::Network);
        }
        let inside = self.connections.load(Ordering::Relaxed);
        if inside >= self.connections_max { Err(RefusalReason::TooManyOnListener) } else { Ok(()) }
    }

    /// A place for a connection that is let in, unless the listener is full.
    pub(super) fn enter(&self) -> Result<Place, RefusalReason> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.connections));
        if before >= self.connections_max { Err(RefusalReason::TooManyOnListener) } else { Ok(place) }
    }

    pub(super) fn speaks(&self, version: Version) -> bool {
        self.versions.contains(&version)
    }

    /// The broker's side of the negotiation with its clients.
    pub(super) fn server_settings(&self, settings: &Settings) -> ServerSettings {
        ServerSettings {
            maximum_qos: self.maximum_qos,
            topic_alias_maximum: self.topic_alias_maximum.unwrap_or(settings.server.topic_alias_maximum),
            ..settings.server.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(change: impl FnOnce(&mut ListenerConfig)) -> Arc<ListenerTerms> {
        let mut config = ListenerConfig::new(([127, 0, 0, 1], 0).into());
        change(&mut config);
        Arc::new(ListenerTerms::new(&config, None))
    }

    #[test]
    fn deny_beats_allow_and_who_is_in_neither_is_kept_out_of_a_list() {
        let networks = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        for (allow, deny, address, admitted) in [
            (&[][..], &[][..], "192.0.2.1", true),
            (&["10.0.0.0/8"], &[], "10.1.2.3", true),
            (&["10.0.0.0/8"], &[], "192.0.2.1", false),
            (&["10.0.0.0/8"], &[], "::ffff:10.1.2.3", true),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3", false),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.2.2.3", true),
            (&[], &["2001:db8::/32"], "2001:db8::1", false),
            (&[], &["2001:db8::/32"], "10.0.0.1", true),
        ] {
            let terms = terms(|config| (config.allow, config.deny) = (networks(allow), networks(deny)));
            let entered = terms.check(address.parse().unwrap());
            assert_eq!(entered, if admitted { Ok(()) } else { Err(RefusalReason::Network) }, "{address}");
        }
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let terms = terms(|config| config.connections_max = Some(1));
        let address = [127, 0, 0, 1].into();
        assert_eq!(terms.check(address), Ok(()));
        let place = terms.enter().unwrap();
        for _ in 0..3 {
            assert_eq!(terms.enter().err(), Some(RefusalReason::TooManyOnListener));
            assert_eq!(terms.check(address), Err(RefusalReason::TooManyOnListener));
        }
        drop(place);
        assert!(terms.enter().is_ok());
    }
}
