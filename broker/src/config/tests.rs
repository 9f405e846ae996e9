mod errors;

use std::fs;

use super::*;
use crate::auth::Access;

/// A directory with the files that configurations name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["pki", "secrets"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    for name in
        ["passwd", "acl", "pki/server.crt", "pki/server.key", "pki/ca.crt", "pki/crl.pem", "secrets/admin"]
    {
        fs::write(directory.path().join(name), "").unwrap();
    }
    directory
}

fn load(directory: &tempfile::TempDir, text: &str) -> Result<Config, ConfigError> {
    let path = directory.path().join("broker.toml");
    fs::write(&path, text).unwrap();
    Config::load(&path)
}

/// The error without the directory.
fn error(text: &str) -> String {
    let directory = directory();
    let error = load(&directory, text).unwrap_err().to_string();
    error.replace(&format!("{}/", directory.path().display()), "")
}

const PLAIN: &str = "[[listener]]\nbind = \"127.0.0.1:1883\"\n";

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(name)
}

#[test]
fn the_sample_has_every_key_with_its_default() {
    let directory = directory();
    let text = fs::read_to_string(sample("broker.toml")).unwrap();
    let config = load(&directory, &text).unwrap();
    let path = |name: &str| directory.path().join(name);
    let tls = TlsConfig {
        ca: Some(path("pki/ca.crt")),
        crl: Some(path("pki/crl.pem")),
        ..TlsConfig::new(path("pki/server.crt"), path("pki/server.key"))
    };
    let expected = Config {
        realms: vec![RealmConfig {
            password_file: Some(path("passwd")),
            acl_file: Some(path("acl")),
            ..realm_default()
        }],
        admin: Some(ADMIN_DEFAULT),
        admin_token_file: Some(path("secrets/admin")),
        audit: None,
        log: LogLevel::Info,
        listeners: vec![
            ListenerConfig { tls: Some(tls), ..ListenerConfig::new("0.0.0.0:8883".parse().unwrap()) },
            ListenerConfig::new("127.0.0.1:1883".parse().unwrap()),
        ],
        limits: Limits::default(),
        delivery: DeliveryConfig {
            queue_qos0_messages: Sessions::Of(vec!["gaugeline-bridge".into()]),
            upgrade_outgoing_qos: Sessions::Of(vec!["gaugeline-bridge".into()]),
            queue_overflow: Overflow::RejectNewest,
        },
        persistence: PersistenceConfig {
            mode: Persistence::Durable,
            directory: path("data"),
            accept_damage: false,
        },
        clients: ClientsConfig::default(),
        logging: LoggingConfig::default(),
        process: ProcessConfig::default(),
        files: vec![path("broker.toml")],
    };
    assert_eq!(config, expected);
    for (key, default) in Limits::defaults() {
        let depends_on_the_machine = ["password_checks", "tls_handshakes"].contains(&key);
        let line = format!("{key} = {default}");
        let is_there = text.lines().any(|found| found.split('#').next().unwrap().trim_end() == line);
        assert!(depends_on_the_machine || is_there, "{line}");
    }
}

/// What a realm of broker.toml is without a key.
fn realm_default() -> RealmConfig {
    let acl_options = AclOptions { refuse_futile_subscribe: true, ..AclOptions::default() };
    RealmConfig { acl_options, ..RealmConfig::default() }
}

#[test]
fn what_goes_beyond_mosquitto_can_be_switched() {
    let text = "acl_refuse_futile_subscribe = false\nacl_deny_wins = true\nacl_extensions = true\n";
    let config = load(&directory(), &format!("{text}{PLAIN}")).unwrap();
    let options = AclOptions { refuse_futile_subscribe: false, deny_wins: true, extensions: true };
    assert_eq!(config.realms[0].acl_options, options);
}

#[test]
fn a_scram_file_is_named_for_all_or_for_a_listener_and_watched() {
    let directory = directory();
    fs::write(directory.path().join("scram"), "").unwrap();
    let scram = directory.path().join("scram");
    let text = format!("scram_file = \"scram\"\n{PLAIN}");
    let config = load(&directory, &text).unwrap();
    assert_eq!(config.realms, [RealmConfig { scram_file: Some(scram.clone()), ..realm_default() }]);
    assert!(config.watched().contains(&scram));
    let config = load(&directory, &format!("{PLAIN}\nscram_file = \"scram\"")).unwrap();
    assert_eq!((config.realms.len(), config.listeners[0].realm), (2, RealmId::from_index(1)));
    assert_eq!((&config.realms[0].scram_file, &config.realms[1].scram_file), (&None, &Some(scram)));
    let written = to_toml(&config);
    assert!(written.contains("scram_file"), "{written}");
    assert!(error(&format!("scram_file = \"none\"\n{PLAIN}")).starts_with("broker.toml:1: "));
}

