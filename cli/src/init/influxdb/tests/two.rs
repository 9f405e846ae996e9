//! InfluxDB 2, as its source and its documentation describe it.

use serde_json::{Value, json};

use super::{
    fake::{Fake, Reply, Request},
    *,
};

const ORGANIZATION: &str = "0123456789abcdef";

/// What such a server remembers.
#[derive(Debug, Default)]
pub(super) struct Server {
    organization: Option<String>,
    /// Name, id, seconds.
    buckets: Vec<(String, String, u64)>,
    /// Token, what it may do, with which buckets; the first may do everything.
    pub(super) tokens: Vec<(String, String, Vec<String>)>,
    /// 2.4 and later map by themselves.
    maps_by_itself: bool,
    mappings: Vec<Value>,
}

impl Server {
    fn bucket(&mut self, name: &str, seconds: u64) -> Value {
        let id = format!("{:016x}", 0xb0 + self.buckets.len());
        self.buckets.push((name.to_owned(), id.clone(), seconds));
        json!({ "id": id, "name": name, "orgID": ORGANIZATION })
    }

    fn may(&self, authorization: &str, action: &str, bucket: &str) -> Option<bool> {
        let token = authorization.strip_prefix("Token ")?;
        let at = self.tokens.iter().position(|(known, ..)| known == token)?;
        let (_, actions, buckets) = &self.tokens[at];
        let id = &self.buckets.iter().find(|(name, ..)| name == bucket).unwrap().1;
        Some(at == 0 || (actions == action && buckets.contains(id)))
    }
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::new(status, json!({ "code": code, "message": message }))
}

/// Answers as InfluxDB 2.7 does, and panics at what it would not understand.
pub(super) fn answer(server: &mut Server, request: &Request) -> Reply {
    let administrator = server.tokens.first().map(|(token, ..)| format!("Token {token}"));
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/ping") => return Reply::new(204, "").with("X-Influxdb-Version: v2.7.12\r\n"),
        ("GET", "/api/v2/setup") => {
            return Reply::new(200, json!({ "allowed": server.organization.is_none() }));
        }
        ("POST", "/api/v2/setup") => return set_up(server, &request.json()),
        ("POST", "/api/v2/write") => return write(server, request),
        ("POST", "/query") => return query(server, request),
        _ if Some(request.authorization()) != administrator.as_deref() => {
            return error(401, "unauthorized", "unauthorized access");
        }
        _ => {}
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/api/v2/orgs") => match &server.organization {
            Some(name) if *name == request.query["org"] => {
                Reply::new(200, json!({ "orgs": [{ "id": ORGANIZATION, "name": name }] }))
            }
            _ => error(404, "not found", "organization name \"x\" not found"),
        },
        ("GET", "/api/v2/buckets") => {
            assert_eq!(request.query["orgID"], ORGANIZATION);
            let found = server.buckets.iter().filter(|(name, ..)| *name == request.query["name"]);
            let found = found.map(|(name, id, seconds)| {
                let rules = match seconds {
                    0 => json!([]),
                    seconds => json!([{ "type": "expire", "everySeconds": seconds, "shardGroupDurationSeconds": 3600 }]),
                };
                json!({ "id": id, "name": name, "orgID": ORGANIZATION, "retentionRules": rules })
            });
            Reply::new(200, json!({ "buckets": found.collect::<Vec<_>>() }))
        }
        ("POST", "/api/v2/buckets") => {
            let body = request.json();
            assert_eq!(body["orgID"], ORGANIZATION);
            let rules = body["retentionRules"].as_array().unwrap();
            assert!(rules.iter().all(|rule| rule["type"] == "expire"), "{body}");
            let seconds = rules.first().map_or(0, |rule| rule["everySeconds"].as_u64().unwrap());
            assert!(seconds == 0 || seconds >= 3600);
            let made = server.bucket(body["name"].as_str().unwrap(), seconds);
            Reply::new(201, made)
        }
        ("GET", "/api/v2/dbrps") => mappings(server, request),
        ("POST", "/api/v2/dbrps") => {
            let body = request.json();
            assert_eq!((&body["orgID"], &body["default"]), (&json!(ORGANIZATION), &json!(true)));
            assert_eq!(body["retention_policy"], "autogen");
            server.mappings.push(body.clone());
            Reply::new(201, body)
        }
        ("GET", "/api/v2/authorizations") => {
            assert_eq!(request.query["orgID"], ORGANIZATION);
            let listed = server.tokens.iter().enumerate().map(|(at, (_, action, _))| {
                let description = match action.as_str() {
                    "write" => "gaugeline bridge (write)",
                    "read" => "gaugeline grafana (read)",
                    _ => "admin's Token",
                };
                json!({ "id": format!("{at:016x}"), "description": description, "status": "active" })
            });
            Reply::new(200, json!({ "authorizations": listed.collect::<Vec<_>>() }))
        }
        ("POST", "/api/v2/authorizations") => authorize(server, &request.json()),
        other => panic!("InfluxDB 2 has no {other:?}"),
    }
}

