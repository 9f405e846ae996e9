use proptest::{collection::vec, prelude::*, sample::select, strategy::ValueTree as _};

use super::*;
use crate::config::mosquitto::{Loaded, Overrides};

/// Lines for the whole broker; `@` stands for the directory.
const GLOBAL: &[&str] = &[
    "allow_anonymous true",
    "allow_anonymous false",
    "password_file @/passwd",
    "acl_file @/a file \"of\" rules",
    "allow_zero_length_clientid false",
    "clientid_prefixes a\\b",
    "persistence true",
    "persistence false",
    "queue_qos0_messages true",
    "upgrade_outgoing_qos true",
    "max_inflight_messages 0",
    "max_inflight_messages 7",
    "max_queued_messages 0",
    "max_queued_messages 5",
    "max_queued_bytes 100",
    "max_packet_size 20",
    "max_packet_size 2147483647",
    "message_size_limit 0",
    "message_size_limit 5",
    "memory_limit 1000",
    "max_keepalive 1",
    "global_max_connections 3",
    "global_max_clients 4",
    "persistent_client_expiration 1h",
    "persistent_client_expiration 900y",
    "retain_available false",
    "retain_expiry_interval 5",
    "sys_interval 0",
    "sys_interval 65535",
    "set_tcp_nodelay false",
    "log_dest none",
    "log_dest stdout",
    "log_dest syslog",
    "log_facility 5",
    "log_dest stderr",
    "log_type none",
    "log_type error",
    "log_type all",
    "log_timestamp false",
    "connection_messages false",
    "user root",
    "user a b",
    "autosave_interval 5",
];

/// Lines for a listener.
const LISTENER: &[&str] = &[
    "socket_domain ipv6",
    "socket_domain ipv4",
    "protocol websockets",
    "websockets_origin http://a\"b",
    "max_connections 5",
    "mount_point a/",
    "mount_point a/b",
    "max_qos 0",
    "max_qos 1",
    "max_topic_alias 0",
    "accept_protocol_versions 4",
    "accept_protocol_versions 5 3",
    "bind_interface lo",
    "use_username_as_clientid true",
    "listener_allow_anonymous true",
    "listener_allow_anonymous false",
    "password_file @/passwd",
    "acl_file @/a file \"of\" rules",
    "allow_anonymous true",
    "certfile @/crt\nkeyfile @/key",
    "certfile @/crt\nkeyfile @/key\ncafile @/ca\nrequire_certificate true\ncrlfile @/ca",
    "certfile @/crt\nkeyfile @/key\ncapath @/cas\nuse_identity_as_username true\ntls_version tlsv1.3",
    "certfile @/crt\nkeyfile @/key\ncafile @/ca\nuse_subject_as_username true",
    "certfile @/crt\nkeyfile @/key\nciphers ECDHE-RSA-AES128-GCM-SHA256:ECDHE+AESGCM\nciphers_tls1.3 TLS_AES_128_GCM_SHA256",
    "certfile @/crt\nkeyfile @/key\nciphers DEFAULT:!aNULL:!eNULL",
];

/// The lines of a file, in an order that mosquitto takes.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let begin = prop_oneof![
        Just("listener 1883".to_owned()),
        Just("listener 1883 127.0.0.1".to_owned()),
        Just("listener 1883 ::1".to_owned()),
        Just("port 1883".to_owned()),
    ];
    let listener = (begin, vec(select(LISTENER), 0..6));
    (any::<bool>(), vec(select(GLOBAL), 0..10), vec(listener, 0..4)).prop_map(
        |(per_listener, global, listeners)| {
            let is_rule = |line: &str| line.starts_with("allow_") || line.contains("_file @");
            let mut lines = Vec::new();
            if per_listener {
                lines.push("per_listener_settings true".to_owned());
            }
            lines.extend(
                global.into_iter().filter(|line| !(per_listener && is_rule(line))).map(str::to_owned),
            );
            for (number, (begin, options)) in listeners.into_iter().enumerate() {
                lines.push(begin.replace("1883", &(1883 + number).to_string()));
                lines.extend(options.into_iter().map(str::to_owned));
            }
            lines
        },
    )
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["passwd", "a file \"of\" rules", "crt", "key", "ca"] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    std::fs::create_dir(directory.path().join("cas")).unwrap();
    directory
}

fn load(directory: &tempfile::TempDir, lines: &[String]) -> Result<Loaded, super::super::ConfigError> {
    let text = lines.join("\n").replace('@', &directory.path().display().to_string());
    super::super::mosquitto::parse(&directory.path().join("m.conf"), text.as_bytes(), &Overrides::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_a_mosquitto_conf_says_a_broker_toml_can_say_too(lines in lines()) {
        let directory = directory();
        // Some lines contradict others.
        let Ok(loaded) = load(&directory, &lines) else { return Ok(()) };
        let text = to_toml(&loaded.config);
        let read = Config::parse(Path::new("/elsewhere/broker.toml"), &text);
        let read = read.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let expected = Config { files: read.files.clone(), ..loaded.config };
        prop_assert_eq!(read, expected, "{}", text);
    }
}

#[test]
fn most_generated_files_are_taken() {
    let directory = directory();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let taken = (0..200).filter(|_| {
        let lines = lines().new_tree(&mut runner).unwrap().current();
        load(&directory, &lines).is_ok()
    });
    assert!(taken.count() > 60);
}

#[test]
fn only_what_is_not_the_default_is_written() {
    let loaded = super::super::mosquitto::without_file(&Overrides::default()).unwrap();
    let text = to_toml(&loaded.config);
    let lines = text.lines().filter(|line| !line.starts_with("persistence_directory")).collect::<Vec<_>>();
    let expected = "allow_anonymous = true\nacl_refuse_futile_subscribe = false\nadmin = \"off\"\nuser = \"mosquitto\"\n\
        user_or_nobody = true\npersistence = \"off\"\nqueue_overflow = \"drop-newest\"\n\n\
        [[listener]]\nbind = \"127.0.0.1:1883\"\ntopic_alias_maximum = 10\n\n\
        [[listener]]\nbind = \"[::1]:1883\"\noptional = true\ntopic_alias_maximum = 10\n\n\
        [clients]\nsys_interval_seconds = 10\n\n\
        [limits]\ninflight_messages = 20\nreceive_maximum = 20\nqueue_messages = 1020\nqueue_bytes = 1099511627776";
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
}
