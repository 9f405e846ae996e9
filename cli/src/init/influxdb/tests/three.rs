//! InfluxDB 3 Core, as its documentation and 3.6 describe it.

use serde_json::json;

use super::{
    fake::{Fake, Reply, Request},
    *,
};

/// What such a server remembers.
#[derive(Debug, Default)]
struct Server {
    /// Name and token; the first is `_admin`.
    tokens: Vec<(String, String)>,
    /// Name and period.
    databases: Vec<(String, Option<String>)>,
    asks_nobody: bool,
}

fn answer(server: &mut Server, request: &Request) -> Reply {
    let bearer = request.authorization().strip_prefix("Bearer ");
    let is_known = server.asks_nobody
        || bearer.is_some_and(|token| server.tokens.iter().any(|(_, known)| known == token));
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/api/v3/configure/token/admin" | "/api/v3/configure/token/named_admin")
            if server.asks_nobody =>
        {
            return Reply::new(405, "");
        }
        ("POST", "/api/v3/configure/token/admin") => {
            assert_eq!(request.body, "");
            if !server.tokens.is_empty() {
                return Reply::new(409, "token already exists");
            }
            return token(server, "_admin");
        }
        _ if !is_known => return Reply::new(401, ""),
        _ => {}
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/ping") => Reply::new(200, json!({ "version": "3.6.0" })),
        ("GET", "/api/v3/configure/database") => {
            assert_eq!(request.query["format"], "json");
            let list = server.databases.iter().map(|(name, _)| json!({ "iox::database": name }));
            Reply::new(200, json!(list.collect::<Vec<_>>()))
        }
        ("POST", "/api/v3/configure/database") => {
            let body = request.json();
            let name = body["db"].as_str().unwrap().to_owned();
            let period = body.get("retention_period").map(|period| period.as_str().unwrap().to_owned());
            server.databases.push((name, period));
            Reply::new(200, "")
        }
        ("POST", "/api/v3/configure/token/named_admin") => {
            let name = request.json()["token_name"].as_str().unwrap().to_owned();
            if server.tokens.iter().any(|(known, _)| *known == name) {
                return Reply::new(409, json!({ "error": "token name already exists" }));
            }
            token(server, &name)
        }
        other => panic!("InfluxDB 3 Core has no {other:?}"),
    }
}

fn token(server: &mut Server, name: &str) -> Reply {
    let made = format!("apiv3_{}", server.tokens.len());
    server.tokens.push((name.to_owned(), made.clone()));
    Reply::new(201, json!({ "id": 1, "name": name, "token": made, "hash": "00", "expiry": null }))
}

#[test]
fn a_new_server_is_prepared_once() {
    let (root, fake) = (tempfile::tempdir().unwrap(), Fake::start(Server::default(), answer));
    let report = init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    assert_eq!(
        about_server(&report),
        [
            "created token `_admin`",
            "created database `telemetry`, which keeps points for ever",
            "created database `gaugeline`, which keeps points for 30 days",
            "created token `gaugeline-bridge`",
            "created token `gaugeline-grafana`",
        ]
    );
    let [warning] = report.warnings() else { panic!("{report}") };
    assert!(warning.starts_with("InfluxDB 3 Core has tokens with all rights only"), "{warning}");
    {
        let state = fake.state();
        let expected = [("telemetry".to_owned(), None), ("gaugeline".to_owned(), Some("720h".to_owned()))];
        assert_eq!(state.databases, expected);
        let files = [secrets::ADMIN_TOKEN, secrets::BRIDGE_TOKEN, secrets::GRAFANA_TOKEN];
        for (file, (_, token)) in files.iter().zip(&state.tokens) {
            assert_eq!(secret(root.path(), file), *token);
        }
    }
    let InfluxApi::V3 { database, token_file } = api(root.path()) else { panic!() };
    assert_eq!(database, "telemetry");
    assert_eq!(token_file, Some(root.path().join(secrets::BRIDGE_TOKEN)));
    let again = init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    assert!(again.changed_nothing() && again.warnings().is_empty(), "{again}");
}

/// The server starts with the token that the first step made.
#[test]
fn the_offline_token_is_the_administrators() {
    let (root, fake) = (tempfile::tempdir().unwrap(), Fake::start(Server::default(), answer));
    let words = ["--influxdb", &fake.url(), "--influxdb-version", "3"];
    init(root.path(), &[&words[..], &["--files-only"]].concat()).unwrap();
    let offline: serde_json::Value =
        serde_json::from_str(&secret(root.path(), secrets::ADMIN_TOKEN_JSON)).unwrap();
    assert_eq!(offline["name"], "_admin");
    let token = offline["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("apiv3_"), "{token}");
    assert_eq!(secret(root.path(), secrets::ADMIN_TOKEN), token);
    fake.state().tokens.push(("_admin".to_owned(), token));
    init(root.path(), &words).unwrap();
    assert_eq!(fake.state().tokens.len(), 3);
}

#[test]
fn a_lost_token_gets_another_name_and_its_owner_is_not_thrown_out() {
    let (root, fake) = (tempfile::tempdir().unwrap(), Fake::start(Server::default(), answer));
    init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    std::fs::remove_file(root.path().join(secrets::BRIDGE_TOKEN)).unwrap();
    let report = init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    assert!(report.warnings()[0].contains("a token `gaugeline-bridge` was made before"), "{report}");
    let state = fake.state();
    let (name, token) = &state.tokens[3];
    assert!(name.starts_with("gaugeline-bridge-"), "{name}");
    assert_eq!(secret(root.path(), secrets::BRIDGE_TOKEN), *token);
}

#[test]
fn a_server_in_use_wants_its_own_token() {
    let (root, fake) = (tempfile::tempdir().unwrap(), Fake::start(Server::default(), answer));
    fake.state().tokens.push(("_admin".to_owned(), "apiv3_theirs".to_owned()));
    let error = init(root.path(), &["--influxdb", &fake.url()]).unwrap_err();
    assert!(error.contains("influxdb-admin-token is missing"), "{error}");
    std::fs::write(root.path().join(secrets::ADMIN_TOKEN), "apiv3_other\n").unwrap();
    let error = init(root.path(), &["--influxdb", &fake.url()]).unwrap_err();
    assert!(error.contains("does not accept it as an administrator's token"), "{error}");
}

#[test]
fn a_server_without_tokens_is_used_without() {
    let state = Server { asks_nobody: true, ..Server::default() };
    let (root, fake) = (tempfile::tempdir().unwrap(), Fake::start(state, answer));
    let report = init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    assert!(report.warnings()[0].contains("asks nobody for a token"), "{report}");
    assert!(matches!(api(root.path()), InfluxApi::V3 { token_file: None, .. }));
    assert_eq!(fake.state().databases.len(), 2);
}
