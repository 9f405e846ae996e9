//! A value of another type than its field has, said in that type, where that loses nothing.
//!
//! A field's type is that of its first value, whoever wrote it. A number is a number, though: `21` for a field of
//! integers, or `"21.5"` for one of floats, need not be a dead letter. What would change its meaning is left alone: a
//! number never becomes a text, for then the field would look alive and could not be drawn.

use crate::{batch::Batch, line_protocol::read, mapping::Rejection};

/// A line has so many fields at most that one refusal each may name; beyond it somebody is not serious.
const CONVERSIONS_MAX: u32 = 16;
/// Up to here every integer is a float, and back.
const INTEGER_AS_FLOAT_MAX: i64 = 1 << 53;

/// What a refusal says about types.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Conflict {
    /// v3 does not say.
    measurement: Option<String>,
    field: String,
    /// What the field is: `float`, `integer`, `string` or `boolean`.
    known: String,
}

/// Takes the lines out of `dead` that can be said in the type that their field has; answers with them.
pub(crate) fn take_convertible(batch: &Batch, dead: &mut Vec<(usize, Rejection)>) -> Vec<(usize, Vec<u8>)> {
    let mut converted = Vec::new();
    if batch.conversions() < CONVERSIONS_MAX {
        dead.retain(|(line, why)| match converted_line(batch.line(*line), &why.detail) {
            Some(text) => {
                converted.push((*line, text));
                false
            }
            None => true,
        });
    }
    dead.iter_mut().for_each(|(_, why)| explain(why));
    converted
}

/// Says what to do about a conflict. The number of lines that the answer speaks of is that of a whole batch.
fn explain(why: &mut Rejection) {
    let Some(Conflict { field, known, .. }) = conflict_in(&why.detail) else { return };
    let said = why.detail.split(" dropped=").next().unwrap_or_default();
    why.detail = format!(
        "{said}. A field keeps the type of its first value, here {known}. If that is wrong, delete the field's points in \
         the database, or give it another name, and set its type in the rule, such as types = {{ {} = \"float\" }}, so that \
         other values are kept out from the first one on",
        serde_json::Value::from(field)
    )
    .into();
}

fn converted_line(line: &[u8], why: &str) -> Option<Vec<u8>> {
    let Conflict { measurement, field, known } = conflict_in(why)?;
    let value = read::field(line, measurement.as_deref(), &field)?;
    let found = std::str::from_utf8(line.get(value.clone())?).ok()?;
    let other = converted_value(found, &known)?;
    let (before, after) = (line.get(..value.start)?, line.get(value.end..)?);
    Some([before, other.as_bytes(), after].concat())
}

