//! Client certificates: revocation, authorities in a directory, intermediates, and certificates of version 1.

use std::process::Command;

use rcgen::{
    CertificateRevocationListParams, ExtendedKeyUsagePurpose, Issuer, KeyIdMethod, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::*;

type Identity = (CertificateDer<'static>, Vec<u8>);

/// An authority that can sign lists, a server, and clients with the serial numbers 1, 2, 3.
struct Clients {
    directory: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params
}

fn client(serial: u64, issuer: &Issuer<'_, KeyPair>) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.serial_number = Some(SerialNumber::from(serial));
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("client {serial}"));
    (params.signed_by(&key, issuer).unwrap().der().clone(), key.serialize_der())
}

/// Like [`client`], with something else about it.
fn strange(change: impl FnOnce(&mut CertificateParams), issuer: &Issuer<'_, KeyPair>) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    change(&mut params);
    (params.signed_by(&key, issuer).unwrap().der().clone(), key.serialize_der())
}

/// A list that is valid until the end of a year.
fn list(issuer: &Issuer<'_, KeyPair>, serials: &[u64], year: i32) -> String {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(year, 12, 31),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().pem().unwrap()
}

impl Clients {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ca = CertifiedIssuer::self_signed(authority("ours"), KeyPair::generate().unwrap()).unwrap();
        let clients = Self { directory, ca };
        clients.write("ca.crt", &clients.ca.pem());
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        clients.write("server.crt", &params.signed_by(&key, &clients.ca).unwrap().pem());
        clients.write("server.key", &key.serialize_pem());
        clients
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn tls(&self) -> TlsConfig {
        TlsConfig {
            ca: Some(self.path("ca.crt")),
            client_certificate: ClientCertificate::Required,
            ..TlsConfig::new(self.path("server.crt"), self.path("server.key"))
        }
    }

    fn with_list(&self, text: &str) -> TlsConfig {
        self.write("crl.pem", text);
        TlsConfig { crl: Some(self.path("crl.pem")), ..self.tls() }
    }

    fn connect(
        &self,
        server: &Arc<ServerConfig>,
        chain: Vec<CertificateDer<'static>>,
        key: &[u8],
        versions: TlsVersions,
    ) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
        handshake(server, &self.config(chain, key, versions))
    }

    fn config(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &[u8],
        versions: TlsVersions,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.crt")).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let key = PrivateKeyDer::try_from(key.to_vec()).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        // Not `with_client_auth_cert`: that one refuses what the server is to judge.
        let shown = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions.supported())
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(shown));
        Arc::new(config)
    }

    /// What becomes of a client, with both versions of TLS.
    fn verdict(&self, tls: &TlsConfig, chain: &[CertificateDer<'static>], key: &[u8]) -> String {
        let server = server_config(tls).unwrap();
        let verdicts =
            [ONLY_1_2, ONLY_1_3].map(|versions| match self.connect(&server, chain.to_vec(), key, versions) {
                Ok(_) => "in".to_owned(),
                Err(error) => error.to_string().replace("invalid peer certificate: ", ""),
            });
        assert_eq!(verdicts[0], verdicts[1]);
        verdicts.into_iter().next().unwrap()
    }
}

#[test]
fn revoked_certificates_are_refused() {
    let clients = Clients::new();
    let (first, second) = (client(1, &clients.ca), client(2, &clients.ca));
    let other = CertifiedIssuer::self_signed(authority("other"), KeyPair::generate().unwrap()).unwrap();
    let good = list(&clients.ca, &[2, 0x80], 2090);
    for (text, of_first, of_second) in [
        (good.clone(), "in", "Revoked"),
        (list(&clients.ca, &[], 2090), "in", "in"),
        (list(&other, &[1], 2090) + &good, "in", "Revoked"),
        (list(&clients.ca, &[2], 2025), "ExpiredRevocationList", "Revoked"),
        (list(&clients.ca, &[2], 2025) + &list(&clients.ca, &[], 2090), "in", "Revoked"),
        (list(&other, &[1], 2090), "UnknownRevocationStatus", "UnknownRevocationStatus"),
    ] {
        let tls = clients.with_list(&text);
        let verdict =
            |(certificate, key): &Identity| clients.verdict(&tls, std::slice::from_ref(certificate), key);
        assert_eq!((verdict(&first).as_str(), verdict(&second).as_str()), (of_first, of_second));
    }
}

