use super::*;

#[test]
fn all_refused_keys_are_listed_with_the_first_other_mistake() {
    let path = Path::new("m.conf");
    let text = b"foo 1\nport 1\nport 0\npassword_file\nuse_identity_as_username maybe\nbar\n";
    let error = parse(path, text, &Overrides::default()).unwrap_err().to_string();
    let lines = error.lines().map(|line| line.split(", expected").next().unwrap()).collect::<Vec<_>>();
    let expected = [
        "m.conf:1: found the unknown key `foo`",
        "m.conf:3: found `port 0`",
        "m.conf:6: found the unknown key `bar`",
    ];
    assert_eq!(lines, expected);
    let refused = keys::all().filter(|key| key.treatment() == "refused" && !key.name.contains('*'));
    let text = refused.map(|key| format!("{} x\n", key.name)).collect::<String>();
    let error = parse(path, text.as_bytes(), &Overrides::default()).unwrap_err().to_string();
    assert_eq!(error.lines().count(), text.lines().count(), "{error}");
}

#[test]
fn errors_have_a_line() {
    check(&[
        ("foo 1", "m.conf:1: found the unknown key `foo`, expected a key of mosquitto.conf, in lower case"),
        ("\n # a", "m.conf:2: found a comment that does not begin its line, expected `#` as the first byte"),
        ("\u{feff}port 1", "m.conf:1: found a byte order mark, expected UTF-8 without one"),
        ("port\t1", "m.conf:1: found the unknown key `port\\t1`, expected a space"),
        ("password_file", "m.conf:1: found `password_file` without a value, expected one"),
        ("allow_anonymous yes", "m.conf:1: found `allow_anonymous yes`, expected true or false"),
        ("max_inflight_messages 5x", "m.conf:1: found `max_inflight_messages 5x`, expected a number"),
        (
            "max_inflight_messages 65536",
            "m.conf:1: found `max_inflight_messages 65536`, expected -2147483648 to 65535",
        ),
        ("max_packet_size 19", "m.conf:1: found `max_packet_size 19`, expected 20 to 2147483647"),
        ("port 0", "m.conf:1: found `port 0`, expected 1 to 65535"),
        ("listener 65536", "m.conf:1: found `listener 65536`, expected 0 to 65535"),
        ("listener 0 /run/a", "m.conf:1: found `listener 0 /run/a`, expected a port"),
        ("listener 1\nlistener 1", "m.conf:2: found `[::]:1` twice, expected different addresses"),
        ("listener 1 host.invalid", "m.conf:1: found `host.invalid`, expected an address ("),
        (
            "listener 1 ::1\nsocket_domain ipv4",
            "m.conf:1: found `::1`, which has no address of `socket_domain`",
        ),
        (
            "certfile a",
            "m.conf:1: found `certfile` before a listener that it could hold for, expected it below",
        ),
        ("mount_point a", "m.conf:1: found `mount_point` before a listener"),
        (
            "listener 1\nmount_point a/#",
            "m.conf:2: found `mount_point a/#`, expected the beginning of a topic",
        ),
        (
            "listener 1\ncertfile @/crt",
            "m.conf:2: found a `certfile` without a `keyfile`, expected certfile and keyfile",
        ),
        ("listener 1\nkeyfile @/key", "m.conf:2: found a `keyfile` without a `certfile`"),
        ("listener 1\ncafile @/ca", "m.conf:2: found `cafile` without TLS, expected certfile and keyfile"),
        ("listener 1\nrequire_certificate true", "m.conf:2: found `require_certificate` without TLS"),
        (
            "listener 1\ncertfile @/crt\nkeyfile @/key\nrequire_certificate true",
            "m.conf:4: found client certificates without `cafile` or `capath`",
        ),
        ("listener 1\ncertfile @/none\nkeyfile @/key", "m.conf:2: found `none`, which cannot be opened ("),
        (
            "listener 1\ncertfile @/crt\nkeyfile @/key\nciphers AES128-SHA",
            "m.conf:4: found `ciphers AES128-SHA`, of which gaugeline has none, expected some of ",
        ),
        (
            "listener 1\ncertfile @/crt\nkeyfile @/key\ntls_version tlsv1",
            "m.conf:4: found `tls_version tlsv1`, expected tlsv1.3 or tlsv1.2",
        ),
        ("password_file @/cas", "m.conf:1: found `cas`, which is not a file, expected a file"),
        ("acl_file @/none", "m.conf:1: found `none`, which cannot be opened ("),
    ]);
}

