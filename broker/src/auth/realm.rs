//! A realm: one set of rules, and the listeners that it holds for.
//!
//! Usually there is one, for all listeners. A listener with a password file or an ACL file of its own makes another, as
//! mosquitto's `per_listener_settings` does.

use std::{path::PathBuf, sync::Arc};

use gaugeline_protocol::TopicFilter;

use super::{
    Acl, AclOptions, Decision, Identity, PasswordFile, ScramFile,
    acl::{self, AccessKind},
    rule_files::RuleFiles,
};
use crate::{config::ClientIds, file_error::FileError};

/// Which realm: its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RealmId(u16);

impl RealmId {
    /// The realm of listeners that have no rules of their own.
    pub const FIRST: Self = Self(0);
    /// No realm: nobody may connect, nothing is allowed. For sessions whose realm is no longer configured.
    pub const NONE: Self = Self(u16::MAX);

    /// The realm at this place in the configuration.
    pub fn from_index(index: usize) -> Self {
        u16::try_from(index).map_or(Self::NONE, Self)
    }

    /// Its place in the configuration.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// Where the rules of a realm come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RealmConfig {
    /// What sessions that are kept call it; `None` for the first one. The address of its listener.
    pub name: Option<Arc<str>>,
    /// Users and password hashes in mosquitto's format. `None`: only anonymous clients, if they are allowed.
    pub password_file: Option<PathBuf>,
    /// Users who log in with SCRAM-SHA-256. `None`: nobody does.
    pub scram_file: Option<PathBuf>,
    /// Who may read and write what, in mosquitto's format. `None`: everybody who may connect may do everything.
    pub acl_file: Option<PathBuf>,
    /// How the ACL file is read and evaluated. Default: as by mosquitto.
    pub acl_options: AclOptions,
    /// Whether clients without a user name may connect; without a password file, whether any client may.
    pub allow_anonymous: bool,
    /// Which client identifiers are taken.
    pub client_ids: ClientIds,
}

/// How a client has shown who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Login {
    /// With a password, or not at all.
    #[default]
    Password,
    /// With SCRAM.
    Scram,
}

/// One set of rules in its place, or the name of one that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    Used {
        rules: RealmConfig,
        /// See [`Realm::has_certified_users`].
        has_certified_users: bool,
    },
    Closed(Option<Arc<str>>),
}

/// One set of rules, loaded.
#[derive(Debug, Default)]
pub struct Realm {
    /// See [`RealmConfig::name`].
    pub name: Option<Arc<str>>,
    /// `None`: no password file is configured. Shared with the realms that name the same one.
    pub passwords: Option<Arc<PasswordFile>>,
    /// `None`: no SCRAM file is configured. Shared as well.
    pub scram: Option<Arc<ScramFile>>,
    /// `None`: no ACL file is configured, so everything is allowed except what no client may do. Shared as well.
    pub acl: Option<Arc<Acl>>,
    /// Whether a client without a user name may connect; without a password file, whether any client may.
    pub allow_anonymous: bool,
    /// Which client identifiers are taken.
    pub client_ids: ClientIds,
    /// Whether a listener takes user names from certificates: these need not be in the password file.
    pub has_certified_users: bool,
}

impl Realm {
    /// Reads the files that are configured and were not read for another realm.
    ///
    /// # Errors
    /// The first mistake in them.
    pub(super) fn load(config: &RealmConfig, files: &mut RuleFiles) -> Result<Self, FileError> {
        let acl = config.acl_file.as_deref().map(|path| files.acl(path, config.acl_options));
        Ok(Self {
            name: config.name.clone(),
            passwords: config.password_file.as_deref().map(|path| files.passwords(path)).transpose()?,
            scram: config.scram_file.as_deref().map(|path| files.scram(path)).transpose()?,
            acl: acl.transpose()?,
            allow_anonymous: config.allow_anonymous,
            client_ids: config.client_ids.clone(),
            has_certified_users: false,
        })
    }

    /// A realm that lets nobody in and allows nothing.
    pub(super) fn closed() -> Self {
        Self { acl: Some(Arc::default()), ..Self::default() }
    }

    /// Whether the password file has the user.
    pub fn has_user(&self, user: &str) -> bool {
        self.passwords.as_ref().is_some_and(|passwords| passwords.find(user).is_some())
    }

    /// Whether a client may publish to or receive from a topic.
    pub fn decide(&self, identity: &Identity, access: AccessKind, topic: &str) -> Decision {
        match &self.acl {
            Some(acl) => acl.decide(identity.user.as_deref(), identity.client_id.as_str(), access, topic),
            None => Decision { allowed: acl::builtin_allows(access, topic), line: None },
        }
    }

    /// Whether a client may subscribe; see [`Acl::decide_subscribe`].
    pub fn may_subscribe(&self, identity: &Identity, filter: &TopicFilter) -> bool {
        let (user, client_id) = (identity.user.as_deref(), identity.client_id.as_str());
        self.acl.as_ref().is_none_or(|acl| acl.decide_subscribe(user, client_id, filter).allowed)
    }

    /// How many users can log in; who is in both files counts once.
    pub fn users(&self) -> usize {
        let scram = self.scram.iter().flat_map(|file| file.users());
        self.passwords.as_ref().map_or(0, |file| file.len())
            + scram.filter(|user| !self.has_user(user)).count()
    }

    /// Whether a user name without anything to check it against is taken. Not beside a SCRAM file: the name could be
    /// that of one of its users.
    pub fn takes_any_user(&self) -> bool {
        self.allow_anonymous && self.passwords.is_none() && self.scram.is_none()
    }