fn set_up(server: &mut Server, body: &Value) -> Reply {
    if server.organization.is_some() {
        return error(422, "conflict", "onboarding has already been completed");
    }
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    assert!((8..=72).contains(&text("password").len()), "2.x takes no other passwords");
    assert_eq!(text("username"), "admin");
    server.organization = Some(text("org"));
    server.bucket(&text("bucket"), body["retentionPeriodSeconds"].as_u64().unwrap());
    server.tokens.push((text("token"), "all".to_owned(), Vec::new()));
    Reply::new(201, json!({ "auth": { "token": text("token") } }))
}

fn mappings(server: &Server, request: &Request) -> Reply {
    assert_eq!(request.query["orgID"], ORGANIZATION);
    let name = &request.query["db"];
    let mut found: Vec<_> =
        server.mappings.iter().filter(|known| known["database"] == **name).cloned().collect();
    if server.maps_by_itself && found.is_empty() {
        let (_, id, _) = server.buckets.iter().find(|(bucket, ..)| bucket == name).unwrap();
        found.push(json!({ "bucketID": id, "database": name, "default": true, "virtual": true }));
    }
    Reply::new(200, json!({ "content": found }))
}

fn authorize(server: &mut Server, body: &Value) -> Reply {
    assert_eq!(body["orgID"], ORGANIZATION);
    let permissions = body["permissions"].as_array().unwrap();
    let action = permissions[0]["action"].as_str().unwrap().to_owned();
    let bucket = |permission: &Value| {
        assert_eq!(permission["action"], action.as_str(), "a token for one purpose: {body}");
        let resource = &permission["resource"];
        assert_eq!((&resource["type"], &resource["orgID"]), (&json!("buckets"), &json!(ORGANIZATION)));
        resource["id"].as_str().unwrap().to_owned()
    };
    let buckets = permissions.iter().map(bucket).collect();
    let token = format!("made-{}==", server.tokens.len());
    server.tokens.push((token.clone(), action, buckets));
    Reply::new(
        201,
        json!({ "id": "0a", "token": token, "status": "active", "description": body["description"] }),
    )
}

fn write(server: &Server, request: &Request) -> Reply {
    assert!(request.body.lines().all(|line| line.starts_with('#')), "nothing may be written: {request:?}");
    assert_eq!(Some(&request.query["org"]), server.organization.as_ref());
    match server.may(request.authorization(), "write", &request.query["bucket"]) {
        None => error(401, "unauthorized", "unauthorized access"),
        Some(false) => error(403, "forbidden", "insufficient permissions for write"),
        Some(true) => Reply::new(204, ""),
    }
}

fn query(server: &Server, request: &Request) -> Reply {
    assert_eq!(request.form()["q"], "SHOW MEASUREMENTS LIMIT 1");
    match server.may(request.authorization(), "read", &request.query["db"]) {
        None => error(401, "unauthorized", "Unauthorized"),
        Some(false) => error(403, "forbidden", "insufficient permissions"),
        Some(true) => Reply::new(200, json!({ "results": [{ "statement_id": 0 }] })),
    }
}

fn fresh() -> Fake<Server> {
    Fake::start(Server { maps_by_itself: true, ..Server::default() }, answer)
}

