//! The client against a real broker, over TLS on a free port.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use clap::Parser;
use gaugeline_broker::{Broker, admin::Readiness, config::Config};
use gaugeline_protocol::{
    QoS, ReasonCode, TopicFilter, TopicName,
    client::Publication,
    packet::{RetainHandling, SubscribeFilter},
};
use tempfile::TempDir;

use super::*;
use crate::init;

#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// A broker with the users of a new directory.
struct House {
    directory: TempDir,
    broker: Broker,
}

impl House {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        init::complete(directory.path(), &[]).unwrap();
        let mut config = Config::load(&directory.path().join(init::BROKER_CONFIG)).unwrap();
        config.listeners.iter_mut().for_each(|listener| listener.bind.set_port(0));
        config.admin = None;
        let broker = Broker::start(&config, &Readiness::default(), Vec::new()).await.unwrap();
        Self { directory, broker }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The target of these options and the broker's TLS port.
    fn target(&self, options: &str) -> Target {
        let port = self.broker.bound().iter().find(|bound| bound.tls).unwrap().address.port();
        let line = format!("test -p {port} {options}");
        Line::parse_from(line.split_whitespace()).arguments.target("test").unwrap()
    }

    /// The options of a user with the right password and authority.
    fn login(&self, user: &str) -> String {
        let ca = self.path().join(init::CA_CERTIFICATE);
        let secret = self.path().join(init::secret_file(user));
        format!("--cafile {} -u {user} --password-file {}", ca.display(), secret.display())
    }

    /// What becomes of connecting: the exit status and the text.
    async fn refusal(&self, options: &str) -> (u8, String) {
        match Connection::open(&self.target(options)).await {
            Ok(_) => panic!("{options}: connected"),
            Err(failure) => (failure.exit_status(), failure.to_string()),
        }
    }

    async fn stop(self) {
        assert_eq!(self.broker.shutdown(Duration::from_secs(60)).await, 0);
    }
}

/// Waits for the next thing that happens.
async fn next(connection: &mut Connection) -> Happened {
    loop {
        if let Some(happened) = connection.take().unwrap() {
            return happened;
        }
        connection.wait().await.unwrap();
    }
}

fn publication(topic: &str, qos: QoS) -> Publication {
    Publication::new(TopicName::new(topic).unwrap(), qos, Bytes::from_static(b"21.5"))
}

fn filter(text: &str) -> Vec<SubscribeFilter> {
    vec![SubscribeFilter {
        filter: TopicFilter::new(text).unwrap(),
        qos: QoS::ExactlyOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::OnSubscribe,
    }]
}

#[tokio::test]
async fn messages_arrive_at_every_version_and_qos() {
    let house = House::new().await;
    for version in ["3.1", "3.1.1", "5"] {
        let viewer = house.target(&format!("{} -V {version}", house.login(init::VIEWER)));
        let sensor = house.target(&format!("{} -V {version}", house.login(init::SENSOR)));
        let mut viewer = Connection::open(&viewer).await.unwrap();
        viewer.client().subscribe(filter("sensors/#"), None).unwrap();
        assert!(matches!(next(&mut viewer).await, Happened::Subscribed(_)));
        let mut sensor = Connection::open(&sensor).await.unwrap();
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            sensor.client().publish(&publication("sensors/a/b", qos)).unwrap();
            if qos > QoS::AtMostOnce {
                assert!(matches!(
                    next(&mut sensor).await,
                    Happened::Published { reason: ReasonCode::Success }
                ));
            }
            while sensor.pending_bytes() > 0 {
                sensor.wait().await.unwrap();
            }
            let Happened::Message(message) = next(&mut viewer).await else { panic!("no message") };
            assert_eq!((message.topic.as_str(), &message.payload[..]), ("sensors/a/b", &b"21.5"[..]));
            assert_eq!(message.qos, qos);
            if let Some(receipt) = message.receipt {
                assert!(viewer.client().acknowledge(receipt));
            }
        }
        sensor.close().await.unwrap();
        viewer.close().await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_refused_message_is_told() {
    let house = House::new().await;
    let mut sensor = Connection::open(&house.target(&house.login(init::SENSOR))).await.unwrap();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        sensor.client().publish(&publication("elsewhere", qos)).unwrap();
        let happened = next(&mut sensor).await;
        assert!(
            matches!(happened, Happened::Published { reason: ReasonCode::NotAuthorized }),
            "{happened:?}"
        );
    }
    sensor.close().await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn why_a_connection_fails_is_told() {
    let house = House::new().await;
    let stranger = tempfile::tempdir().unwrap();
    init::complete(stranger.path(), &[]).unwrap();
    let ca = |directory: &Path| format!("--cafile {}", directory.join(init::CA_CERTIFICATE).display());
    let (own, strange) = (ca(house.path()), ca(stranger.path()));
    for (options, status, part) in [
        (format!("{own} -u sensor -P wrong"), 4, "refused the login: wrong user or password, or not allowed"),
        (format!("{own} -u sensor -P wrong -V 3.1.1"), 4, "the broker's log says which (0x87)"),
        (format!("{own} -u nobody -P wrong"), 4, "refused the login: wrong user or password"),
        (own.clone(), 4, "refused the login: wrong user or password"),
        (String::new(), 1, "the server speaks TLS on this port: add --cafile FILE"),
        (format!("{strange} -u sensor -P x"), 1, "no authority that you trust"),
        (format!("{own} -h 127.0.0.2"), 1, "is for another host name"),
        // The issuer is checked all the same.
        (format!("{strange} -h 127.0.0.2 --insecure"), 1, "no authority that you trust"),
    ] {
        let (found, text) = house.refusal(&options).await;
        assert_eq!(found, status, "{options}: {text}");
        assert!(text.contains(part), "{options}: {text}");
    }
    let plain = house.broker.bound().iter().find(|bound| !bound.tls).unwrap().address.port();
    let mut target = house.target(&own);
    target.port = plain;
    let text = Connection::open(&target).await.map(drop).unwrap_err().to_string();
    assert!(text.contains("does it speak TLS on this port?"), "{text}");
    let other_name = format!("{} -h 127.0.0.2 --insecure", house.login(init::SENSOR));
    Connection::open(&house.target(&other_name)).await.unwrap().close().await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_kept_session_is_found_again_with_its_messages() {
    let house = House::new().await;
    let options = format!("{} -i me -c", house.login(init::VIEWER));
    let mut viewer = Connection::open(&house.target(&options)).await.unwrap();
    assert!(!viewer.session_present());
    viewer.client().subscribe(filter("sensors/#"), None).unwrap();
    assert!(matches!(next(&mut viewer).await, Happened::Subscribed(_)));
    viewer.close().await.unwrap();

    let mut sensor = Connection::open(&house.target(&house.login(init::SENSOR))).await.unwrap();
    sensor.client().publish(&publication("sensors/a", QoS::AtLeastOnce)).unwrap();
    assert!(matches!(next(&mut sensor).await, Happened::Published { reason: ReasonCode::Success }));
    sensor.close().await.unwrap();

    let mut viewer = Connection::open(&house.target(&options)).await.unwrap();
    assert!(viewer.session_present());
    assert!(matches!(next(&mut viewer).await, Happened::Message(message) if message.topic == "sensors/a"));
    viewer.close().await.unwrap();
    house.stop().await;
}
