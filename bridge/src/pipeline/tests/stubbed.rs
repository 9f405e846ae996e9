//! Before stubs of InfluxDB 2.x and 3, and of servers that misbehave. The answers are those that 2.7 has in its source
//! and that 3 Core 3.6 was seen to give, cut to what matters.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{
    stub::{Answer, Request, Stub},
    *,
};

fn token() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "s3cret\n").unwrap();
    (directory, path)
}

fn v2(stub: &Stub, token_file: PathBuf) -> SinkConfig {
    let api = InfluxApi::V2 { org: "the org".into(), bucket: "b".into(), token_file };
    SinkConfig::Influx(InfluxConfig::new(&stub.url, api).unwrap())
}

fn v3(stub: &Stub, token_file: Option<PathBuf>) -> SinkConfig {
    let api = InfluxApi::V3 { database: "d".into(), token_file };
    SinkConfig::Influx(InfluxConfig::new(&stub.url, api).unwrap())
}

fn reply(status: u16, body: impl Into<String>) -> Answer {
    Answer::Reply(status, "", body.into())
}

/// The lines of a body that have this text, by number from 1.
fn numbers_of(request: &Request, text: &str) -> Vec<usize> {
    (1..)
        .zip(request.body.lines())
        .filter(|(_, line)| line.contains(text))
        .map(|(number, _)| number)
        .collect()
}

#[tokio::test]
async fn v2_is_addressed_and_authorized() {
    let stub = Stub::start(|_| Answer::written()).await;
    let (_directory, token_file) = token();
    let mut rig = Rig::new(&v2(&stub, token_file));
    rig.accept("sensors/d1/t", "1");
    rig.finish().await;
    let request = stub.requests.lock()[0].clone();
    assert_eq!(request.target, "/api/v2/write?org=the+org&bucket=b&precision=ns");
    assert!(request.headers.contains("authorization: token s3cret"), "{}", request.headers);
}

/// 2.x stores nothing of a batch in which a line cannot be parsed, and quotes the lines.
#[tokio::test]
async fn v2_parse_errors_cost_no_neighbours() {
    let stub = Stub::start(|request| {
        let bad: Vec<String> = request
            .body
            .lines()
            .filter(|line| line.contains("bad"))
            .map(|line| format!("unable to parse '{line}': missing fields"))
            .collect();
        match bad.is_empty() {
            true => Answer::written(),
            false => {
                let body = serde_json::json!({"code": "invalid", "message": bad.join("\n")});
                reply(400, body.to_string())
            }
        }
    })
    .await;
    let (_directory, token_file) = token();
    let mut rig = Rig::new(&v2(&stub, token_file));
    for device in ["d1", "bad1", "d2", "bad2"] {
        rig.accept(&format!("sensors/{device}/t"), "1");
    }
    rig.finish().await;
    assert_eq!(rig.dead().len(), 2);
    let bodies = stub.bodies();
    assert_eq!(bodies.len(), 2);
    assert!(bodies[1].contains("d1") && bodies[1].contains("d2") && !bodies[1].contains("bad"), "{bodies:?}");
}

#[tokio::test]
async fn v3_names_the_lines() {
    let stub = Stub::start(|request| {
        let bad: Vec<_> = numbers_of(request, "bad")
            .into_iter()
            .map(|number| {
                serde_json::json!({
                    "error_message": "invalid column type", "line_number": number, "original_line": "cut at 20 bytes.....",
                })
            })
            .collect();
        match bad.is_empty() {
            true => Answer::written(),
            false => {
                let error = "partial write of line protocol occurred";
                reply(400, serde_json::json!({"error": error, "data": bad}).to_string())
            }
        }
    })
    .await;
    let (_directory, token_file) = token();
    let mut rig = Rig::new(&v3(&stub, Some(token_file)));
    for device in ["d1", "bad1", "d2", "bad2"] {
        rig.accept(&format!("sensors/{device}/t"), "1");
    }
    rig.finish().await;
    let request = stub.requests.lock()[0].clone();
    assert_eq!(request.target, "/api/v3/write_lp?db=d&precision=nanosecond&accept_partial=true");
    assert!(request.headers.contains("authorization: bearer s3cret"), "{}", request.headers);
    assert_eq!(stub.requests.lock().len(), 1, "the rest is stored");
    let topics: Vec<String> = rig.dead().into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["sensors/bad1/t", "sensors/bad2/t"]);
    assert_eq!(rig.delivery.metrics.lines_written(), 2);
}

