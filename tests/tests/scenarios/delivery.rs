//! Messages from client to client through the broker: quality of service, retain, will, TLS and plain.

use gaugeline_tests::{
    home::Home,
    mqtt::{self, Raw, connect_packet, subscribe_packet},
    process::{Process, run},
    requirement, wait,
};

/// Waits until there are so many subscriptions. The count follows what clients do, a little later.
fn wait_for_subscriptions(home: &Home, count: f64) {
    wait::until_equal("subscriptions", &count, || home.metric("gaugeline_subscriptions", ""));
}

/// `gaugeline sub`, which has subscribed when this returns. It has to be the only subscriber.
fn subscriber(home: &Home, options: &[&str]) -> Process {
    wait_for_subscriptions(home, 0.0);
    let mut command = home.client("sub", "viewer");
    let process = Process::start("gaugeline sub", command.args(["-W", "60"]).args(options));
    wait_for_subscriptions(home, 1.0);
    process
}

#[test]
fn every_quality_of_service_arrives_with_every_version() {
    let home = Home::new();
    let _broker = home.broker();
    for version in ["3.1", "3.1.1", "5"] {
        for qos in ["0", "1", "2"] {
            let id = format!("MQTT {version} at QoS {qos}");
            let sub = subscriber(&home, &["-V", version, "-q", qos, "-C", "1", "--json", "-t", "sensors/#"]);
            let mut publish = home.client("pub", "sensor");
            publish.args(["-V", version, "-q", qos, "-t", "sensors/a/b", "-m", "21.5"]);
            run("gaugeline pub", &mut publish).successful();
            let ended = sub.wait().successful();
            let message: serde_json::Value = serde_json::from_str(ended.stdout.trim()).unwrap();
            assert_eq!(message["topic"], "sensors/a/b", "{id}");
            assert_eq!(message["payload"], "21.5", "{id}");
            assert_eq!(message["qos"].to_string(), qos, "{id}");
            assert_eq!(message["retain"], false, "{id}");
        }
    }
}

#[test]
fn a_retained_message_meets_later_subscribers_until_it_is_removed() {
    let home = Home::new();
    let _broker = home.broker();
    let mut publish = home.client("pub", "sensor");
    run("pub", publish.args(["-q", "1", "-r", "-t", "sensors/door/state", "-m", "open"])).successful();
    let mut late = home.client("sub", "viewer");
    let ended = run("sub", late.args(["-q", "1", "-C", "1", "-W", "60", "--json", "-t", "sensors/door/+"]))
        .successful();
    let message: serde_json::Value = serde_json::from_str(ended.stdout.trim()).unwrap();
    assert_eq!((&message["payload"], &message["retain"]), (&"open".into(), &true.into()));

    let mut remove = home.client("pub", "sensor");
    run("pub", remove.args(["-q", "1", "-r", "-n", "-t", "sensors/door/state"])).successful();
    let sub = subscriber(&home, &["-q", "1", "-C", "1", "-F", "%t %p", "-t", "sensors/#"]);
    home.publish("sensors/window/state", "closed");
    assert_eq!(sub.wait().successful().stdout.trim(), "sensors/window/state closed");
}

#[test]
fn a_will_is_published_when_the_client_vanishes_and_not_when_it_leaves() {
    let home = Home::new();
    home.append("acl", "\nuser viewer\ntopic write sensors/will/#\n");
    let broker = home.broker();
    let mortal = |id: &str| {
        let mut command = home.client("sub", "viewer");
        command.args(["-i", id, "-t", "sensors/none", "--will-topic", &format!("sensors/will/{id}")]);
        command.args(["--will-payload", "gone", "--will-qos", "1"]);
        let process = Process::start("gaugeline sub", &mut command);
        broker.wait_for_log(&[&format!("client=\"{id}\" "), "connected"]);
        process
    };
    let sub = subscriber(&home, &["-q", "1", "-C", "1", "-v", "-t", "sensors/#"]);
    mortal("leaving").terminate();
    broker.wait_for_log(&["client=\"leaving\" ", "by the client"]);
    mortal("vanishing").kill();
    assert_eq!(sub.wait().successful().stdout.trim(), "sensors/will/vanishing gone");
}

