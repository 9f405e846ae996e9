use influxdb_line_protocol::{FieldValue as Parsed, parse_lines};
use proptest::prelude::*;

use super::*;

/// One line from its parts, or why not.
fn encode(
    measurement: &str,
    tags: &[(&str, &str)],
    fields: &[(&str, FieldValue<'_>)],
) -> Result<String, LineError> {
    let mut out = b"before\n".to_vec();
    let result = encode_into(&mut Encoder::new(LineBreaks::Keep), &mut out, measurement, tags, fields);
    let text = String::from_utf8(out).unwrap();
    match result {
        Ok(()) => Ok(text.strip_prefix("before\n").unwrap().to_owned()),
        Err(error) => {
            assert_eq!(text, "before\n", "a failed line leaves nothing");
            Err(error)
        }
    }
}

fn encode_into(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    measurement: &str,
    tags: &[(&str, &str)],
    fields: &[(&str, FieldValue<'_>)],
) -> Result<(), LineError> {
    let mut line = encoder.line(out, measurement)?;
    for (key, value) in tags {
        line.tag(key, value)?;
    }
    for (key, value) in fields {
        line.field(key, *value)?;
    }
    line.finish(17)
}

const ONE: &[(&str, FieldValue<'static>)] = &[("v", FieldValue::Float(1.0))];

/// Each row of the rules in the table of line-protocol traps (what 1.6.7 and the official v3 parser do).
#[test]
fn names_and_tags() {
    for (rule, measurement, tags, expected) in [
        ("plain", "m", &[("a", "b")][..], "m,a=b v=1.0 17\n"),
        ("empty tag value: the tag is left out", "m", &[("a", "")], "m v=1.0 17\n"),
        ("empty tag key", "m", &[("", "b")], "m,unnamed=b v=1.0 17\n"),
        ("empty measurement", "", &[], "unnamed v=1.0 17\n"),
        ("trailing backslash in the measurement", "m\\", &[("a", "b")], "m_,a=b v=1.0 17\n"),
        ("trailing backslash in a key", "m", &[("a\\", "b")], "m,a_=b v=1.0 17\n"),
        ("trailing backslash in a tag value", "m", &[("a", "C:\\")], "m,a=C:_ v=1.0 17\n"),
        ("backslash in the middle stays", "m", &[("a", "C:\\temp")], "m,a=C:\\temp v=1.0 17\n"),
        ("backslash before a comma", "m", &[("a", "x\\,y")], "m,a=x_\\,y v=1.0 17\n"),
        ("backslash before an equals sign", "m", &[("a", "x\\=y")], "m,a=x_\\=y v=1.0 17\n"),
        ("backslash before a space", "m\\ n", &[], "m_\\ n v=1.0 17\n"),
        ("two backslashes are never written", "m", &[("a", "x\\\\y")], "m,a=x_\\y v=1.0 17\n"),
        ("line break in a tag value", "m", &[("a", "b\ny v=2 1")], "m,a=b_y\\ v\\=2\\ 1 v=1.0 17\n"),
        ("line break in the measurement", "m\r\nn", &[], "m__n v=1.0 17\n"),
        ("tab and delete in a key", "m", &[("a\tb\x7f", "c")], "m,a_b_=c v=1.0 17\n"),
        ("measurement that begins with #", "#m", &[], "x#m v=1.0 17\n"),
        ("equals sign in a tag value", "m", &[("a", "b=c")], "m,a=b\\=c v=1.0 17\n"),
        ("equals sign in the measurement", "m=n", &[], "m=n v=1.0 17\n"),
        ("spaces and commas", "m n,o", &[("a b,c", "d e,f")], "m\\ n\\,o,a\\ b\\,c=d\\ e\\,f v=1.0 17\n"),
        ("duplicate tag: the first stays", "m", &[("a", "1"), ("a", "2")], "m,a=1 v=1.0 17\n"),
        ("tags that are the same once safe", "m", &[("a\n", "1"), ("a\t", "2")], "m,a_=1 v=1.0 17\n"),
        ("leading underscores", "_m", &[("_a", "_b")], "x_m,x_a=_b v=1.0 17\n"),
        ("a tag named time", "m", &[("time", "noon")], "m,time_=noon v=1.0 17\n"),
        ("a tag and a field of one name", "m", &[("v", "w")], "m,v=w v_field=1.0 17\n"),
        ("letters beyond ASCII", "é", &[("ü", "漢")], "é,ü=漢 v=1.0 17\n"),
        ("quotes are plain in names", "m\"", &[("a\"", "\"b")], "m\",a\"=\"b v=1.0 17\n"),
    ] {
        assert_eq!(encode(measurement, tags, ONE).as_deref(), Ok(expected), "{rule}");
    }
}

#[test]
fn values() {
    use FieldValue::{Boolean, Float, Integer, Text};
    for (rule, value, expected) in [
        ("a float has a point", Float(5.0), "5.0"),
        ("digits on both sides of the point", Float(0.5), "0.5"),
        ("shortest form that reads back", Float(0.1 + 0.2), "0.30000000000000004"),
        ("no plus in the exponent", Float(1e300), "1e300"),
        ("small", Float(5e-324), "5e-324"),
        ("minus zero", Float(-0.0), "-0.0"),
        ("integer", Integer(-5), "-5i"),
        ("smallest integer", Integer(i64::MIN), "-9223372036854775808i"),
        ("boolean", Boolean(true), "true"),
        ("boolean", Boolean(false), "false"),
        ("quotes and backslashes in a string", Text("a\"b\\c"), r#""a\"b\\c""#),
        ("trailing backslash in a string", Text("C:\\"), r#""C:\\""#),
        ("a string keeps its line break", Text("a\nb"), "\"a\nb\""),
        ("comma, space and equals sign are plain", Text("a, b=c"), "\"a, b=c\""),
        ("empty string", Text(""), "\"\""),
    ] {
        assert_eq!(encode("m", &[], &[("v", value)]), Ok(format!("m v={expected} 17\n")), "{rule}");
    }
}

#[test]
fn fields() {
    use FieldValue::{Float, Integer};
    let nan = Float(f64::NAN);
    let infinite = Float(f64::NEG_INFINITY);
    for (rule, fields, expected) in [
        (
            "duplicate field: the first stays",
            &[("a", Integer(1)), ("a", Integer(2))][..],
            Ok("m,t=1 a=1i 17\n"),
        ),
        ("a number that is not finite is left out", &[("a", nan), ("b", Float(1.0))], Ok("m,t=1 b=1.0 17\n")),
        ("no number is finite", &[("a", nan), ("b", infinite)], Err(LineError::NotFinite)),
        ("no field", &[], Err(LineError::NoField)),
        ("a field named time", &[("time", Integer(1))], Ok("m,t=1 time_=1i 17\n")),
        ("reserved by 2.x", &[("_time", Integer(1))], Ok("m,t=1 x_time=1i 17\n")),
        ("field key with backslash at its end", &[("k\\", Integer(1))], Ok("m,t=1 k_=1i 17\n")),
        ("field key to escape", &[("a b,c=d", Integer(1))], Ok("m,t=1 a\\ b\\,c\\=d=1i 17\n")),
        (
            "the other name of a field may be taken too",
            &[("t_field", Integer(1)), ("t", Integer(2))],
            Ok("m,t=1 t_field=1i 17\n"),
        ),
    ] {
        assert_eq!(encode("m", &[("t", "1")], fields).as_deref(), expected.as_deref(), "{rule}");
    }
}

#[test]
fn limits() {
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    assert_eq!(encode(&long, &[], ONE), Err(LineError::NameTooLong));
    assert_eq!(encode("m", &[(&long, "v")], ONE), Err(LineError::NameTooLong));
    assert_eq!(encode("m", &[], &[(&long, FieldValue::Integer(1))]), Err(LineError::NameTooLong));
    let value = "v".repeat(SERIES_KEY_BYTES_MAX - 4);
    assert!(encode("m", &[("k", &value)], ONE).is_ok());
    assert_eq!(encode("m", &[("k", &(value + "v"))], ONE), Err(LineError::SeriesKeyTooLong));
    let names: Vec<String> = (0..=FIELDS_PER_LINE_MAX).map(|n| format!("f{n}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), FieldValue::Integer(1))).collect();
    assert_eq!(encode("m", &[], &fields), Err(LineError::TooManyFields));
    assert!(encode("m", &[], &fields[1..]).is_ok());
}

#[test]
fn repairs_are_counted() {
    let mut encoder = Encoder::new(LineBreaks::Fold);
    let mut out = Vec::new();
    encode_into(
        &mut encoder,
        &mut out,
        "_m",
        &[("a", "1"), ("a", "2")],
        &[
            ("b", FieldValue::Text("x\r\ny")),
            ("b", FieldValue::Integer(2)),
            ("c", FieldValue::Float(f64::INFINITY)),
        ],
    )
    .unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "x_m,a=1 b=\"x  y\" 17\n");
    let expected = Repairs { renamed: 1, duplicate_tags: 1, duplicate_fields: 1, not_finite: 1 };
    assert_eq!(encoder.take_repairs(), expected);
    assert_eq!(encoder.take_repairs(), Repairs::default());
}

/// What [`name::write`] promises, written a second time and naively.
fn safe(text: &str, kind: NameKind) -> String {
    if kind == NameKind::TagValue {
        return replaced(text);
    }
    let prefixed = text.starts_with('_') || (kind == NameKind::Measurement && text.starts_with('#'));
    match text {
        "" => "unnamed".to_owned(),
        "time" if kind == NameKind::Key => "time_".to_owned(),
        _ => format!("{}{}", if prefixed { "x" } else { "" }, replaced(text)),
    }
}

fn replaced(text: &str) -> String {
    let followers = text.chars().skip(1).map(Some).chain([None]);
    let chars = text.chars().zip(followers).map(|(c, next)| match c {
        '\\' if next.is_none_or(|next| [',', '=', ' ', '\\'].contains(&next)) => '_',
        _ if c.is_ascii_control() => '_',
        _ => c,
    });
    chars.collect()
}

/// Characters that mean something to some parser, and some that do not.
fn hostile() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        ',', '=', ' ', '\\', '"', '\n', '\r', '\t', '\0', '#', '_', 'i', 'u', '/', '.', '-', '0', 'a', 'é',
        '漢', '\u{7f}', '\u{85}', '\u{2028}', '😀',
    ]);
    prop::collection::vec(prop_oneof![8 => special, 1 => any::<char>()], 0..12)
        .prop_map(|chars| chars.into_iter().collect())
}

#[derive(Debug, Clone)]
enum Value {
    Float(f64),
    Integer(i64),
    Boolean(bool),
    Text(String),
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>().prop_map(Value::Float),
        any::<i64>().prop_map(Value::Integer),
        any::<bool>().prop_map(Value::Boolean),
        hostile().prop_map(Value::Text),
    ]
}

impl Value {
    fn borrowed(&self) -> FieldValue<'_> {
        match self {
            Self::Float(number) => FieldValue::Float(*number),
            Self::Integer(number) => FieldValue::Integer(*number),
            Self::Boolean(value) => FieldValue::Boolean(*value),
            Self::Text(text) => FieldValue::Text(text),
        }
    }
}

fn same(expected: &Value, found: &Parsed<'_>) -> bool {
    match (expected, found) {
        (Value::Float(a), Parsed::F64(b)) => a.to_bits() == b.to_bits(),
        (Value::Integer(a), Parsed::I64(b)) => a == b,
        (Value::Boolean(a), Parsed::Boolean(b)) => a == b,
        (Value::Text(a), Parsed::String(b)) => *a == b.as_str(),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever goes in, an independent parser reads back one line with the same names (made safe) and values.
    #[test]
    fn round_trip(
        measurement in hostile(),
        tags in prop::collection::vec((hostile(), hostile()), 0..4),
        fields in prop::collection::vec((hostile(), any_value()), 0..6),
        timestamp in any::<i64>(),
    ) {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(LineBreaks::Keep);
        let mut line = encoder.line(&mut out, &measurement).unwrap();
        for (key, value) in &tags {
            line.tag(key, value).unwrap();
        }
        for (key, value) in &fields {
            line.field(key, value.borrowed()).unwrap();
        }
        let finished = line.finish(timestamp);
        let text = String::from_utf8(out).unwrap();

        let mut expected_tags: Vec<(String, String)> = Vec::new();
        for (key, value) in &tags {
            let key = safe(key, NameKind::Key);
            if !value.is_empty() && expected_tags.iter().all(|(other, _)| *other != key) {
                expected_tags.push((key, safe(value, NameKind::TagValue)));
            }
        }
        let mut expected_fields: Vec<(String, &Value)> = Vec::new();
        for (key, value) in &fields {
            let mut key = safe(key, NameKind::Key);
            if expected_tags.iter().any(|(tag, _)| *tag == key) {
                key.push_str("_field");
            }
            let finite = !matches!(value, Value::Float(number) if !number.is_finite());
            if finite && expected_fields.iter().all(|(other, _)| *other != key) {
                expected_fields.push((key, value));
            }
        }
        if expected_fields.is_empty() {
            prop_assert!(finished.is_err());
            prop_assert_eq!(text, "");
            return Ok(());
        }
        prop_assert_eq!(finished, Ok(()));
        let lines: Vec<_> = parse_lines(&text).collect();
        prop_assert_eq!(lines.len(), 1, "{}", text);
        let line = lines.into_iter().next().unwrap().unwrap();
        prop_assert_eq!(line.series.measurement.as_str(), safe(&measurement, NameKind::Measurement));
        let found_tags: Vec<(String, String)> = line.series.tag_set.iter().flatten()
            .map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned())).collect();
        prop_assert_eq!(&found_tags, &expected_tags, "{}", text);
        prop_assert_eq!(line.field_set.len(), expected_fields.len(), "{}", text);
        for ((key, value), (expected_key, expected)) in line.field_set.iter().zip(&expected_fields) {
            prop_assert_eq!(key.as_str(), expected_key, "{}", text);
            prop_assert!(same(expected, value), "{} {:?} {:?}", text, expected, value);
        }
        prop_assert_eq!(line.timestamp, Some(timestamp));
    }
}
