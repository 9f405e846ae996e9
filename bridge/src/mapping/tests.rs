use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const RECEIVED: i64 = 99;

fn rule(config: RuleConfig) -> Rule {
    Rule::new(&config).unwrap()
}

/// A rule with a topic and nothing else.
fn plain(topic: &str) -> RuleConfig {
    RuleConfig { topic: topic.into(), ..RuleConfig::default() }
}

fn map(rules: &[RuleConfig], topic: &str, payload: &[u8]) -> Result<String, Reason> {
    let rules = rules.iter().cloned().map(rule).collect();
    let mut out = b"kept\n".to_vec();
    let result = Mapper::new(rules, LineBreaks::Keep).map(topic, payload, RECEIVED, &mut out);
    let text = String::from_utf8(out).unwrap();
    let line = text.strip_prefix("kept\n").unwrap().to_owned();
    match result {
        Ok(()) => Ok(line.trim_end().to_owned()),
        Err(rejection) => {
            assert_eq!(line, "", "a message without a line leaves nothing");
            assert!(!rejection.detail.is_empty());
            Err(rejection.reason)
        }
    }
}

#[track_caller]
fn check(rules: &[RuleConfig], topic: &str, payload: &str, expected: &str) {
    assert_eq!(map(rules, topic, payload.as_bytes()).as_deref(), Ok(expected), "{topic} {payload}");
}

#[track_caller]
fn check_refused(rules: &[RuleConfig], topic: &str, payload: &[u8], expected: Reason) {
    assert_eq!(map(rules, topic, payload), Err(expected), "{topic}");
}

