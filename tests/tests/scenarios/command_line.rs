//! The command line: help, wrong usage, `check`, `passwd`.

use std::fs;

use gaugeline_tests::{
    gaugeline::{command, gaugeline},
    home::Home,
    http,
    process::run,
    requirement::repository,
};

const SUBCOMMANDS: [&str; 9] = ["init", "up", "broker", "bridge", "check", "passwd", "pub", "sub", "bench"];
/// Exit statuses, as `gaugeline --help` lists them.
const USAGE: i32 = 2;
const CONFIGURATION: i32 = 3;
const REFUSED: i32 = 4;

#[test]
fn every_subcommand_explains_itself() {
    let overview = gaugeline(&["--help"]).successful().stdout;
    for subcommand in SUBCOMMANDS {
        assert!(overview.contains(&format!("  {subcommand} ")), "{subcommand} is not in\n{overview}");
        let help = gaugeline(&[subcommand, "--help"]).successful().stdout;
        assert!(help.contains("Usage: gaugeline") && help.contains("Options:"), "{subcommand}:\n{help}");
    }
    assert!(gaugeline(&["--version"]).successful().stdout.starts_with("gaugeline "));
}

#[test]
fn wrong_usage_has_its_own_exit_status() {
    for arguments in [
        &["--unknown"][..],
        &["nonsense"],
        &[],
        &["broker", "--unknown"],
        &["check"],
        &["pub", "-t", "a/#", "-m", "x"],
        &["pub", "-t", "a/b", "-q", "3", "-m", "x"],
        &["sub", "-t", "a/#/b"],
        &["up", "--influx", "http://127.0.0.1:1"],
    ] {
        let ended = gaugeline(arguments).with_code(USAGE);
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn check_names_the_file_and_the_line() {
    let home = Home::new();
    let cases = [
        ("broker.toml", "allow_anonymous = false", "allow_anonymous = \"no\""),
        ("broker.toml", "allow_anonymous = false", "allow_anonymus = false"),
        ("broker.toml", "certificate = \"pki/server.crt\"", "certificate = \"pki/missing.crt\""),
        ("bridge.toml", "user = \"bridge\"", "usr = \"bridge\""),
        ("bridge.toml", "topics = [\"#\"]", "topics = [\"a/#/b\"]"),
        ("bridge.toml", "lines = 5000", "lines = 0"),
    ];
    for (file, good, bad) in cases {
        gaugeline(&["check", "-c", &home.argument(file)]).successful();
        let text = home.read(file);
        home.replace(file, good, bad);
        let number = home.read(file).lines().position(|line| line.contains(bad)).unwrap() + 1;
        let ended = gaugeline(&["check", "-c", &home.argument(file)]).with_code(CONFIGURATION);
        let place = format!("{}:{number}: ", home.argument(file));
        assert!(ended.stderr.contains(&place), "{place} is not in {}", ended.stderr);
        let subcommand = file.trim_end_matches(".toml");
        let ended = gaugeline(&[subcommand, "-c", &home.argument(file)]).with_code(CONFIGURATION);
        assert!(ended.stderr.contains(&place), "{place} is not in {}", ended.stderr);
        home.write(file, &text);
    }
}

#[test]
fn check_looks_into_the_files_that_a_configuration_names() {
    let home = Home::new();
    for (file, line) in [("acl", "topic reed a/b"), ("passwd", "nobody:not-a-hash")] {
        let text = home.read(file);
        home.append(file, &format!("{line}\n"));
        let number = home.read(file).lines().count();
        let ended = gaugeline(&["check", "-c", &home.argument("broker.toml")]).with_code(CONFIGURATION);
        let place = format!("{}:{number}: ", home.argument(file));
        assert!(ended.stderr.contains(&place), "{place} is not in {}", ended.stderr);
        home.write(file, &text);
    }
    let missing = gaugeline(&["check", "-c", &home.argument("missing.toml")]).with_code(CONFIGURATION);
    assert!(missing.stderr.contains("missing.toml"), "{}", missing.stderr);
}

/// The files in `config/` can be put in the place of those that `init` makes.
#[test]
fn the_sample_files_can_be_used() {
    let home = Home::new();
    let mut checked = 0;
    for entry in fs::read_dir(repository().join("config")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        fs::copy(&path, home.path(name)).unwrap();
        checked += 1;
    }
    assert!(checked >= 4, "broker.toml, bridge.toml, passwd and acl");
    for file in ["broker.toml", "bridge.toml"] {
        gaugeline(&["check", "-c", &home.argument(file)]).successful();
    }
}

/// Publishes as this user; returns the exit status.
fn publish_as(home: &Home, user: &str, password: &str) -> i32 {
    let mut publish = command();
    publish.args(["pub", "-h", "127.0.0.1", "-p", &home.plain_port.to_string(), "-u", user, "-P", password]);
    run("gaugeline pub", publish.args(["-q", "1", "-t", "sensors/a/b", "-m", "1"])).code.unwrap()
}

#[test]
fn users_come_and_go_with_passwd() {
    let home = Home::new();
    let passwd = home.argument("passwd");
    let before = home.read("passwd");
    gaugeline(&["passwd", "-b", &passwd, "greenhouse", "secret"]).successful();
    home.append("acl", "\nuser greenhouse\ntopic write sensors/#\n");
    assert!(home.read("passwd").starts_with(&before), "what was there stays, comments too");
    let broker = home.broker();
    assert_eq!(publish_as(&home, "greenhouse", "secret"), 0);
    assert_eq!(publish_as(&home, "greenhouse", "Secret"), REFUSED);
    broker.terminate().successful();

    gaugeline(&["passwd", "-b", &passwd, "greenhouse", "changed"]).successful();
    let broker = home.broker();
    assert_eq!(publish_as(&home, "greenhouse", "secret"), REFUSED);
    assert_eq!(publish_as(&home, "greenhouse", "changed"), 0);
    broker.terminate().successful();

    gaugeline(&["passwd", "-D", &passwd, "greenhouse"]).successful();
    assert_eq!(home.read("passwd"), before);
    let _broker = home.broker();
    assert_eq!(publish_as(&home, "greenhouse", "changed"), REFUSED);
}

#[test]
fn passwd_hashes_plain_text_and_leaves_hashes_alone() {
    let home = Home::new();
    let before = home.read("passwd");
    home.append("passwd", "# plain\nnewcomer:plain text\n");
    gaugeline(&["passwd", "-U", &home.argument("passwd")]).successful();
    let after = home.read("passwd");
    assert!(after.starts_with(&before) && after.contains("# plain\nnewcomer:$7$"), "{after}");
    gaugeline(&["passwd", "-U", &home.argument("passwd")]).successful();
    assert_eq!(home.read("passwd"), after);
    home.append("acl", "\nuser newcomer\ntopic write sensors/#\n");
    let _broker = home.broker();
    assert_eq!(publish_as(&home, "newcomer", "plain text"), 0);
}

#[test]
fn a_broker_that_cannot_start_says_why() {
    let (home, other) = (Home::new(), Home::new());
    let _broker = home.broker();
    let ended = gaugeline(&["broker", "-c", &home.argument("broker.toml")]).with_code(1);
    assert!(ended.stderr.contains("another"), "its data is in use: {}", ended.stderr);
    other.replace("broker.toml", &other.tls_port.to_string(), &home.tls_port.to_string());
    let ended = gaugeline(&["broker", "-c", &other.argument("broker.toml")]).with_code(1);
    assert!(
        ended.stderr.contains(&home.tls_port.to_string()) && ended.stderr.contains("in use"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_session_is_begun_and_narrowed_with_the_options_of_mosquitto_sub() {
    let home = Home::new();
    let _broker = home.broker();
    let sub = |arguments: &[&str]| {
        let mut command = home.client("sub", "viewer");
        run("gaugeline sub", command.args(["-c", "-i", "desk", "-q", "1", "-W", "60"]).args(arguments))
            .successful()
    };
    let said = sub(&["-E", "-d", "-t", "sensors/#"]).stderr;
    for part in
        ["sending CONNECT", "client_id=\"desk\"", "received ConnAck", "sending SUBSCRIBE", "received SubAck"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    home.publish("sensors/loud/t", "1");
    home.publish("sensors/kitchen/t", "2");
    let printed = sub(&["-t", "sensors/#", "-T", "sensors/loud/#", "-C", "1", "-F", "%j"]).stdout;
    assert!(printed.contains("\"payload\":\"2\"") && printed.contains("\"tst\":\""), "{printed}");
    sub(&["-U", "sensors/#", "-E"]);
    let session = http::get_with_token(home.admin_port, "/sessions/desk", &home.secret("admin")).unwrap();
    assert!(session.body.contains("\"subscriptions\":[]"), "{}", session.body);
    let mut command = home.client("pub", "sensor");
    let published =
        run("gaugeline pub", command.args(["-d", "-I", "hall-", "-t", "sensors/a/b", "-m", "secret"]));
    let said = published.successful().stderr;
    assert!(said.contains("client_id=\"hall-") && said.contains("sending PUBLISH"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
