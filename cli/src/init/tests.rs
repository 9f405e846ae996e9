use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use gaugeline_broker::{
    auth::{Access, AccessKind, Identity, RealmId},
    config::Config,
};
use gaugeline_protocol::ClientId;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{accounts::BRIDGE, *};

const DAY: Duration = Duration::from_hours(24);

fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

/// Every file under a directory: relative path, mode and content.
fn snapshot(directory: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
                let relative = path.strip_prefix(directory).unwrap().display().to_string();
                files.insert(relative, (mode, fs::read(&path).unwrap()));
            }
        }
    }
    files
}

fn certificates(directory: &Path) -> (CertificateDer<'static>, CertificateDer<'static>) {
    let read = |name| CertificateDer::from_pem_file(directory.join(name)).unwrap();
    (read(CA_CERTIFICATE), read(SERVER_CERTIFICATE))
}

#[test]
fn a_first_run_creates_every_file_and_a_second_changes_none() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("some/where");
    let report = complete(&directory, &[]).unwrap();
    assert!(report.warnings().is_empty(), "{report}");
    let first = snapshot(&directory);
    let modes = first.iter().map(|(name, (mode, _))| (name.as_str(), *mode)).collect::<Vec<_>>();
    assert_eq!(
        modes,
        [
            ("acl", 0o644),
            ("bridge.toml", 0o644),
            ("broker.toml", 0o644),
            ("passwd", 0o600),
            ("pki/ca.crt", 0o644),
            ("pki/ca.key", 0o600),
            ("pki/crl.pem", 0o644),
            ("pki/server.crt", 0o644),
            ("pki/server.key", 0o600),
            ("secrets/admin", 0o600),
            ("secrets/bridge", 0o600),
            ("secrets/sensor", 0o600),
            ("secrets/viewer", 0o600),
        ]
    );
    assert_eq!(report.created().count(), modes.len());
    let secrets = fs::metadata(directory.join("secrets")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(secrets, 0o700);

    let again = complete(&directory, &[]).unwrap();
    assert_eq!(again.created().count(), 0);
    assert!(again.warnings().is_empty(), "{again}");
    assert_eq!(snapshot(&directory), first);
}

#[test]
fn whatever_a_cut_short_run_left_the_next_completes_without_touching_it() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    complete(&whole, &[]).unwrap();
    // The order in which files are made: a crash leaves a prefix of it.
    let order = [
        "secrets/bridge",
        "secrets/sensor",
        "secrets/viewer",
        "passwd",
        "secrets/admin",
        "pki/ca.key",
        "pki/ca.crt",
        "pki/server.key",
        "pki/server.crt",
        "pki/crl.pem",
        "acl",
        "broker.toml",
    ];
    for count in 0..=order.len() {
        let directory = root.path().join(count.to_string());
        files::create_directory(&directory.join("pki"), 0o755).unwrap();
        files::create_directory(&directory.join("secrets"), 0o700).unwrap();
        for name in &order[..count] {
            fs::copy(whole.join(name), directory.join(name)).unwrap();
        }
        let before = snapshot(&directory);
        let report = complete(&directory, &[]).unwrap();
        assert!(report.warnings().is_empty(), "after {count} files: {report}");
        let after = snapshot(&directory);
        assert_eq!(after.len(), 13, "after {count} files");
        assert!(before.iter().all(|(name, file)| after.get(name) == Some(file)), "after {count} files");
        let (ca, server) = certificates(&directory);
        pki::verify(&ca, &server, &name("localhost"), clock::time_of_day()).unwrap();
    }
}

#[test]
fn the_certificate_serves_every_name_and_no_other() {
    let root = tempfile::tempdir().unwrap();
    let names = [name("mqtt.example.org"), name("192.0.2.7"), name("*.plant.example"), name("2001:db8::7")];
    complete(root.path(), &names).unwrap();
    let (ca, server) = certificates(root.path());
    let now = clock::time_of_day();
    let accepted = |text: &str, time: SystemTime| pki::verify(&ca, &server, &name(text), time).is_ok();
    let host = gethostname::gethostname().to_string_lossy().to_lowercase();
    let served = ["localhost", "127.0.0.1", "::1", "mqtt.example.org", "192.0.2.7", "any.plant.example"];
    for text in served.into_iter().chain(["2001:db8::7", &host]) {
        assert!(accepted(text, now), "{text}");
    }
    for text in ["example.org", "192.0.2.8", "plant.example", "a.b.plant.example"] {
        assert!(!accepted(text, now), "{text}");
    }
    assert!(accepted("localhost", now + DAY * 820));
    assert!(!accepted("localhost", now + DAY * 825));
    assert!(!accepted("localhost", now - DAY));
}