#[test]
fn the_sample_users_and_rules_load() {
    let realm = RealmConfig {
        password_file: Some(sample("passwd")),
        acl_file: Some(sample("acl")),
        ..RealmConfig::default()
    };
    let access = Access::load(&[realm]).unwrap();
    let realm = access.realm(RealmId::FIRST);
    let users = realm.passwords.as_ref().unwrap().users().collect::<Vec<_>>();
    assert_eq!(users, ["bridge", "sensor", "viewer"]);
    for (user, access_kind, topic, expected) in [
        ("sensor", crate::auth::AccessKind::Write, "sensors/a/b", true),
        ("sensor", crate::auth::AccessKind::Read, "sensors/a/b", false),
        ("viewer", crate::auth::AccessKind::Read, "sensors/a/b", true),
        ("bridge", crate::auth::AccessKind::Read, "anything", true),
        ("bridge", crate::auth::AccessKind::Write, "anything", false),
        ("sensor", crate::auth::AccessKind::Read, "devices/sensor/x", true),
    ] {
        let decision = realm.acl.as_ref().unwrap().decide(Some(user), "c", access_kind, topic);
        assert_eq!(decision.allowed, expected, "{user} {topic}");
    }
}

#[test]
fn the_shortest_file() {
    let config = load(&directory(), PLAIN).unwrap();
    assert_eq!(config.realms, [realm_default()]);
    assert_eq!((config.admin, config.log), (Some(ADMIN_DEFAULT), LogLevel::Info));
    assert_eq!((config.listeners.len(), config.limits), (1, Limits::default()));
}

#[test]
fn a_listener_with_rules_of_its_own_has_a_realm_of_its_own() {
    let text = "password_file = \"passwd\"\nallow_anonymous = true\n\
                [[listener]]\nbind = \"127.0.0.1:1\"\n\
                [[listener]]\nbind = \"127.0.0.1:2\"\nacl_file = \"acl\"\nallow_anonymous = false\n\
                allow_empty_client_ids = false\n";
    let directory = directory();
    let config = load(&directory, text).unwrap();
    let (passwd, acl) = (directory.path().join("passwd"), directory.path().join("acl"));
    let first = RealmConfig { password_file: Some(passwd.clone()), allow_anonymous: true, ..realm_default() };
    let second = RealmConfig {
        name: Some("127.0.0.1:2".into()),
        password_file: Some(passwd),
        acl_file: Some(acl),
        allow_anonymous: false,
        client_ids: ClientIds { allow_empty: false, ..ClientIds::default() },
        ..realm_default()
    };
    assert_eq!(config.realms, [first, second]);
    let realms = config.listeners.iter().map(|listener| listener.realm).collect::<Vec<_>>();
    assert_eq!(realms, [RealmId::FIRST, RealmId::from_index(1)]);
}

#[test]
fn values_arrive() {
    let text = "admin = \"off\"\nlog = \"debug\"\nallow_anonymous = true\n\
                [[listener]]\nbind = \"[::]:0\"\nplain_text_on_network = true\n\
                [[listener]]\nbind = \"[::]:0\"\ncertificate = \"pki/server.crt\"\nkey = \"pki/server.key\"\n\
                ca = \"pki/ca.crt\"\nrequire_certificate = true\ntls_versions = [\"1.3\"]\n\
                [limits]\nconnections = 5\nsession_expiry_max_seconds = 4294967295\npassword_checks = 3\n";
    let config = load(&directory(), text).unwrap();
    assert_eq!((config.admin, config.log, config.realms[0].allow_anonymous), (None, LogLevel::Debug, true));
    assert_eq!(config.listeners[0].tls, None);
    let tls = config.listeners[1].tls.as_ref().unwrap();
    assert_eq!((tls.client_certificate, tls.ca.is_some()), (ClientCertificate::Required, true));
    assert_eq!(tls.versions, TlsVersions { v1_2: false, v1_3: true });
    assert_eq!((config.limits.connections, config.limits.packet_bytes), (5, 2_000_000));
    assert_eq!(config.limits.authenticator().concurrent, 3);
    let network = format!("admin = \"0.0.0.0:1\"\nadmin_on_network = true\n{PLAIN}");
    assert_eq!(load(&directory(), &network).unwrap().admin, Some("0.0.0.0:1".parse().unwrap()));
}

