//! Single values: what a payload that is not JSON says, and how a value becomes a field of the wanted type.
//!
//! | payload | value |
//! |---|---|
//! | `21.5`, `-3`, `+5`, `.5`, `1e5` | number |
//! | `nan`, `inf`, `1e400` | number that line protocol cannot say |
//! | `true`, `False` | boolean, in any case |
//! | `"on"` | the JSON string's text |
//! | anything else | text, unchanged |
//!
//! White space and NULs around a number, a boolean or a JSON string are ignored: shells append line breaks and C
//! programs NULs.

use serde::Deserialize;

use super::rejection::{Reason, Rejection};
use crate::line_protocol::FieldValue;

/// The type that a field is told to have. Without one, numbers are floats, booleans and texts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// A number, or a text that is one.
    Float,
    /// A number without fraction that fits 64 bits, or a text that is one.
    Integer,
    /// The value's text.
    String,
    /// A boolean; 0 and 1; `true`, `false`, `on`, `off`, `0` and `1` as text.
    Boolean,
}

/// A single value as found in a payload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Text(&'a str),
}

impl<'a> Scalar<'a> {
    /// The value of a plain payload. `unquoted` is where the text of a JSON string goes if it has escapes.
    pub(super) fn parse(payload: &'a str, unquoted: &'a mut String) -> Self {
        let trimmed = payload.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
        if let Some(number) = parse_number(trimmed) {
            return number;
        }
        if trimmed.eq_ignore_ascii_case("true") {
            return Self::Boolean(true);
        }
        if trimmed.eq_ignore_ascii_case("false") {
            return Self::Boolean(false);
        }
        if trimmed.len() >= 2
            && trimmed.starts_with('"')
            && let Ok(text) = serde_json::from_str(trimmed)
        {
            *unquoted = text;
            return Self::Text(unquoted);
        }
        Self::Text(payload)
    }

    /// The value as a field. `scratch` is where a text goes that has to be made.
    pub(super) fn into_field(
        self,
        wanted: Option<FieldType>,
        scratch: &'a mut String,
    ) -> Result<FieldValue<'a>, Rejection> {
        match wanted {
            None => Ok(match self {
                Self::Integer(number) => FieldValue::Float(number as f64),
                Self::Float(number) => FieldValue::Float(number),
                Self::Boolean(value) => FieldValue::Boolean(value),
                Self::Text(text) => FieldValue::Text(text),
            }),
            Some(FieldType::Float) => self.float(),
            Some(FieldType::Integer) => self.integer(),
            Some(FieldType::Boolean) => self.boolean(),
            Some(FieldType::String) => {
                scratch.clear();
                match self {
                    Self::Text(text) => return Ok(FieldValue::Text(text)),
                    Self::Integer(number) => scratch.push_str(itoa::Buffer::new().format(number)),
                    Self::Float(number) => scratch.push_str(ryu::Buffer::new().format(number)),
                    Self::Boolean(value) => scratch.push_str(if value { "true" } else { "false" }),
                }
                Ok(FieldValue::Text(scratch))
            }
        }
    }

    fn float(self) -> Result<FieldValue<'a>, Rejection> {
        match self.or_number() {
            Self::Integer(number) => Ok(FieldValue::Float(number as f64)),
            Self::Float(number) => Ok(FieldValue::Float(number)),
            other => Err(other.mismatch("a number")),
        }
    }

    fn integer(self) -> Result<FieldValue<'a>, Rejection> {
        match self.or_number() {
            Self::Integer(number) => Ok(FieldValue::Integer(number)),
            // Both bounds are exact as floats; the upper one is the first number that does not fit.
            Self::Float(number)
                if number.fract() == 0.0
                    && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) =>
            {
                Ok(FieldValue::Integer(number as i64))
            }
            other => Err(other.mismatch("an integer of 64 bits")),
        }
    }

    fn boolean(self) -> Result<FieldValue<'a>, Rejection> {
        match self {
            Self::Boolean(value) => Ok(FieldValue::Boolean(value)),
            Self::Integer(0) => Ok(FieldValue::Boolean(false)),
            Self::Integer(1) => Ok(FieldValue::Boolean(true)),
            Self::Text(text) if ["true", "on", "1"].iter().any(|word| text.eq_ignore_ascii_case(word)) => {
                Ok(FieldValue::Boolean(true))
            }
            Self::Text(text) if ["false", "off", "0"].iter().any(|word| text.eq_ignore_ascii_case(word)) => {
                Ok(FieldValue::Boolean(false))
            }
            other => Err(other.mismatch("a boolean")),
        }
    }

    /// A text that is a number becomes that number.
    fn or_number(self) -> Self {
        match self {
            Self::Text(text) => parse_number(text.trim()).unwrap_or(self),
            other => other,
        }
    }

    fn mismatch(self, wanted: &str) -> Rejection {
        let found = match self {
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::Text(text) => format!("{text:?}"),
        };
        Rejection::new(Reason::FieldType, format!("found {found}, and the rule expects {wanted}"))
    }
}

