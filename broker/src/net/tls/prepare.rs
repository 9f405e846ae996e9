//! From files to everything that a listener needs for TLS, checked.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use sha2::{Digest as _, Sha256};

use super::{
    authorities::{self, Authorities},
    certificate_file::{self, Shown},
    chains::{Chains, is_valid},
    client_trust::ClientTrust,
    config::{ClientCertificate, TlsConfig},
    facts::{date, seconds},
    live::LiveTls,
    renewal,
    revocation::Revocations,
};
use crate::file_error::FileError;

/// How long something in a file is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// The file.
    pub file: PathBuf,
    /// What ends: `certificate`, `authority` or `revocation list`.
    pub what: &'static str,
    /// When, in seconds since 1970.
    pub until: i64,
}

impl Validity {
    /// How long it is still valid; negative if it is not.
    pub fn left_seconds(&self, now: UnixTime) -> i64 {
        self.until.saturating_sub(seconds(now))
    }
}

/// TLS of a listener, read and checked, and not in use yet.
#[derive(Debug)]
pub struct Prepared {
    pub(super) material: Arc<Material>,
    notes: Vec<FileError>,
}

impl Prepared {
    /// What is wrong but no reason not to start: to be logged as warnings.
    pub fn notes(&self) -> &[FileError] {
        &self.notes
    }
}

/// Everything that comes from the files of one listener.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) server: Arc<ServerConfig>,
    pub(super) trust: Option<Arc<ClientTrust>>,
    pub(super) validities: Vec<Validity>,
    chain: Vec<CertificateDer<'static>>,
    /// Of all that went into it.
    pub(super) digest: [u8; 32],
}

/// Reads all files of a listener and checks them: the key belongs to the certificate, the certificate is valid now and
/// meant for servers, the chain holds, the lists of revoked certificates are signed and not out of date.
///
/// `current` is what the listener uses now, `None` at a start. What no client would accept, but what can be used, such as
/// a certificate that has ended, is an error only in a file that is new since then: a start must not fail because time
/// has passed, and a reload must not make things worse. Otherwise it is one of [`Prepared::notes`].
///
/// # Errors
/// The first fault, with the file. Nothing has changed then.
pub fn prepare(config: &TlsConfig, now: UnixTime, current: Option<&LiveTls>) -> Result<Prepared, FileError> {
    let provider =
        Arc::new(CryptoProvider { cipher_suites: config.ciphers.supported(), ..ring::default_provider() });
    let current = current.map(LiveTls::material);
    let shown = certificate_file::load(config, &provider)?;
    let mut notes = Vec::from_iter(shown.note.clone());
    let chain = &shown.certified.cert;
    let is_new = current.as_ref().is_some_and(|current| current.chain != *chain);
    judge(certificate_file::faults(&config.certificate, chain, &shown.leaf, now), is_new, &mut notes)?;
    let mut validities =
        vec![Validity { file: config.certificate.clone(), what: "certificate", until: shown.leaf.not_after }];
    let trust = client_trust(config, &provider, now, current.as_deref(), &mut validities, &mut notes)?;
    let digest = digest(config, &shown, trust.as_deref())?;
    if let Some(current) = current.filter(|current| current.digest == digest) {
        // The same files: tickets stay valid.
        return Ok(Prepared { material: current, notes });
    }
    let chain = chain.clone();
    let server = server_config(config, provider, shown.certified, trust.clone())?;
    Ok(Prepared { material: Arc::new(Material { server, trust, validities, chain, digest }), notes })
}

/// Refuses the first fault of something new, and notes those of something that was there.
fn judge(faults: Vec<FileError>, is_new: bool, notes: &mut Vec<FileError>) -> Result<(), FileError> {
    let mut faults = faults.into_iter();
    if is_new && let Some(first) = faults.next() {
        return Err(first);
    }
    notes.extend(faults);
    Ok(())
}