#[test]
fn values_about_clients_and_logs_arrive() {
    let text = "user = \"nobody\"\nuser_or_nobody = true\npid_file = \"run/pid\"\nallow_empty_client_ids = false\n\
                assigned_client_id_prefix = \"\"\nclient_id_prefixes = [\"a\"]\nuser_name_as_client_id = true\n\
                [[listener]]\nbind = \"[::]:1\"\nplain_text_on_network = true\nprotocol = \"websocket\"\n\
                origins = [\"http://a\"]\nconnections = 3\nmount_point = \"a/\"\nmaximum_qos = 1\n\
                topic_alias_maximum = 0\nversions = [\"5.0\"]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.1\"]\nipv6_only = true\noptional = true\n\
                interface = \"lo\"\n\
                [clients]\nretain_available = false\nretained_expiry_seconds = 60\n\
                refuse_long_keep_alive = true\nsys_interval_seconds = 10\n\
                [logging]\ndestinations = [\"stdout\", \"syslog:local7\"]\nfile = \"log\"\n\
                timestamp = \"%s\"\nconnection_messages = false\n";
    let directory = directory();
    let config = load(&directory, text).unwrap();
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(
        config.process,
        ProcessConfig {
            user: Some(User { name: "nobody".into(), or_nobody: true }),
            pid_file: Some(directory.path().join("run/pid")),
        }
    );
    assert_eq!(
        config.realms[0].client_ids,
        ClientIds {
            allow_empty: false,
            assigned_prefix: "".into(),
            prefixes: vec!["a".into()],
            from_user_name: true,
        }
    );
    assert_eq!(
        config.listeners[0],
        ListenerConfig {
            ipv6_only: true,
            optional: true,
            interface: Some("lo".into()),
            protocol: Protocol::WebSocket(WebSocketConfig {
                origins: vec!["http://a".into()],
                ..WebSocketConfig::default()
            }),
            connections_max: Some(3),
            mount_point: Some("a/".into()),
            maximum_qos: gaugeline_protocol::QoS::AtLeastOnce,
            topic_alias_maximum: Some(0),
            versions: vec![gaugeline_protocol::Version::V5],
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            deny: vec!["10.0.0.1".parse().unwrap()],
            ..ListenerConfig::new("[::]:1".parse().unwrap())
        }
    );
    assert_eq!(
        config.clients,
        ClientsConfig {
            retain_available: false,
            retained_expiry: seconds(60),
            refuse_long_keep_alive: true,
            sys_interval: seconds(10),
        }
    );
    assert_eq!(
        config.logging,
        LoggingConfig {
            destinations: vec![
                LogDestination::Stdout,
                LogDestination::Syslog(SyslogFacility::Local(7)),
                LogDestination::File(directory.path().join("log")),
            ],
            timestamp: LogTimestamp::Format("%s".into()),
            connection_messages: false,
        }
    );
}