#[test]
fn scalar_payloads() {
    let rules = [plain("sensors/{device}/{field}")];
    check(&rules, "sensors/d1/temperature", "21.5", "sensors,device=d1 temperature=21.5 99");
    check(&rules, "sensors/d1/temperature", "21\n", "sensors,device=d1 temperature=21.0 99");
    check(&rules, "sensors/d1/open", "true", "sensors,device=d1 open=true 99");
    check(&rules, "sensors/d1/state", "on fire", "sensors,device=d1 state=\"on fire\" 99");
    check(&rules, "sensors/d1/state", "\"21\"", "sensors,device=d1 state=\"21\" 99");
    check(&rules, "sensors/d 1/a b", "1", "sensors,device=d\\ 1 a\\ b=1.0 99");
    check(&rules, "sensors//x", "1", "sensors x=1.0 99");
    check(&rules, "sensors/d1/", "1", "sensors,device=d1 unnamed=1.0 99");
    check(&rules, "sensors/d1/time", "1", "sensors,device=d1 time_=1.0 99");
    check(&rules, "sensors/d1/device", "1", "sensors,device=d1 device_field=1.0 99");
    check(&rules, "sensors/d1/gps", r#"{"lat":1.5,"lon":2}"#, "sensors,device=d1 gps_lat=1.5,gps_lon=2.0 99");
    check(&rules, "sensors/d1/axis", "[1,2]", "sensors,device=d1 axis_0=1.0,axis_1=2.0 99");
    check_refused(&rules, "sensors/d1/t", b"", Reason::NoField);
    check_refused(&rules, "sensors/d1/t", b"\xff\xfe", Reason::NotUtf8);
    check_refused(&rules, "sensors/d1/t", b"NaN", Reason::NotFinite);
    check_refused(&rules, "sensors/d1/t", b"1e400", Reason::NotFinite);
    check_refused(&rules, "sensors/d1/t", b"{\"a\":", Reason::InvalidJson);
}

#[test]
fn json_payloads() {
    let rules = [RuleConfig { payload: PayloadKind::Json, ..plain("sensors/{device}") }];
    for (payload, expected) in [
        (r#"{"t":21,"h":40.5}"#, "t=21.0,h=40.5"),
        (r#"{"on":true,"state":"a b"}"#, "on=true,state=\"a b\""),
        (r#"{"a":{"b":{"c":1}},"d":2}"#, "a_b_c=1.0,d=2.0"),
        (r#"{"a":[1,{"b":2},[3]],"c":4}"#, "a_0=1.0,a_1_b=2.0,a_2_0=3.0,c=4.0"),
        (r#"{"a":null,"b":1,"c":[null,2],"d":{},"e":[]}"#, "b=1.0,c_1=2.0"),
        (r#"{"a":1,"a":2}"#, "a=1.0"),
        (r#"{"a_b":1,"a":{"b":2}}"#, "a_b=1.0"),
        (r#"{"a\"b\\":"c\"d\\\né"}"#, "a\"b_=\"c\\\"d\\\\\né\""),
        (r#"{"":1}"#, "unnamed=1.0"),
        (r#"{"_x":1,"time":2,"device":3}"#, "x_x=1.0,time_=2.0,device_field=3.0"),
        (r#"{"big":18446744073709551615,"small":-5}"#, "big=1.8446744073709552e19,small=-5.0"),
        (" {\"a\" : 1} \n", "a=1.0"),
        ("21.5", "value=21.5"),
        ("\"x\"", "value=\"x\""),
        ("[1,\"x\"]", "value_0=1.0,value_1=\"x\""),
    ] {
        check(&rules, "sensors/d1", payload, &format!("sensors,device=d1 {expected} 99"));
    }
    let deep = format!("{}1{}", "[".repeat(17), "]".repeat(17));
    let wide = format!("[{}1]", "1,".repeat(300));
    let long = format!("{{\"{}\":1}}", "k".repeat(1025));
    for (payload, expected) in [
        ("on", Reason::InvalidJson),
        ("{", Reason::InvalidJson),
        ("{\"a\":1} x", Reason::InvalidJson),
        ("{\"a\":NaN}", Reason::InvalidJson),
        ("{\"a\":1e400}", Reason::InvalidJson),
        ("{}", Reason::NoField),
        ("null", Reason::NoField),
        ("{\"a\":null}", Reason::NoField),
        (&deep, Reason::TooDeep),
        (&wide, Reason::TooManyFields),
        (&long, Reason::NameTooLong),
    ] {
        check_refused(&rules, "sensors/d1", payload.as_bytes(), expected);
    }
}

#[test]
fn measurements_and_tags() {
    let named = |topic: &str, measurement: &str| RuleConfig {
        measurement: Some(measurement.into()),
        tags: BTreeMap::from([("site".to_owned(), "hall 1".to_owned())]),
        ..plain(topic)
    };
    check(&[named("a/{b}", "m")], "a/x", "1", "m,site=hall\\ 1,b=x value=1.0 99");
    check(&[named("a/{b}/{c}", "{b}")], "a/x/y", "1", "x,site=hall\\ 1,c=y value=1.0 99");
    check(&[named("a/{b}/{c}", "{c}-{b}!")], "a/x/y", "1", "y-x!,site=hall\\ 1 value=1.0 99");
    check(&[plain("{measurement}/{b}/{field}")], "m/x/y", "1", "m,b=x y=1.0 99");
    check(&[plain("+/a/{b}/#")], "m/a/x/y/z", "1", "a,b=x value=1.0 99");
    let field = RuleConfig { field: Some("watts".into()), ..plain("power") };
    check(&[field], "power", "1", "power watts=1.0 99");
    // The first rule that matches decides.
    check(&[plain("a/{b}"), plain("a/+")], "a/x", "1", "a,b=x value=1.0 99");
    check(&[plain("a/b/c"), plain("a/+")], "a/x", "1", "a value=1.0 99");
}

#[test]
fn everything_else_is_kept() {
    check(&[], "a/b/c", "1", "a,topic=a/b/c value=1.0 99");
    check(&[], "a", "on", "a,topic=a value=\"on\" 99");
    check(&[], "a/b", r#"{"x":1,"y":"z"}"#, "a,topic=a/b x=1.0,y=\"z\" 99");
    check(&[], "/a/b", "1", "a,topic=/a/b value=1.0 99");
    check(&[], "//", "1", "mqtt,topic=// value=1.0 99");
    check(&[], "$SYS/uptime", "5 seconds", "$SYS,topic=$SYS/uptime value=\"5 seconds\" 99");
    check(&[], "_a/b", "1", "x_a,topic=_a/b value=1.0 99");
    check(&[], "a", r#"{"topic":"b"}"#, "a,topic=a topic_field=\"b\" 99");
    let long = "t".repeat(65_535);
    check_refused(&[], &long, b"1", Reason::NameTooLong);
}

#[test]
fn types() {
    let rules = [RuleConfig {
        types: BTreeMap::from([
            ("count".to_owned(), FieldType::Integer),
            ("id".to_owned(), FieldType::String),
            ("a_b".to_owned(), FieldType::Boolean),
        ]),
        ..plain("m/{field}")
    }];
    check(&rules, "m/count", "5", "m count=5i 99");
    check(&rules, "m/id", "007\n", "m id=\"007\" 99");
    check(&rules, "m/a", r#"{"b":1,"count":5}"#, "m a_b=true,a_count=5.0 99");
    check_refused(&rules, "m/count", b"5.5", Reason::FieldType);
    check_refused(&rules, "m/a", br#"{"b":"maybe"}"#, Reason::FieldType);
}

#[test]
fn timestamps() {
    let timed = |key: &str| RuleConfig { timestamp: Some(key.into()), ..plain("m") };
    check(&[timed("ts")], "m", r#"{"ts":1700000000,"v":1}"#, "m v=1.0 1700000000000000000");
    check(
        &[timed("ts")],
        "m",
        r#"{"v":1,"ts":"2023-11-14T22:13:20.000000001Z"}"#,
        "m v=1.0 1700000000000000001",
    );
    check(&[timed("meta_at")], "m", r#"{"meta":{"at":1700000000000},"v":1}"#, "m v=1.0 1700000000000000000");
    check(&[timed("ts")], "m", r#"{"v":1}"#, "m v=1.0 99");
    check(&[timed("ts")], "m", r#"{"v":1,"ts":null}"#, "m v=1.0 99");
    check(&[timed("ts")], "m", "5", "m value=5.0 99");
    check_refused(&[timed("ts")], "m", br#"{"v":1,"ts":"soon"}"#, Reason::BadTimestamp);
    check_refused(&[timed("ts")], "m", br#"{"ts":1700000000}"#, Reason::NoField);
}

#[test]
fn rules_that_are_refused() {
    let base = plain("a/{b}/{c}");
    for (config, key, problem) in [
        (plain("a#"), "topic", "`#`"),
        (plain("{b}"), "topic", "no literal level"),
        (RuleConfig { measurement: Some("{x}".into()), ..base.clone() }, "measurement", "does not capture"),
        (RuleConfig { measurement: Some("{b".into()), ..base.clone() }, "measurement", "`}` is missing"),
        (RuleConfig { measurement: Some("b}".into()), ..base.clone() }, "measurement", "`{` is missing"),
        (RuleConfig { measurement: Some(String::new()), ..base.clone() }, "measurement", "empty"),
        (RuleConfig { measurement: Some("m".into()), ..plain("{measurement}") }, "measurement", "captures"),
        (RuleConfig { field: Some("f".into()), ..plain("a/{field}") }, "field", "captures"),
        (RuleConfig { field: Some(String::new()), ..base.clone() }, "field", "empty"),
        (
            RuleConfig { tags: BTreeMap::from([("b".into(), "x".into())]), ..base.clone() },
            "tags",
            "captures too",
        ),
        (
            RuleConfig { tags: BTreeMap::from([("_b".into(), "x".into())]), ..base.clone() },
            "tags",
            "letter first",
        ),
        (
            RuleConfig { timestamp: Some("t".into()), payload: PayloadKind::Scalar, ..base },
            "timestamp",
            "JSON member",
        ),
    ] {
        let error = Rule::new(&config).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.problem.contains(problem), "{error}");
    }
}

/// Pieces of topics and payloads that mean something somewhere.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "sensors",
        "d1",
        "/",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\"a\":",
        "1",
        "-",
        ".5",
        "e9",
        "true",
        "null",
        "NaN",
        " ",
        "=",
        "_",
        "time",
        "\n",
        "\0",
        "\u{1}",
        "é",
        "😀",
        "$",
        "#x",
        "{\"a\":{\"b\":[1,2,{\"c\":\"d\"}]}}",
    ]);
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever comes: one line that the official parser reads, with the time of arrival, or a reason.
    #[test]
    fn one_line_or_a_reason(topic in hostile(), payload in prop_oneof![
        hostile().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..40),
    ]) {
        let rules = [
            plain("sensors/{device}/{field}"),
            RuleConfig { payload: PayloadKind::Json, ..plain("sensors/{device}") },
            RuleConfig { measurement: Some("{a}{b}".into()), ..plain("{a}/{b}") },
        ];
        if let Ok(line) = map(&rules, &topic, &payload) {
            let parsed: Vec<_> = influxdb_line_protocol::parse_lines(&line).collect();
            prop_assert_eq!(parsed.len(), 1, "{}", line);
            let parsed = parsed[0].as_ref().unwrap();
            prop_assert_eq!(parsed.timestamp, Some(RECEIVED), "{}", line);
        }
    }
}
