//! `gaugeline pki list`: every certificate, until when it is valid, and whether it was revoked.

use std::{fmt::Write as _, path::Path, time::SystemTime};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    authority,
    index::{self, Index},
    revocation_list::{RevocationList, significant},
};
use crate::{
    failure::Failure,
    init::{CA_CERTIFICATE, SERVER_CERTIFICATE},
};

/// The table, a line for each certificate.
pub(super) fn table(directory: &Path, now: SystemTime) -> Result<String, Failure> {
    authority::certificate(directory)?;
    let index = Index::load(directory)?;
    let list = RevocationList::load(directory)?;
    let mut rows = Vec::new();
    for (name, file) in [("(authority)", CA_CERTIFICATE), ("(server)", SERVER_CERTIFICATE)] {
        if let Some((serial, until)) = certificate(&directory.join(file)) {
            rows.push((name.to_owned(), serial, until, state(until, None, now)));
        }
    }
    for issued in &index.certificates {
        let serial = hex::decode(&issued.serial).unwrap_or_default();
        let revoked = list.revoked_at(significant(&serial)).map(index::timestamp).transpose()?;
        rows.push((
            issued.name.clone(),
            issued.serial.clone(),
            issued.valid_until,
            state(issued.valid_until, revoked, now),
        ));
    }
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or_default().max(4);
    let mut text = format!("{:width$}  {:32}  {:20}  STATE\n", "NAME", "SERIAL", "VALID UNTIL");
    for (name, serial, until, state) in rows {
        // Writing to a string does not fail.
        writeln!(text, "{name:width$}  {serial:32}  {until:20}  {state}", until = until.to_string()).ok();
    }
    Ok(text)
}

fn state(until: jiff::Timestamp, revoked: Option<jiff::Timestamp>, now: SystemTime) -> String {
    match revoked {
        Some(at) => format!("revoked {at}"),
        None if SystemTime::from(until) <= now => "ended".to_owned(),
        None => "valid".to_owned(),
    }
}

/// Serial number and end of the certificate in a file, if there is one.
fn certificate(path: &Path) -> Option<(String, jiff::Timestamp)> {
    let der = CertificateDer::from_pem_file(path).ok()?;
    let (_, parsed) = X509Certificate::from_der(&der).ok()?;
    let until = jiff::Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()?;
    Some((hex::encode(significant(parsed.raw_serial())), until))
}