#[test]
fn what_must_not_be_ignored_is_refused_with_its_line() {
    check(&[
        (
            "allow_anonymous true\nper_listener_settings true",
            "m.conf:2: found `per_listener_settings true` below a password_file",
        ),
        (
            "per_listener_settings true\npassword_file @/passwd\nlistener 1",
            "m.conf:2: found `password_file` before a listener that it could hold for",
        ),
        ("pid_file a\npid_file b", "m.conf:2: found a second `pid_file`, expected one"),
        ("log_dest file a\nlog_dest file b", "m.conf:2: found a second `log_dest file`, expected one"),
        ("auto_id_prefix a\nauto_id_prefix a", "m.conf:2: found a second `auto_id_prefix`"),
        ("log_dest x", "m.conf:1: found `log_dest x`, expected stdout"),
        ("log_type x", "m.conf:1: found `log_type x`, expected error"),
        (
            "persistent_client_expiration 5",
            "m.conf:1: found `persistent_client_expiration 5`, expected a number",
        ),
        (
            "persistent_client_expiration 0d",
            "m.conf:1: found `persistent_client_expiration 0d`, expected a number",
        ),
        (
            "listener 1\naccept_protocol_versions 3.1",
            "m.conf:2: found `accept_protocol_versions 3.1`, expected 3, 4",
        ),
        (
            "port 1\naccept_protocol_versions 3",
            "m.conf:2: found `accept_protocol_versions` for the listener of `port`",
        ),
        (
            "check_retain_source true",
            "m.conf:1: found `check_retain_source true`, expected false: what is retained",
        ),
        (
            "max_qos 1\ncertfile @/crt\nkeyfile @/key",
            "m.conf:2: found `certfile` without a listener, expected it below",
        ),
        ("max_qos 1\ncafile @/ca", "m.conf:2: found `cafile` without TLS, expected certfile"),
        ("http_dir @", "m.conf:1: found `http_dir` before a listener"),
        ("listener 1\nhttp_dir @/none", "m.conf:2: found `http_dir none`, expected a directory that exists"),
        ("listener 1\nhttp_dir @\nhttp_dir @", "m.conf:3: found a second `http_dir`"),
        ("max_topic_alias_broker 5", "m.conf:1: found `max_topic_alias_broker` before a listener"),
        (
            "disable_client_cert_date_checks true",
            "m.conf:1: found `disable_client_cert_date_checks` before a listener",
        ),
        ("memory_limit -1", "m.conf:1: found `memory_limit -1`, expected a number from 0"),
        ("memory_limit 5x", "m.conf:1: found `memory_limit 5x`, expected a number from 0"),
        ("protocol http_api", "m.conf:1: found `protocol http_api`, expected mqtt or websockets; `gaugeline"),
        ("include_dir @/none", "m.conf:1: found `include_dir none`, expected a directory that can be read ("),
        ("connection a", "m.conf:1: found `connection`, expected no bridge to another broker: let the other"),
        ("remote_password secret", "m.conf:1: found `remote_password`, expected no line of a bridge"),
        ("plugin /a/b.so", "m.conf:1: found `plugin`, expected no plugin: a program for mosquitto cannot"),
        (
            "plugin /a/mosquitto_dynamic_security.so",
            "m.conf:1: found `plugin`, expected no plugin: put the users of",
        ),
        (
            "global_plugin /a/mosquitto_acl_file.so",
            "m.conf:1: found `global_plugin`, expected `acl_file` instead",
        ),
        ("plugin_opt_a b", "m.conf:1: found `plugin_opt_a`, expected no options of plugins"),
        ("psk_file a", "m.conf:1: found `psk_file`, expected certfile and keyfile, or"),
        (
            "listener 1\nuse_identity_as_username true",
            "m.conf:2: found `use_identity_as_username` without TLS",
        ),
    ]);
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let found = error(text);
        assert!(found.starts_with(expected), "{text}\n{found}\n{expected}");
        assert!(!found.contains('\n') && !found.contains("secret"), "{found}");
    }
}
