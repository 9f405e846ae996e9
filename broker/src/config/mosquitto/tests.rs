mod errors;

use std::{collections::BTreeSet, fs};

use gaugeline_protocol::{QoS, Version};

use super::*;
use crate::config::*;

/// A directory with the files that configurations name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["passwd", "other", "acl", "crt", "key", "ca", "crl"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    fs::create_dir(directory.path().join("cas")).unwrap();
    directory
}

/// Reads a text in which `@` stands for the directory.
fn read(directory: &tempfile::TempDir, text: &str, overrides: &Overrides) -> Result<Loaded, String> {
    let path = directory.path().join("m.conf");
    let text = text.replace('@', &directory.path().display().to_string());
    fs::write(&path, text).unwrap();
    load(&path, overrides)
        .map_err(|error| error.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

fn loaded(text: &str) -> Loaded {
    read(&directory(), text, &Overrides::default()).unwrap()
}

fn config(text: &str) -> Config {
    loaded(text).config
}

fn error(text: &str) -> String {
    read(&directory(), text, &Overrides::default()).unwrap_err()
}

/// The warnings as `line: text`.
fn warnings(text: &str) -> Vec<String> {
    loaded(text).warnings.iter().map(|warning| format!("{}: {}", warning.line, warning.text)).collect()
}

/// The keys that mosquitto 2.1 recognises, and those of before that still appear in files.
const KNOWN: &str = "accept_protocol_versions acl_file address addresses allow_anonymous allow_duplicate_messages \
    allow_zero_length_clientid auth_opt_x auth_plugin auth_plugin_deny_special_chars auto_id_prefix autosave_interval \
    autosave_on_changes bind_address bind_interface bridge_alpn bridge_attempt_unsubscribe bridge_bind_address \
    bridge_cafile bridge_capath bridge_certfile bridge_ciphers bridge_ciphers_tls1.3 bridge_identity bridge_insecure \
    bridge_keyfile bridge_max_packet_size bridge_max_topic_alias bridge_outgoing_retain bridge_protocol_version bridge_psk \
    bridge_receive_maximum bridge_reload_type bridge_require_ocsp bridge_session_expiry_interval bridge_tcp_keepalive \
    bridge_tcp_user_timeout bridge_tls_use_os_certs bridge_tls_version cafile capath certfile check_retain_source ciphers \
    ciphers_tls1.3 cleansession clientid clientid_prefixes connection connection_messages crlfile dhparamfile \
    disable_client_cert_date_checks enable_control_api enable_proxy_protocol global_max_clients global_max_connections \
    global_plugin http_dir idle_timeout include_dir keepalive_interval keyfile listener listener_allow_anonymous \
    listener_auto_id_prefix local_clientid local_cleansession local_password local_username log_dest log_facility \
    log_timestamp log_timestamp_format log_type max_connections max_inflight_bytes max_inflight_messages max_keepalive \
    max_packet_size max_qos maximum_qos max_queued_bytes max_queued_messages max_topic_alias max_topic_alias_broker \
    memory_limit message_size_limit mount_point notification_topic notifications notifications_local_only \
    packet_buffer_size password password_file per_listener_settings persistence retained_persistence persistence_file \
    persistence_location persistent_client_expiration pid_file plugin plugin_load plugin_use plugin_opt_x port protocol \
    proxy_protocol_v2_require_tls psk_file psk_hint queue_qos0_messages remote_clientid remote_password remote_username \
    require_certificate restart_timeout retain_available retain_expiry_interval retry_interval round_robin \
    set_tcp_nodelay socket_domain start_type sys_interval threshold tls_engine tls_engine_kpass_sha1 tls_keyform \
    tls_version topic try_private upgrade_outgoing_qos use_identity_as_username use_subject_as_username \
    use_username_as_clientid user username websockets_headers_size websockets_log_level websockets_origin";

#[test]
fn every_key_of_mosquitto_is_known_once_and_no_other() {
    let known = KNOWN.split_whitespace().collect::<BTreeSet<_>>();
    let names = keys::all().map(|key| key.name.replace('*', "x")).collect::<Vec<_>>();
    assert_eq!(names.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
    assert_eq!(names.len(), known.len());
}

#[test]
fn the_documentation_says_of_every_key_what_becomes_of_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/MOSQUITTO.md");
    let page = fs::read_to_string(path).unwrap();
    let section = page.split("\n## mosquitto.conf, key by key\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let found = section.lines().filter(|line| line.starts_with("| `")).collect::<Vec<_>>();
    let row = |key: &keys::Key| format!("| `{}` | {} | {} |", key.name, key.treatment(), key.text);
    let expected = keys::all().map(row).collect::<Vec<_>>();
    assert!(found == expected, "the table should be\n{}", expected.join("\n"));
}

#[test]
fn nothing_said_is_this_machine_alone() {
    let config = config("");
    let binds = config.listeners.iter().map(|listener| listener.bind.to_string()).collect::<Vec<_>>();
    assert_eq!(binds, ["127.0.0.1:1883", "[::1]:1883"]);
    assert!(config.listeners[1].optional && !config.listeners[0].optional);
    assert_eq!(config.realms, [RealmConfig { allow_anonymous: true, ..RealmConfig::default() }]);
    assert_eq!(config.persistence.mode, Persistence::Off);
    assert_eq!((config.limits.inflight_messages, config.limits.queue_messages), (20, 1020));
    assert_eq!(config.delivery.queue_overflow, Overflow::DropNewest);
    assert_eq!(config.clients.sys_interval, Some(Duration::from_secs(10)));
    assert_eq!(config.admin, None);
    assert_eq!(config.log, LogLevel::Info);
    assert_eq!(config.process.user, Some(User { name: "mosquitto".into(), or_nobody: true }));
}

/// Who may connect without a user name [mosquitto 2.1].
#[test]
fn anonymous_clients() {
    for (text, allowed) in [
        ("", true),
        ("password_file @/passwd", true),
        ("allow_anonymous false", false),
        ("listener 1", false),
        ("listener 1\nallow_anonymous true", true),
        ("listener 1\npassword_file @/passwd", false),
        ("listener 1\npassword_file @/passwd\nallow_anonymous true", true),
        ("port 1", false),
        ("bind_address 127.0.0.1", false),
        ("listener 1\nlistener_allow_anonymous true", true),
        ("allow_anonymous true\nlistener 1\nlistener_allow_anonymous false", false),
        ("per_listener_settings true\nlistener 1", false),
        ("per_listener_settings true\nlistener 1\nallow_anonymous true", true),
        ("per_listener_settings true\nlistener 1\nallow_anonymous false\nallow_anonymous true", true),
    ] {
        let config = config(text);
        let realm = config.listeners[0].realm;
        let index = (0..config.realms.len()).find(|index| RealmId::from_index(*index) == realm).unwrap();
        assert_eq!(config.realms[index].allow_anonymous, allowed, "{text}");
    }
}

#[test]
fn each_listener_may_have_rules_of_its_own() {
    let text = "per_listener_settings true\nlistener 1\npassword_file @/passwd\nauto_id_prefix a\n\
                listener 2 127.0.0.1\nacl_file @/acl\nallow_anonymous true\nallow_zero_length_clientid false\n\
                auto_id_prefix b\nlistener 3\n";
    let config = config(text);
    assert_eq!(config.realms.len(), 4);
    assert_eq!(config.realms[0], RealmConfig::default());
    let [_, one, two, three] = &config.realms[..] else { panic!() };
    assert_eq!(one.name.as_deref(), Some("[::]:1"));
    assert!(one.password_file.is_some() && one.acl_file.is_none() && !one.allow_anonymous);
    assert_eq!(&*one.client_ids.assigned_prefix, "a");
    assert_eq!(two.name.as_deref(), Some("127.0.0.1:2"));
    assert!(two.password_file.is_none() && two.acl_file.is_some() && two.allow_anonymous);
    assert_eq!((two.client_ids.allow_empty, &*two.client_ids.assigned_prefix), (false, "b"));
    assert!(three.password_file.is_none() && three.acl_file.is_none() && !three.allow_anonymous);
    let realms = config.listeners.iter().map(|listener| listener.realm).collect::<Vec<_>>();
    assert_eq!(realms, [1, 2, 3].map(RealmId::from_index));
}

#[test]
fn without_per_listener_settings_the_last_rules_hold_for_all() {
    let text = "listener 1\npassword_file @/passwd\nlistener 2\npassword_file @/other\nallow_anonymous true\n\
                clientid_prefixes x y\nauto_id_prefix x\nlistener 3\nuse_username_as_clientid true\n\
                listener_auto_id_prefix z\n";
    let config = config(text);
    assert_eq!(config.realms.len(), 2);
    assert!(config.realms[0].password_file.as_ref().unwrap().ends_with("other"));
    assert!(config.realms[0].allow_anonymous);
    assert_eq!(config.realms[0].client_ids.prefixes, ["x y".into()]);
    let own = &config.realms[1];
    assert_eq!(own.password_file, config.realms[0].password_file);
    assert!(own.client_ids.from_user_name);
    assert_eq!(&*own.client_ids.assigned_prefix, "z");
    let realms = config.listeners.iter().map(|listener| listener.realm).collect::<Vec<_>>();
    assert_eq!(realms, [0, 0, 1].map(RealmId::from_index));
}

#[test]
fn addresses() {
    for (text, expected) in [
        ("listener 1", vec![("[::]:1", false)]),
        ("listener 1\nsocket_domain ipv4", vec![("0.0.0.0:1", false)]),
        ("listener 1\nsocket_domain ipv6", vec![("[::]:1", true)]),
        ("listener 1 0.0.0.0 # all", vec![("0.0.0.0:1", false)]),
        ("listener 1 :: ", vec![("[::]:1", true)]),
        ("listener 1 # all", vec![("[::]:1", false)]),
        ("listener 1 localhost\nsocket_domain ipv4", vec![("127.0.0.1:1", false)]),
        ("port 5", vec![("[::]:5", false)]),
        ("port 5\nport 6", vec![("[::]:6", false)]),
        ("bind_address 127.0.0.1", vec![("127.0.0.1:1883", false)]),
        ("bind_address 127.0.0.1\nport 2\nlistener 3", vec![("127.0.0.1:2", false), ("[::]:3", false)]),
        ("max_connections 5\nlistener 3", vec![("[::]:1883", false), ("[::]:3", false)]),
        ("max_connections 5", vec![("127.0.0.1:1883", false), ("[::1]:1883", false)]),
    ] {
        let config = config(text);
        let found = config.listeners.iter().map(|listener| (listener.bind.to_string(), listener.ipv6_only));
        let expected = expected.into_iter().map(|(bind, only)| (bind.to_owned(), only));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn values_arrive() {
    let text = "queue_qos0_messages true\nupgrade_outgoing_qos 1\nmax_inflight_messages 5\nmax_queued_messages 7\n\
                max_queued_bytes 1000\nmemory_limit 5000\nmax_packet_size 20\nmessage_size_limit 10\nmax_keepalive 60\n\
                global_max_connections 11\nglobal_max_clients 12\npersistent_client_expiration 2w\n\
                retain_available false\nretain_expiry_interval 3\nsys_interval 0\nuser root\npid_file @/pid\n\
                persistence true\npersistence_location @/\npersistence_file a.db\nlog_dest file @/log file\n\
                log_dest syslog\nlog_facility 3\nlog_type error\nlog_type debug\nlog_timestamp_format %H:%M\n\
                connection_messages false\n\
                listener 1\nprotocol websockets\nwebsockets_origin http://a\nwebsockets_origin http://b\n\
                max_connections 3\nmount_point a/\nmax_qos 1\nmax_topic_alias 0\naccept_protocol_versions 5, 3\n\
                bind_interface lo\n";
    let directory = directory();
    let config = read(&directory, text, &Overrides::default()).unwrap().config;
    let expected = Limits {
        connections: 11,
        connections_per_address: 11,
        sessions: 12,
        packet_bytes: 20,
        payload_bytes: 10,
        inflight_messages: 5,
        receive_maximum: 5,
        queue_messages: 12,
        queue_bytes: 1000,
        queue_bytes_total: 5000,
        keep_alive_max_seconds: 60,
        session_expiry_max_seconds: 14 * 86_400,
        ..Limits::default()
    };
    assert_eq!(config.limits, expected);
    assert_eq!(config.delivery.queue_qos0_messages, Sessions::All(true));
    assert_eq!(config.delivery.upgrade_outgoing_qos, Sessions::All(true));
    let expected = ClientsConfig {
        retain_available: false,
        retained_expiry: Some(Duration::from_secs(180)),
        refuse_long_keep_alive: true,
        sys_interval: None,
    };
    assert_eq!(config.clients, expected);
    let path = |name: &str| directory.path().join(name);
    assert_eq!(config.process, ProcessConfig { user: None, pid_file: Some(path("pid")) });
    assert_eq!(config.persistence.mode, Persistence::Durable);
    assert_eq!(config.persistence.directory, path("a.db.gaugeline"));
    let expected = LoggingConfig {
        destinations: vec![
            LogDestination::File(path("log file")),
            LogDestination::Syslog(SyslogFacility::Local(3)),
        ],
        timestamp: LogTimestamp::Format("%H:%M".into()),
        connection_messages: false,
    };
    assert_eq!((config.logging, config.log), (expected, LogLevel::Debug));
    let expected = ListenerConfig {
        protocol: Protocol::WebSocket(WebSocketConfig {
            origins: vec!["http://a".into(), "http://b".into()],
            ..WebSocketConfig::default()
        }),
        connections_max: Some(3),
        mount_point: Some("a/".into()),
        maximum_qos: QoS::AtLeastOnce,
        topic_alias_maximum: Some(0),
        versions: vec![Version::V31, Version::V5],
        interface: Some("lo".into()),
        ..ListenerConfig::new("[::]:1".parse().unwrap())
    };
    assert_eq!(config.listeners, [expected]);
}

#[test]
fn no_limit_is_the_most_that_can_be_said() {
    let limits =
        config("max_inflight_messages 0\nmax_queued_messages 0\nmax_queued_bytes -1\nmax_connections -1")
            .limits;
    assert_eq!((limits.inflight_messages, limits.queue_messages), (65_535, 1_000_000_000));
    assert_eq!(limits.queue_bytes, 1_099_511_627_776);
    for (text, seconds) in [("1s", 1), ("2h", 7200), ("1d", 86_400), ("1m", 2_592_000), ("1y", 31_536_000)] {
        let limits = config(&format!("persistent_client_expiration {text} # or so")).limits;
        assert_eq!(limits.session_expiry_max_seconds, seconds);
    }
    assert_eq!(config("persistent_client_expiration 999y").limits.session_expiry_max_seconds, u32::MAX);
}

#[test]
fn log_lines() {
    let stderr = LogDestination::Stderr;
    for (text, level, destinations) in [
        ("", LogLevel::Info, vec![stderr.clone()]),
        ("log_type none", LogLevel::Off, vec![stderr.clone()]),
        ("log_type all", LogLevel::Debug, vec![stderr.clone()]),
        ("log_type warning\nlog_type error", LogLevel::Warn, vec![stderr.clone()]),
        ("log_type all\nlog_type none\nlog_type notice", LogLevel::Info, vec![stderr.clone()]),
        ("log_dest none", LogLevel::Info, vec![]),
        ("log_dest stdout\nlog_dest none\nlog_dest stderr", LogLevel::Info, vec![stderr.clone()]),
        ("log_dest topic", LogLevel::Info, vec![stderr]),
        ("log_dest syslog", LogLevel::Info, vec![LogDestination::Syslog(SyslogFacility::Daemon)]),
        ("log_dest stdout\nlog_dest stdout", LogLevel::Info, vec![LogDestination::Stdout]),
    ] {
        let config = config(text);
        assert_eq!((config.log, config.logging.destinations), (level, destinations), "{text}");
    }
    assert_eq!(config("log_timestamp false").logging.timestamp, LogTimestamp::None);
}

#[test]
fn the_command_line_comes_first() {
    let read = |text, overrides| read(&directory(), text, &overrides).unwrap().config;
    let port = Overrides { port: Some(7), ..Overrides::default() };
    assert_eq!(read("", port).listeners[1].bind, "[::1]:7".parse().unwrap());
    assert_eq!(read("listener 8", port).listeners[0].bind.port(), 8);
    let verbose = Overrides { verbose: true, ..Overrides::default() };
    assert_eq!(read("log_type none", verbose).log, LogLevel::Debug);
    let quiet = Overrides { quiet: true, verbose: true, ..Overrides::default() };
    assert_eq!(read("", quiet).log, LogLevel::Off);
}

#[test]
fn encryption() {
    let tls = |lines: &str| {
        config(&format!("listener 1\ncertfile @/crt\nkeyfile @/key\n{lines}")).listeners[0]
            .tls
            .clone()
            .unwrap()
    };
    let plain = tls("");
    assert_eq!((plain.client_certificate, plain.ca), (ClientCertificate::NotAsked, None));
    assert_eq!((plain.versions, plain.readable_key), (TlsVersions::default(), ReadableKey::Warned));
    let full =
        tls("cafile @/ca\ncapath @/cas\ncrlfile @/crl\nrequire_certificate true\ntls_version tlsv1.3\n\
                    ciphers ECDHE-RSA-AES128-GCM-SHA256\nciphers_tls1.3 TLS_AES_128_GCM_SHA256");
    assert!(full.ca.is_some() && full.ca_directory.is_some() && full.crl.is_some());
    assert_eq!(full.client_certificate, ClientCertificate::Required);
    assert_eq!(full.versions, TlsVersions { v1_2: false, v1_3: true });
    let names = ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"];
    assert_eq!(full.ciphers, Ciphers::from_names(names).unwrap());
    assert_eq!(tls("protocol websockets").application, Application::WebSocket);
    assert_eq!(tls("cafile @/ca").client_certificate, ClientCertificate::NotAsked);
}

#[test]
fn included_files_begin_without_a_listener() {
    let directory = directory();
    fs::create_dir(directory.path().join("d")).unwrap();
    fs::write(directory.path().join("d/1.conf"), "listener 5\nmax_connections 6\n").unwrap();
    fs::write(directory.path().join("d/2.conf"), "max_queued_messages 3\n").unwrap();
    fs::write(directory.path().join("d/3.txt"), "nonsense\n").unwrap();
    let text = "listener 4\ninclude_dir @/d\nmax_connections 7\n";
    let loaded = read(&directory, text, &Overrides::default()).unwrap();
    let found =
        loaded.config.listeners.iter().map(|listener| (listener.bind.port(), listener.connections_max));
    assert_eq!(found.collect::<Vec<_>>(), [(4, Some(7)), (5, Some(6))]);
    assert_eq!(loaded.config.limits.queue_messages, 23);
    let names = loaded.config.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["m.conf", "d", "1.conf", "2.conf"]);
    for (content, expected) in [
        ("include_dir .\n", "d/2.conf:1: found `include_dir` in an included file"),
        ("\ncertfile a\n", "d/2.conf:2: found `certfile` before a listener"),
    ] {
        fs::write(directory.path().join("d/2.conf"), content).unwrap();
        let error = read(&directory, text, &Overrides::default()).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn memory_limit_may_be_more_than_two_gibibytes() {
    assert_eq!(config("memory_limit 0x100000000").limits.queue_bytes_total, 4 << 30);
    assert_eq!(config("memory_limit 0").limits, config("").limits);
}

/// A directory that holds the main file too would be read for ever.
#[test]
fn a_main_file_that_includes_itself_is_refused() {
    let error = error("include_dir @\n");
    assert!(error.starts_with("m.conf:1: found `include_dir` in an included file"), "{error}");
}

#[test]
fn what_works_otherwise_is_said() {
    for (text, expected) in [
        ("autosave_interval 5", "1: `autosave_interval` is ignored: with `persistence true`, all"),
        ("\nset_tcp_nodelay false", "2: `set_tcp_nodelay false` is ignored: small packets"),
        ("allow_duplicate_messages true", "1: `allow_duplicate_messages true` is ignored: a client gets"),
        ("log_dest topic", "1: `log_dest topic` is ignored"),
        ("max_qos 1", "1: `max_qos` is ignored: there is no listener"),
        (
            "max_qos 1\nlistener 5",
            "1: `max_qos` stands before every listener: as by mosquitto, it opens port 1883",
        ),
        ("listener 1\nwebsockets_origin a", "1: `websockets_origin` is ignored: this listener has no"),
        (
            "listener 1\ncertfile @/crt\nkeyfile @/key\ntls_version tlsv1.1",
            "4: `tls_version tlsv1.1` is ignored",
        ),
        (
            "listener 1\ncertfile @/crt\nkeyfile @/key\nciphers AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256",
            "4: these ciphers are left out, gaugeline has not got them: AES128-SHA",
        ),
        ("dhparamfile", "1: `dhparamfile` is ignored"),
        (
            "listener 1\nmount_point a/b",
            "2: `mount_point a/b` does not end with `/`: the topic `x` of its clients is `a/bx`",
        ),
    ] {
        let found = warnings(text);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
    }
    assert_eq!(
        warnings("set_tcp_nodelay true\nallow_duplicate_messages false\ncheck_retain_source false"),
        [""; 0]
    );
    let directory = directory();
    fs::write(directory.path().join("mosquitto.db"), "").unwrap();
    let loaded = read(&directory, "persistence true\npersistence_location @", &Overrides::default()).unwrap();
    let text = loaded.warnings[0].to_string();
    assert!(text.contains("m.conf:2: ") && text.contains("mosquitto.db is not read"), "{text}");
}

/// Strings of which the last one counts, as by mosquitto 2.1.
#[test]
fn the_last_one_wins() {
    let config = config(
        "listener 1\npassword_file @/none\npassword_file @/passwd\nuser a\nuser b\nmax_qos 0\nmax_qos 2\n\
                         allow_anonymous true\nallow_anonymous false\n",
    );
    assert!(config.realms[0].password_file.as_ref().unwrap().ends_with("passwd"));
    assert_eq!(config.process.user, Some(User { name: "b".into(), or_nobody: false }));
    assert_eq!(config.listeners[0].maximum_qos, QoS::ExactlyOnce);
    assert!(!config.realms[0].allow_anonymous);
}
