//! Which rules a command is about: those of a configuration, or those of one file.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use gaugeline_broker::{
    auth::{AclOptions, PasswordFile, RealmConfig, ScramFile},
    config::Config,
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
            });
        }
        let Some(path) = &self.config else { return Err(Failure::usage("--config or --acl is missing")) };
        let config = Config::load(path).map_err(Failure::configuration)?;
        let realm = match self.listener {
            None => config.realms.first(),
            Some(address) => {
                let listener = config.listeners.iter().find(|listener| listener.bind == address);
                let listener = listener.ok_or_else(|| {
                    Failure::usage(format!("{} has no listener at {address}", path.display()))
                })?;
                config.realms.get(listener.realm.index())
            }
        };
        read(realm.cloned().unwrap_or_default())
    }
}

fn read(realm: RealmConfig) -> Result<Rules, Failure> {
    let passwords = realm.password_file.as_deref().map(PasswordFile::load).transpose();
    let scram = realm.scram_file.as_deref().map(ScramFile::load).transpose();
    Ok(Rules {
        passwords: passwords.map_err(Failure::configuration)?,
        scram: scram.map_err(Failure::configuration)?,
        acl_file: realm.acl_file,
        options: realm.acl_options,
        password_file: realm.password_file,
        allow_anonymous: Some(realm.allow_anonymous),
    })
}

/// The bytes of a file of rules: its comments may be in any encoding.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::configuration(format!("{}: {error}", path.display())))
}
