//! Started as root, the broker becomes somebody else, and keeps the one right that it needs.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
};

use gaugeline_tests::{gaugeline::gaugeline, home::Home, requirement};

/// The bit of CAP_NET_BIND_SERVICE.
const NET_BIND_SERVICE: &str = "0000000000000400";

#[test]
fn root_becomes_another_user_and_can_still_use_low_ports() {
    let home = Home::new();
    if fs::metadata(home.path("")).unwrap().uid() != 0 {
        return requirement::not_tested("only root can become another user");
    }
    let port = (600..1024).rev().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    home.replace("broker.toml", &format!("127.0.0.1:{}", home.plain_port), &format!("127.0.0.1:{port}"));
    home.replace("broker.toml", "# user = \"gaugeline\" ", "user = \"nobody\" ");
    fs::set_permissions(home.path("").parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let owned = Command::new("chown").args(["-R", "nobody"]).arg(home.path("")).status().unwrap();
    assert!(owned.success());
    let broker = home.broker();
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(line("Uid:").iter().chain(&line("Gid:")).all(|id| id != "0"), "{status}");
    for sets in ["CapEff:", "CapPrm:"] {
        assert_eq!(line(sets), [NET_BIND_SERVICE], "{status}");
    }
    for thread in fs::read_dir(format!("/proc/{}/task", broker.pid())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert!(status.contains(&line("Uid:").join("\t")) && status.contains(NET_BIND_SERVICE), "{status}");
    }
    assert!(broker.log_lines(&["WARN", "runs as root"]).is_empty());
    assert!(!broker.log_lines(&[&format!("address=127.0.0.1:{port}")]).is_empty());
}

#[test]
fn check_sees_what_the_user_of_the_broker_cannot_reach() {
    let home = Home::new();
    if fs::metadata(home.path("")).unwrap().uid() != 0 {
        return requirement::not_tested("only root can become another user");
    }
    let config = home.argument("broker.toml");
    let check = || gaugeline(&["check", "-c", &config]);
    let refused = |expected: &str| {
        for ended in [check(), gaugeline(&["broker", "--test-config", "-c", &config])] {
            assert_eq!(ended.code, Some(3), "{}", ended.stderr);
            assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
        }
    };
    let give = |name: &str| {
        assert!(
            Command::new("chown").args(["-R", "nobody"]).arg(home.path(name)).status().unwrap().success()
        );
    };
    home.replace("broker.toml", "# user = \"gaugeline\" ", "user = \"no-such-user\" ");
    refused("there is no user `no-such-user`");
    home.replace("broker.toml", "\"no-such-user\"", "\"nobody\"");
    let outside = home.path("").parent().unwrap().to_owned();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o755)).unwrap();
    refused("passwd: cannot be read: Permission denied (os error 13), as the user `nobody`");
    for name in ["passwd", "pki/server.key"] {
        give(name);
    }
    refused("secrets/admin: cannot be read: Permission denied");
    give("secrets");
    refused(&format!("{}: cannot be written: Permission denied", home.argument("")));
    fs::create_dir(home.path("data")).unwrap();
    refused("data/data: cannot be written: Permission denied");
    give("data");
    check().successful();
    home.write("data/lock", "");
    fs::set_permissions(home.path("data/lock"), fs::Permissions::from_mode(0o600)).unwrap();
    refused("data/lock: cannot be written: Permission denied");
    give("data");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
    refused("cannot be read: Permission denied (os error 13), as the user `nobody`");
}