#[test]
fn a_new_server_is_prepared_once() {
    let (root, fake) = (tempfile::tempdir().unwrap(), fresh());
    let words = ["--influxdb", &fake.url(), "--retention", "30d", "--org", "my home"];
    let report = init(root.path(), &words).unwrap();
    assert_eq!(
        about_server(&report),
        [
            "created setup with the user `admin`",
            "kept organization `my home`",
            "kept bucket `telemetry`",
            "kept database `telemetry` for InfluxQL",
            "created bucket `gaugeline`, which keeps points for 30 days",
            "kept database `gaugeline` for InfluxQL",
            "created token `gaugeline bridge (write)`",
            "created token `gaugeline grafana (read)`",
        ]
    );
    assert!(report.warnings().is_empty(), "{report}");
    {
        let state = fake.state();
        let seconds: Vec<_> =
            state.buckets.iter().map(|(name, _, seconds)| (name.as_str(), *seconds)).collect();
        assert_eq!(seconds, [("telemetry", 2_592_000), ("gaugeline", 2_592_000)]);
        let actions: Vec<_> =
            state.tokens.iter().map(|(_, action, buckets)| (action.as_str(), buckets.len())).collect();
        assert_eq!(actions, [("all", 0), ("write", 2), ("read", 2)]);
        let files = [secrets::ADMIN_TOKEN, secrets::BRIDGE_TOKEN, secrets::GRAFANA_TOKEN];
        for (file, (token, ..)) in files.iter().zip(&state.tokens) {
            assert_eq!(secret(root.path(), file), *token);
        }
    }
    let InfluxApi::V2 { org, bucket, token_file } = api(root.path()) else { panic!() };
    assert_eq!((org.as_str(), bucket.as_str()), ("my home", "telemetry"));
    assert_eq!(token_file, root.path().join(secrets::BRIDGE_TOKEN));

    let before = fake.take_requests().len();
    let again = init(root.path(), &words).unwrap();
    assert!(again.changed_nothing() && again.warnings().is_empty(), "{again}");
    let asked = fake.take_requests();
    let changes = |request: &&String| {
        request.starts_with("POST") && !request.contains("write") && !request.contains("query")
    };
    assert_eq!(asked.iter().find(changes), None, "after {before} requests");
}

#[test]
fn what_the_first_step_made_is_given_to_the_server_in_the_second() {
    let (root, fake) = (tempfile::tempdir().unwrap(), fresh());
    let words = ["--influxdb", &fake.url(), "--influxdb-version", "2"];
    init(root.path(), &[&words[..], &["--files-only"]].concat()).unwrap();
    assert_eq!(fake.take_requests(), [""; 0]);
    let token = secret(root.path(), secrets::ADMIN_TOKEN);
    init(root.path(), &words).unwrap();
    assert_eq!(fake.state().tokens[0].0, token);
    assert!(matches!(api(root.path()), InfluxApi::V2 { .. }));
}

#[test]
fn older_servers_get_a_mapping() {
    let (root, fake) = (tempfile::tempdir().unwrap(), Fake::start(Server::default(), answer));
    let report = init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    assert!(
        about_server(&report).contains(&"created database `telemetry` for InfluxQL".to_owned()),
        "{report}"
    );
    assert_eq!(fake.state().mappings.len(), 2);
    assert!(init(root.path(), &["--influxdb", &fake.url()]).unwrap().changed_nothing());
}

#[test]
fn another_retention_is_told_and_left() {
    let (root, fake) = (tempfile::tempdir().unwrap(), fresh());
    init(root.path(), &["--influxdb", &fake.url(), "--retention", "7d"]).unwrap();
    let report = init(root.path(), &["--influxdb", &fake.url(), "--retention", "30d"]).unwrap();
    let [warning] = report.warnings() else { panic!("{report}") };
    assert!(warning.contains("keeps points for 7 days, not for 30 days, and is left so"), "{warning}");
    assert!(warning.contains("--retention 720h"), "{warning}");
    assert_eq!(fake.state().buckets[0].2, 604_800);
}

#[test]
fn a_lost_token_is_made_anew_and_nothing_else() {
    let (root, fake) = (tempfile::tempdir().unwrap(), fresh());
    init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    std::fs::remove_file(root.path().join(secrets::GRAFANA_TOKEN)).unwrap();
    let report = init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    let created: Vec<_> =
        about_server(&report).into_iter().filter(|line| line.starts_with("created")).collect();
    assert_eq!(created, ["created token `gaugeline grafana (read)`"]);
    let told = "a token `gaugeline grafana (read)` was made before and is still valid; if nobody uses it, delete it with \
                `influx auth delete --id 0000000000000002`";
    assert!(report.to_string().contains(told), "{report}");
    assert_eq!(secret(root.path(), secrets::GRAFANA_TOKEN), fake.state().tokens[3].0);
}

