use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, time::Duration};

use clap::Parser;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{index::Index, revocation_list::significant, *};
use crate::{files, init};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// A data directory.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        init::complete(&home.path(""), &[]).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("data").join(name)
    }

    /// Runs the subcommand; the exit status and the message if it fails.
    fn pki(&self, arguments: &[&str]) -> Result<(), (u8, String)> {
        let directory = self.path("");
        let line = ["pki", "-d", directory.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
        let line = Line::try_parse_from(line).map_err(|error| (2, error.to_string()))?;
        run(&line.arguments).map_err(|failure| (failure.exit_status(), failure.to_string()))
    }

    fn table(&self) -> BTreeMap<String, Vec<String>> {
        let text = list::table(&self.path(""), clock::time_of_day()).unwrap();
        let mut rows = BTreeMap::<String, Vec<String>>::new();
        for line in text.lines().skip(1) {
            let words = line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            rows.entry(words[0].clone()).or_default().push(words[3].clone());
        }
        rows
    }

    fn serial(&self, file: &str) -> Vec<u8> {
        let der = CertificateDer::from_pem_file(self.path(file)).unwrap();
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        significant(parsed.raw_serial()).to_vec()
    }

    fn is_revoked(&self, serial: &[u8]) -> bool {
        RevocationList::load(&self.path("")).unwrap().revoked_at(serial).is_some()
    }
}

#[test]
fn a_certificate_from_issue_to_revoke() {
    let home = Home::new();
    home.pki(&["issue", "green house"]).unwrap();
    let (certificate, key) = ("pki/clients/green house.crt", "pki/clients/green house.key");
    assert_eq!(fs::metadata(home.path(key)).unwrap().permissions().mode() & 0o7777, 0o600);
    let der = CertificateDer::from_pem_file(home.path(certificate)).unwrap();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(parsed.subject().to_string(), "O=gaugeline, CN=green house");
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
    let days = (parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp()) / 86_400;
    assert_eq!(days, i64::from(CLIENT_DAYS));

    let (status, message) = home.pki(&["issue", "green house"]).unwrap_err();
    assert!(status == 1 && message.contains("pki renew green house"), "{message}");
    let serial = home.serial(certificate);
    assert!(!home.is_revoked(&serial));
    home.pki(&["revoke", "green house"]).unwrap();
    assert!(home.is_revoked(&serial));
    let (status, message) = home.pki(&["revoke", "green house"]).unwrap_err();
    assert!(status == 1 && message.contains("no valid certificate"), "{message}");
    let index = Index::load(&home.path("")).unwrap();
    assert!(index.certificates.len() == 1 && index.certificates[0].revoked_at.is_some());
}

#[test]
fn the_table_says_what_is_valid() {
    let home = Home::new();
    home.pki(&["issue", "one", "--days", "1"]).unwrap();
    home.pki(&["issue", "two", "--out", home.path("elsewhere").to_str().unwrap()]).unwrap();
    home.pki(&["renew", "one"]).unwrap();
    home.pki(&["revoke", "two"]).unwrap();
    let rows = home.table();
    assert_eq!(rows["(authority)"], ["valid"]);
    assert_eq!(rows["(server)"], ["valid"]);
    assert_eq!((&rows["one"], &rows["two"]), (&vec!["valid".to_owned(); 2], &vec!["revoked".to_owned()]));
    assert!(home.path("elsewhere/two.key").exists());
    let later = clock::time_of_day() + Duration::from_hours(48);
    assert!(list::table(&home.path(""), later).unwrap().contains("ended"));
}

#[test]
fn renewing_a_client_leaves_the_old_one_until_it_is_revoked() {
    let home = Home::new();
    home.pki(&["issue", "a"]).unwrap();
    let (old, old_key) =
        (home.serial("pki/clients/a.crt"), fs::read(home.path("pki/clients/a.key")).unwrap());
    home.pki(&["renew", "a"]).unwrap();
    let new = home.serial("pki/clients/a.crt");
    assert_ne!(old, new);
    assert_ne!(fs::read(home.path("pki/clients/a.key")).unwrap(), old_key);
    home.pki(&["revoke", "--serial", &hex::encode(&old).to_uppercase()]).unwrap();
    assert!(home.is_revoked(&old) && !home.is_revoked(&new));
    home.pki(&["revoke", "--certificate", home.path("pki/clients/a.crt").to_str().unwrap()]).unwrap();
    assert!(home.is_revoked(&new));
    let (_, message) = home.pki(&["renew", "nobody"]).unwrap_err();
    assert!(message.contains("pki issue nobody"), "{message}");
}

