//! Changes of a running broker: thousands of them under load, half of them mistakes, and what `gaugeline status`,
//! `reload`, `clients` and `kick` say.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use gaugeline_tests::{
    gaugeline::gaugeline,
    home::Home,
    http,
    mqtt::{Raw, client_v3, connect_packet},
    process::{Process, run},
    wait::{self, LONG_PATIENCE},
};
use rumqttc::{Event, Incoming, QoS};

/// Every second one is a mistake.
const CHANGES: usize = 2_000;
const PUBLISHERS: usize = 3;
/// How far the publishers together may be ahead of the subscriber, which would lose messages if its queue were full.
const AHEAD_MAX: u64 = 20_000;
/// Messages that a publisher has on their way: enough to keep the broker busy beside the compilers of other tests.
const WINDOW: u64 = 20;

/// How a change is made known to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Admin,
    Hangup,
    /// By nothing but the files.
    Files,
}

/// How a file is replaced.
#[derive(Debug, Clone, Copy)]
enum Way {
    InPlace,
    Rename,
    /// As a volume of Kubernetes does it: the file is a link to a link to a directory, and the latter is replaced.
    SwitchLink,
}

/// A file that is changed again and again: what it says when it is right, and when it is wrong.
struct Subject {
    name: &'static str,
    right: String,
    wrong: String,
}

impl Subject {
    /// The content after so many changes; comments make each one different.
    fn text(&self, change: usize, is_right: bool) -> String {
        format!("{}\n# {change}\n", if is_right { &self.right } else { &self.wrong })
    }
}

fn subjects(home: &Home) -> Vec<Subject> {
    let stranger = Home::new();
    let subject = |name, right: String, wrong: String| Subject { name, right, wrong };
    let (broker, acl, passwd) = (home.read("broker.toml"), home.read("acl"), home.read("passwd"));
    vec![
        subject("acl", acl.clone(), format!("{acl}\nuser x\ntopic raed a b\n")),
        subject("broker.toml", broker.clone(), format!("{broker}\nno_such_key = 1\n")),
        subject("passwd", passwd.clone(), format!("{passwd}\nbroken:$7$x\n")),
        subject("pki/server.key", home.read("pki/server.key"), stranger.read("pki/server.key")),
        subject("pki/server.crt", home.read("pki/server.crt"), "no certificate".into()),
    ]
}

fn replace(home: &Home, way: Way, name: &str, text: &str, change: usize) {
    let path = home.path(name);
    match way {
        // Through a link, if there is one.
        Way::InPlace => fs::write(&path, text).unwrap(),
        Way::Rename => {
            let new = home.path(&format!("{name}.new"));
            fs::write(&new, text).unwrap();
            fs::set_permissions(&new, fs::metadata(&path).unwrap().permissions()).unwrap();
            fs::rename(&new, &path).unwrap();
        }
        Way::SwitchLink => {
            let file = path.file_name().unwrap();
            let directory = path.parent().unwrap();
            let (version, data) = (format!("..{change}"), format!("..data-{}", file.to_str().unwrap()));
            fs::create_dir(directory.join(&version)).unwrap();
            let content = directory.join(&version).join(file);
            fs::write(&content, text).unwrap();
            fs::set_permissions(&content, fs::metadata(&path).unwrap().permissions()).unwrap();
            let (link, next) = (directory.join(&data), directory.join("..next"));
            symlink(&version, &next).unwrap();
            fs::rename(&next, &link).unwrap();
            if !path.is_symlink() {
                symlink(std::path::Path::new(&data).join(file), &next).unwrap();
                fs::rename(&next, &path).unwrap();
            }
        }
    }
}

/// Publishes numbers until it is told to stop; returns how many were acknowledged. `received`: how far the subscriber is.
fn publisher(
    home: &Home,
    number: usize,
    stop: &Arc<AtomicBool>,
    received: &Arc<AtomicU64>,
) -> JoinHandle<u64> {
    let (client, mut connection) = client_v3(home, "sensor", &format!("publisher-{number}"));
    let (stop, received) = (Arc::clone(stop), Arc::clone(received));
    thread::spawn(move || {
        let (mut sent, mut acknowledged) = (0, 0);
        let send = |sent: &mut u64| {
            let payload = format!("{number} {sent}");
            client.publish(format!("sensors/load/{number}"), QoS::AtLeastOnce, false, payload).unwrap();
            *sent += 1;
        };
        for event in connection.iter() {
            match event.unwrap_or_else(|error| panic!("publisher {number} was cut off: {error}")) {
                Event::Incoming(Incoming::ConnAck(_)) => (0..WINDOW).for_each(|_| send(&mut sent)),
                Event::Incoming(Incoming::PubAck(_)) => {
                    acknowledged += 1;
                    wait::until("the subscriber to catch up", || {
                        let all_of_them = acknowledged * PUBLISHERS as u64;
                        let is_near = received.load(Ordering::Relaxed) + AHEAD_MAX >= all_of_them;
                        (is_near || stop.load(Ordering::Relaxed)).then_some(())
                    });
                    if !stop.load(Ordering::Relaxed) {
                        send(&mut sent);
                    } else if acknowledged == sent {
                        return sent;
                    }
                }
                _ => {}
            }
        }
        unreachable!("the events of a connection have no end")
    })
}