#[test]
fn another_authority_does_not_vouch_for_the_certificate() {
    let root = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| root.path().join(name));
    complete(&one, &[]).unwrap();
    complete(&other, &[]).unwrap();
    let ((ca, _), (_, server)) = (certificates(&one), certificates(&other));
    assert!(pki::verify(&ca, &server, &name("localhost"), clock::time_of_day()).is_err());
}

/// The strictest check that a client library may apply (Python 3.13 does).
#[test]
fn openssl_accepts_the_chain_strictly() {
    let root = tempfile::tempdir().unwrap();
    complete(root.path(), &[]).unwrap();
    let verified = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost", "-CAfile"])
        .args([root.path().join(CA_CERTIFICATE), root.path().join(SERVER_CERTIFICATE)])
        .output();
    match verified {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) if std::env::var_os("GAUGELINE_REQUIRE_SERVERS").is_some() => panic!("openssl: {error}"),
        Err(error) => eprintln!("openssl cannot be run ({error}): its view of the chain is not tested"),
    }
}

#[test]
fn an_authority_from_elsewhere_issues_the_certificate() {
    let root = tempfile::tempdir().unwrap();
    let [own, theirs] = ["own", "theirs"].map(|name| root.path().join(name));
    complete(&theirs, &[]).unwrap();
    files::create_directory(&own.join("pki"), 0o755).unwrap();
    for file in [CA_CERTIFICATE, CA_KEY] {
        fs::copy(theirs.join(file), own.join(file)).unwrap();
    }
    complete(&own, &[]).unwrap();
    let ((ca, _), (_, server)) = (certificates(&theirs), certificates(&own));
    pki::verify(&ca, &server, &name("localhost"), clock::time_of_day()).unwrap();
}

#[test]
fn an_authority_whose_key_is_kept_elsewhere_stays_usable_but_issues_nothing() {
    let root = tempfile::tempdir().unwrap();
    complete(root.path(), &[]).unwrap();
    fs::remove_file(root.path().join(CA_KEY)).unwrap();
    let report = complete(root.path(), &[]).unwrap();
    assert_eq!((report.created().count(), report.warnings().len()), (0, 0), "{report}");

    fs::remove_file(root.path().join(SERVER_CERTIFICATE)).unwrap();
    let failure = complete(root.path(), &[]).unwrap_err();
    assert!(failure.to_string().contains("its key pki/ca.key is not"), "{failure}");
    assert_eq!(failure.exit_status(), 3);
}

#[test]
fn a_name_that_the_kept_certificate_lacks_is_reported() {
    let root = tempfile::tempdir().unwrap();
    complete(root.path(), &[]).unwrap();
    let report = complete(root.path(), &[name("mqtt.example.org")]).unwrap();
    let [warning] = report.warnings() else { panic!("{report}") };
    assert!(warning.contains("does not serve `mqtt.example.org`"), "{warning}");
    assert_eq!(report.created().count(), 0);
}

#[test]
fn a_certificate_that_ends_soon_is_reported() {
    let root = tempfile::tempdir().unwrap();
    complete(root.path(), &[]).unwrap();
    let warnings = |days: u32| {
        let mut report = Report::new(root.path());
        let time = clock::time_of_day() + DAY * days;
        pki::complete(&mut report, &[], &[name("localhost")], time).unwrap();
        report.warnings().join("")
    };
    assert_eq!(warnings(790), "");
    assert!(warnings(800).contains("ends within 30 days"));
    assert!(warnings(830).contains("does not serve `localhost`"));
}

#[test]
fn a_lost_secret_is_reported_and_not_invented() {
    let root = tempfile::tempdir().unwrap();
    complete(root.path(), &[]).unwrap();
    fs::remove_file(root.path().join(secret_file(VIEWER))).unwrap();
    let report = complete(root.path(), &[]).unwrap();
    let [warning] = report.warnings() else { panic!("{report}") };
    assert!(warning.starts_with("secrets/viewer is missing"), "{warning}");
    assert!(!files::exists(&root.path().join(secret_file(VIEWER))));
}