fn server_config(
    tls: &TlsConfig,
    provider: Arc<CryptoProvider>,
    certified: CertifiedKey,
    trust: Option<Arc<ClientTrust>>,
) -> Result<Arc<ServerConfig>, FileError> {
    let verifier: Arc<dyn ClientCertVerifier> = match trust {
        Some(trust) => trust,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let ticketer = ring::Ticketer::new().map_err(|error| {
        FileError::whole(&tls.key, format_args!("no keys for session tickets ({error})"), "random numbers")
    })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&tls.versions.supported())
        .map_err(|error| {
            let expected = "TLS 1.2, TLS 1.3 or both, with at least one cipher";
            FileError::whole(&tls.certificate, format_args!("a listener without any ({error})"), expected)
        })?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![tls.application.alpn().to_vec()];
    config.ignore_client_order = tls.ciphers.are_ordered();
    config.ticketer = ticketer;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // One ticket is enough: a client has one connection.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn client_trust(
    tls: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    now: UnixTime,
    current: Option<&Material>,
    validities: &mut Vec<Validity>,
    notes: &mut Vec<FileError>,
) -> Result<Option<Arc<ClientTrust>>, FileError> {
    if tls.client_certificate == ClientCertificate::NotAsked {
        return Ok(None);
    }
    let Authorities { certificates: authorities, roots, ended, source } =
        authorities::load(tls, now, validities, notes)?;
    let before = current.and_then(|current| current.trust.as_deref());
    let is_new = current.is_some() && before.is_none_or(|before| before.authorities() != authorities);
    // One that has ended beside one that has not is what a change of authorities looks like.
    judge(ended, is_new && !authorities.iter().any(|authority| is_valid(authority, now)), notes)?;
    let optional = tls.client_certificate == ClientCertificate::Optional;
    let chains = Chains::new(roots, optional, Arc::clone(provider))
        .map_err(|error| FileError::whole(source, error, "certificates of certificate authorities"))?;
    let revocations = tls.crl.as_deref().map(|path| Revocations::load(path, &authorities)).transpose()?;
    if let (Some(lists), Some(path)) = (&revocations, &tls.crl) {
        let before = before.and_then(ClientTrust::revocations);
        let is_new = current.is_some() && before.is_none_or(|before| before.encoded().ne(lists.encoded()));
        judge(outdated(path, lists, now), is_new, notes)?;
        let until = lists.next_update();
        validities.extend(until.map(|until| Validity { file: path.clone(), what: "revocation list", until }));
    }
    let algorithms = provider.signature_verification_algorithms;
    Ok(Some(Arc::new(ClientTrust::new(chains, authorities, revocations, algorithms))))
}

fn outdated(path: &Path, lists: &Revocations, now: UnixTime) -> Vec<FileError> {
    let ended = lists.next_update().filter(|end| seconds(now) >= *end);
    let fault = |end| {
        let found = format_args!("a revocation list that is out of date since {}", date(end));
        let expected = format_args!(
            "one whose next update is still to come: {}; until then client certificates of its issuer are refused",
            renewal::of_list(path)
        );
        FileError::whole(path, found, expected)
    };
    ended.map(fault).into_iter().collect()
}

/// Tells whether two preparations would be the same.
fn digest(tls: &TlsConfig, shown: &Shown, trust: Option<&ClientTrust>) -> Result<[u8; 32], FileError> {
    let mut sum = Sha256::new();
    let mut add = |bytes: &[u8]| {
        sum.update(bytes.len().to_le_bytes());
        sum.update(bytes);
    };
    add(format!("{tls:?}").as_bytes());
    // The key belongs to the certificate, so the certificate stands for both.
    shown.certified.cert.iter().for_each(|certificate| add(certificate));
    if let Some(trust) = trust {
        add(&trust.authorities_digest());
        trust.revocations().into_iter().flat_map(Revocations::encoded).for_each(add);
    }
    Ok(sum.finalize().into())
}
