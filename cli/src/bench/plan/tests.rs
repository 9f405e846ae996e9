use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

fn plan(arguments: &str) -> Result<Plan, Failure> {
    let line = CommandLine::try_parse_from(std::iter::once("bench").chain(arguments.split_whitespace()))
        .map_err(|error| Failure::usage(error.to_string()))?;
    Plan::new(&line.options, 0xbeef, crate::clock::now())
}

#[test]
fn each_shape_has_its_parties() {
    for (arguments, publishers, subscribers, copies) in [
        ("", 100, 1, 1),
        ("--shape fan-in --subscribers 3", 100, 3, 3),
        ("--shape fan-out", 1, 500, 500),
        ("--shape fan-out --publishers 2 --subscribers 7", 2, 7, 7),
        ("--shape pairs", 50, 50, 1),
        ("--shape pairs --subscribers 8", 8, 8, 1),
        ("--shape publish-only", 50, 0, 0),
    ] {
        let plan = plan(arguments).unwrap();
        assert_eq!(
            (plan.publishers, plan.subscribers, plan.copies()),
            (publishers, subscribers, copies),
            "{arguments}"
        );
    }
}

#[test]
fn the_closed_loop_is_bounded_and_can_be_opened() {
    for (arguments, outstanding) in [
        ("", Some(2000)),
        ("--window 5", Some(500)),
        ("--shape fan-out", Some(200)),
        ("--outstanding 7", Some(7)),
        ("--payload 16777216", Some(64)),
        ("--flood", None),
        ("--rate 5000", None),
        ("--shape publish-only", None),
        ("--offline --qos 1", None),
    ] {
        assert_eq!(plan(arguments).unwrap().outstanding, outstanding, "{arguments}");
    }
}

#[test]
fn a_count_is_shared_out_whole() {
    for count in [1, 99, 100, 101, 12_345] {
        let plan = plan(&format!("--count {count}")).unwrap();
        assert_eq!((0..plan.publishers).map(|publisher| plan.share(publisher)).sum::<u64>(), count);
        assert_eq!(plan.duration, Duration::from_secs(600));
    }
}

#[test]
fn subscribers_hear_the_publishers_they_follow() {
    let pairs = plan("--shape pairs --topic-prefix x").unwrap();
    assert_eq!((pairs.topic(3), pairs.filter(3), pairs.followed(3)), ("x/3".into(), "x/3".into(), (3, 1)));
    let fan_in = plan("").unwrap();
    assert_eq!((fan_in.topic(3), fan_in.filter(0)), ("bench/beef/3".into(), "bench/beef/+".into()));
    assert_eq!(fan_in.followed(0), (0, 100));
    let fan_out = plan("--shape fan-out --publishers 2").unwrap();
    assert_eq!((fan_out.topic(1), fan_out.filter(499), fan_out.followed(499)), {
        ("bench/beef/0".into(), "bench/beef/0".into(), (0, 2))
    });
}

#[test]
fn what_makes_no_sense_is_refused_with_advice() {
    for (arguments, advice) in [
        ("--host 192.0.2.1", "--allow-remote"),
        ("--host ::ffff:192.0.2.1", "--allow-remote"),
        ("--publishers 0", "from 1 to 200000"),
        ("--publishers 200001", "from 1 to 200000"),
        ("--window 0", "from 1 to 10000"),
        ("--qos 3", "0..=2"),
        ("--payload 16777217", "from 0 to 16777216"),
        ("--seconds 0", "from 0.01"),
        ("--seconds nan", "from 0.01"),
        ("--seconds 1e9", "86400"),
        ("--count 0", "--count is 0"),
        ("--rate 0", "--rate is 0"),
        ("--rate 5 --flood", "cannot be used with"),
        ("--outstanding 5 --flood", "cannot be used with"),
        ("--outstanding 999999999999", "--outstanding"),
        ("--shape pairs --publishers 2 --subscribers 3", "as many"),
        ("--shape publish-only --subscribers 3", "no subscribers"),
        ("--shape idle --publishers 3", "--connections"),
        ("--connections 3", "--publishers"),
        ("--offline", "--qos 1 or 2"),
        ("--offline --qos 1 --shape idle", "fan-in"),
        ("--shape fan-in --publishers 10000 --subscribers 1001", "sequences"),
        ("--insecure", "--tls"),
        ("--tls", "--cafile"),
        ("--tls --cafile x --insecure", "cannot be used with"),
        ("--password x", "--user"),
        ("--subscriber-user x", "--subscriber-password-file"),
        ("--topic-prefix a/#", "--topic-prefix"),
        ("--json-payload", "publish-only"),
        ("--shape publish-only --json-payload --payload 34", "from 35"),
        ("--shape sideways", "fan-in"),
    ] {
        let failure = plan(arguments).unwrap_err();
        assert!(matches!(&failure, Failure::Usage(text) if text.contains(advice)), "{arguments}: {failure}");
    }
}

#[test]
fn remote_hosts_are_loaded_only_on_request() {
    assert!(plan("--host 192.0.2.1 --allow-remote").is_ok());
    for host in ["127.0.0.1", "127.3.2.1", "::1"] {
        assert!(plan(&format!("--host {host}")).is_ok(), "{host}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    for arguments in ["--user u --password-file /nowhere/password", "--tls --cafile /nowhere/ca.crt"] {
        let failure = plan(arguments).unwrap_err();
        assert!(
            matches!(&failure, Failure::Failed(text) if text.contains("/nowhere/")),
            "{arguments}: {failure}"
        );
    }
}

#[test]
fn the_first_line_of_the_password_file_is_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    fs::write(&path, "secret\r\nmore\n").unwrap();
    let plan = plan(&format!("--user u --password-file {}", path.display())).unwrap();
    assert_eq!(plan.publisher_login.password.as_deref(), Some(b"secret".as_slice()));
    assert_eq!(plan.subscriber_login.user.as_deref(), Some("u"));
}