#[test]
fn renewing_the_server_keeps_its_names_and_adds_others() {
    let home = Home::new();
    let before = home.serial(init::SERVER_CERTIFICATE);
    home.pki(&["renew", "server", "--name", "mqtt.example.org,192.0.2.7"]).unwrap();
    assert_ne!(home.serial(init::SERVER_CERTIFICATE), before);
    home.pki(&["renew", "server"]).unwrap();
    let names = ["localhost", "127.0.0.1", "::1", "mqtt.example.org", "192.0.2.7"];
    let names = names.map(|name| init::HostName::new(name).unwrap());
    let report = init::complete(&home.path(""), &names).unwrap();
    assert!(report.warnings().is_empty(), "{report}");
    let tls =
        gaugeline_broker::config::TlsConfig::new(home.path("pki/server.crt"), home.path("pki/server.key"));
    let prepared = gaugeline_broker::tls::prepare(&tls, clock::unix_time(), None).unwrap();
    assert!(prepared.notes().is_empty());
}

/// What the broker makes of the files.
#[test]
fn the_broker_takes_the_list_and_sees_its_end() {
    let home = Home::new();
    home.pki(&["issue", "a"]).unwrap();
    home.pki(&["revoke", "a"]).unwrap();
    let tls = gaugeline_broker::config::TlsConfig {
        ca: Some(home.path("pki/ca.crt")),
        crl: Some(home.path(REVOCATION_LIST)),
        client_certificate: gaugeline_broker::config::ClientCertificate::Required,
        ..gaugeline_broker::config::TlsConfig::new(home.path("pki/server.crt"), home.path("pki/server.key"))
    };
    let notes = |tls| gaugeline_broker::tls::prepare(tls, clock::unix_time(), None).unwrap().notes().to_vec();
    assert_eq!(notes(&tls), []);
    let of_another = Home::new();
    let foreign =
        gaugeline_broker::config::TlsConfig { ca: Some(of_another.path("pki/ca.crt")), ..tls.clone() };
    assert_eq!(notes(&foreign), [], "a list of an authority that clients may show");
    home.pki(&["renew", "crl", "--days", "3"]).unwrap();
    home.pki(&["issue", "b"]).unwrap();
    home.pki(&["revoke", "b"]).unwrap();
    let list = RevocationList::load(&home.path("")).unwrap();
    assert_eq!(list.revoked.len(), 2, "a renewed list keeps what was on it");
    let now = clock::time_of_day();
    let lasts = list.end(now, now + Duration::from_hours(24 * 365)).duration_since(now).unwrap();
    assert_eq!(lasts, Duration::from_hours(72), "and stays as short as it was made");
}

#[test]
fn the_key_of_the_authority_may_be_elsewhere() {
    let home = Home::new();
    let elsewhere = home.0.path().join("ca.key");
    fs::rename(home.path(init::CA_KEY), &elsewhere).unwrap();
    let (status, message) = home.pki(&["issue", "a"]).unwrap_err();
    assert!(status == 3 && message.contains("--ca-key"), "{message}");
    home.pki(&["issue", "a", "--ca-key", elsewhere.to_str().unwrap()]).unwrap();
    let other = Home::new();
    let (_, message) =
        home.pki(&["issue", "b", "--ca-key", other.path(init::CA_KEY).to_str().unwrap()]).unwrap_err();
    assert!(message.contains("is not the key of"), "{message}");
    assert!(!home.path("pki/clients/b.crt").exists());
}

#[test]
fn mistakes_are_told() {
    let home = Home::new();
    let stranger = Home::new();
    stranger.pki(&["issue", "a"]).unwrap();
    let foreign = stranger.path("pki/clients/a.crt");
    for (arguments, part) in [
        (&["issue", "a/b"][..], "without `/`"),
        (&["issue", "server"], "has a meaning of its own"),
        (&["issue", ""], "1 to 64 characters"),
        (&["issue", "a", "--days", "0"], "0 is not in 1.."),
        (&["renew", "ca"], "run `gaugeline init` again"),
        (&["renew", "a", "--name", "b"], "--name is for `renew server`"),
        (&["revoke"], "required"),
        (&["revoke", "--serial", "xyz"], "is no serial number"),
        (&["revoke", "--certificate", foreign.to_str().unwrap()], "was issued by another authority"),
        (&["issue", "a", "-d", "/no/such/directory"], "gaugeline init /no/such/directory"),
        (&["list", "-d", "/no/such/directory"], "gaugeline init /no/such/directory"),
    ] {
        let (_, message) = home.pki(arguments).unwrap_err();
        assert!(message.contains(part), "{arguments:?}: {message}");
    }
    assert!(!files::exists(&home.path(INDEX)));
}
