//! JSON payloads to fields, as they are read: no tree is built.
//!
//! Objects are flattened with `_` (`{"a":{"b":1}}` is the field `a_b`), array elements are named by their index
//! (`{"a":[1,2]}` is `a_0` and `a_1`), `null` is no value. Two members that end up with one name: the first stays.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{
    rejection::{Reason, Rejection},
    rule::Rule,
    scalar::Scalar,
    timestamp,
};
use crate::line_protocol::Line;

/// The most objects and arrays inside each other.
pub(crate) const JSON_DEPTH_MAX: usize = 16;

/// Adds the fields of a JSON text to the line. `path` is the name that all fields begin with, or empty. Answers with
/// the time that the rule's timestamp member holds, if there is one.
pub(super) fn add_fields(
    line: &mut Line<'_>,
    json: &str,
    rule: &Rule,
    path: &mut String,
    scratch: &mut String,
) -> Result<Option<i64>, Rejection> {
    let mut point = Point { line, rule, path, scratch, timestamp: None, failure: None };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let result = Value { point: &mut point, depth: 0 }.deserialize(&mut deserializer);
    match result.and_then(|()| deserializer.end()) {
        Ok(()) => Ok(point.timestamp),
        Err(error) => {
            Err(point.failure.unwrap_or_else(|| Rejection::new(Reason::InvalidJson, error.to_string())))
        }
    }
}

/// The point being filled.
struct Point<'a, 'l> {
    line: &'a mut Line<'l>,
    rule: &'a Rule,
    path: &'a mut String,
    scratch: &'a mut String,
    timestamp: Option<i64>,
    /// Why reading stopped, when it is not the JSON's fault.
    failure: Option<Rejection>,
}

impl Point<'_, '_> {
    fn add<E: Error>(&mut self, value: Scalar<'_>) -> Result<(), E> {
        let result = match &self.rule.timestamp {
            Some(member) if *member.key == *self.path => {
                timestamp::parse(value, member.format).map(|time| self.timestamp = Some(time))
            }
            _ => value
                .into_field(self.rule.field_type(self.path), self.scratch)
                .and_then(|field| Ok(self.line.field(self.path, field)?)),
        };
        result.map_err(|rejection| self.stop(rejection))
    }

    fn stop<E: Error>(&mut self, rejection: Rejection) -> E {
        self.failure = Some(rejection);
        E::custom("stopped")
    }
}

/// A value at [`Point::path`].
struct Value<'p, 'a, 'l> {
    point: &'p mut Point<'a, 'l>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.point.add(Scalar::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.point.add(Scalar::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.point.add(i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.point.add(Scalar::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.point.add(Scalar::Text(value))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let before = self.point.path.len();
        while members.next_key_seed(MemberName(self.point.path))?.is_some() {
            members.next_value_seed(Value { point: self.point, depth: self.depth + 1 })?;
            self.point.path.truncate(before);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let before = self.point.path.len();
        for index in 0_usize.. {
            append_name(self.point.path, itoa::Buffer::new().format(index));
            let element = Value { point: self.point, depth: self.depth + 1 };
            let found = elements.next_element_seed(element)?;
            self.point.path.truncate(before);
            if found.is_none() {
                break;
            }
        }
        Ok(())
    }
}

impl Value<'_, '_, '_> {
    fn check_depth<E: Error>(&mut self) -> Result<(), E> {
        if self.depth < JSON_DEPTH_MAX {
            return Ok(());
        }
        let detail = format!("JSON nested deeper than {JSON_DEPTH_MAX}");
        Err(self.point.stop(Rejection::new(Reason::TooDeep, detail)))
    }
}

/// Appends a member's name to the path.
struct MemberName<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for MemberName<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberName<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        append_name(self.0, name);
        Ok(())
    }
}

fn append_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('_');
    }
    path.push_str(name);
}