/// 3.6 says 500 where later versions say 413.
#[tokio::test]
async fn too_large_requests_are_halved() {
    let stub = Stub::start(|request| match request.body.len() > 1000 {
        true => reply(500, "max request size (10485760 bytes) exceeded"),
        false => Answer::written(),
    })
    .await;
    let mut rig = Rig::new(&v3(&stub, None));
    for number in 0..50 {
        rig.accept("sensors/d1/t", number.to_string());
    }
    rig.accept("sensors/d1/t", "x".repeat(2000));
    rig.finish().await;
    let stored: usize =
        stub.bodies().iter().filter(|body| body.len() <= 1000).map(|body| body.lines().count()).sum();
    assert_eq!(stored, 50);
    assert_eq!(rig.dead(), [("sensors/d1/t".to_owned(), "too_large".to_owned())]);
}

/// 3.6.0 closes the connection on some lines. The one line is found, the others are written.
#[tokio::test(start_paused = true)]
async fn a_line_that_breaks_the_server_is_found() {
    let stub = Stub::start(|request| match request.body.contains("poison") {
        true => Answer::Close,
        false => Answer::written(),
    })
    .await;
    let mut rig = Rig::new(&v3(&stub, None));
    for number in 0..20 {
        rig.accept("sensors/d1/t", number.to_string());
    }
    rig.accept("sensors/poison/t", "1");
    rig.finish().await;
    assert_eq!(rig.dead(), [("sensors/poison/t".to_owned(), "poison".to_owned())]);
    assert_eq!(rig.delivery.metrics.lines_written(), 20);
}

/// A server that fails on everything is not a line's fault, however long it does.
#[tokio::test(start_paused = true)]
async fn a_broken_server_costs_no_line() {
    let failures = AtomicU32::new(60);
    let stub = Stub::start(move |request| {
        let left = failures.load(Ordering::SeqCst);
        if left == 0 || request.target.starts_with("/ping") {
            return Answer::written();
        }
        failures.store(left - 1, Ordering::SeqCst);
        reply(500, r#"{"error":"engine: no space left on device"}"#)
    })
    .await;
    let mut rig = Rig::new(&SinkConfig::Influx(v1(&stub.url)));
    rig.accept("sensors/d1/t", "1");
    rig.accept("sensors/d1/t", "2");
    rig.finish().await;
    assert_eq!(rig.dead(), []);
    assert_eq!(rig.delivery.metrics.lines_written(), 2);
}

/// A 4xx that nobody knows, for everything that is sent: held, not dead.
#[tokio::test(start_paused = true)]
async fn an_unknown_refusal_of_everything_holds() {
    let failures = AtomicU32::new(20);
    let stub = Stub::start(move |request| {
        let left = failures.load(Ordering::SeqCst);
        if left == 0 || request.target.starts_with("/ping") {
            return Answer::written();
        }
        failures.store(left - 1, Ordering::SeqCst);
        reply(400, "malformed Authorization header")
    })
    .await;
    let mut rig = Rig::new(&v3(&stub, None));
    for number in 0..4 {
        rig.accept("sensors/d1/t", number.to_string());
    }
    rig.finish().await;
    assert_eq!(rig.dead(), []);
    assert_eq!(rig.delivery.metrics.lines_written(), 4);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let first = AtomicU32::new(1);
    let stub = Stub::start(move |_| match first.swap(0, Ordering::SeqCst) {
        1 => Answer::Reply(429, "Retry-After: 120\r\n", "slow down".into()),
        _ => Answer::written(),
    })
    .await;
    let mut rig = Rig::new(&v3(&stub, None));
    let start = clock::now();
    rig.accept("sensors/d1/t", "1");
    while !rig.pipeline.is_idle() {
        rig.pipeline.progress().await.unwrap();
    }
    let waited = clock::now() - start;
    assert!(waited >= Duration::from_secs(120) && waited < Duration::from_secs(130), "{waited:?}");
}

/// v3 answers when its log is flushed, so batches have to overlap; acknowledgements keep their order.
#[tokio::test]
async fn v3_writes_overlap_and_acknowledgements_do_not() {
    let (release, released) = tokio::sync::watch::channel(false);
    let stub = Stub::start(move |request| {
        // The first batch is refused for as long as the others take.
        match request.body.contains("first") && !*released.borrow() {
            true => reply(503, ""),
            false => Answer::written(),
        }
    })
    .await;
    let mut rig = Rig::with_batches_of(&v3(&stub, None), 2);
    for device in ["first", "d", "d", "d", "d", "d"] {
        rig.accept(&format!("sensors/{device}/t"), "1");
    }
    while rig.pipeline.closed.iter().filter(|closed| closed.is_safe).count() < 2 {
        rig.pipeline.progress().await.unwrap();
    }
    assert_eq!(rig.pipeline.safe_up_to(), 0, "the first batch is not written");
    release.send(true).unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn draining_ends_in_time() {
    let stub = Stub::start(|_| reply(503, "")).await;
    let mut rig = Rig::new(&v3(&stub, None));
    rig.accept("sensors/d1/t", "1");
    rig.pipeline.drain(clock::now() + Duration::from_millis(300)).await.unwrap();
    assert_eq!((rig.pipeline.safe_up_to(), rig.pipeline.is_idle()), (0, false));
}