fn check_errors(cases: impl IntoIterator<Item = (String, &'static str)>) {
    for (text, expected) in cases {
        let found = error(&text);
        assert!(found.starts_with(expected), "{found}\n{expected}\n{text}");
        assert!(!found.contains('\n'), "{found}");
    }
}

#[test]
fn errors_have_a_line() {
    check_errors([
        (String::new(), "broker.toml: found no listener, expected at least one `[[listener]]`"),
        ("[[listener]]\n".into(), "broker.toml:1: found no key `bind`"),
        (
            format!("\nfoo = 1\n{PLAIN}"),
            "broker.toml:2: found the unknown key `foo`, expected one of `password_file`, ",
        ),
        (format!("{PLAIN}tls = 1"), "broker.toml:3: found the unknown key `tls`, expected one of `bind`, "),
        (
            format!("{PLAIN}[limits]\nconection = 1"),
            "broker.toml:4: found the unknown key `conection`, expected one of `connections`, ",
        ),
        (format!("allow_anonymous = 1\n{PLAIN}"), "broker.toml:1: found integer `1`, expected a boolean"),
        (
            format!("log = \"loud\"\n{PLAIN}"),
            "broker.toml:1: found unknown variant `loud`, expected one of `off`, `error`",
        ),
        ("a = \n".into(), "broker.toml:1: found "),
        (
            "[[listener]]\nbind = \"localhost:1883\"".into(),
            "broker.toml:2: found `localhost:1883`, expected an IP address and a port such as `0.0.0.0:8883`",
        ),
        (
            "[[listener]]\nbind = \"127.0.0.1\"".into(),
            "broker.toml:2: found `127.0.0.1`, expected an IP address",
        ),
        (
            "[[listener]]\nbind = \"0.0.0.0:1883\"".into(),
            "broker.toml:2: found `0.0.0.0:1883` without TLS, expected a `certificate` and a `key`, a loopback",
        ),
        (
            format!("{PLAIN}{PLAIN}"),
            "broker.toml:4: found `127.0.0.1:1883` twice, expected different addresses",
        ),
        (
            format!("admin = \"0.0.0.0:9883\"\n{PLAIN}"),
            "broker.toml:1: found `0.0.0.0:9883`, expected a loopback address, or `admin_on_network = true`",
        ),
        (format!("admin = \"on\"\n{PLAIN}"), "broker.toml:1: found `on`, expected `off`, or an IP address"),
        (format!("{PLAIN}[limits]\nconnections = 0"), "broker.toml:4: found 0, expected 1 to 10000000"),
        (
            format!("{PLAIN}[limits]\nreceive_maximum = 65536"),
            "broker.toml:4: found 65536, expected 1 to 65535",
        ),
        (
            format!("{PLAIN}[limits]\nqueue_bytes = -1"),
            "broker.toml:4: found -1, expected 1 to 1099511627776",
        ),
        (format!("{PLAIN}[limits]\nqueue_bytes = \"1\""), "broker.toml:4: found string \"1\", expected "),
    ]);
}

/// Two lines.
const TLS: &str = "certificate = \"pki/server.crt\"\nkey = \"pki/server.key\"\n";

#[test]
fn keys_about_clients_arrive() {
    let text = format!(
        "[[listener]]\nbind = \"127.0.0.1:8883\"\n{TLS}ca_directory = \"pki\"\ncrl = \"pki/crl.pem\"\n\
         request_certificate = true\nidentity = \"common-name\"\nclient_id_must_be = \"%u-*\"\n\
         ciphers = [\"TLS_AES_128_GCM_SHA256\"]\nallow_readable_key = true\n"
    );
    let listener = load(&directory(), &text).unwrap().listeners.remove(0);
    assert_eq!(listener.identity, IdentitySource::CommonName);
    assert_eq!(listener.client_id_rule, ClientIdRule::UserAndMore("-".into()));
    let tls = listener.tls.unwrap();
    assert_eq!(
        (tls.client_certificate, tls.readable_key),
        (ClientCertificate::Optional, ReadableKey::Warned)
    );
    assert_eq!(tls.ciphers, Ciphers::from_names(["TLS_AES_128_GCM_SHA256"]).unwrap());
    assert!(tls.ca.is_none() && tls.ca_directory.is_some() && tls.crl.is_some());
}

#[test]
fn errors_of_keys_about_clients_have_a_line() {
    let listener = |lines: &str| format!("[[listener]]\nbind = \"127.0.0.1:8883\"\n{lines}\n");
    check_errors([
        (listener("request_certificate = true"), "broker.toml:3: found `request_certificate` without TLS"),
        (listener("crl = \"pki/ca.crt\""), "broker.toml:3: found `crl` without TLS"),
        (listener("ciphers = [\"x\"]"), "broker.toml:3: found `ciphers` without TLS"),
        (
            listener(&format!("{TLS}ciphers = [\"TLS_AES_128_GCM_SHA256\",\n\"RC4-MD5\"]")),
            "broker.toml:6: found \"RC4-MD5\", expected TLS_AES_256_GCM_SHA384, ",
        ),
        (
            listener(&format!("{TLS}ca_directory = \"pki/ca.crt\"\nrequire_certificate = true")),
            "broker.toml:5: found `",
        ),
        (
            listener(&format!("{TLS}request_certificate = true")),
            "broker.toml:5: found `request_certificate = true` without `ca`",
        ),
        (
            listener("identity = \"name\""),
            "broker.toml:3: found \"name\", expected \"password\", \"common-name\" or \"subject\"",
        ),
        (
            listener(&format!("{TLS}identity = \"subject\"")),
            "broker.toml:5: found `identity = \"subject\"` without client certificates, expected `require_cert",
        ),
        (
            listener("client_id_must_be = \"user\""),
            "broker.toml:3: found \"user\", expected \"%u\" for the user name",
        ),
    ]);
}

#[test]
fn errors_of_listeners_and_files_have_a_line() {
    let listener = |lines: &str| format!("[[listener]]\nbind = \"127.0.0.1:8883\"\n{lines}\n");
    check_errors([
        (
            listener("certificate = \"pki/server.crt\""),
            "broker.toml:3: found a `certificate` without a `key`, expected both",
        ),
        (
            listener("key = \"pki/server.key\""),
            "broker.toml:3: found a `key` without a `certificate`, expected both",
        ),
        (
            listener("ca = \"pki/ca.crt\""),
            "broker.toml:3: found `ca` without TLS, expected `certificate` and `key`",
        ),
        (listener("require_certificate = true"), "broker.toml:3: found `require_certificate` without TLS"),
        (listener("tls_versions = [\"1.3\"]"), "broker.toml:3: found `tls_versions` without TLS"),
        (
            listener(
                "certificate = \"pki/server.crt\"\nkey = \"pki/server.key\"\nrequire_certificate = true",
            ),
            "broker.toml:5: found `require_certificate = true` without `ca`, expected `ca`",
        ),
        (
            listener(
                "certificate = \"pki/server.crt\"\nkey = \"pki/server.key\"\ntls_versions = [\n\"1.3\",\n\"1.1\"]",
            ),
            "broker.toml:7: found \"1.1\", expected \"1.2\" or \"1.3\"",
        ),
        (
            listener("certificate = \"pki/server.crt\"\nkey = \"pki/server.key\"\ntls_versions = []"),
            "broker.toml:5: found no TLS version, expected \"1.2\" or \"1.3\"",
        ),
        (
            listener("certificate = \"pki/none\"\nkey = \"pki/server.key\""),
            "broker.toml:3: found `pki/none`, which cannot be opened (No such file or directory",
        ),
        (
            format!("password_file = \"pki\"\n{PLAIN}"),
            "broker.toml:1: found `pki`, which is not a file, expected a file that can be read",
        ),
        (
            format!("\nacl_file = \"/no/such/file\"\n{PLAIN}"),
            "broker.toml:2: found `/no/such/file`, which cannot be opened",
        ),
    ]);
}

#[test]
fn every_limit_accepts_its_default_and_refuses_what_is_out_of_range() {
    let directory = directory();
    for (key, default) in Limits::defaults() {
        let text = |value: i64| format!("{PLAIN}[limits]\n{key} = {value}\n");
        assert!(load(&directory, &text(default)).is_ok(), "{key}");
        for wrong in [-1, i64::MAX] {
            assert!(load(&directory, &text(wrong)).is_err(), "{key} {wrong}");
        }
    }
}

#[test]
fn the_audit_log_has_bounds() {
    let audit = |lines: &str| format!("{PLAIN}[audit]\nfile = \"audit.jsonl\"\n{lines}");
    let directory = directory();
    let config = load(&directory, &audit("file_bytes = 4096\nfiles = 0")).unwrap();
    let expected = AuditConfig { file: directory.path().join("audit.jsonl"), file_bytes: 4096, files: 0 };
    assert_eq!(config.audit, Some(expected));
    check_errors([
        (audit("file_bytes = 1"), "broker.toml:5: found 1, expected at least 4096"),
        (audit("files = 1001"), "broker.toml:5: found 1001, expected at most 1000"),
        (format!("{PLAIN}[audit]\n"), "broker.toml:3: found no key `file`"),
    ]);
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/no/such/broker.toml")).unwrap_err().to_string();
    assert_eq!(error, "/no/such/broker.toml: cannot be read: No such file or directory (os error 2)");
}
