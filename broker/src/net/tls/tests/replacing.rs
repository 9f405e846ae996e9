//! New files for a listener that is in use: what is taken, what is refused, and what stays.

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use super::*;

/// Files that a test writes again and again, below one authority.
struct Files {
    directory: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap(), ca: root("ours") };
        files.write("ca.crt", &files.ca.pem());
        files.issue(|_| {});
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes a new certificate and its key.
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        change(&mut params);
        self.write("server.crt", &params.signed_by(&key, &self.ca).unwrap().pem());
        self.write("server.key", &key.serialize_pem());
    }

    fn tls(&self) -> TlsConfig {
        TlsConfig::new(self.path("server.crt"), self.path("server.key"))
    }

    fn start(&self) -> LiveTls {
        LiveTls::new(prepare(&self.tls(), NOW, None).unwrap())
    }

    fn reload(&self, live: &LiveTls) -> Result<bool, FileError> {
        Ok(live.install(prepare(&self.tls(), NOW, Some(live))?))
    }
}

#[test]
fn the_same_files_keep_the_tickets_and_new_ones_end_them() {
    let files = Files::new();
    let live = files.start();
    let server = || Arc::clone(&live.material().server);
    let before = server();
    assert!(!files.reload(&live).unwrap(), "nothing is new");
    assert!(Arc::ptr_eq(&before, &server()));
    files.issue(|_| {});
    assert!(files.reload(&live).unwrap());
    assert!(!Arc::ptr_eq(&before, &server()));
}

#[test]
fn a_new_certificate_that_no_client_would_accept_is_refused() {
    let files = Files::new();
    let live = files.start();
    let before = Arc::clone(&live.material().server);
    type Change = fn(&mut CertificateParams);
    let cases: [(Change, &str); 3] = [
        (|params| params.not_after = date_time_ymd(2026, 1, 1), "ended at 2026-01-01 00:00:00 UTC"),
        (|params| params.not_before = date_time_ymd(2030, 1, 1), "valid only from 2030-01-01 00:00:00 UTC"),
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "extended key usage is not that of a server",
        ),
    ];
    for (change, part) in cases {
        files.issue(change);
        let error = files.reload(&live).unwrap_err();
        assert!(error.path().ends_with("server.crt") && error.problem().contains(part), "{error}");
        assert!(Arc::ptr_eq(&before, &live.material().server), "the old one goes on serving");

        // A start is not stopped by it: that would make an outage of what clients may not even notice.
        let started = prepare(&files.tls(), NOW, None).unwrap();
        assert!(started.notes()[0].problem().contains(part));
        // Nor is a reload of something else.
        let live = LiveTls::new(started);
        assert!(!files.reload(&live).unwrap());
    }
}

#[test]
fn a_key_of_another_certificate_is_refused_at_a_start_too() {
    let files = Files::new();
    let live = files.start();
    files.write("server.key", &KeyPair::generate().unwrap().serialize_pem());
    for current in [None, Some(&live)] {
        let error = prepare(&files.tls(), NOW, current).unwrap_err();
        assert!(error.problem().contains("a key that does not match the certificate"), "{error}");
    }
}

#[test]
fn a_chain_must_be_in_order() {
    let files = Files::new();
    let live = files.start();
    files.issue(|_| {});
    let leaf = fs::read_to_string(files.path("server.crt")).unwrap();
    files.write("server.crt", &(leaf.clone() + &root("another").pem()));
    let error = files.reload(&live).unwrap_err();
    assert!(error.problem().contains("certificate 1, which is not issued by number 2"), "{error}");
    files.write("server.crt", &(leaf + &files.ca.pem()));
    assert!(files.reload(&live).unwrap());
}

