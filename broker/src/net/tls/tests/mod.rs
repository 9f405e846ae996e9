use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
};

use super::*;
use crate::file_error::FileError;

mod replacing;
mod trusting;

/// A moment in 2027.
const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));

/// A root, a server and a client below it, and a second root, in PEM files.
struct Pki {
    directory: tempfile::TempDir,
    client: (CertificateDer<'static>, Vec<u8>),
    stranger: (CertificateDer<'static>, Vec<u8>),
}

fn root(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Pki {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            fs::write(directory.path().join(name), text).unwrap();
            fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
        };
        let (ca, other) = (root("ours"), root("theirs"));
        write("ca.crt", ca.pem());
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &ca).unwrap();
        write("server.crt", server.pem() + &ca.pem());
        write("server.key", key.serialize_pem());
        write("other.key", KeyPair::generate().unwrap().serialize_pem());
        let client = |issuer: &CertifiedIssuer<'static, KeyPair>| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["client".into()]).unwrap();
            (params.signed_by(&key, issuer).unwrap().der().clone(), key.serialize_der())
        };
        Self { client: client(&ca), stranger: client(&other), directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn tls(&self) -> TlsConfig {
        TlsConfig {
            ca: Some(self.path("ca.crt")),
            ..TlsConfig::new(self.path("server.crt"), self.path("server.key"))
        }
    }

    fn client(
        &self,
        versions: TlsVersions,
        identity: Option<&(CertificateDer<'static>, Vec<u8>)>,
        alpn: &[&[u8]],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.crt")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&versions.supported())
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.clone()).unwrap();
                builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

/// What a start makes of the files.
fn server_config(tls: &TlsConfig) -> Result<Arc<ServerConfig>, FileError> {
    prepare(tls, NOW, None).map(|prepared| Arc::clone(&prepared.material.server))
}

fn asking(require_certificate: bool) -> ClientCertificate {
    if require_certificate { ClientCertificate::Required } else { ClientCertificate::NotAsked }
}

/// Runs a handshake in memory and one byte each way, so that tickets arrive.
fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = ClientConnection::new(client.clone(), "localhost".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    client.writer().write_all(b"x").unwrap();
    server.writer().write_all(b"y").unwrap();
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    let mut byte = [0];
    assert_eq!((server.reader().read(&mut byte).unwrap(), byte), (1, *b"x"));
    assert_eq!((client.reader().read(&mut byte).unwrap(), byte), (1, *b"y"));
    Ok((client, server))
}

const ONLY_1_2: TlsVersions = TlsVersions { v1_2: true, v1_3: false };
const ONLY_1_3: TlsVersions = TlsVersions { v1_2: false, v1_3: true };
const BOTH: TlsVersions = TlsVersions { v1_2: true, v1_3: true };

#[test]
fn versions() {
    let pki = Pki::new();
    for (server, client, expected) in [
        (BOTH, BOTH, Some(ProtocolVersion::TLSv1_3)),
        (BOTH, ONLY_1_2, Some(ProtocolVersion::TLSv1_2)),
        (ONLY_1_2, BOTH, Some(ProtocolVersion::TLSv1_2)),
        (ONLY_1_3, BOTH, Some(ProtocolVersion::TLSv1_3)),
        (ONLY_1_3, ONLY_1_2, None),
        (ONLY_1_2, ONLY_1_3, None),
    ] {
        let config = server_config(&TlsConfig { versions: server, ..pki.tls() }).unwrap();
        let found = handshake(&config, &pki.client(client, None, &[])).ok();
        assert_eq!(found.and_then(|(client, _)| client.protocol_version()), expected);
    }
}

#[test]
fn sessions_resume_with_tickets_and_only_with_the_same_configuration() {
    let pki = Pki::new();
    for versions in [ONLY_1_2, ONLY_1_3] {
        for require_certificate in [false, true] {
            let tls = TlsConfig { client_certificate: asking(require_certificate), ..pki.tls() };
            let server = server_config(&tls).unwrap();
            let client = pki.client(versions, Some(&pki.client), &[]);
            let kind = |server| handshake(server, &client).unwrap().1.handshake_kind().unwrap();
            assert_eq!(kind(&server), HandshakeKind::Full);
            assert_eq!(kind(&server), HandshakeKind::Resumed);
            assert_eq!(kind(&server_config(&tls).unwrap()), HandshakeKind::Full);
        }
    }
}

#[test]
fn client_certificates() {
    let pki = Pki::new();
    for versions in [ONLY_1_2, ONLY_1_3] {
        for (require_certificate, identity, expected) in [
            (true, Some(&pki.client), true),
            (true, Some(&pki.stranger), false),
            (true, None, false),
            (false, None, true),
            (false, Some(&pki.stranger), true),
        ] {
            let tls = TlsConfig { client_certificate: asking(require_certificate), ..pki.tls() };
            let config = server_config(&tls).unwrap();
            let found = handshake(&config, &pki.client(versions, identity, &[]));
            assert_eq!(found.is_ok(), expected, "{versions:?} {require_certificate} {identity:?}");
            if let Ok((_, server)) = found {
                assert_eq!(server.peer_certificates().is_some(), require_certificate);
            }
        }
    }
}

#[test]
fn certificates_may_be_optional() {
    let pki = Pki::new();
    let tls = TlsConfig { client_certificate: ClientCertificate::Optional, ..pki.tls() };
    let live = Arc::new(LiveTls::new(prepare(&tls, NOW, None).unwrap()));
    let server = Arc::clone(&live.material().server);
    for versions in [ONLY_1_2, ONLY_1_3] {
        for (identity, expected) in
            [(None, Some(false)), (Some(&pki.client), Some(true)), (Some(&pki.stranger), None)]
        {
            let found = handshake(&server, &pki.client(versions, identity, &[])).ok();
            let shown = found
                .map(|(_, connection)| live.begin().peer_certificate(&connection, NOW).unwrap().is_some());
            assert_eq!(shown, expected, "{versions:?} {identity:?}");
        }
    }
}

#[test]
fn a_list_of_ciphers_holds_in_its_order() {
    let pki = Pki::new();
    let names =
        ["TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"];
    let tls = TlsConfig { ciphers: Ciphers::from_names(names).unwrap(), ..pki.tls() };
    let server = server_config(&tls).unwrap();
    for (versions, expected) in [
        (ONLY_1_2, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (ONLY_1_3, rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ] {
        let (client, _) = handshake(&server, &pki.client(versions, None, &[])).unwrap();
        assert_eq!(client.negotiated_cipher_suite().unwrap().suite(), expected);
    }
    let (none, _) = Ciphers::from_openssl("RC4");
    let versions = TlsVersions { v1_2: true, v1_3: false };
    let error = server_config(&TlsConfig { ciphers: none, versions, ..pki.tls() }).unwrap_err();
    assert!(error.problem().contains("with at least one cipher"), "{error}");
}

#[test]
fn alpn_is_answered_but_not_required() {
    let pki = Pki::new();
    let mqtt = server_config(&pki.tls()).unwrap();
    let web = server_config(&TlsConfig { application: Application::WebSocket, ..pki.tls() }).unwrap();
    for (server, offered, expected) in [
        (&mqtt, &[][..], Some(None)),
        (&mqtt, &[&b"mqtt"[..]], Some(Some(&b"mqtt"[..]))),
        (&mqtt, &[b"h2", b"mqtt"], Some(Some(b"mqtt"))),
        (&mqtt, &[b"http/1.1"], None),
        (&web, &[b"h2", b"http/1.1"], Some(Some(b"http/1.1"))),
    ] {
        let found = handshake(server, &pki.client(BOTH, None, offered)).ok();
        assert_eq!(found.as_ref().map(|(client, _)| client.alpn_protocol()), expected, "{offered:?}");
    }
}

#[test]
fn errors_name_the_file_at_fault() {
    let pki = Pki::new();
    let base = pki.tls();
    let text = |name: &str, content: &str| {
        fs::write(pki.path(name), content).unwrap();
        fs::set_permissions(pki.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        pki.path(name)
    };
    let damaged = text("damaged.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let nonsense = text("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let bad_key = text("bad.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let encrypted =
        text("enc.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let required = |ca: PathBuf| TlsConfig { ca: Some(ca), client_certificate: asking(true), ..base.clone() };
    for (tls, file, expected) in [
        (
            TlsConfig { key: pki.path("other.key"), ..base.clone() },
            "other.key",
            "found a key that does not match the certificate ",
        ),
        (TlsConfig { key: pki.path("none"), ..base.clone() }, "none", "cannot be read: No such file"),
        (TlsConfig { key: pki.path("ca.crt"), ..base.clone() }, "ca.crt", "found no private key"),
        (TlsConfig { key: encrypted, ..base.clone() }, "enc.key", "found no private key"),
        (TlsConfig { key: bad_key, ..base.clone() }, "bad.key", "found a private key that cannot be used"),
        (TlsConfig { certificate: pki.path("none"), ..base.clone() }, "none", "cannot be read: No such file"),
        (
            TlsConfig { certificate: pki.path("other.key"), ..base.clone() },
            "other.key",
            "found no certificate, expected certificates in PEM",
        ),
        (TlsConfig { certificate: damaged, ..base.clone() }, "damaged.pem", "found damaged PEM"),
        (
            TlsConfig { certificate: nonsense.clone(), ..base.clone() },
            "nonsense.pem",
            "found a certificate that cannot be read",
        ),
        (required(nonsense), "nonsense.pem", "found certificate 1, which cannot be a root"),
        (required(pki.path("none")), "none", "cannot be read: No such file"),
        (
            TlsConfig { ca: None, client_certificate: asking(true), ..base.clone() },
            "server.crt",
            "found `require_certificate` without `ca`",
        ),
        (
            TlsConfig { versions: TlsVersions { v1_2: false, v1_3: false }, ..base.clone() },
            "server.crt",
            "expected TLS 1.2, TLS 1.3 or both",
        ),
    ] {
        let error = server_config(&tls).unwrap_err();
        assert!(error.path().ends_with(file) && error.problem().contains(expected), "{error}");
    }
}