/// Two authorities of the same name, as after a renewal with another key: the list of one says nothing about the other's.
#[test]
fn a_list_belongs_to_the_key_that_signed_it() {
    let clients = Clients::new();
    let namesake = CertifiedIssuer::self_signed(authority("ours"), KeyPair::generate().unwrap()).unwrap();
    clients.write("ca.crt", &(clients.ca.pem() + &namesake.pem()));
    let (old, new) = (list(&clients.ca, &[1], 2090), list(&namesake, &[2], 2090));
    for (issuer, serial, text, expected) in [
        (&clients.ca, 1, &old, "Revoked"),
        (&clients.ca, 2, &old, "in"),
        (&namesake, 1, &old, "UnknownRevocationStatus"),
        (&namesake, 1, &(old.clone() + &new), "in"),
        (&namesake, 2, &(old.clone() + &new), "Revoked"),
        (&clients.ca, 2, &(old.clone() + &new), "in"),
    ] {
        let (leaf, key) = client(serial, issuer);
        assert_eq!(clients.verdict(&clients.with_list(text), &[leaf], &key), expected, "{serial}");
    }
}

#[test]
fn time_and_usage_are_checked() {
    let clients = Clients::new();
    let verdict = |(certificate, key): Identity| clients.verdict(&clients.tls(), &[certificate], &key);
    let ended = strange(|params| params.not_after = date_time_ymd(2020, 1, 1), &clients.ca);
    assert!(verdict(ended).contains("expired"), "after its time");
    let early = strange(|params| params.not_before = date_time_ymd(2090, 1, 1), &clients.ca);
    assert!(verdict(early).contains("not valid yet"), "before its time");
    let usage = |usage| strange(|params| params.extended_key_usages = vec![usage], &clients.ca);
    assert_eq!(verdict(usage(ExtendedKeyUsagePurpose::ClientAuth)), "in");
    assert!(verdict(usage(ExtendedKeyUsagePurpose::ServerAuth)).contains("usage"), "a server's");
}