#[test]
fn secrets_that_do_not_fit_the_server_are_not_overwritten() {
    let (root, fake) = (tempfile::tempdir().unwrap(), fresh());
    init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    for (file, part) in [
        (secrets::ADMIN_TOKEN, "does not accept it as a token with all rights"),
        (secrets::BRIDGE_TOKEN, "as a token that may write the bucket `telemetry`"),
        (secrets::GRAFANA_TOKEN, "as a token that may read the bucket `telemetry`"),
    ] {
        let right = std::fs::read(root.path().join(file)).unwrap();
        std::fs::write(root.path().join(file), "another\n").unwrap();
        let error = init(root.path(), &["--influxdb", &fake.url()]).unwrap_err();
        assert!(error.starts_with(file) && error.contains(part), "{error}");
        assert_eq!(secret(root.path(), file), "another");
        std::fs::write(root.path().join(file), right).unwrap();
    }
    // Grafana's token cannot write.
    std::fs::copy(root.path().join(secrets::GRAFANA_TOKEN), root.path().join(secrets::BRIDGE_TOKEN)).unwrap();
    let error = init(root.path(), &["--influxdb", &fake.url()]).unwrap_err();
    assert!(error.contains("insufficient permissions for write"), "{error}");
}

#[test]
fn a_server_in_use_wants_its_own_token() {
    let (theirs, root, fake) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), fresh());
    init(theirs.path(), &["--influxdb", &fake.url()]).unwrap();
    let error = init(root.path(), &["--influxdb", &fake.url()]).unwrap_err();
    assert!(
        error.contains("was set up before") && error.contains("influxdb-admin-token is missing"),
        "{error}"
    );
    assert!(!root.path().join(secrets::ADMIN_TOKEN).exists());
    std::fs::copy(theirs.path().join(secrets::ADMIN_TOKEN), root.path().join(secrets::ADMIN_TOKEN)).unwrap();
    init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    assert_eq!(fake.state().tokens.len(), 5);
}

#[test]
fn a_bridge_toml_for_another_server_is_left_and_told() {
    let (root, fake) = (tempfile::tempdir().unwrap(), fresh());
    init(root.path(), &[]).unwrap();
    let before = std::fs::read(root.path().join(init::BRIDGE_CONFIG)).unwrap();
    let report = init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    let [warning] = report.warnings() else { panic!("{report}") };
    assert!(warning.contains("(kind, url, org, bucket, token_file differ)"), "{warning}");
    assert!(warning.contains(&format!("[sink]\nkind = \"influx2\"\nurl = \"{}\"", fake.url())), "{warning}");
    let metrics = "[metrics]\nbucket = \"gaugeline\"\n";
    assert!(warning.contains("it has no [metrics]") && warning.ends_with(metrics), "{warning}");
    assert_eq!(std::fs::read(root.path().join(init::BRIDGE_CONFIG)).unwrap(), before);
    // With what was printed in it, there is nothing left to say.
    let (_, sections) = warning.split_once("it would be\n").unwrap();
    let text = String::from_utf8(before).unwrap();
    let (head, rest) = text.split_once("\n[sink]\n").unwrap();
    let (_, tail) = rest.split_once("\n\n").unwrap();
    std::fs::write(root.path().join(init::BRIDGE_CONFIG), format!("{head}\n\n{tail}\n{sections}")).unwrap();
    let report = init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    assert!(report.warnings().is_empty(), "{report}");
}

#[test]
fn a_bridge_toml_that_the_bridge_cannot_read_is_told() {
    let (root, fake) = (tempfile::tempdir().unwrap(), fresh());
    init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    let path = root.path().join(init::BRIDGE_CONFIG);
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "colour = 1\n").unwrap();
    let report = init(root.path(), &["--influxdb", &fake.url()]).unwrap();
    let [warning] = report.warnings() else { panic!("{report}") };
    assert!(
        warning.contains("cannot use bridge.toml as it is") && warning.contains("unknown field `colour`"),
        "{warning}"
    );
}