#[test]
fn mosquittos_clients_talk_to_each_other_through_us() {
    let home = Home::new();
    let _broker = home.broker();
    let (Some(publisher), Some(subscriber)) =
        (requirement::program("mosquitto_pub"), requirement::program("mosquitto_sub"))
    else {
        return;
    };
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for (tls, qos) in [("tlsv1.2", "0"), ("tlsv1.2", "2"), ("tlsv1.3", "1")] {
            let text = format!("{version} over {tls} at QoS {qos}");
            wait_for_subscriptions(&home, 0.0);
            let mut subscribe = home.mosquitto_client(&subscriber, "viewer");
            subscribe.args(["--tls-version", tls, "-V", version, "-q", qos, "-C", "1", "-W", "60"]);
            let sub = Process::start("mosquitto_sub", subscribe.args(["-F", "%t %p %q", "-t", "sensors/#"]));
            wait_for_subscriptions(&home, 1.0);
            let mut publish = home.mosquitto_client(&publisher, "sensor");
            publish.args(["--tls-version", tls, "-V", version, "-q", qos, "-t", "sensors/a/b", "-m", &text]);
            run("mosquitto_pub", &mut publish).successful();
            assert_eq!(sub.wait().successful().stdout.trim(), format!("sensors/a/b {text} {qos}"));
        }
    }
}

#[test]
fn a_persistent_session_keeps_what_comes_while_its_client_is_away() {
    let home = Home::new();
    let broker = home.broker();
    let first = subscriber(&home, &["-i", "sleeper", "-c", "-q", "1", "-C", "1", "-t", "sensors/#"]);
    home.publish("sensors/a/b", "0");
    assert_eq!(first.wait().successful().stdout.trim(), "0");
    broker.wait_for_log(&["client=\"sleeper\" ", "disconnected"]);
    let numbers = (1..=100).map(|number| number.to_string()).collect::<Vec<_>>();
    let messages = numbers.iter().map(|number| ("sensors/a/b".to_owned(), number.clone().into_bytes()));
    mqtt::publish_all(&home, "sensor", "publisher", messages);
    let mut again = home.client("sub", "viewer");
    again.args(["-i", "sleeper", "-c", "-q", "1", "-C", "100", "-W", "60", "-t", "sensors/#"]);
    let ended = run("gaugeline sub", &mut again).successful();
    assert_eq!(ended.stdout.split_whitespace().collect::<Vec<_>>(), numbers);
}

/// [MQTT-3.1.4-3]: the newer connection wins.
#[test]
fn a_second_connection_takes_the_session_over() {
    let home = Home::new();
    let _broker = home.broker();
    let secret = home.secret("viewer");
    let connect = |level| connect_packet(level, "twin", Some("viewer"), Some(&secret));
    let mut first = Raw::connect(home.plain_port);
    first.write(&connect(5));
    assert_eq!(first.read_packet().unwrap().1[1], 0);
    let mut second = Raw::connect(home.plain_port);
    second.write(&connect(4));
    assert_eq!(second.read_packet().unwrap(), (0x20, vec![0, 0]));
    let (first_byte, body) = first.read_packet().unwrap();
    assert_eq!((first_byte, body[0]), (0xe0, 0x8e), "DISCONNECT, session taken over");
    assert_eq!(first.read_packet(), None);
    second.write(&subscribe_packet(4, 1, "sensors/#", 2));
    assert_eq!(second.read_packet().unwrap(), (0x90, vec![0, 1, 2]), "the newer connection works");
}

#[test]
fn a_client_certificate_is_asked_for_where_configured() {
    let home = Home::new();
    home.replace("broker.toml", "require_certificate = false", "require_certificate = true");
    let broker = home.broker();
    let Some(publisher) = requirement::program("mosquitto_pub") else { return };
    let mut without = home.mosquitto_client(&publisher, "sensor");
    let ended = run("mosquitto_pub", without.args(["-q", "1", "-t", "sensors/a/b", "-m", "1"]));
    assert_ne!(ended.code, Some(0), "{ended:?}");
    broker.wait_for_log(&["WARN", "TLS handshake", "shows no certificate"]);
}
