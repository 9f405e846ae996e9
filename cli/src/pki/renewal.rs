//! `gaugeline pki renew`: new certificates with new keys for clients and the broker, and a fresh revocation list.

use std::{path::Path, time::SystemTime};

use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

use super::{
    CLIENT_DAYS, REVOCATION_LIST,
    authority::Authority,
    client_certificate::{self, ClientName},
    index::Index,
    revocation,
    revocation_list::RevocationList,
};
use crate::{
    failure::Failure,
    files,
    init::{HostName, SERVER_CERTIFICATE, SERVER_DAYS, SERVER_KEY, server_parameters},
};

/// Renews what the name stands for, and says what it did.
pub(super) fn renew(
    authority: &Authority,
    name: &str,
    days: Option<u32>,
    names: &[HostName],
    out: &Path,
    now: SystemTime,
) -> Result<String, Failure> {
    if name != "server" && !names.is_empty() {
        return Err(Failure::usage(
            "--name is for `renew server`: only that certificate has names of machines",
        ));
    }
    match name {
        "server" => renew_server(authority, days.unwrap_or(SERVER_DAYS), names, now),
        "crl" => renew_list(authority, days, now),
        "ca" => Err(Failure::usage(
            "an authority is not renewed, because every client would need the new one: move the directory pki away \
             and run `gaugeline init` again",
        )),
        client => {
            let name = client.parse::<ClientName>().map_err(Failure::usage)?;
            renew_client(authority, &name, days.unwrap_or(CLIENT_DAYS), out, now)
        }
    }
}

fn renew_client(
    authority: &Authority,
    name: &ClientName,
    days: u32,
    out: &Path,
    now: SystemTime,
) -> Result<String, Failure> {
    let index = Index::load(authority.directory())?;
    if !index.certificates.iter().any(|issued| issued.name == name.as_str()) {
        return Err(Failure::failed(format!(
            "no certificate was issued to `{0}`: issue one with `gaugeline pki issue {0}`",
            name.as_str()
        )));
    }
    let renewed = client_certificate::write(authority, name, days, out, now)?;
    let mut report = renewed.report(authority.directory(), "renewed");
    for old in index.valid(name.as_str(), now) {
        report.push_str(&format!(
            "\nThe one before is valid until {}, so that the client can go over; to end it now: \
             gaugeline pki revoke --serial {}",
            old.valid_until, old.serial
        ));
    }
    Ok(report)
}

fn renew_server(
    authority: &Authority,
    days: u32,
    names: &[HostName],
    now: SystemTime,
) -> Result<String, Failure> {
    let (certificate_path, key_path) = (authority.path(SERVER_CERTIFICATE), authority.path(SERVER_KEY));
    let mut all = names_in(&certificate_path)?;
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let end = authority.end_of(now, days)?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(Failure::failed)?;
    let mut parameters = server_parameters(&all, now)?;
    parameters.not_after = end.into();
    let pem = authority.sign(&parameters, &key)?;
    let failed = |path: &Path, error: std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    };
    // Between the two steps the files do not match. A broker that looks just then goes on with what it has and looks
    // again.
    files::replace(&key_path, files::PRIVATE, key.serialize_pem().as_bytes())
        .map_err(|error| failed(&key_path, error))?;
    files::replace(&certificate_path, files::PUBLIC, pem.as_bytes())
        .map_err(|error| failed(&certificate_path, error))?;
    let names = all.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ");
    Ok(format!(
        "  renewed  {}\n  renewed  {}\nFor {names}; valid until {}. A running broker shows it to new connections within \
         seconds.",
        certificate_path.display(),
        key_path.display(),
        super::index::timestamp(end)?
    ))
}

/// The names that a certificate is valid for.
fn names_in(path: &Path) -> Result<Vec<HostName>, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::configuration(format!("{}: no usable certificate: {error}", path.display()))
    };
    let text = files::read_text(path)?;
    let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| unusable(&error))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| unusable(&error))?;
    let names = parsed.subject_alternative_name().map_err(|error| unusable(&error))?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
        },
        _ => None,
    };
    names.iter().filter_map(text).map(|name| HostName::new(&name).map_err(|error| unusable(&error))).collect()
}

fn renew_list(authority: &Authority, days: Option<u32>, now: SystemTime) -> Result<String, Failure> {
    let list = RevocationList::load(authority.directory())?;
    let end = match days {
        Some(days) => authority.end_of(now, days)?,
        None => list.end(now, authority.ends()),
    };
    revocation::save(authority, &list, now, end)?;
    Ok(format!(
        "  renewed  {}\n{}; to be renewed before {}.",
        authority.path(REVOCATION_LIST).display(),
        crate::output::counted(list.revoked.len(), "revoked certificate"),
        super::index::timestamp(end)?
    ))
}
