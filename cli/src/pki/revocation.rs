//! `gaugeline pki revoke`: puts certificates of clients on the list that the broker follows.

use std::{path::PathBuf, time::SystemTime};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    REVOCATION_LIST,
    authority::Authority,
    index::{self, Index},
    revocation_list::{RevocationList, significant},
};
use crate::{failure::Failure, files};

/// Which certificates.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Arguments {
    /// All certificates with this name that are valid
    pub(super) name: Option<String>,
    /// The certificate with this serial number, in hexadecimal
    #[arg(long, value_name = "HEX")]
    pub(super) serial: Option<String>,
    /// The certificate in this file
    #[arg(long, value_name = "FILE")]
    pub(super) certificate: Option<PathBuf>,
}

/// Revokes certificates and says which.
pub(super) fn revoke(
    authority: &Authority,
    arguments: &Arguments,
    now: SystemTime,
) -> Result<String, Failure> {
    let mut index = Index::load(authority.directory())?;
    let serials = serials(authority, arguments, &index, now)?;
    let mut list = RevocationList::load(authority.directory())?;
    let mut report = String::new();
    for serial in &serials {
        let word = if list.revoked_at(serial).is_some() { "was revoked" } else { "revoked" };
        list.revoke(serial, now);
        report.push_str(&format!("  {word}  serial {}\n", hex::encode(serial)));
    }
    save(authority, &list, now, list.end(now, authority.ends()))?;
    let at = index::timestamp(now)?;
    for issued in &mut index.certificates {
        if serials.iter().any(|serial| hex::encode(serial) == issued.serial) {
            issued.revoked_at.get_or_insert(at);
        }
    }
    index.save(authority.directory())?;
    report.push_str(&format!(
        "Written to {}. A listener with `crl` in broker.toml follows it within seconds.",
        authority.path(REVOCATION_LIST).display()
    ));
    Ok(report)
}

/// Signs the list and puts it in the place of the one that is there.
pub(super) fn save(
    authority: &Authority,
    list: &RevocationList,
    now: SystemTime,
    end: SystemTime,
) -> Result<(), Failure> {
    let path = authority.path(REVOCATION_LIST);
    let pem = list.sign(authority.issuer(), now, end)?;
    files::replace(&path, files::PUBLIC, pem.as_bytes())
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

fn serials(
    authority: &Authority,
    arguments: &Arguments,
    index: &Index,
    now: SystemTime,
) -> Result<Vec<Vec<u8>>, Failure> {
    let parse = |text: &str| {
        let digits = text.replace(':', "");
        let even = if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") };
        let serial = hex::decode(even).ok().map(|serial| significant(&serial).to_vec());
        serial.filter(|serial| !serial.is_empty()).ok_or_else(|| {
            Failure::usage(format!(
                "`{text}` is no serial number: expected hexadecimal digits, as `list` shows them"
            ))
        })
    };
    match arguments {
        Arguments { serial: Some(serial), .. } => Ok(vec![parse(serial)?]),
        Arguments { certificate: Some(path), .. } => Ok(vec![serial_in(authority, path)?]),
        Arguments { name, .. } => {
            let name = name.as_deref().unwrap_or_default();
            let found = index.valid(name, now).map(|issued| parse(&issued.serial));
            let found = found.collect::<Result<Vec<_>, _>>()?;
            if found.is_empty() {
                return Err(Failure::failed(format!(
                    "no valid certificate was issued to `{name}`: see `gaugeline pki list`; one that it does not know \
                     is revoked with --certificate FILE or --serial HEX"
                )));
            }
            Ok(found)
        }
    }
}

/// The serial number of the certificate in a file, if it is one of ours.
fn serial_in(authority: &Authority, path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::configuration(format!("{}: no usable certificate: {error}", path.display()))
    };
    let text = files::read_text(path)?;
    let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| unusable(&error))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| unusable(&error))?;
    let authority_text = files::read_text(&authority.path(crate::init::CA_CERTIFICATE))?;
    let ca = CertificateDer::from_pem_slice(authority_text.as_bytes()).map_err(|error| unusable(&error))?;
    let (_, ca) = X509Certificate::from_der(&ca).map_err(|error| unusable(&error))?;
    if parsed.issuer().as_raw() != ca.subject().as_raw() {
        return Err(Failure::failed(format!(
            "{} was issued by another authority ({}): only that one can revoke it",
            path.display(),
            parsed.issuer()
        )));
    }
    Ok(significant(parsed.raw_serial()).to_vec())
}
