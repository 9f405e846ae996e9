use super::*;

/// A directory with the files that configurations name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("secrets")).unwrap();
    for file in ["ca.crt", "client.crt", "client.key", "secrets/bridge", "secrets/token"] {
        std::fs::write(directory.path().join(file), "content\n").unwrap();
    }
    directory
}

fn parse(text: &str) -> Result<Config, String> {
    let directory = directory();
    let path = directory.path().join("bridge.toml");
    Config::parse(&path, text)
        .map_err(|error| error.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

#[test]
fn defaults() {
    let config = parse("[mqtt]\nurl = \"mqtts://localhost\"\n").unwrap();
    assert_eq!(config.mqtt.url.to_string(), "mqtts://localhost:8883");
    assert_eq!(config.mqtt.client_id.to_string(), "gaugeline-bridge");
    assert_eq!(config.mqtt.topics.iter().map(TopicFilter::as_str).collect::<Vec<_>>(), ["#"]);
    assert_eq!(config.mqtt.session_expiry_seconds, 604_800);
    assert_eq!((config.batch.lines.get(), config.batch.bytes.get()), (5000, 1 << 20));
    assert_eq!(config.limits.messages_in_flight.get(), 65_535);
    let SinkConfig::Files(files) = config.sink else { panic!("{:?}", config.sink) };
    assert!(files.directory.ends_with("telemetry") && files.directory.is_absolute());
    assert!(config.dead_letter.directory.ends_with("dead-letter"));
}

#[test]
fn sinks() {
    let sink = |text: &str| {
        let config = parse(&format!("[mqtt]\nurl = \"mqtt://h\"\n[sink]\n{text}")).unwrap();
        let SinkConfig::Influx(influx) = config.sink else { panic!("{:?}", config.sink) };
        influx
    };
    let v1 = sink("kind = \"influx1\"\nurl = \"http://127.0.0.1:8086\"\ndatabase = \"telemetry\"\n");
    assert!(matches!(v1.api, InfluxApi::V1 { login: None, create_database: true, .. }));
    assert_eq!((v1.concurrent_writes.get(), v1.gzip), (1, false));
    let v1 = sink(
        "kind = \"influx1\"\nurl = \"https://h\"\ndatabase = \"d\"\nuser = \"u\"\npassword_file = \"secrets/bridge\"\n\
         ca = \"ca.crt\"\ngzip = true\ncreate_database = false\nretention_policy = \"year\"\n",
    );
    assert!(matches!(v1.api, InfluxApi::V1 { login: Some(_), create_database: false, .. }));
    assert!(v1.gzip && v1.ca.is_some());
    let v2 = sink(
        "kind = \"influx2\"\nurl = \"http://h\"\norg = \"o\"\nbucket = \"b\"\ntoken_file = \"secrets/token\"\n",
    );
    assert!(matches!(v2.api, InfluxApi::V2 { .. }));
    let v3 = sink("kind = \"influx3\"\nurl = \"http://h\"\ndatabase = \"d\"\nconcurrent_writes = 8\n");
    assert!(matches!(v3.api, InfluxApi::V3 { token_file: None, .. }));
    assert_eq!(v3.concurrent_writes.get(), 8);
}

#[test]
fn own_metrics() {
    let config = |text: &str| parse(&format!("[mqtt]\nurl = \"mqtt://h\"\n{text}"));
    let one =
        "[sink]\nkind = \"influx1\"\nurl = \"http://h\"\ndatabase = \"d\"\nretention_policy = \"year\"\n";
    let two = "[sink]\nkind = \"influx2\"\nurl = \"http://h\"\norg = \"o\"\nbucket = \"b\"\ntoken_file = \"secrets/token\"\n";
    assert!(config(one).unwrap().own_metrics.is_none());
    assert!(config(&format!("{one}[metrics]\nenabled = false\n")).unwrap().own_metrics.is_none());
    let own = config(&format!("{one}[metrics]\n")).unwrap().own_metrics.unwrap();
    assert_eq!((own.interval, own.instance.as_str()), (Duration::from_secs(10), "gaugeline-bridge"));
    assert_eq!(own.broker_admin.unwrap().as_str(), "http://127.0.0.1:9883/metrics");
    let InfluxApi::V1 { database, retention_policy: None, .. } = own.influx.api else { panic!() };
    assert_eq!(database, "gaugeline");
    let own = config(&format!(
        "{two}[metrics]\nbucket = \"own\"\ninterval_seconds = 1\nbroker_admin = \"off\"\ninstance = \"hall\"\n"
    ));
    let own = own.unwrap().own_metrics.unwrap();
    assert_eq!((own.interval, own.instance.as_str()), (Duration::from_secs(1), "hall"));
    assert!(own.broker_admin.is_none());
    let InfluxApi::V2 { bucket, org, .. } = own.influx.api else { panic!() };
    assert_eq!((bucket.as_str(), org.as_str()), ("own", "o"));
    for (text, expected) in [
        ("[metrics]\n".to_owned(), "bridge.toml:3: `[metrics]` needs InfluxDB as the sink"),
        (format!("{one}[metrics]\nbucket = \"b\""), "bridge.toml:9: `bucket` is not for this kind of sink"),
        (
            format!("{two}[metrics]\ndatabase = \"b\""),
            "bridge.toml:10: `database` is not for this kind of sink",
        ),
        (format!("{one}[metrics]\ndatabase = \"\""), "bridge.toml:9: `database` is empty"),
        (
            format!("{one}[metrics]\ninterval_seconds = 0"),
            "bridge.toml:9: `interval_seconds` is 0, and 1 to 3600",
        ),
        (
            format!("{one}[metrics]\nbroker_admin = \"127.0.0.1:9883\""),
            "bridge.toml:9: `broker_admin` is `127.0.0.1:9883`",
        ),
        (format!("{one}[metrics]\nbroker_admin = \"https://h\""), "bridge.toml:9: `broker_admin` is"),
        (format!("{one}[metrics]\ncolour = 1"), "bridge.toml:9: unknown field `colour`"),
    ] {
        let error = config(&text).unwrap_err();
        assert!(error.starts_with(expected), "{text}\nfound:    {error}\nexpected: {expected}");
    }
}

#[test]
fn the_sample_is_valid() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/bridge.toml");
    let text = std::fs::read_to_string(sample).unwrap();
    let directory = directory();
    for file in ["pki/ca.crt", "secrets/influx"] {
        let path = directory.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "content\n").unwrap();
    }
    let path = directory.path().join("bridge.toml");
    let config = Config::parse(&path, &text).unwrap();
    assert!(!config.rules.is_empty());
    // What the sample shows in comments has to be valid too: with the comment signs of keys and tables removed.
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    let (head, alternatives) = text.split_once("# Other sinks").unwrap();
    let head = head.split_once("\n[sink]").unwrap().0;
    let metrics = alternatives.split("\n\n").find(|part| part.contains("#[metrics]")).unwrap();
    for alternative in alternatives.split("\n\n").filter(|part| part.contains("#[sink]")) {
        let mut lines: Vec<String> = alternative.lines().map(uncomment).collect();
        // The sample's word for the database is that of InfluxDB 1 and 3.
        let metrics =
            metrics.lines().filter(|line| !alternative.contains("bucket") || !line.contains("bucket"));
        lines.extend(metrics.map(uncomment));
        let text = format!("{head}\n{}\n", lines.join("\n"));
        Config::parse(&path, &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    const MQTT: &str = "[mqtt]\nurl = \"mqtts://localhost\"\n";
    for (text, expected) in [
        ("", "bridge.toml:1: missing field `mqtt`"),
        ("[mqtt]\n", "bridge.toml:1: missing field `url`"),
        ("[mqtt]\nurl = \"localhost\"", "bridge.toml:2: `localhost` is not of the form mqtts://HOST:PORT"),
        (&format!("{MQTT}colour = 1"), "bridge.toml:3: unknown field `colour`"),
        (
            &format!("{MQTT}keep_alive_seconds = 1"),
            "bridge.toml:3: `keep_alive_seconds` is 1, and 5 to 65535 was",
        ),
        (&format!("{MQTT}keep_alive_seconds = \"1\""), "bridge.toml:3: invalid type: string"),
        (&format!("{MQTT}ca = \"none.crt\""), "bridge.toml:3: `ca` none.crt cannot be read: No such file"),
        (&format!("{MQTT}certificate = \"client.crt\""), "bridge.toml:3: `certificate` needs a `key`"),
        (
            &format!("{MQTT}password_file = \"secrets/bridge\""),
            "bridge.toml:3: `password_file` needs a `user`",
        ),
        (
            &format!("{MQTT}user = \"u\"\npassword_file = \"none\""),
            "bridge.toml:4: `password_file` none: cannot be read",
        ),
        (
            "[mqtt]\nurl = \"mqtt://h\"\nca = \"ca.crt\"",
            "bridge.toml:3: `ca` is given, and `url` is not mqtts://",
        ),
        (&format!("{MQTT}client_id = \"\""), "bridge.toml:3: `client_id` is empty"),
        (&format!("{MQTT}topics = [\n\"a\",\n\"b#\"]"), "bridge.toml:5: `b#` has a `#` that is not"),
        (&format!("{MQTT}topics = []"), "bridge.toml:1: `topics` is empty"),
        (&format!("{MQTT}[[rule]]\ntopic = \"a/b{{c}}\""), "bridge.toml:4: `topic` has the level `b{c}`"),
        (
            &format!("{MQTT}[[rule]]\ntopic = \"a\"\nmeasurement = \"{{b}}\""),
            "bridge.toml:5: `measurement` uses `{b}`, which the topic does not capture",
        ),
        (
            &format!("{MQTT}[[rule]]\ntopic = \"a\"\npayload = \"xml\""),
            "bridge.toml:5: unknown variant `xml`",
        ),
        (&format!("{MQTT}[[rule]]\ntopic = \"a\"\nfoo = 1"), "bridge.toml:5: unknown field `foo`"),
        (&format!("{MQTT}[batch]\nlines = 0"), "bridge.toml:4: `lines` is 0, and 1 to 100000 was expected"),
        (&format!("{MQTT}[sink]\nkind = \"mysql\""), "bridge.toml:4: unknown variant `mysql`"),
        (
            &format!("{MQTT}[sink]\nkind = \"file\"\nbucket = \"b\""),
            "bridge.toml:5: `bucket` is for the kind `influx2`, and the kind is `file`",
        ),
        (
            &format!("{MQTT}[sink]\nkind = \"influx1\"\nurl = \"http://h\""),
            "bridge.toml:3: `database` is missing",
        ),
        (
            &format!("{MQTT}[sink]\nkind = \"influx1\"\nurl = \"ftp://h\"\ndatabase = \"d\""),
            "bridge.toml:5: `ftp://h` is not of the form http://HOST:PORT",
        ),
        (
            &format!("{MQTT}[sink]\nkind = \"influx1\"\nurl = \"http://u:p@h\"\ndatabase = \"d\""),
            "bridge.toml:5: `http://u:p@h` is not of the form",
        ),
        (
            &format!("{MQTT}[sink]\nkind = \"file\"\ndatabase = \"a b\""),
            "bridge.toml:5: `database` has letters",
        ),
        ("[mqtt\n", "bridge.toml:1: "),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}\nfound:    {error}\nexpected: {expected}");
    }
}
