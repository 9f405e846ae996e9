//! The private certificate authority of a data directory and the broker's certificate.
//!
//! Owns which of the five files are made from which, and what stands in the certificates. A file that exists is
//! never replaced; each step leaves files that the next run can complete.

use std::{
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::{
    BROKER_CONFIG,
    report::{Outcome, Report},
};
use crate::{
    failure::Failure,
    files,
    pki::{REVOCATION_LIST, RevocationList},
    random,
};

/// The authority's certificate, which clients trust.
pub(crate) const CA_CERTIFICATE: &str = "pki/ca.crt";
/// The authority's key: needed only to issue certificates, so it may be moved elsewhere.
pub(crate) const CA_KEY: &str = "pki/ca.key";
/// The broker's certificate.
pub(crate) const SERVER_CERTIFICATE: &str = "pki/server.crt";
/// The broker's key.
pub(crate) const SERVER_KEY: &str = "pki/server.key";

const DAY: Duration = Duration::from_hours(24);
/// How long the authority lasts: ten years, because every client has to be given a new one afterwards.
const CA_DAYS: u32 = 3652;
/// How long the broker's certificate lasts. Apple's clients accept no more than 825 days.
pub(crate) const SERVER_DAYS: u32 = 824;
/// How long before its end a certificate is complained about.
const RENEWAL_DAYS: u32 = 30;
/// Certificates start in the past, for sensors whose clock is slow.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_hours(1);

/// A name that the broker is reached by: DNS name, with or without a leading `*.`, or IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName(String);

impl HostName {
    /// Parses a name as `--name` takes it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let name = Self(text.to_owned());
        match ServerName::try_from(name.example()) {
            Ok(_) => Ok(name),
            Err(_) => Err(format!("`{text}` is neither a DNS name nor an IP address")),
        }
    }

    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that a certificate for this name must be valid for.
    fn example(&self) -> String {
        match self.0.strip_prefix("*.") {
            Some(rest) => format!("any.{rest}"),
            None => self.0.clone(),
        }
    }

    /// The name as a certificate holds it.
    fn subject(&self) -> Result<SanType, rcgen::Error> {
        Ok(match self.0.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(self.0.as_str().try_into()?),
        })
    }
}

/// Completes the files. `names` go into a new broker certificate; `required` are checked if there is one.
pub(super) fn complete(
    report: &mut Report,
    names: &[HostName],
    required: &[HostName],
    now: SystemTime,
) -> Result<(), Failure> {
    let present = |name: &str| files::exists(&report.directory().join(name));
    if present(SERVER_CERTIFICATE) {
        keep_server(report, required, now);
        return complete_list(report, now);
    }
    let authority = match (present(CA_CERTIFICATE), present(CA_KEY)) {
        (true, false) => {
            return Err(Failure::configuration(format!(
                "cannot issue {SERVER_CERTIFICATE}: {CA_CERTIFICATE} is there but its key {CA_KEY} is not: put \
                 the key back for a moment, or provide {SERVER_CERTIFICATE} and {SERVER_KEY} yourself"
            )));
        }
        (true, true) => existing_authority(report)?,
        (false, _) => new_authority(report, now)?,
    };
    let key = key_pair(report, SERVER_KEY)?;
    let certificate = server_parameters(names, now)?.signed_by(&key, &authority).map_err(Failure::failed)?;
    report.create(SERVER_CERTIFICATE, files::PUBLIC, certificate.pem().as_bytes())?;
    complete_list(report, now)
}

/// A list of revoked certificates, still without any: a listener that names the file needs it to be there.
fn complete_list(report: &mut Report, now: SystemTime) -> Result<(), Failure> {
    let present = |name: &str| files::exists(&report.directory().join(name));
    if present(REVOCATION_LIST) {
        report.kept(REVOCATION_LIST);
        return Ok(());
    }
    if !present(CA_CERTIFICATE) || !present(CA_KEY) {
        // Those who keep the key elsewhere have a configuration without the list, or get to know the command.
        if !present(BROKER_CONFIG) {
            report.warn(format!(
                "{REVOCATION_LIST} is missing and only {CA_KEY} can sign it: run `gaugeline pki renew crl --ca-key \
                 FILE`, or remove the key `crl` from {BROKER_CONFIG}"
            ));
        }
        return Ok(());
    }
    let authority = existing_authority(report)?;
    // It ends with the authority: a list that ends sooner would lock every client out one day.
    let list = RevocationList::default().sign(&authority, now, now + DAY * CA_DAYS)?;
    report.create(REVOCATION_LIST, files::PUBLIC, list.as_bytes())?;
    Ok(())
}

/// Whether a client that trusts `ca` would accept `server` under the name `name` at this time.
pub(crate) fn verify(
    ca: &CertificateDer<'_>,
    server: &CertificateDer<'_>,
    name: &HostName,
    time: SystemTime,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let name =
        ServerName::try_from(name.example()).map_err(|error| rustls::Error::General(error.to_string()))?;
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    verifier.verify_server_cert(server, &[], &name, &[], UnixTime::since_unix_epoch(since_epoch)).map(|_| ())
}