#[test]
fn keys_that_others_can_read() {
    let files = Files::new();
    let own_group = rustix::process::getegid().as_raw();
    let chmod =
        |mode| fs::set_permissions(files.path("server.key"), fs::Permissions::from_mode(mode)).unwrap();
    for (mode, accepted) in [
        (0o600, true),
        (0o400, true),
        (0o640, true),
        (0o440, true),
        (0o644, false),
        (0o602, false),
        (0o444, false),
    ] {
        chmod(mode);
        let found = prepare(&files.tls(), NOW, None);
        assert_eq!(found.is_ok(), accepted, "{mode:o}");
        if let Err(error) = found {
            for part in ["everybody", "allow_readable_key = true", "defaultMode: 0440"] {
                assert!(error.problem().contains(part), "{error}");
            }
        }
        let lenient = TlsConfig { readable_key: ReadableKey::Warned, ..files.tls() };
        assert_eq!(prepare(&lenient, NOW, None).unwrap().notes().is_empty(), accepted);
    }
    // Only root can give a file to a group that it is not in.
    if rustix::process::geteuid().is_root() {
        chmod(0o640);
        std::os::unix::fs::chown(files.path("server.key"), None, Some(own_group + 54_321)).unwrap();
        let error = prepare(&files.tls(), NOW, None).unwrap_err();
        assert!(error.problem().contains(&format!("group {}", own_group + 54_321)), "{error}");
    }
}

#[test]
fn what_ends_is_known() {
    let files = Files::new();
    files.issue(|params| params.not_after = date_time_ymd(2028, 1, 1));
    let tls = TlsConfig {
        ca: Some(files.path("ca.crt")),
        client_certificate: ClientCertificate::Required,
        ..files.tls()
    };
    let live = LiveTls::new(prepare(&tls, NOW, None).unwrap());
    let found = live.validities();
    assert_eq!(found.iter().map(|one| one.what).collect::<Vec<_>>(), ["certificate", "authority"]);
    assert_eq!(found[0].until, date_time_ymd(2028, 1, 1).unix_timestamp());
    assert_eq!(found[0].file, files.path("server.crt"));
}

/// rustls takes trust anchors as they are, and does not look whether they have ended.
#[test]
fn an_authority_that_is_not_valid_vouches_for_nobody() {
    let files = Files::new();
    let issue = |not_before: i32, not_after: i32| {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(not_before, 1, 1);
        params.not_after = date_time_ymd(not_after, 1, 1);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{not_before} to {not_after}"));
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (past, future, good) = (issue(2000, 2026), issue(2080, 2090), issue(2000, 2090));
    let all = [past.pem(), future.pem(), good.pem()].concat();
    let tls = |text: &str| {
        files.write("clients.crt", text);
        let ca = Some(files.path("clients.crt"));
        TlsConfig { ca, client_certificate: ClientCertificate::Required, ..files.tls() }
    };
    let pki = Pki { directory: tempfile::tempdir().unwrap(), ..Pki::new() };
    fs::copy(files.path("ca.crt"), pki.path("ca.crt")).unwrap();
    let server = server_config(&tls(&all)).unwrap();
    for (issuer, accepted) in [(&past, false), (&future, false), (&good, true)] {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["client".into()]).unwrap().signed_by(&key, issuer).unwrap();
        let client = pki.client(BOTH, Some(&(leaf.der().clone(), key.serialize_der())), &[]);
        let found = handshake(&server, &client).map(drop);
        assert_eq!(found.is_ok(), accepted, "{found:?}");
        if let Err(error) = found {
            assert!(hint(&error.to_string()).contains("has ended, or is not valid yet"), "{error}");
        }
    }
    // A file without any that is valid is refused if it is new, and told of otherwise.
    let live = LiveTls::new(prepare(&tls(&all), NOW, None).unwrap());
    let bad = tls(&past.pem());
    let error = prepare(&bad, NOW, Some(&live)).unwrap_err();
    assert!(error.problem().contains("an authority that ended at 2026-01-01"), "{error}");
    let started = prepare(&bad, NOW, None).unwrap();
    assert_eq!(started.notes().len(), 1);
    assert!(prepare(&bad, NOW, Some(&LiveTls::new(started))).is_ok());
    assert_eq!(prepare(&tls(&all), NOW, Some(&live)).unwrap().notes().len(), 2);
}