/// A decimal number; NaN and infinities by name, so that they are not taken for texts.
fn parse_number(text: &str) -> Option<Scalar<'static>> {
    let first = *text.as_bytes().first()?;
    if !matches!(first, b'0'..=b'9' | b'+' | b'-' | b'.' | b'i' | b'I' | b'n' | b'N') {
        return None;
    }
    if let Ok(number) = text.parse() {
        // The sign of minus zero is part of the value.
        return Some(if number == 0 && first == b'-' {
            Scalar::Float(-0.0)
        } else {
            Scalar::Integer(number)
        });
    }
    text.parse().ok().map(Scalar::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads() {
        use Scalar::{Boolean, Float, Integer, Text};
        for (payload, expected) in [
            ("21.5", Float(21.5)),
            ("21", Integer(21)),
            ("-3", Integer(-3)),
            ("+5", Integer(5)),
            ("007", Integer(7)),
            ("-0", Float(-0.0)),
            (".5", Float(0.5)),
            ("5.", Float(5.0)),
            ("1e5", Float(1e5)),
            ("1E+5", Float(1e5)),
            ("9223372036854775808", Float(9_223_372_036_854_775_808.0)),
            ("1e400", Float(f64::INFINITY)),
            ("-inf", Float(f64::NEG_INFINITY)),
            ("Infinity", Float(f64::INFINITY)),
            (" 21.5\r\n", Float(21.5)),
            ("21.5\0", Float(21.5)),
            ("true", Boolean(true)),
            ("False\n", Boolean(false)),
            ("\"on\"", Text("on")),
            ("\"a\\nb\" ", Text("a\nb")),
            ("\"", Text("\"")),
            ("\"a", Text("\"a")),
            ("on", Text("on")),
            (" padded ", Text(" padded ")),
            ("0x10", Text("0x10")),
            ("1_000", Text("1_000")),
            ("5 C", Text("5 C")),
            ("5i", Text("5i")),
            ("1,5", Text("1,5")),
            ("-", Text("-")),
            (".", Text(".")),
            ("2024-01-01", Text("2024-01-01")),
        ] {
            let mut unquoted = String::new();
            let found = Scalar::parse(payload, &mut unquoted);
            assert_eq!(found, expected, "{payload:?}");
            if let (Float(found), Float(expected)) = (found, expected) {
                assert_eq!(found.is_sign_negative(), expected.is_sign_negative(), "{payload:?}");
            }
        }
        assert!(matches!(Scalar::parse("NaN", &mut String::new()), Float(number) if number.is_nan()));
    }

    #[test]
    fn types() {
        use FieldType::{Boolean, Float, Integer, String as Str};
        use FieldValue as V;
        use Scalar as S;
        for (found, wanted, expected) in [
            (S::Integer(5), None, Some(V::Float(5.0))),
            (S::Boolean(true), None, Some(V::Boolean(true))),
            (S::Text("5"), None, Some(V::Text("5"))),
            (S::Text(" 5.5"), Some(Float), Some(V::Float(5.5))),
            (S::Text("x"), Some(Float), None),
            (S::Boolean(true), Some(Float), None),
            (S::Integer(5), Some(Integer), Some(V::Integer(5))),
            (S::Float(5.0), Some(Integer), Some(V::Integer(5))),
            (S::Text("5"), Some(Integer), Some(V::Integer(5))),
            (S::Float(5.5), Some(Integer), None),
            (S::Float(9_223_372_036_854_775_808.0), Some(Integer), None),
            (S::Float(-9_223_372_036_854_775_808.0), Some(Integer), Some(V::Integer(i64::MIN))),
            (S::Float(f64::NAN), Some(Integer), None),
            (S::Integer(1), Some(Boolean), Some(V::Boolean(true))),
            (S::Integer(2), Some(Boolean), None),
            (S::Text("Off"), Some(Boolean), Some(V::Boolean(false))),
            (S::Text("x"), Some(Boolean), None),
            (S::Integer(5), Some(Str), Some(V::Text("5"))),
            (S::Float(5.5), Some(Str), Some(V::Text("5.5"))),
            (S::Boolean(true), Some(Str), Some(V::Text("true"))),
        ] {
            let mut scratch = String::new();
            assert_eq!(found.into_field(wanted, &mut scratch).ok(), expected, "{found:?} as {wanted:?}");
        }
    }
}