/// The broker has a certificate: says what is wrong with it, if anything.
fn keep_server(report: &mut Report, required: &[HostName], now: SystemTime) {
    for name in [CA_CERTIFICATE, CA_KEY, SERVER_CERTIFICATE, SERVER_KEY] {
        if files::exists(&report.directory().join(name)) {
            report.kept(name);
        } else if name != CA_KEY {
            report.warn(format!("{name} is missing, but {SERVER_CERTIFICATE} is there: put it back"));
        }
    }
    let Some(ca) = certificate(&report.directory().join(CA_CERTIFICATE)) else { return };
    let Some(server) = certificate(&report.directory().join(SERVER_CERTIFICATE)) else { return };
    let remedy = "`gaugeline pki renew server` makes a new one (`--name` adds a name)";
    for name in required {
        let name_text = name.as_str();
        if let Err(error) = verify(&ca, &server, name, now) {
            report.warn(format!("{SERVER_CERTIFICATE} does not serve `{name_text}` ({error}): {remedy}"));
        } else if verify(&ca, &server, name, now + DAY * RENEWAL_DAYS).is_err() {
            report.warn(format!("{SERVER_CERTIFICATE} ends within {RENEWAL_DAYS} days: {remedy}"));
            return;
        }
    }
}

/// The first certificate of a PEM file, if there is one. What is wrong with the file is the broker's to say.
fn certificate(path: &Path) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_file(path).ok()
}

/// The authority that issues from the files that are there.
fn existing_authority(report: &mut Report) -> Result<Issuer<'static, KeyPair>, Failure> {
    report.kept(CA_CERTIFICATE);
    let key = key_pair(report, CA_KEY)?;
    let pem = files::read_text(&report.directory().join(CA_CERTIFICATE))?;
    Issuer::from_ca_cert_pem(&pem, key)
        .map_err(|error| Failure::configuration(format!("{CA_CERTIFICATE}: no usable certificate: {error}")))
}

/// Makes an authority, with the key that is there if a run before this one was cut short.
fn new_authority(report: &mut Report, now: SystemTime) -> Result<Issuer<'static, KeyPair>, Failure> {
    let key = key_pair(report, CA_KEY)?;
    let parameters = ca_parameters(now)?;
    let certificate = parameters.self_signed(&key).map_err(Failure::failed)?;
    match report.create(CA_CERTIFICATE, files::PUBLIC, certificate.pem().as_bytes())? {
        Outcome::Created => Ok(Issuer::new(parameters, key)),
        // Another `init` was faster: its certificate counts.
        Outcome::Kept => existing_authority(report),
    }
}

/// The key in this file; a new P-256 key if the file is missing.
fn key_pair(report: &mut Report, name: &str) -> Result<KeyPair, Failure> {
    let path = report.directory().join(name);
    if !files::exists(&path) {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(Failure::failed)?;
        if report.create(name, files::PRIVATE, key.serialize_pem().as_bytes())? == Outcome::Created {
            return Ok(key);
        }
    }
    report.kept(name);
    KeyPair::from_pem(&files::read_text(&path)?).map_err(|error| {
        Failure::configuration(format!("{}: no usable private key (PKCS#8 PEM): {error}", path.display()))
    })
}

/// What stands in the authority's certificate.
fn ca_parameters(now: SystemTime) -> Result<CertificateParams, Failure> {
    // Two authorities must not share a name: a client that trusts both would try the wrong key.
    let distinction = hex::encode(random::bytes::<4>()?);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "gaugeline");
    parameters.distinguished_name.push(DnType::CommonName, format!("gaugeline CA {distinction}"));
    parameters.not_before = (now - CLOCK_SKEW).into();
    parameters.not_after = (now + DAY * CA_DAYS).into();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.serial_number = Some(serial_number()?);
    Ok(parameters)
}

/// What stands in the broker's certificate.
pub(crate) fn server_parameters(names: &[HostName], now: SystemTime) -> Result<CertificateParams, Failure> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "gaugeline");
    parameters.distinguished_name.push(DnType::CommonName, "gaugeline broker");
    parameters.not_before = (now - CLOCK_SKEW).into();
    parameters.not_after = (now + DAY * SERVER_DAYS).into();
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.subject_alt_names =
        names.iter().map(HostName::subject).collect::<Result<_, _>>().map_err(Failure::failed)?;
    parameters.serial_number = Some(serial_number()?);
    Ok(parameters)
}

/// A positive serial number of at most 20 bytes [RFC 5280, section 4.1.2.2].
pub(crate) fn serial_number() -> Result<SerialNumber, Failure> {
    let mut bytes = random::bytes::<16>()?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}
