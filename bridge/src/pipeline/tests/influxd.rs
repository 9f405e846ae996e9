//! Before a real InfluxDB 1.x.

use serde_json::json;

use super::{support::Influxd, *};
use crate::config::Login;

#[tokio::test]
async fn points_arrive_with_their_types() {
    let Some(influxd) = Influxd::start() else { return };
    let mut rig = Rig::new(&SinkConfig::Influx(v1(&influxd.url())));
    rig.accept("sensors/d1/temperature", "21.5");
    rig.accept("sensors/d2", r#"{"on":true,"state":"a \"b\" \\ c\nd","n":{"x":1}}"#);
    rig.accept("plant/a/b", "7");
    rig.finish().await;
    let query = "SELECT temperature, \"on\", state, n_x, device FROM sensors";
    let expected = [
        [json!(21.5), json!(null), json!(null), json!(null), json!("d1")],
        [json!(null), json!(true), json!("a \"b\" \\ c\nd"), json!(1), json!("d2")],
    ];
    assert_eq!(influxd.rows("telemetry", query).await, expected);
    assert_eq!(influxd.rows("telemetry", "SELECT * FROM plant").await, [[json!("plant/a/b"), json!(7)]]);
    assert_eq!(rig.dead(), []);
    assert_eq!(rig.delivery.metrics.lines_written(), 3);
}

/// Names and values that break encoders: each arrives as one point, made safe, and breaks no other.
#[tokio::test]
async fn hostile_names_arrive() {
    let Some(influxd) = Influxd::start() else { return };
    let mut rig = Rig::new(&SinkConfig::Influx(v1(&influxd.url())));
    let hostile = [
        "back\\slash",
        "end\\",
        "a,b",
        "a=b",
        "a b",
        "a\\,b",
        "a\\\\b",
        "\"q\"",
        "a\nb v=1 1",
        "#a",
        "_a",
        "tab\tx",
        "é漢😀",
        "time",
        " ",
        ",",
        "=",
        "\\",
        "'",
        "a\\=",
        "\u{7f}",
        "\u{2028}",
    ];
    for name in hostile {
        rig.accept(&format!("sensors/{name}"), json!({ name: 1, "text": name }).to_string());
        rig.accept(&format!("{name}/x"), "1");
    }
    rig.finish().await;
    assert_eq!(rig.dead(), []);
    let rows = influxd.rows("telemetry", "SELECT text, device FROM sensors").await;
    let texts: Vec<&str> = rows.iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(texts, hostile);
    let devices: Vec<&str> = rows.iter().map(|row| row[1].as_str().unwrap()).collect();
    let safe = [
        "back\\slash",
        "end_",
        "a,b",
        "a=b",
        "a b",
        "a_,b",
        "a_\\b",
        "\"q\"",
        "a_b v=1 1",
        "#a",
        "_a",
        "tab_x",
        "é漢😀",
        "time",
        " ",
        ",",
        "=",
        "_",
        "'",
        "a_=",
        "_",
        "\u{2028}",
    ];
    assert_eq!(devices, safe);
    let measurements = influxd.query("telemetry", "SHOW MEASUREMENTS").await;
    let values = measurements["results"][0]["series"][0]["values"].as_array().unwrap();
    // One each, `\` and DEL are both `_`, which is written `x_`... but as values, and sensors.
    assert_eq!(values.len(), hostile.len(), "{values:?}");
}

#[tokio::test]
async fn nothing_is_lost_while_the_server_is_away() {
    let Some(mut influxd) = Influxd::start() else { return };
    let mut rig = Rig::with_batches_of(&SinkConfig::Influx(v1(&influxd.url())), 100);
    for number in 0..250 {
        rig.accept("sensors/d1/t", number.to_string());
    }
    rig.finish().await;
    influxd.stop();
    for number in 0..1000 {
        rig.accept("sensors/d1/t", number.to_string());
    }
    let problem = rig.until_failing().await;
    assert!(problem.contains("the sink cannot be reached"), "{problem}");
    assert_eq!(rig.pipeline.safe_up_to(), 250);
    influxd.restart();
    rig.finish().await;
    assert_eq!(influxd.count("telemetry", "sensors", "t").await, 1250);
    assert!(rig.delivery.status.readiness(clock::now()).is_ready());
}

/// A field that changes its type is dead; the points beside it are not.
#[tokio::test]
async fn conflicts_cost_no_neighbours() {
    let Some(influxd) = Influxd::start() else { return };
    let mut rig = Rig::with_batches_of(&SinkConfig::Influx(v1(&influxd.url())), 300);
    for field in ["a", "b"] {
        rig.accept(&format!("sensors/d1/{field}"), "1");
    }
    rig.finish().await;
    for number in 0..100 {
        rig.accept("sensors/d1/a", if number % 10 == 3 { "broken".to_owned() } else { number.to_string() });
        rig.accept("sensors/d1/b", if number % 20 == 7 { "true".to_owned() } else { number.to_string() });
        rig.accept("sensors/d1/c", "on");
    }
    rig.finish().await;
    assert_eq!(influxd.count("telemetry", "sensors", "a").await, 91);
    assert_eq!(influxd.count("telemetry", "sensors", "b").await, 96);
    assert_eq!(influxd.count("telemetry", "sensors", "c").await, 100);
    let dead = rig.dead();
    assert_eq!(dead.len(), 15);
    assert!(dead.iter().all(|(_, reason)| reason == "refused"));
    assert_eq!(rig.delivery.metrics.dead_letters(Reason::Refused), 15);
}

/// A number that is said in another type is a number still; what would lose something is dead.
#[tokio::test]
async fn values_take_the_type_that_their_field_has() {
    let Some(influxd) = Influxd::start() else { return };
    influxd.query("", "CREATE DATABASE telemetry").await;
    let mut rig = Rig::with_batches_of(&SinkConfig::Influx(v1(&influxd.url())), 300);
    // Somebody else's integers and booleans, and our floats.
    let others = format!("sensors,device=d1 count=1i,other=1i,open=true {}\n", rig.received);
    assert_eq!(rig.delivery.sink.write(others.into()).await, crate::sink::verdict::Verdict::Written);
    rig.accept("sensors/d1", r#"{"t": 21.5}"#);
    rig.finish().await;
    rig.accept("sensors/d1", r#"{"count": 2, "other": 3, "open": "false", "t": "22.5"}"#);
    rig.accept("sensors/d1", r#"{"count": 2.5}"#);
    rig.accept("sensors/d1", r#"{"t": "unavailable"}"#);
    rig.accept("sensors/d1", r#"{"t": 23.5, "count": 4}"#);
    rig.finish().await;
    let rows = influxd.rows("telemetry", "SELECT count, other, open, t FROM sensors").await;
    let expected = [
        json!([1, 1, true, null]),
        json!([null, null, null, 21.5]),
        json!([2, 3, false, 22.5]),
        json!([4, null, null, 23.5]),
    ];
    assert_eq!(rows.into_iter().map(serde_json::Value::from).collect::<Vec<_>>(), expected);
    assert_eq!(
        rig.dead(),
        [("sensors/d1".to_owned(), "refused".to_owned()), ("sensors/d1".to_owned(), "refused".to_owned())]
    );
    assert_eq!(rig.delivery.metrics.lines_written(), 3);
}

/// 1.x loses points that are not at fault when a batch reaches a limit; they are written all the same.
#[tokio::test]
async fn limits_cost_no_neighbours() {
    let environment = [("INFLUXDB_DATA_MAX_VALUES_PER_TAG", "20")];
    let Some(influxd) = Influxd::start_with(&environment) else { return };
    let mut rig = Rig::with_batches_of(&SinkConfig::Influx(v1(&influxd.url())), 300);
    for number in 0..20 {
        rig.accept(&format!("sensors/d{number}/t"), "1");
    }
    rig.finish().await;
    for number in 0..300 {
        let device = if number % 3 == 0 { 1000 + number } else { number % 20 };
        rig.accept(&format!("sensors/d{device}/t"), "1");
    }
    rig.finish().await;
    assert_eq!(influxd.count("telemetry", "sensors", "t").await, 220);
    assert_eq!(rig.dead().len(), 100);
}

#[tokio::test]
async fn points_older_than_the_retention_are_dead() {
    let Some(influxd) = Influxd::start() else { return };
    influxd.query("", "CREATE DATABASE telemetry WITH DURATION 1d").await;
    let mut rig = Rig::new(&SinkConfig::Influx(v1(&influxd.url())));
    let now = rig.received;
    rig.accept("sensors/d1/t", "1");
    rig.received = now - 10 * 24 * 3_600_000_000_000;
    rig.accept("sensors/old/t", "1");
    rig.received = now + 1;
    rig.accept("sensors/d1/t", "1");
    rig.finish().await;
    assert_eq!(influxd.count("telemetry", "sensors", "t").await, 2);
    assert_eq!(rig.dead(), [("sensors/old/t".to_owned(), "refused".to_owned())]);
}

#[tokio::test]
async fn a_missing_database_holds_everything() {
    let Some(influxd) = Influxd::start() else { return };
    let api = InfluxApi::V1 {
        database: "telemetry".into(),
        retention_policy: None,
        login: None,
        create_database: false,
    };
    let mut rig = Rig::new(&SinkConfig::Influx(InfluxConfig::new(&influxd.url(), api).unwrap()));
    rig.accept("sensors/d1/t", "1");
    let problem = rig.until_failing().await;
    assert!(problem.contains("refuses all writes: 404 database not found: \"telemetry\""), "{problem}");
    influxd.query("", "CREATE DATABASE telemetry").await;
    rig.finish().await;
    assert_eq!(influxd.count("telemetry", "sensors", "t").await, 1);
    assert_eq!(rig.dead(), []);
}

#[tokio::test]
async fn an_unknown_retention_policy_holds_everything() {
    let Some(influxd) = Influxd::start() else { return };
    influxd.query("", "CREATE DATABASE telemetry").await;
    let api = InfluxApi::V1 {
        database: "telemetry".into(),
        retention_policy: Some("year".into()),
        login: None,
        create_database: true,
    };
    let mut rig = Rig::new(&SinkConfig::Influx(InfluxConfig::new(&influxd.url(), api).unwrap()));
    rig.accept("sensors/d1/t", "1");
    let problem = rig.until_failing().await;
    assert!(problem.contains("retention policy not found: year"), "{problem}");
    influxd.query("", "CREATE RETENTION POLICY year ON telemetry DURATION 52w REPLICATION 1").await;
    rig.finish().await;
    assert_eq!(influxd.rows("telemetry", "SELECT t FROM \"year\".sensors").await, [[json!(1)]]);
}

/// A password that is wrong holds everything until the file has the right one.
#[tokio::test]
async fn a_rotated_password_is_read_again() {
    let Some(influxd) = Influxd::start_with(&[("INFLUXDB_HTTP_AUTH_ENABLED", "true")]) else { return };
    influxd.query("", "CREATE USER admin WITH PASSWORD 'admin' WITH ALL PRIVILEGES").await;
    let admin = Some(("admin", "admin"));
    influxd.query_as("", "CREATE USER bridge WITH PASSWORD 'new'", admin).await;
    influxd.query_as("", "CREATE DATABASE telemetry", admin).await;
    influxd.query_as("", "GRANT WRITE ON telemetry TO bridge", admin).await;
    let secrets = tempfile::tempdir().unwrap();
    let password_file = secrets.path().join("bridge");
    std::fs::write(&password_file, "old\n").unwrap();
    let api = InfluxApi::V1 {
        database: "telemetry".into(),
        retention_policy: None,
        login: Some(Login { user: "bridge".into(), password_file: password_file.clone() }),
        create_database: true,
    };
    let mut rig = Rig::new(&SinkConfig::Influx(InfluxConfig::new(&influxd.url(), api).unwrap()));
    rig.accept("sensors/d1/t", "1");
    let problem = rig.until_failing().await;
    assert!(problem.contains("401 authorization failed"), "{problem}");
    std::fs::write(&password_file, "new\n").unwrap();
    rig.finish().await;
    let answer = influxd.query_as("telemetry", "SELECT t FROM sensors", admin).await;
    assert_eq!(answer["results"][0]["series"][0]["values"][0][1], json!(1));
}

#[tokio::test]
async fn compressed_requests() {
    let Some(influxd) = Influxd::start() else { return };
    let config = InfluxConfig { gzip: true, ..v1(&influxd.url()) };
    let mut rig = Rig::new(&SinkConfig::Influx(config));
    for number in 0..1000 {
        rig.accept("sensors/d1/t", number.to_string());
    }
    rig.finish().await;
    assert_eq!(influxd.count("telemetry", "sensors", "t").await, 1000);
}
