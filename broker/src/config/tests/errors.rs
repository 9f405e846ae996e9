use super::*;

#[test]
fn errors_of_clients_and_logs_have_a_line() {
    let listener = |line: &str| format!("{PLAIN}{line}\n");
    check_errors([
        (listener("origins = []"), "broker.toml:3: found `origins`, expected it only beside `protocol"),
        (listener("protocol = \"http\""), "broker.toml:3: found unknown variant `http`, expected `mqtt`"),
        (listener("connections = 0"), "broker.toml:3: found 0, expected at least 1"),
        (
            listener("mount_point = \"a/#\""),
            "broker.toml:3: found \"a/#\", expected the beginning of a topic",
        ),
        (
            listener("mount_point = \"site\""),
            "broker.toml:3: found \"site\", which would be a part of the first level of each topic, expected \"site/\", \
             or `mount_point_within_level = true`",
        ),
        (
            listener("mount_point_within_level = true"),
            "broker.toml:3: found `mount_point_within_level`, expected it only beside `mount_point`",
        ),
        (listener("maximum_qos = 3"), "broker.toml:3: found 3, expected 0, 1 or 2"),
        (listener("versions = []"), "broker.toml:3: found no version of MQTT, expected \"3.1\""),
        (
            listener("versions = [\"4\"]"),
            "broker.toml:3: found \"4\", expected \"3.1\", \"3.1.1\" or \"5.0\"",
        ),
        (listener("ipv6_only = true"), "broker.toml:3: found `ipv6_only = true`, expected it only beside"),
        (
            listener("[clients]\nsys_interval_seconds = 65536"),
            "broker.toml:4: found 65536, expected 0 to 65535",
        ),
        (listener("[logging]\ndestinations = [\"a\"]"), "broker.toml:4: found \"a\", expected \"stderr\""),
        (
            format!("assigned_client_id_prefix = \"{}\"\n{PLAIN}", "a".repeat(51)),
            "broker.toml:1: found \"aaa",
        ),
    ]);
}
