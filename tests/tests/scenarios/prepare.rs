//! `gaugeline init --influxdb` before a real InfluxDB 1: who may do what afterwards, and that it is done once.

use std::fs;

use gaugeline_tests::{gaugeline::gaugeline, home::Home, http, influxd::Influxd, process::Ended, wait};

const WITH_USERS: &str = "auth-enabled = true\n";

fn init(home: &Home, influxd: &Influxd, options: &[&str]) -> Ended {
    let (directory, url) = (home.argument(""), influxd.url());
    let mut arguments = vec!["init", &directory, "--influxdb", &url];
    arguments.extend(options);
    gaugeline(&arguments)
}

fn secret(home: &Home, file: &str) -> String {
    home.read(&format!("secrets/{file}")).trim_end().to_owned()
}

/// Writes a point as a user; the status.
fn write_as(influxd: &Influxd, (user, password): (&str, &str), database: &str) -> u16 {
    let path = format!("/write?db={database}&u={user}&p={password}&precision=ns");
    http::post(influxd.port(), &path, "m v=1").unwrap().status
}

#[test]
fn users_of_influxdb_1_get_what_they_need_and_no_more() {
    let Some(influxd) = Influxd::start_with(WITH_USERS) else { return };
    let home = Home::empty();
    let first = init(&home, &influxd, &["--retention", "90d"]).successful();
    for line in [
        "created  InfluxDB: administrator `admin`",
        "created  InfluxDB: database `telemetry`, which keeps points for 90 days",
        "created  InfluxDB: database `gaugeline`, which keeps points for 30 days",
        "created  InfluxDB: user `bridge`",
        "created  InfluxDB: WRITE on `telemetry` for `bridge`",
        "created  InfluxDB: READ on `gaugeline` for `grafana`",
    ] {
        assert!(first.stdout.contains(line), "{line}\n{}", first.stdout);
    }
    let [admin, bridge, grafana] =
        ["influxdb-admin-password", "influxdb-bridge-password", "influxdb-grafana-password"]
            .map(|file| secret(&home, file));
    let bridge = ("bridge", bridge.as_str());
    let grafana = ("grafana", grafana.as_str());
    for database in ["telemetry", "gaugeline"] {
        assert_eq!(write_as(&influxd, bridge, database), 204);
        assert_eq!(influxd.query_as(bridge, database, "SELECT * FROM m").status, 403);
        assert_eq!(influxd.query_as(grafana, database, "SELECT * FROM m").status, 200);
        assert_eq!(write_as(&influxd, grafana, database), 403);
    }
    let policies = influxd.query_as(("admin", &admin), "telemetry", "SHOW RETENTION POLICIES");
    assert!(policies.body.contains(r#"["autogen","2160h0m0s","#), "{policies:?}");
    gaugeline(&["check", "-c", &home.argument("bridge.toml")]).successful();

    // Once more: nothing changes, and nothing is created.
    let second = init(&home, &influxd, &["--retention", "90d"]).successful();
    assert!(
        !second.stdout.contains("created") && second.stdout.contains("Nothing was changed"),
        "{}",
        second.stdout
    );
    assert!(!second.stdout.contains("note"), "{}", second.stdout);

    // Another retention is told, and stays.
    let third = init(&home, &influxd, &["--retention", "30d"]).successful();
    assert!(
        third.stdout.contains("keeps points for 90 days, not for 30 days, and is left so"),
        "{}",
        third.stdout
    );

    // A lost password is made anew.
    fs::remove_file(home.path("secrets/influxdb-grafana-password")).unwrap();
    init(&home, &influxd, &["--retention", "90d"]).successful();
    let new = secret(&home, "influxdb-grafana-password");
    assert_ne!(new, grafana.1);
    assert_eq!(influxd.query_as(("grafana", &new), "telemetry", "SELECT * FROM m").status, 200);
    assert_eq!(influxd.query_as(grafana, "telemetry", "SELECT * FROM m").status, 401);

    // Nobody can guess the administrator's.
    let admin_file = home.path("secrets/influxdb-admin-password");
    fs::remove_file(&admin_file).unwrap();
    let missing = init(&home, &influxd, &[]).with_code(3);
    assert!(missing.stderr.contains("influxdb-admin-password is missing"), "{}", missing.stderr);
    assert!(!admin_file.exists());
    home.write("secrets/influxdb-admin-password", &admin);

    // A wrong one is not overwritten, on neither side.
    for (file, whose) in
        [("influxdb-bridge-password", "the password of `bridge`"), ("influxdb-admin-password", "`admin`")]
    {
        let right = home.read(&format!("secrets/{file}"));
        home.write(&format!("secrets/{file}"), "wrong\n");
        let refused = init(&home, &influxd, &["--retention", "90d"]).with_code(3);
        assert!(
            refused.stderr.contains(whose) && refused.stderr.contains("does not accept it"),
            "{}",
            refused.stderr
        );
        assert_eq!(secret(&home, file), "wrong");
        home.write(&format!("secrets/{file}"), &right);
    }
}

#[test]
fn an_influxdb_1_without_users_is_told_apart() {
    let Some(influxd) = Influxd::start() else { return };
    let home = Home::empty();
    let first = init(&home, &influxd, &[]).successful();
    assert!(first.stdout.contains("asks nobody for a password"), "{}", first.stdout);
    assert!(!home.path("secrets/influxdb-admin-password").exists());
    assert!(!home.read("bridge.toml").contains("\nuser = \"bridge\"\npassword_file = \"secrets/influxdb"));
    let databases = influxd.query("telemetry", "SHOW DATABASES");
    let names: Vec<_> = databases.iter().filter_map(|row| row[0].as_str()).collect();
    assert!(names.contains(&"telemetry") && names.contains(&"gaugeline"), "{names:?}");
    gaugeline(&["check", "-c", &home.argument("bridge.toml")]).successful();
    assert!(init(&home, &influxd, &[]).successful().stdout.contains("Nothing was changed"));
}

/// Two steps with the server's start in between, as containers do it; then a point through everything, and the numbers
/// of broker and bridge beside it.
#[test]
fn a_prepared_server_gets_points() {
    let Some(mut influxd) = Influxd::stopped(WITH_USERS) else { return };
    let home = Home::empty();
    let step = ["--influxdb-version", "1", "--grafana"];
    init(&home, &influxd, &[&step[..], &["--files-only"]].concat()).successful();
    let late = init(&home, &influxd, &[&step[..], &["--wait", "0"]].concat()).with_code(1);
    assert!(late.stderr.contains("is not there after 0 s"), "{}", late.stderr);
    influxd.run();
    init(&home, &influxd, &step).successful();
    home.append("bridge.toml", "interval_seconds = 1\n");
    let up = home.up(&[]);
    home.publish("sensors/kitchen/temperature", "21.5");
    let password = secret(&home, "influxdb-grafana-password");
    wait::until("the point", || {
        let query = "SELECT temperature FROM sensors";
        let answer = influxd.query_as(("grafana", &password), "telemetry", query);
        answer.body.contains("21.5").then_some(())
    });
    // Two samples a second apart: the second knows of the point.
    for (measurement, fields) in [
        ("gaugeline_broker", "up, connections_open, messages_received, storage_sync_seconds_count"),
        ("gaugeline_bridge", "ready, connected, lines_written, lag_seconds, write_seconds_p99"),
        ("gaugeline_broker_messages_dropped", "value, reason"),
    ] {
        wait::until(measurement, || {
            let query = format!("SELECT {fields} FROM {measurement} WHERE instance = 'gaugeline-bridge'");
            let answer = influxd.query_as(("grafana", &password), "gaugeline", &query);
            let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            let rows = body["results"][0]["series"][0]["values"].as_array()?.clone();
            rows.iter().any(|row| row.as_array().unwrap().iter().all(|cell| !cell.is_null())).then_some(())
        });
    }
    up.terminate().successful();
}

#[test]
fn a_server_with_a_certificate_of_its_own_authority_is_prepared() {
    // Any authority will do: one that `init` makes.
    let theirs = Home::new();
    let http = format!(
        "https-enabled = true\nhttps-certificate = \"{}\"\nhttps-private-key = \"{}\"\n",
        theirs.argument("pki/server.crt"),
        theirs.argument("pki/server.key")
    );
    let Some(mut influxd) = Influxd::stopped(&http) else { return };
    let (home, ca) = (Home::empty(), theirs.argument("pki/ca.crt"));
    let (directory, url) = (home.argument(""), format!("https://localhost:{}", influxd.port()));
    influxd.launch();
    gaugeline(&["init", &directory, "--influxdb", &url, "--influxdb-ca", &ca]).successful();
    assert!(home.read("bridge.toml").contains(&format!("ca = \"{ca}\"")), "{}", home.read("bridge.toml"));
    gaugeline(&["check", "-c", &home.argument("bridge.toml")]).successful();
    let stranger = Home::empty();
    let refused =
        gaugeline(&["init", &stranger.argument(""), "--influxdb", &url, "--wait", "0"]).with_code(1);
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
}

#[test]
fn secrets_are_shown_to_people_and_given_to_scripts() {
    let home = Home::empty();
    let directory = home.argument("");
    let words =
        ["--influxdb", "http://influxdb:8086", "--influxdb-version", "1", "--files-only", "--grafana"];
    gaugeline(&[&["init", directory.as_str()], &words[..]].concat()).successful();
    let all = gaugeline(&["credentials", &directory]).successful().stdout;
    for (name, file) in [
        ("sensor", "sensor"),
        ("grafana", "grafana-admin-password"),
        ("influxdb-admin", "influxdb-admin-password"),
        ("influxdb-bridge", "influxdb-bridge-password"),
    ] {
        let bare = gaugeline(&["credentials", &directory, "--name", name]).successful().stdout;
        assert_eq!(bare.trim_end(), secret(&home, file));
        assert!(all.contains(bare.trim_end()), "{name}: {all}");
    }
    gaugeline(&["credentials", &directory, "--name", "nobody"]).with_code(2);
}