#[test]
fn a_removed_user_does_not_come_back() {
    let root = tempfile::tempdir().unwrap();
    complete(root.path(), &[]).unwrap();
    let path = root.path().join(accounts::PASSWORD_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let without = text.lines().filter(|line| !line.starts_with("viewer:")).collect::<Vec<_>>().join("\n");
    fs::write(&path, &without).unwrap();
    let report = complete(root.path(), &[]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), without);
    assert_eq!(report.warnings(), ["secrets/viewer is there, but passwd has no user `viewer`"]);
}

#[test]
fn what_is_not_a_host_name_is_refused() {
    for text in ["", "a b", "*", "*.*.example.org", "ünïcode.example", "300.1.1.1.", "host:8883", "mqtts://x"]
    {
        assert!(HostName::new(text).is_err(), "{text}");
    }
}

#[test]
fn a_secret_that_does_not_fit_the_password_file_is_reported() {
    let root = tempfile::tempdir().unwrap();
    complete(root.path(), &[]).unwrap();
    fs::write(root.path().join(secret_file(SENSOR)), "other\n").unwrap();
    let report = complete(root.path(), &[]).unwrap();
    let [warning] = report.warnings() else { panic!("{report}") };
    assert!(warning.starts_with("secrets/sensor is not the password"), "{warning}");
}

#[test]
fn the_broker_lets_each_user_do_its_part_and_no_more() {
    let root = tempfile::tempdir().unwrap();
    complete(root.path(), &[]).unwrap();
    let config = Config::load(&root.path().join(BROKER_CONFIG)).unwrap();
    let access = Access::load(&config.realms).unwrap();
    let realm = access.realm(RealmId::FIRST);
    assert!(!realm.allow_anonymous);
    let passwords = realm.passwords.as_ref().unwrap();
    assert_eq!(passwords.users().collect::<Vec<_>>(), [BRIDGE, SENSOR, VIEWER]);
    for user in [BRIDGE, SENSOR, VIEWER] {
        let secret = files::read_secret(&root.path().join(secret_file(user))).unwrap();
        assert!(secret.len() == 64 && hex::decode(&secret).is_ok());
        assert!(passwords.verify(user, secret.as_bytes()));
    }
    let topics = ["sensors", "sensors/a/b", "other", "$SYS/broker/uptime"];
    for (user, kind, allowed) in [
        (Some(BRIDGE), AccessKind::Read, [true, true, true, false]),
        (Some(BRIDGE), AccessKind::Write, [false; 4]),
        (Some(SENSOR), AccessKind::Read, [false; 4]),
        (Some(SENSOR), AccessKind::Write, [true, true, false, false]),
        (Some(VIEWER), AccessKind::Read, [true, true, false, true]),
        (Some(VIEWER), AccessKind::Write, [false; 4]),
        (Some("stranger"), AccessKind::Read, [false; 4]),
        (Some("stranger"), AccessKind::Write, [false; 4]),
        (None, AccessKind::Read, [false; 4]),
        (None, AccessKind::Write, [false; 4]),
    ] {
        let identity = Identity {
            realm: RealmId::FIRST,
            user: user.map(Into::into),
            client_id: ClientId::new("client").unwrap(),
            address: "127.0.0.1:1".parse().unwrap(),
        };
        let decided = topics.map(|topic| access.decide(&identity, kind, topic).allowed);
        assert_eq!(decided, allowed, "{user:?} {kind:?}");
    }
}

#[test]
fn the_bridge_has_all_it_needs() {
    let root = tempfile::tempdir().unwrap();
    complete(root.path(), &[]).unwrap();
    let config = gaugeline_bridge::Config::load(&root.path().join(BRIDGE_CONFIG)).unwrap();
    assert_eq!(config.mqtt.user.as_deref(), Some(BRIDGE));
    assert_eq!(config.mqtt.password_file, Some(root.path().join(secret_file(BRIDGE))));
    assert_eq!(config.mqtt.ca, Some(root.path().join(CA_CERTIFICATE)));
    assert_eq!(config.mqtt.url.to_string(), "mqtts://localhost:8883");
}