    /// Whether someone who came in as `user` under the rules `before` would come in now, as far as can be told without
    /// the password: the user is still there, with the same hash; or there is no user, and that is still allowed.
    pub fn still_admits(&self, user: Option<&str>, login: Login, before: &Self) -> bool {
        let Some(user) = user else { return self.allow_anonymous };
        if login == Login::Scram {
            let entry = |realm: &Self| realm.scram.as_ref()?.find(user).map(|(_, entry)| entry.clone());
            return entry(self).is_some_and(|now| Some(now) == entry(before));
        }
        let hash =
            |realm: &Self| realm.passwords.as_ref().map(|file| file.find(user).map(|(_, hash)| hash.clone()));
        match (hash(self), hash(before)) {
            (None, _) => self.takes_any_user(),
            (Some(now), Some(then)) => now.is_some() && now == then,
            // Nobody proved the name then.
            (Some(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Access;

    #[test]
    fn a_name_that_nobody_proved_does_not_outlive_the_arrival_of_a_password_file() {
        use crate::auth::hash::{Hashing, PasswordHash, SaltLength};
        let hash =
            PasswordHash::create(b"x", Hashing::Pbkdf2(std::num::NonZero::<u32>::MIN, SaltLength::Twelve))
                .unwrap();
        let text = format!("alice:{hash}\n");
        let file = PasswordFile::parse(std::path::Path::new("passwd"), text).unwrap();
        let open = Realm { allow_anonymous: true, ..Realm::default() };
        let closed = Realm { passwords: Some(file.into()), ..Realm::default() };
        assert!(!closed.still_admits(Some("alice"), Login::Password, &open));
        assert!(
            closed.still_admits(Some("alice"), Login::Password, &closed)
                && open.still_admits(Some("alice"), Login::Password, &open)
        );
    }

    #[test]
    fn files_that_realms_share_are_read_and_counted_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
            Some(directory.path().join(name))
        };
        let user = |name: &str| {
            use crate::auth::hash::{Hashing, PasswordHash, SaltLength};
            let hashing = Hashing::Pbkdf2(std::num::NonZero::<u32>::MIN, SaltLength::Twelve);
            format!("{name}:{}\n", PasswordHash::create(b"x", hashing).unwrap())
        };
        let (shared, own) = (file("shared", &(user("a") + &user("b"))), file("own", &user("c")));
        let rules = RealmConfig {
            password_file: shared,
            acl_file: file("acl", "topic a\n"),
            scram_file: file("scram", ""),
            ..RealmConfig::default()
        };
        let other = RealmConfig { password_file: own, ..rules.clone() };
        let stricter = RealmConfig {
            acl_options: AclOptions { deny_wins: true, ..AclOptions::default() },
            ..rules.clone()
        };
        let slot = |rules: &RealmConfig| Slot::Used { rules: rules.clone(), has_certified_users: false };
        for access in [
            Access::load(&[rules.clone(), rules.clone(), other.clone(), stricter.clone()]),
            Access::load_slots(&[slot(&rules), slot(&rules), slot(&other), slot(&stricter)]),
        ] {
            let access = access.unwrap();
            let [first, second, other, stricter] = access.realms() else { panic!("four realms") };
            let same_passwords = |realm: &Realm| {
                Arc::ptr_eq(first.passwords.as_ref().unwrap(), realm.passwords.as_ref().unwrap())
            };
            let same_acl =
                |realm: &Realm| Arc::ptr_eq(first.acl.as_ref().unwrap(), realm.acl.as_ref().unwrap());
            assert!(same_passwords(second) && same_passwords(stricter) && !same_passwords(other));
            assert!(same_acl(second) && same_acl(other) && !same_acl(stricter), "options count");
            assert!(Arc::ptr_eq(first.scram.as_ref().unwrap(), other.scram.as_ref().unwrap()));
            assert_eq!((access.users(), first.users(), other.users()), (3, 2, 1));
        }
    }

    #[test]
    fn a_user_who_can_log_in_either_way_is_one() {
        use crate::auth::hash::{Hashing, PasswordHash, SaltLength};
        let path = std::path::Path::new("f");
        let few = std::num::NonZero::<u32>::MIN;
        let hash = PasswordHash::create(b"x", Hashing::Pbkdf2(few, SaltLength::Twelve)).unwrap();
        let passwords = PasswordFile::parse(path, format!("a:{hash}\nb:{hash}\n")).unwrap();
        let iterations = std::num::NonZero::new(4096).unwrap();
        let entry = crate::auth::scram::ScramCredential::create(b"x", iterations).unwrap();
        let scram = ScramFile::parse(path, format!("b:{entry}\nc:{entry}\n")).unwrap();
        let (passwords, scram) = (Some(Arc::new(passwords)), Some(Arc::new(scram)));
        let realm = |passwords| Realm { passwords, scram: scram.clone(), ..Realm::default() };
        let both = realm(passwords.clone());
        assert_eq!(both.users(), 3);
        assert_eq!(Access::new(vec![both, realm(None)]).users(), 3, "the files are the same ones");
    }

    #[test]
    fn a_realm_that_is_not_there_allows_nothing() {
        let open = Realm { allow_anonymous: true, ..Realm::default() };
        let access = Access::new(vec![open]);
        let client_id = gaugeline_protocol::ClientId::new("c").unwrap();
        for (realm, allowed) in
            [(RealmId::FIRST, true), (RealmId::from_index(1), false), (RealmId::NONE, false)]
        {
            let identity = Identity {
                realm,
                user: None,
                client_id: client_id.clone(),
                address: ([127, 0, 0, 1], 1).into(),
            };
            for kind in [AccessKind::Read, AccessKind::Write] {
                assert_eq!(access.decide(&identity, kind, "a").allowed, allowed, "{realm:?}");
            }
            assert_eq!(access.realm(realm).allow_anonymous, allowed);
        }
    }
}