/// The value, as line protocol writes it, in another type.
fn converted_value(found: &str, known: &str) -> Option<String> {
    let text = found.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match known {
        "float" => match (text, found.strip_suffix('i')) {
            (Some(text), _) => float(text),
            (None, Some(digits)) => {
                let integer: i64 = digits.parse().ok()?;
                (-INTEGER_AS_FLOAT_MAX..=INTEGER_AS_FLOAT_MAX)
                    .contains(&integer)
                    .then(|| format!("{integer}.0"))
            }
            // A float already, or a boolean.
            (None, None) => None,
        },
        "integer" => match text {
            Some(text) => text.parse::<i64>().ok().map(|integer| format!("{integer}i")),
            None => integer(found.parse().ok()?),
        },
        "boolean" => match text? {
            "true" => Some("true".to_owned()),
            "false" => Some("false".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// A text that is a number and nothing else, as line protocol writes floats.
fn float(text: &str) -> Option<String> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'e' | b'E' | b'+'));
    let number: f64 = text.parse().ok().filter(|number: &f64| is_plain && number.is_finite())?;
    Some(ryu::Buffer::new().format_finite(number).to_owned())
}

/// A float without a fraction.
fn integer(number: f64) -> Option<String> {
    #[expect(clippy::cast_possible_truncation, reason = "compared below")]
    let integer = number as i64;
    #[expect(clippy::cast_precision_loss, reason = "what loses is refused")]
    let is_same = integer as f64 == number;
    (is_same && (-INTEGER_AS_FLOAT_MAX..=INTEGER_AS_FLOAT_MAX).contains(&integer))
        .then(|| format!("{integer}i"))
}

/// `input field "v" on measurement "cpu" is type integer, already exists as type float` of v1 and v2;
/// `invalid column type for column 'v', expected iox::column_type::field::float, got ...` of v3.
fn conflict_in(why: &str) -> Option<Conflict> {
    if let Some((_, rest)) = why.split_once("invalid column type for column '") {
        let (field, rest) = rest.split_once("', expected ")?;
        let (known, _) = rest.strip_prefix("iox::column_type::field::")?.split_once(',')?;
        return Some(Conflict { measurement: None, field: field.to_owned(), known: known.to_owned() });
    }
    let super::verdict::Named::Conflict { measurement, field, .. } = super::verdict::conflict_in(why)? else {
        return None;
    };
    let (_, rest) = why.split_once("already exists as type ")?;
    let known = rest.split(|c: char| !c.is_ascii_alphabetic()).next()?;
    Some(Conflict { measurement: Some(measurement), field, known: known.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_lose_nothing() {
        for (found, known, expected) in [
            ("5i", "float", Some("5.0")),
            ("-9007199254740992i", "float", Some("-9007199254740992.0")),
            ("9007199254740993i", "float", None),
            ("\"21.5\"", "float", Some("21.5")),
            ("\"1e3\"", "float", Some("1000.0")),
            ("\"-4\"", "float", Some("-4.0")),
            ("\"inf\"", "float", None),
            ("\"nan\"", "float", None),
            ("\"1e999\"", "float", None),
            ("\" 4\"", "float", None),
            ("\"\"", "float", None),
            ("\"broken\"", "float", None),
            ("1.5", "float", None),
            ("true", "float", None),
            ("5.0", "integer", Some("5i")),
            ("-0.0", "integer", Some("0i")),
            ("5.5", "integer", None),
            ("1e300", "integer", None),
            ("9007199254740994.0", "integer", None),
            ("\"12\"", "integer", Some("12i")),
            ("\"12.0\"", "integer", None),
            ("5i", "integer", None),
            ("true", "integer", None),
            ("\"true\"", "boolean", Some("true")),
            ("\"on\"", "boolean", None),
            ("1.0", "boolean", None),
            ("5i", "string", None),
            ("1.5", "string", None),
            ("true", "string", None),
            ("5i", "unsigned", None),
        ] {
            assert_eq!(converted_value(found, known).as_deref(), expected, "{found} as {known}");
        }
    }

    #[test]
    fn a_conflict_that_stays_says_what_to_do() {
        let why = "400 partial write: field type conflict: input field \"t 1\" on measurement \"m\" is type float, already \
                   exists as type string dropped=3";
        let mut rejection = Rejection::new(crate::mapping::Reason::Refused, why.to_owned());
        explain(&mut rejection);
        assert!(
            rejection.detail.contains("already exists as type string. A field keeps"),
            "{}",
            rejection.detail
        );
        assert!(rejection.detail.contains(r#"types = { "t 1" = "float" }"#), "{}", rejection.detail);
        let mut other = Rejection::new(crate::mapping::Reason::Refused, "points beyond dropped=1".to_owned());
        explain(&mut other);
        assert_eq!(other.detail, "points beyond dropped=1");
    }

    #[test]
    fn what_servers_say() {
        let v1 = "400 partial write: field type conflict: input field \"t 1\" on measurement \"m\" is type string, already \
                  exists as type float dropped=1";
        let v2 = "422 failure writing points to database: partial write: field type conflict: input field \"t 1\" on \
                  measurement \"m\" is type string, already exists as type float dropped=1";
        let v3 = "invalid column type for column 't 1', expected iox::column_type::field::float, got \
                  iox::column_type::field::string";
        let line = b"m,a=\\ t\\ 1\\=2 b=1.0,t\\ 1=\"21.5\",c=\"t 1=3\" 17\n";
        let expected = b"m,a=\\ t\\ 1\\=2 b=1.0,t\\ 1=21.5,c=\"t 1=3\" 17\n";
        for why in [v1, v2, v3] {
            assert_eq!(converted_line(line, why).as_deref(), Some(&expected[..]), "{why}");
            assert_eq!(converted_line(b"m other=\"1\" 17\n", why), None);
            assert_eq!(converted_line(b"m t\\ 1=\"x\" 17\n", why), None);
        }
        assert_eq!(converted_line(b"n t\\ 1=\"21.5\" 17\n", v1), None, "another measurement");
        for why in [
            "",
            "400 partial write: points beyond retention policy dropped=1",
            "already exists as type float",
        ] {
            assert_eq!(converted_line(line, why), None, "{why}");
        }
    }
}