/// Collects messages until it has as many as `expected` says, once that is not 0; returns them.
fn subscriber(
    home: &Home,
    expected: &Arc<AtomicU64>,
    count: &Arc<AtomicU64>,
) -> JoinHandle<BTreeSet<String>> {
    let (client, mut connection) = client_v3(home, "viewer", "subscriber");
    let (expected, count) = (Arc::clone(expected), Arc::clone(count));
    thread::spawn(move || {
        let mut found = BTreeSet::new();
        client.subscribe("sensors/load/#", QoS::AtLeastOnce).unwrap();
        for event in connection.iter() {
            let event = event.unwrap_or_else(|error| panic!("the subscriber was cut off: {error}"));
            if let Event::Incoming(Incoming::Publish(publish)) = event {
                found.insert(String::from_utf8(publish.payload.to_vec()).unwrap());
                count.store(found.len() as u64, Ordering::Relaxed);
            }
            // Pings, too, let it look.
            let expected = expected.load(Ordering::Relaxed);
            if expected > 0 && found.len() as u64 >= expected {
                break;
            }
        }
        found
    })
}

fn reload(home: &Home, token: &str) -> u16 {
    http::post_with_token(home.admin_port, "/reload", token).unwrap().status
}

/// Changes files for a while; each wrong one is put right by the next change.
fn change_files(home: &Home, broker: &Process) {
    let token = home.secret("admin");
    let subjects = subjects(home);
    for change in 0..CHANGES {
        let (step, is_right) = (change / 2, change % 2 == 1);
        let subject = &subjects[step % subjects.len()];
        let way = [Way::InPlace, Way::Rename, Way::SwitchLink][(step / subjects.len()) % 3];
        replace(home, way, subject.name, &subject.text(change, is_right), change);
        let trigger = [Trigger::Admin, Trigger::Hangup, Trigger::Admin, Trigger::Files][change % 4];
        match trigger {
            Trigger::Admin => {
                let expected = if is_right { 200 } else { 422 };
                assert_eq!(reload(home, &token), expected, "{way:?} {} {change}", subject.name);
            }
            Trigger::Hangup => broker.signal("HUP"),
            Trigger::Files => {}
        }
    }
}

#[test]
fn thousands_of_changes_under_load_lose_no_message_and_no_connection() {
    let home = Home::new();
    let mut broker = home.start_broker(&["--log", "off"]);
    home.wait_until_ready(&mut broker);
    let (stop, expected, count) = (Arc::default(), Arc::default(), Arc::default());
    let subscriber = subscriber(&home, &expected, &count);
    wait::until("the subscription", || (home.metric("gaugeline_subscriptions", "") == 1.0).then_some(()));
    let publishers =
        (0..PUBLISHERS).map(|number| publisher(&home, number, &stop, &count)).collect::<Vec<_>>();
    change_files(&home, &broker);
    stop.store(true, Ordering::Relaxed);
    let sent = publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect::<Vec<_>>();
    let total = sent.iter().sum::<u64>();
    wait::until_within(LONG_PATIENCE, "every message", || {
        (count.load(Ordering::Relaxed) >= total).then_some(())
    });
    expected.store(total, Ordering::Relaxed);
    // One more message lets the subscriber look.
    home.publish("sensors/load/last", "last");
    let found = subscriber.join().unwrap();
    let all = (0..PUBLISHERS).flat_map(|number| (0..sent[number]).map(move |at| format!("{number} {at}")));
    let missing = all.filter(|payload| !found.contains(payload)).take(10).collect::<Vec<_>>();
    assert!(missing.is_empty(), "{missing:?} of {total}");

    let status = gaugeline(&["status", "-c", &home.argument("broker.toml"), "--json"]).successful();
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["configuration"]["last_reload"]["result"], "done", "{status}");
    // Every second change was asked for and answered, half of them with a refusal.
    let metric = |labels: &str| home.metric("gaugeline_reloads_total", labels) as usize;
    let (done, refused) = (metric("result=\"done\""), metric("result=\"refused\""));
    assert!(done + refused >= CHANGES / 2 && refused >= CHANGES / 4, "{done} {refused}");
    assert_eq!(home.metric("gaugeline_messages_dropped_total", ""), 0.0);
    let closed = home.metric("gaugeline_connections_closed_total", "");
    let by_clients = home.metric("gaugeline_connections_closed_total", "client_disconnect")
        + home.metric("gaugeline_connections_closed_total", "connection_lost");
    assert_eq!(closed, by_clients, "the broker ended connections");
    assert!(total > CHANGES as u64, "too little load: {total} messages");
}