/// With its ticket a client need not show its certificate again, so it is looked at again.
#[test]
fn a_resumed_session_ends_with_the_certificate() {
    let clients = Clients::new();
    let (leaf, key) = strange(|params| params.not_after = date_time_ymd(2080, 1, 1), &clients.ca);
    let live = Arc::new(LiveTls::new(prepare(&clients.tls(), NOW, None).unwrap()));
    let server = Arc::clone(&live.material().server);
    let config = clients.config(vec![leaf], &key, BOTH);
    let (_, first) = handshake(&server, &config).unwrap();
    assert!(live.begin().peer_certificate(&first, NOW).unwrap().is_some());
    let (_, second) = handshake(&server, &config).unwrap();
    assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(live.begin().peer_certificate(&second, NOW).unwrap().is_some());
    let later = UnixTime::since_unix_epoch(Duration::from_secs(
        u64::try_from(date_time_ymd(2081, 1, 1).unix_timestamp()).unwrap(),
    ));
    let error = live.begin().peer_certificate(&second, later).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[test]
fn lists_are_checked_when_they_are_read() {
    let clients = Clients::new();
    let impostor = CertifiedIssuer::self_signed(authority("ours"), KeyPair::generate().unwrap()).unwrap();
    let damaged = list(&clients.ca, &[], 2090).replacen("MII", "MIA", 1).replacen("MIH", "MIA", 1);
    for (text, part) in [
        (list(&impostor, &[], 2090), "a signature that is not its issuer's"),
        (damaged, "which cannot be parsed"),
        (clients.ca.pem(), "no revocation list"),
    ] {
        let error = server_config(&clients.with_list(&text)).unwrap_err();
        assert!(error.path().ends_with("crl.pem") && error.problem().contains(part), "{error}");
    }
    let live = LiveTls::new(prepare(&clients.with_list(&list(&clients.ca, &[], 2090)), NOW, None).unwrap());
    let outdated = clients.with_list(&list(&clients.ca, &[], 2025));
    let error = prepare(&outdated, NOW, Some(&live)).unwrap_err();
    assert!(error.problem().contains("out of date since 2025-12-31"), "{error}");
    let notes = prepare(&outdated, NOW, None).unwrap().notes().to_vec();
    assert!(notes[0].problem().contains("client certificates of its issuer are refused"), "{notes:?}");
}

/// The root signs an authority for devices, whose list is in the file; the devices show its certificate themselves.
#[test]
fn intermediates_may_come_from_the_client() {
    let clients = Clients::new();
    let key = KeyPair::generate().unwrap();
    let certificate = authority("devices").signed_by(&key, &clients.ca).unwrap();
    let devices = Issuer::new(authority("devices"), key);
    let intermediate = certificate.der().clone();
    let verdict = |tls: &TlsConfig, (leaf, key): &Identity| {
        clients.verdict(tls, &[leaf.clone(), intermediate.clone()], key)
    };
    let (first, second) = (client(1, &devices), client(2, &devices));
    assert_eq!(verdict(&clients.tls(), &first), "in");
    let tls = clients.with_list(&list(&devices, &[2], 2090));
    assert_eq!((verdict(&tls, &first).as_str(), verdict(&tls, &second).as_str()), ("in", "Revoked"));
    let namesake = Issuer::new(authority("devices"), KeyPair::generate().unwrap());
    let tls = clients.with_list(&list(&namesake, &[1], 2090));
    assert_eq!(verdict(&tls, &first), "UnknownRevocationStatus", "a list that its issuer has not signed");
}

#[test]
fn authorities_may_be_in_a_directory() {
    let clients = Clients::new();
    fs::create_dir(clients.path("cas")).unwrap();
    let tls = TlsConfig { ca: None, ca_directory: Some(clients.path("cas")), ..clients.tls() };
    let other = CertifiedIssuer::self_signed(authority("other"), KeyPair::generate().unwrap()).unwrap();
    // As OpenSSL, the broker looks only into files with names that OpenSSL makes.
    for name in ["other.pem", "0123abcd", "0123abcd.r0", "0123ABCD.0", "0123abcd.0x", "0123abcd."] {
        clients.write(&format!("cas/{name}"), &other.pem());
    }
    let error = server_config(&tls).unwrap_err();
    assert!(error.problem().contains("no certificate authority"), "{error}");
    clients.write("cas/0123abcd.0", &clients.ca.pem());
    clients.write("cas/0123abcd.11", &clients.ca.pem());
    clients.write("cas/fedc0000.0", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let (leaf, key) = client(1, &clients.ca);
    assert_eq!(clients.verdict(&tls, &[leaf], &key), "in");
    let (leaf, key) = client(1, &other);
    assert_eq!(clients.verdict(&tls, &[leaf], &key), "UnknownIssuer");
    let prepared = prepare(&tls, NOW, None).unwrap();
    assert!(prepared.notes()[0].path().ends_with("fedc0000.0"), "{:?}", prepared.notes());
}

/// Certificates of servers and devices, or of authorities that may sign other things only, lie beside authorities.
#[test]
fn only_authorities_vouch_for_clients() {
    let clients = Clients::new();
    fs::create_dir(clients.path("cas")).unwrap();
    let in_directory = TlsConfig { ca: None, ca_directory: Some(clients.path("cas")), ..clients.tls() };
    type Change = fn(&mut CertificateParams);
    let cases: [(&str, Change, bool); 5] = [
        ("a device", |params| params.is_ca = IsCa::NoCa, false),
        ("a device that says so", |params| params.is_ca = IsCa::ExplicitNoCa, false),
        ("signs lists only", |params| params.key_usages = vec![KeyUsagePurpose::CrlSign], false),
        ("says nothing about usage", |params| params.key_usages.clear(), true),
        ("an authority", |_| {}, true),
    ];
    for (name, change, vouches) in cases {
        let (key, mut params) = (KeyPair::generate().unwrap(), authority(name));
        change(&mut params);
        let pem = params.signed_by(&key, &clients.ca).unwrap().pem();
        let (leaf, client_key) = client(1, &Issuer::new(params, key));
        clients.write("both.crt", &(pem.clone() + &clients.ca.pem()));
        let both = TlsConfig { ca: Some(clients.path("both.crt")), ..clients.tls() };
        clients.write("cas/00000000.0", &clients.ca.pem());
        clients.write("cas/00000000.1", &pem);
        let expected = if vouches { "in" } else { "UnknownIssuer" };
        for tls in [&both, &in_directory] {
            let notes = prepare(tls, NOW, None).unwrap().notes().len();
            assert_eq!(notes, usize::from(!vouches), "{name}");
            assert_eq!(clients.verdict(tls, std::slice::from_ref(&leaf), &client_key), expected, "{name}");
        }
        clients.write("alone.crt", &pem);
        let alone = TlsConfig { ca: Some(clients.path("alone.crt")), ..clients.tls() };
        let started = server_config(&alone);
        assert_eq!(started.is_ok(), vouches, "{name}");
        let told = started.err().is_none_or(|error| error.problem().contains("which is no authority"));
        assert!(told, "{name}");
    }
}

#[test]
fn connections_are_judged_again() {
    let clients = Clients::new();
    let good = list(&clients.ca, &[], 2090);
    let live = Arc::new(LiveTls::new(prepare(&clients.with_list(&good), NOW, None).unwrap()));
    let enter = |(leaf, key): &Identity| {
        let server = Arc::clone(&live.material().server);
        let (_, connection) = clients.connect(&server, vec![leaf.clone()], key, BOTH).unwrap();
        live.begin().peer_certificate(&connection, NOW).unwrap().unwrap()
    };
    let (first, second) = (enter(&client(1, &clients.ca)), enter(&client(2, &clients.ca)));
    let reload = |tls: &TlsConfig| live.install(prepare(tls, NOW, Some(&live)).unwrap());
    assert!(first.is_trusted() && second.is_trusted());
    assert!(reload(&clients.with_list(&list(&clients.ca, &[2], 2090))));
    assert!(first.is_trusted() && !second.is_trusted());
    // Another authority: nobody whom the old one has vouched for stays.
    clients.write("ca.crt", &root("another").pem());
    assert!(reload(&clients.tls()));
    assert!(!first.is_trusted());
    clients.write("ca.crt", &(root("another").pem() + &clients.ca.pem()));
    assert!(reload(&clients.tls()));
    assert!(first.is_trusted());
}

/// The authority is gone before the broker has asked for the certificate.
#[test]
fn a_handshake_is_judged_by_what_it_was_made_with() {
    let clients = Clients::new();
    let live = Arc::new(LiveTls::new(prepare(&clients.tls(), NOW, None).unwrap()));
    let (leaf, key) = client(1, &clients.ca);
    let begun = live.begin();
    let server = Arc::clone(begun.acceptor().config());
    let (_, connection) = clients.connect(&server, vec![leaf], &key, BOTH).unwrap();
    clients.write("ca.crt", &root("another").pem());
    assert!(live.install(prepare(&clients.tls(), NOW, Some(&live)).unwrap()));
    let certificate = begun.peer_certificate(&connection, NOW).unwrap().unwrap();
    assert!(!certificate.is_trusted(), "what is used now does not trust it");
    let unasked = TlsConfig { client_certificate: ClientCertificate::NotAsked, ..clients.tls() };
    live.install(prepare(&unasked, NOW, Some(&live)).unwrap());
    assert!(begun.peer_certificate(&connection, NOW).unwrap().is_some());
}

/// As the tutorials of mosquitto do it: no extensions, so that OpenSSL before 3.2 makes version 1.
#[test]
fn certificates_of_version_1_as_openssl_makes_them() {
    let directory = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(directory.path()).args(arguments.split(' '));
        command.output().is_ok_and(|output| output.status.success())
    };
    let made =
        openssl("req -new -x509 -days 3650 -nodes -newkey rsa:2048 -keyout ca.key -out ca.crt -subj /CN=ca")
            && ["server", "client", "stranger"].iter().all(|name| {
                let algorithm =
                    if *name == "client" { "ec -pkeyopt ec_paramgen_curve:P-256" } else { "rsa:2048" };
                let signer = if *name == "stranger" {
                    "-signkey stranger.key"
                } else {
                    "-CA ca.crt -CAkey ca.key -CAcreateserial"
                };
                openssl(&format!(
                    "req -new -nodes -newkey {algorithm} -keyout {name}.key -out {name}.csr -subj /CN={name}"
                )) && openssl(&format!("x509 -req -in {name}.csr {signer} -days 3650 -out {name}.crt"))
            });
    if !made {
        // Without OpenSSL there are no such certificates.
        return;
    }
    let path = |name: &str| directory.path().join(name);
    let read = |name: &str| {
        let key = PrivateKeyDer::from_pem_file(path(&format!("{name}.key"))).unwrap();
        (CertificateDer::from_pem_file(path(&format!("{name}.crt"))).unwrap(), key.secret_der().to_vec())
    };
    let is_version_1 = facts::Facts::of(&read("client").0).unwrap().is_version_1;
    let tls = TlsConfig {
        ca: Some(path("ca.crt")),
        client_certificate: ClientCertificate::Required,
        ..TlsConfig::new(path("server.crt"), path("server.key"))
    };
    let now = UnixTime::now();
    let server = Arc::clone(&prepare(&tls, now, None).unwrap().material.server);
    for versions in [ONLY_1_2, ONLY_1_3] {
        for (name, accepted) in [("client", true), ("server", true), ("stranger", false)] {
            let (certificate, key) = read(name);
            let found = against(&server, certificate, &key, versions);
            assert_eq!(found.is_ok(), accepted, "{name} (version 1: {is_version_1}): {found:?}");
        }
        let (certificate, _) = read("client");
        let (_, key) = read("server");
        let found = against(&server, certificate, &key, versions);
        assert!(found.is_err(), "a key of another certificate was accepted");
    }
}

/// A handshake with a client that does not look at the server's certificate, which may be of version 1 too.
fn against(
    server: &Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
    key: &[u8],
    versions: TlsVersions,
) -> Result<(), rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let key = provider.key_provider.load_private_key(PrivateKeyDer::try_from(key.to_vec()).unwrap()).unwrap();
    let shown = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(vec![certificate], key));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions.supported())
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Blind))
        .with_client_cert_resolver(Arc::new(shown));
    handshake(server, &Arc::new(config)).map(|_| ())
}

#[derive(Debug)]
struct Blind;

impl rustls::client::danger::ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
