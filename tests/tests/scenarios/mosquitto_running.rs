//! A broker that runs on a mosquitto.conf: which changes it takes while it runs, and how it starts as mosquitto does.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
};

use gaugeline_tests::{
    conf::{Conf, Reader},
    mqtt::{Raw, connect_packet},
    process::{Process, run},
    requirement, wait,
};

/// Connects once, so that a line about it is in the log if there is one at all.
fn join(port: u16, client_id: &str) -> Raw {
    let mut raw = Raw::connect(port);
    raw.write(&connect_packet(4, client_id, None, None));
    assert_eq!(raw.read_packet().unwrap().1[1], 0);
    raw
}

fn wait_for_reloads(broker: &Process, count: usize) {
    wait::until("a reload", || (broker.log_lines(&["reloaded (file change)"]).len() >= count).then_some(()));
}

#[test]
fn a_new_included_file_is_taken_with_its_warnings() {
    let text = "allow_anonymous true\nautosave_interval 5\ninclude_dir @/d\n";
    let conf = Conf::write(Reader::Gaugeline, text, &[("d/a.conf", "max_queued_messages 5\n")]);
    let broker = conf.start();
    let warnings = |key: &str| broker.log_lines(&[&format!("`{key}")]).len();
    drop(join(conf.ports[0], "before"));
    broker.wait_for_log(&["connected with", "before"]);

    fs::write(conf.path("d/b.conf"), "set_tcp_nodelay false\nconnection_messages false\n").unwrap();
    wait_for_reloads(&broker, 1);
    broker.wait_for_log(&["`set_tcp_nodelay false`"]);
    assert_eq!((warnings("autosave_interval"), warnings("set_tcp_nodelay false")), (1, 1));
    // The port of the command line stays, for there is no listener.
    drop(join(conf.ports[0], "after"));
    assert!(broker.log_lines(&["next start"]).is_empty(), "{}", broker.stderr());

    let listener = format!("listener {}\n", conf.ports[1]);
    fs::write(conf.path("d/c.conf"), listener).unwrap();
    wait::until("the listener", || TcpStream::connect(("127.0.0.1", conf.ports[1])).ok());
    drop(join(conf.ports[1], "last"));
    wait_for_reloads(&broker, 2);
    assert_eq!((warnings("autosave_interval"), warnings("set_tcp_nodelay false")), (1, 1));
    fs::remove_file(conf.path("d/b.conf")).unwrap();
    wait_for_reloads(&broker, 3);
    drop(join(conf.ports[1], "told"));
    broker.wait_for_log(&["connected with", "told"]);
    for unwanted in ["after", "last"] {
        assert!(broker.log_lines(&["connected with", unwanted]).is_empty(), "{}", broker.stderr());
    }
}

/// The first name that the system knows.
fn uid_of(names: &[&str]) -> String {
    let ids = names.iter().map(|name| run("id", Command::new("id").args(["-u", name])));
    ids.into_iter().find(|ended| ended.code == Some(0)).unwrap().stdout.trim().to_owned()
}

/// As mosquitto: without the key `user`, root becomes `mosquitto`, and without that user `nobody`.
#[test]
fn without_a_user_root_becomes_mosquittos() {
    // The comment keeps `Conf` from writing `user root`.
    let text = "# no user here\nlistener PORT1 127.0.0.1\nallow_anonymous true\nacl_file @/acl\n";
    let conf = Conf::write(Reader::Gaugeline, text, &[("acl", "topic readwrite #\n")]);
    let directory = conf.path("");
    if fs::metadata(&directory).unwrap().uid() != 0 {
        return requirement::not_tested("only root can become another user");
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let broker = conf.start();
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let expected = uid_of(&["mosquitto", "nobody"]);
    assert!(uids.split_whitespace().all(|uid| uid == expected), "{uids}, expected {expected}");
    drop(join(conf.ports[0], "client"));
    fs::write(conf.path("acl"), "topic read #\n").unwrap();
    wait_for_reloads(&broker, 1);
    broker.wait_for_log(&["runs as the user"]);
}

/// Ends a process that is nobody's child, also if the test fails.
struct Daemon(String);

impl Daemon {
    fn terminate(&self) {
        run("kill", Command::new("kill").args(["-TERM", &self.0]));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.terminate();
    }
}

#[test]
fn with_d_it_goes_on_in_the_background_until_it_is_told_to_end() {
    let text = "listener PORT1 127.0.0.1\nallow_anonymous true\npid_file @/pid\nlog_dest file @/log\n";
    let conf = Conf::write(Reader::Gaugeline, text, &[]);
    let started = conf.run(&["-d"]).successful();
    assert_eq!((started.stdout.as_str(), started.stderr.as_str()), ("", ""));
    let daemon = wait::until("the file with the process id", || {
        let pid = fs::read_to_string(conf.path("pid")).ok()?;
        pid.ends_with('\n').then(|| Daemon(pid.trim().to_owned()))
    });
    wait::until("the listener", || TcpStream::connect(("127.0.0.1", conf.ports[0])).ok());
    drop(join(conf.ports[0], "client"));
    let log = || fs::read_to_string(conf.path("log")).unwrap();
    wait::until("the log", || log().contains("client=\"client\"").then_some(()));
    daemon.terminate();
    wait::until("the end", || (!conf.path("pid").exists()).then_some(()));
    assert!(log().contains("ending: taking leave of the clients"), "{}", log());
    assert!(TcpStream::connect(("127.0.0.1", conf.ports[0])).is_err());
}
