use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::{
    config::{InfluxApi, InfluxConfig},
    support::Influxd,
};

/// A server that answers every request with this, once for each connection.
async fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let request = loop {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    break None;
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.to_lowercase().lines().find_map(|line| {
                    line.strip_prefix("content-length: ").map(|length| length.parse::<usize>().unwrap())
                });
                if body.len() >= length.unwrap_or(0) {
                    break Some(text);
                }
            };
            if let Some(request) = request {
                stream.write_all(answer(&request).as_bytes()).await.unwrap();
            }
        }
    });
    Url::parse(&url).unwrap()
}

fn reply(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn own_metrics(influxdb: &str, broker_admin: Option<Url>) -> OwnMetrics {
    let api = InfluxApi::V1 {
        database: "gaugeline".to_owned(),
        retention_policy: None,
        login: None,
        create_database: true,
    };
    let config = OwnMetricsConfig {
        interval: Duration::from_secs(10),
        broker_admin,
        instance: "test".to_owned(),
        influx: InfluxConfig::new(influxdb, api).unwrap(),
    };
    OwnMetrics::new(config, Metrics::default(), Arc::new(Status::starting(clock::now()))).unwrap()
}

/// What `gaugeline up` says: the numbers of both parts.
const BOTH: &str = "# TYPE gaugeline_sessions_online gauge\ngaugeline_sessions_online 4\n\
                    # TYPE gaugeline_bridge_connected gauge\ngaugeline_bridge_connected 77\n# EOF\n";

#[tokio::test]
async fn a_sample_arrives_in_a_real_influxdb() {
    let Some(influxd) = Influxd::start() else { return };
    let admin = serve(|request| {
        assert!(request.starts_with("GET /metrics "), "{request}");
        reply(200, BOTH)
    });
    let mut own = own_metrics(&influxd.url(), Some(admin.await));
    own.metrics.lines_written.inc_by(5);
    own.metrics.count_dead_letter(crate::mapping::Reason::NotUtf8);
    own.sample().await;
    // The database is not there yet.
    own.write().await;
    assert_eq!(own.backlog.oldest(), None);
    let rows = async |query: &str| influxd.rows("gaugeline", query).await;
    let broker = rows("SELECT up, sessions_online, instance FROM gaugeline_broker").await;
    assert_eq!(broker, [[1.into(), 4.into(), serde_json::Value::from("test")]]);
    let bridge =
        rows("SELECT connected, ready, lines_written, dead_letters, lag_seconds FROM gaugeline_bridge").await;
    assert_eq!(bridge, [[0, 0, 5, 1, 0].map(serde_json::Value::from)]);
    let letters = rows("SELECT value FROM gaugeline_bridge_dead_letters WHERE reason = 'not_utf8'").await;
    assert_eq!(letters, [[serde_json::Value::from(1)]]);
}

/// The numbers of a time without the server are there afterwards.
#[tokio::test]
async fn samples_wait_for_the_server() {
    let Some(mut influxd) = Influxd::start() else { return };
    let mut own = own_metrics(&influxd.url(), None);
    influxd.stop();
    for _ in 0..3 {
        own.sample().await;
        own.write().await;
    }
    assert!(own.is_failing);
    influxd.restart();
    own.write().await;
    assert!(!own.is_failing && own.backlog.oldest().is_none());
    assert_eq!(influxd.count("gaugeline", "gaugeline_bridge", "ready").await, 3);
    assert_eq!(own.metrics.own_samples_lost.get(), 0);
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_told() {
    for answer in
        [reply(503, BOTH), "HTTP/1.1 200 X\r\nContent-Length: 99999999\r\n\r\n".to_owned(), String::new()]
    {
        let admin = serve(move |_| answer.clone()).await;
        let mut own = own_metrics("http://127.0.0.1:1", Some(admin));
        own.sample().await;
        let (body, _) = own.backlog.oldest().unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.contains("gaugeline_broker,instance=test up=0.0 "), "{text}");
        assert!(!text.contains("sessions_online"), "{text}");
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_given_up() {
    let bodies = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&bodies);
    let url = serve(move |_| {
        *seen.lock() += 1;
        reply(400, r#"{"error":"unable to parse 'x': missing fields"}"#)
    });
    let base = url.await.as_str().trim_end_matches("/metrics").to_owned();
    let mut own = own_metrics(&base, None);
    own.sample().await;
    own.write().await;
    assert_eq!((own.backlog.oldest(), *bodies.lock()), (None, 1));
    assert_eq!(own.metrics.own_samples_lost.get(), 1);
    assert!(own.is_failing);
}

/// With stopped clocks: the first sample at once, then one each interval, until the end.
#[tokio::test(start_paused = true)]
async fn it_ends_with_the_bridge() {
    let own = own_metrics("http://127.0.0.1:1", None);
    let lost: Counter = own.metrics.own_samples_lost.clone();
    let (stop, stopped) = watch::channel(None);
    let task = tokio::spawn(own.run(stopped));
    stop.send_replace(Some(clock::now()));
    task.await.unwrap();
    assert_eq!(lost.get(), 0);
}

/// Dashboards are made from that page.
#[test]
fn every_number_of_the_bridge_is_in_the_documentation() {
    const PAGE: &str = include_str!("../../METRICS.md");
    let page = PAGE.split_once("## `gaugeline_bridge`").unwrap().1;
    let documented: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let mut registry = Registry::default();
    Metrics::default().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let families = exposition::parse(&text);
    assert!(families.len() > 10);
    let names = families.iter().map(|family| {
        let name = family.name.strip_prefix(BRIDGE.1).unwrap();
        if family.kind == exposition::Kind::Histogram { format!("{name}_sum") } else { name.to_owned() }
    });
    for name in names.chain(["ready".to_owned(), "lag_seconds".to_owned()]) {
        assert!(documented.contains(&name.as_str()), "METRICS.md does not tell of {name}");
    }
}