#[test]
fn an_operator_looks_reloads_and_kicks() {
    let home = Home::new();
    home.append("broker.toml", "\n[audit]\nfile = \"audit.jsonl\"\n");
    let broker = home.broker();
    let config = home.argument("broker.toml");
    let (client, mut connection) = client_v3(&home, "viewer", "a viewer/7");
    let kicked = thread::spawn(move || {
        // The first event is CONNACK; then nothing comes until the end.
        let error = connection.iter().find_map(Result::err);
        drop(client);
        error
    });
    broker.wait_for_log(&["connected with", "client=\"a viewer/7\""]);
    let clients = gaugeline(&["clients", "-c", &config]).successful().stdout;
    assert!(clients.contains("a viewer/7") && clients.contains("user viewer"), "{clients}");
    let status = gaugeline(&["status", "-c", &config]).successful().stdout;
    assert!(status.contains("1 connected") && status.contains("passwd (3)"), "{status}");

    home.append("acl", "\ntopic raed x\n");
    let refused = gaugeline(&["reload", "-c", &config]).with_code(3);
    assert!(refused.stderr.contains("/acl:"), "{}", refused.stderr);
    let ready = http::get(home.admin_port, "/readyz").unwrap();
    assert!(ready.status == 200 && ready.body.contains("the last reload was refused"), "{}", ready.body);
    home.replace("acl", "raed", "read");
    home.add_user("newcomer", "its password");
    gaugeline(&["reload", "-c", &config]).successful();

    gaugeline(&["kick", "-c", &config, "a viewer/7"]).successful();
    assert!(kicked.join().unwrap().is_some());
    gaugeline(&["kick", "-c", &config, "a viewer/7"]).with_code(1);
    run("gaugeline pub", home.client("pub", "sensor").args(["-q", "1", "-t", "elsewhere", "-m", "x"]))
        .with_code(4);
    let mut stranger = Raw::connect(home.plain_port);
    stranger.write(&connect_packet(4, "str\nanger", Some("no such user"), Some("a guess")));
    assert_eq!(stranger.read_packet().unwrap().1[1], 5);
    let events = wait::until("the audit log", || {
        let text = home.read("audit.jsonl");
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let events = lines.map(|line| line["event"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
        ["admin", "kick", "login", "login_refused", "logout", "refused", "reload"]
            .iter()
            .all(|event| events.contains(*event))
            .then_some(text)
    });
    let line = |event: &str| {
        let quoted = format!("\"event\":\"{event}\"");
        events.lines().find(|line| line.contains(&quoted)).unwrap().to_owned()
    };
    let (refused, login_refused) = (line("refused"), line("login_refused"));
    assert!(refused.contains("\"sensor\"") && refused.contains("elsewhere"), "{refused}");
    assert!(
        login_refused.contains("\"no such user\"") && login_refused.contains("127.0.0.1:"),
        "{login_refused}"
    );
    assert!(!events.contains("a guess"), "{events}");
    let text = home.read("audit.jsonl");
    for user in ["viewer", "sensor", "admin"] {
        assert!(!text.contains(&home.secret(user)), "{text}");
    }
}

#[test]
fn a_change_of_the_log_level_holds_at_once() {
    let home = Home::new();
    let broker = home.broker();
    home.replace("broker.toml", "log = \"info\"", "log = \"error\"");
    gaugeline(&["reload", "-c", &home.argument("broker.toml")]).successful();
    home.publish("sensors/a", "1");
    home.replace("broker.toml", "log = \"error\"", "log = \"info\"");
    broker.signal("HUP");
    broker.wait_for_log(&["reloaded (SIGHUP)"]);
    home.publish("sensors/a", "2");
    broker.wait_for_log(&["connected with"]);
    assert_eq!(broker.log_lines(&["connected with"]).len(), 1);
}
