//! Which rules a command is about: those of a configuration, or those of one file.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use gaugeline_broker::{
    auth::{AclOptions, PasswordFile, RealmConfig, RealmId, ScramFile},
    config::{Config, IdentitySource, ListenerConfig},
};

use crate::failure::Failure;

/// Where the rules are.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Source {
    /// The broker's configuration: its ACL file, its password file and its `acl_` keys
    #[arg(short = 'c', long, value_name = "FILE", required_unless_present = "acl", conflicts_with = "acl")]
    config: Option<PathBuf>,
    /// An ACL file alone, read as without any `acl_` key
    #[arg(long, value_name = "FILE")]
    acl: Option<PathBuf>,
    /// The listener whose rules count, as broker.toml has it in `bind`; needed only if it has rules of its own
    #[arg(long, value_name = "ADDRESS", conflicts_with = "acl")]
    listener: Option<SocketAddr>,
}

/// The rules of one realm, and where they come from.
pub(super) struct Rules {
    pub(super) acl_file: Option<PathBuf>,
    pub(super) options: AclOptions,
    pub(super) passwords: Option<PasswordFile>,
    pub(super) scram: Option<ScramFile>,
    pub(super) password_file: Option<PathBuf>,
    /// `None` if that is not known.
    pub(super) allow_anonymous: Option<bool>,
    /// Whether a listener that is meant takes user names from certificates.
    pub(super) has_certified_users: bool,
}

impl Source {
    /// The rules that are meant: those of the listener, or those for all.
    pub(super) fn rules(&self) -> Result<Rules, Failure> {
        if let Some(acl) = &self.acl {
            let options = AclOptions { refuse_futile_subscribe: true, ..AclOptions::default() };
            return Ok(Rules {
                acl_file: Some(acl.clone()),
                options,
                passwords: None,
                scram: None,
                password_file: None,
                allow_anonymous: None,
                has_certified_users: false,
            });
        }
        let Some(path) = &self.config else { return Err(Failure::usage("--config or --acl is missing")) };
        let config = Config::load(path).map_err(Failure::configuration)?;
        let is_meant = |listener: &&ListenerConfig| match self.listener {
            None => listener.realm == RealmId::FIRST,
            Some(address) => listener.bind == address,
        };
        let mut meant = config.listeners.iter().filter(is_meant).peekable();
        let realm = match (self.listener, meant.peek()) {
            (None, _) => RealmId::FIRST,
            (Some(_), Some(listener)) => listener.realm,
            (Some(address), None) => {
                return Err(Failure::usage(format!("{} has no listener at {address}", path.display())));
            }
        };
        let has_certified_users = meant.any(|listener| listener.identity != IdentitySource::Password);
        read(config.realms.get(realm.index()).cloned().unwrap_or_default(), has_certified_users)
    }
}

fn read(realm: RealmConfig, has_certified_users: bool) -> Result<Rules, Failure> {
    let passwords = realm.password_file.as_deref().map(PasswordFile::load).transpose();
    let scram = realm.scram_file.as_deref().map(ScramFile::load).transpose();
    Ok(Rules {
        passwords: passwords.map_err(Failure::configuration)?,
        scram: scram.map_err(Failure::configuration)?,
        acl_file: realm.acl_file,
        options: realm.acl_options,
        password_file: realm.password_file,
        allow_anonymous: Some(realm.allow_anonymous),
        has_certified_users,
    })
}

/// The bytes of a file of rules: its comments may be in any encoding.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::configuration(format!("{}: {error}", path.display())))
}
