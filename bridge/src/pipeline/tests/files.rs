use std::{process::Command, time::Duration};

use super::{support::Influxd, *};
use crate::config::FileSinkConfig;

fn files(directory: &std::path::Path) -> SinkConfig {
    SinkConfig::Files(FileSinkConfig {
        directory: directory.to_owned(),
        database: "telemetry".into(),
        file_bytes: 1 << 20,
    })
}

#[tokio::test]
async fn messages_are_safe_when_written_or_dead() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&files(directory.path()));
    assert_eq!(rig.accept("sensors/d1/t", "1"), 1);
    assert_eq!(rig.accept("sensors/d1/t", "NaN"), 2);
    assert_eq!(rig.accept("other", "x"), 3);
    assert_eq!(rig.pipeline.safe_up_to(), 0);
    rig.finish().await;
    assert_eq!(rig.pipeline.safe_up_to(), 3);
    let text = support::read_all(directory.path(), "lp");
    assert!(text.contains("\nsensors,device=d1 t=1.0 "), "{text}");
    assert!(text.contains("\nother,topic=other value=\"x\" "), "{text}");
    assert_eq!(rig.dead(), [("sensors/d1/t".to_owned(), "not_finite".to_owned())]);
    assert_eq!(rig.delivery.metrics.dead_letters(Reason::NotFinite), 1);
}

/// A batch is written after the quiet time, or the linger time, or when it is full: in virtual time.
#[tokio::test(start_paused = true)]
async fn batches_wait_for_more() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::with_batches_of(&files(directory.path()), 3);
    let start = clock::now();
    rig.accept("a", "1");
    rig.finish().await;
    let waited = clock::now() - start;
    assert!(waited >= Duration::from_millis(20) && waited < Duration::from_millis(200), "{waited:?}");
    for _ in 0..3 {
        rig.accept("a", "1");
    }
    assert_eq!(rig.pipeline.closed.len(), 1, "a full batch is closed at once");
    rig.finish().await;
}

#[tokio::test]
async fn no_room_when_too_much_is_in_flight() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::with_batches_of(&files(directory.path()), 10);
    rig.pipeline.limits.messages_in_flight = NonZeroUsize::new(25).unwrap();
    while rig.pipeline.has_room() {
        rig.accept("a", "1");
    }
    assert_eq!(rig.pipeline.last_arrival(), 25);
    rig.finish().await;
    assert!(rig.pipeline.has_room());
    rig.pipeline.limits.bytes_in_flight = NonZeroUsize::new(1 << 20).unwrap();
    rig.accept("a", vec![b'x'; 1 << 20]);
    assert!(!rig.pipeline.has_room());
    rig.finish().await;
    assert!(rig.pipeline.has_room());
}

#[tokio::test]
async fn what_is_abandoned_is_not_safe() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::with_batches_of(&files(directory.path()), 2);
    rig.accept("a", "1");
    rig.finish().await;
    for _ in 0..5 {
        rig.accept("a", "1");
    }
    rig.pipeline.abandon();
    assert_eq!((rig.pipeline.safe_up_to(), rig.pipeline.is_idle()), (1, true));
    assert_eq!(rig.accept("a", "1"), 7);
    rig.finish().await;
    assert_eq!(rig.pipeline.safe_up_to(), 7);
}

/// What `influx -import` makes of the files is what was sent, line breaks in strings aside.
#[tokio::test]
async fn influx_imports_the_files() {
    let Some(influxd) = Influxd::start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&files(directory.path()));
    for number in 0..100 {
        rig.accept("sensors/d 1/t", number.to_string());
    }
    rig.accept("sensors/d1", r#"{"text":"two\nlines, \"quoted\" \\","on":true}"#);
    rig.finish().await;
    influxd.query("", "CREATE DATABASE telemetry").await;
    let import = Command::new("influx")
        .args(["-host", "127.0.0.1", "-port", &influxd.port.to_string(), "-import", "-path"])
        .arg(directory.path().join("telemetry.lp"))
        .output()
        .unwrap();
    assert!(import.status.success(), "{import:?}");
    assert_eq!(influxd.count("telemetry", "sensors", "t").await, 100);
    let rows = influxd.rows("telemetry", "SELECT \"text\", \"on\" FROM sensors WHERE device = 'd1'").await;
    assert_eq!(rows, [[serde_json::json!("two lines, \"quoted\" \\"), serde_json::json!(true)]]);
}
