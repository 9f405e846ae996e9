//! Whose a session is: who may go on with it, and who may put it to an end by coming under its name.

use std::sync::Arc;

use crate::auth::{Access, RealmId};

/// The user of a session or of a connection, and how the name was shown.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    /// Under whose rules the user came in.
    pub realm: RealmId,
    /// `None` for an anonymous client.
    pub user: Option<Arc<str>>,
    /// The name came from a certificate.
    pub is_certified: bool,
}

impl Owner {
    /// Whether both are the same user. A name under other rules counts only where both had to prove it: an open listener
    /// takes every name.
    pub fn is_same(&self, other: &Self, access: &Access) -> bool {
        self.user == other.user
            && (self.realm == other.realm || (self.is_proven(access) && other.is_proven(access)))
    }

    /// Whether only the owner may take what it has. Nobody proved the name of an anonymous client, and a user who would
    /// no longer be let in must not hold its client identifiers for ever.
    pub fn is_protected(&self, access: &Access) -> bool {
        self.is_proven(access)
    }

    /// Whether the rules of now let nobody in under this name without a proof.
    fn is_proven(&self, access: &Access) -> bool {
        let realm = access.realm(self.realm);
        let has_user = |user: &Arc<str>| realm.has_user(user);
        self.user
            .as_ref()
            .is_some_and(|user| (self.is_certified && realm.has_certified_users) || has_user(user))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::auth::{
        PasswordFile, Realm,
        hash::{Hashing, PasswordHash, SaltLength},
    };

    fn access() -> Access {
        let hash =
            PasswordHash::create(b"x", Hashing::Pbkdf2(std::num::NonZero::<u32>::MIN, SaltLength::Twelve))
                .unwrap();
        let file = || Some(PasswordFile::parse(Path::new("passwd"), format!("alice:{hash}\n")).unwrap());
        let open = Realm { allow_anonymous: true, ..Realm::default() };
        let certified = Realm { has_certified_users: true, ..Realm::default() };
        let with_file = || Realm { passwords: file().map(Into::into), ..Realm::default() };
        Access::new(vec![with_file(), with_file(), open, certified])
    }

    fn owner(realm: usize, user: &str, is_certified: bool) -> Owner {
        let user = (!user.is_empty()).then(|| user.into());
        Owner { realm: RealmId::from_index(realm), user, is_certified }
    }

    #[test]
    fn a_name_counts_under_other_rules_only_where_both_proved_it() {
        let access = access();
        for (one, other, expected) in [
            ((0, "alice", false), (0, "alice", false), true),
            ((0, "alice", false), (0, "bob", false), false),
            ((0, "alice", false), (1, "alice", false), true),
            ((0, "alice", false), (2, "alice", false), false),
            ((0, "alice", false), (3, "alice", true), true),
            ((0, "alice", false), (3, "alice", false), false),
            ((0, "bob", false), (1, "bob", false), false),
            ((2, "alice", false), (2, "alice", false), true),
            ((2, "", false), (2, "", false), true),
            ((0, "", false), (2, "", false), false),
        ] {
            let (a, b) = (owner(one.0, one.1, one.2), owner(other.0, other.1, other.2));
            assert_eq!(a.is_same(&b, &access), expected, "{one:?} {other:?}");
            assert_eq!(b.is_same(&a, &access), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn who_proved_a_name_that_still_holds_is_protected() {
        let access = access();
        for (realm, user, is_certified, expected) in [
            (0, "alice", false, true),
            (0, "gone", false, false),
            (0, "gone", true, false),
            (0, "", false, false),
            (2, "alice", false, false),
            (3, "cert", true, true),
            (3, "cert", false, false),
            (9, "alice", true, false),
        ] {
            let owner = owner(realm, user, is_certified);
            assert_eq!(owner.is_protected(&access), expected, "{owner:?}");
        }
    }
}
