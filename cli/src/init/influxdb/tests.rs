mod fake;
mod three;
mod two;

use std::{net::TcpListener, path::Path, thread};

use clap::Parser;
use gaugeline_bridge::{
    Config,
    config::{InfluxApi, SinkConfig},
};

use super::{super::report::Report, *};
use crate::{files, init};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    bridge: init::bridge_config::Arguments,
    #[command(flatten)]
    influxdb: Arguments,
}

/// `gaugeline init DIRECTORY WORDS`
fn init(directory: &Path, words: &[&str]) -> Result<Report, String> {
    let line = Line::try_parse_from(["init"].iter().chain(words)).map_err(|error| error.to_string())?;
    init::create(directory, &[], &line.bridge, &line.influxdb).map_err(|failure| failure.to_string())
}

/// What the bridge reads in the directory.
fn api(directory: &Path) -> InfluxApi {
    match Config::load(&directory.join(init::BRIDGE_CONFIG)).unwrap().sink {
        SinkConfig::Influx(influx) => influx.api,
        other => panic!("{other:?}"),
    }
}

fn secret(directory: &Path, file: &str) -> String {
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(directory.join(file)).unwrap().permissions(),
    );
    assert_eq!(mode & 0o7777, files::PRIVATE, "{file}");
    files::read_secret(&directory.join(file)).unwrap()
}

/// The lines about the server that was prepared.
fn about_server(report: &Report) -> Vec<String> {
    let text = report.to_string();
    let lines = text.lines().filter_map(|line| line.trim_start().split_once("InfluxDB: "));
    lines.map(|(outcome, what)| format!("{} {what}", outcome.trim())).collect()
}

#[test]
fn wrong_arguments_are_explained() {
    let root = tempfile::tempdir().unwrap();
    for (words, part) in [
        (&["--influxdb", "influxdb:8086"][..], "is not of the form http://HOST:PORT"),
        (&["--influxdb", "http://a:b@c"], "is not of the form"),
        (&["--influxdb", "http://a", "--files-only"], "--influxdb-version"),
        (&["--files-only"], "--influxdb"),
        (&["--influxdb-version", "2"], "--influxdb <URL>"),
        (&["--influxdb", "http://a", "--influxdb-version", "4"], "possible values: 1, 2, 3"),
        (&["--influxdb", "http://a", "--influxdb-no-auth"], "--files-only"),
        (&["--influxdb", "http://a", "--retention", "30"], "expected hours, days or weeks"),
        (&["--influxdb", "http://a", "--database", "gaugeline"], "choose another name"),
    ] {
        let error = init(root.path(), words).unwrap_err();
        assert!(error.contains(part), "{words:?}: {error}");
    }
}

#[test]
fn a_server_that_does_not_come_is_named_after_the_time_given() {
    let root = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let error = init(root.path(), &["--influxdb", &url, "--wait", "0"]).unwrap_err();
    assert!(
        error.starts_with(&format!("InfluxDB at {url} is not there after 0 s: cannot be reached")),
        "{error}"
    );
    assert!(!root.path().join(init::BRIDGE_CONFIG).exists(), "nobody knows what it would say");
    assert!(root.path().join(init::BROKER_CONFIG).exists());
}

/// The port is taken but silent at first; then somebody answers.
#[test]
fn a_server_that_comes_later_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{port}");
    let directory = root.path().to_owned();
    let waiting = thread::spawn(move || init(&directory, &["--influxdb", &url]).map(|_| ()));
    let fake = fake::Fake::at(port, two::Server::default(), two::answer);
    waiting.join().unwrap().unwrap();
    assert!(fake.state().tokens.len() == 3);
}

#[test]
fn something_else_than_influxdb_is_not_taken_for_one() {
    let root = tempfile::tempdir().unwrap();
    let fake = fake::Fake::start((), |_, _| fake::Reply::new(200, "<html>"));
    let error = init(root.path(), &["--influxdb", &fake.url()]).unwrap_err();
    assert!(error.contains("does not say that it is InfluxDB"), "{error}");
}

#[test]
fn the_first_step_makes_files_for_the_second() {
    for (version, files) in [
        ("1", &[secrets::ADMIN_PASSWORD, secrets::BRIDGE_PASSWORD, secrets::GRAFANA_PASSWORD][..]),
        ("2", &[secrets::ADMIN_PASSWORD, secrets::ADMIN_TOKEN]),
        ("3", &[secrets::ADMIN_TOKEN, secrets::ADMIN_TOKEN_JSON]),
    ] {
        let root = tempfile::tempdir().unwrap();
        let words =
            ["--influxdb", "http://influxdb:1", "--influxdb-version", version, "--files-only", "--grafana"];
        init(root.path(), &words).unwrap();
        for file in files.iter().chain(&[secrets::GRAFANA_ADMIN_PASSWORD]) {
            let text = secret(root.path(), file);
            assert!(text.len() >= 64, "{file}");
        }
        let made = std::fs::read_dir(root.path().join("secrets")).unwrap().count();
        assert_eq!(
            made,
            4 + files.len() + 1,
            "the broker's three users and admin token, these, and Grafana's"
        );
        let again = init(root.path(), &words).unwrap();
        assert!(again.changed_nothing() && again.warnings().is_empty(), "{again}");
    }
}

#[test]
fn a_server_without_passwords_needs_no_files() {
    let root = tempfile::tempdir().unwrap();
    let first =
        ["--influxdb", "http://influxdb:1", "--influxdb-version", "1", "--files-only", "--influxdb-no-auth"];
    init(root.path(), &first).unwrap();
    assert!(matches!(api(root.path()), InfluxApi::V1 { login: None, create_database: true, .. }));
    assert_eq!(std::fs::read_dir(root.path().join("secrets")).unwrap().count(), 4);
}
