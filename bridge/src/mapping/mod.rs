//! Messages to points: the first rule whose template matches the topic says how.
//!
//! Owns topic templates, payload detection, types and timestamps. Writes through [`crate::line_protocol`], which
//! makes names safe. Allocates nothing for a message that maps, beyond what the output needs.

mod json;
mod rejection;
mod rule;
mod scalar;
mod template;
#[cfg(test)]
mod tests;
mod timestamp;

pub(crate) use self::rejection::Rejection;
pub use self::{
    rejection::Reason,
    rule::{PayloadKind, Rule, RuleConfig, RuleError},
    scalar::FieldType,
    template::TemplateError,
    timestamp::TimestampFormat,
};

use self::{
    rule::{FieldName, level_of},
    scalar::Scalar,
};
use crate::line_protocol::{Encoder, Line, LineBreaks, Repairs};

/// Maps messages by a list of rules, the rule for everything else at its end.
#[derive(Debug)]
pub(crate) struct Mapper {
    rules: Vec<Rule>,
    encoder: Encoder,
    /// The name of the field being written.
    path: String,
    /// Where a text is put together.
    scratch: String,
}

impl Mapper {
    pub(crate) fn new(mut rules: Vec<Rule>, line_breaks: LineBreaks) -> Self {
        rules.push(Rule::catch_all());
        Self { rules, encoder: Encoder::new(line_breaks), path: String::new(), scratch: String::new() }
    }

    /// Appends the message's line to `out`, or says why it has none and leaves `out` as it was. The point's time is
    /// the payload's if the rule names a timestamp and the payload has it, else `received_nanoseconds`.
    pub(crate) fn map(
        &mut self,
        topic: &str,
        payload: &[u8],
        received_nanoseconds: i64,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejection> {
        if payload.is_empty() {
            return Err(Rejection::new(Reason::NoField, "the payload is empty"));
        }
        let payload = std::str::from_utf8(payload)
            .map_err(|error| Rejection::new(Reason::NotUtf8, format!("the payload is not text: {error}")))?;
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(topic)) else {
            // The last rule is for everything.
            return Err(Rejection::new(Reason::NoField, "no rule is for this topic"));
        };
        let measurement = rule.measurement.name(topic, &mut self.scratch);
        let mut line = self.encoder.line(out, measurement)?;
        add_tags(&mut line, rule, topic)?;
        let timestamp = add_payload(&mut line, rule, topic, payload, &mut self.path, &mut self.scratch)?;
        Ok(line.finish(timestamp.unwrap_or(received_nanoseconds))?)
    }

    /// What the encoder repaired since the last call.
    pub(crate) fn take_repairs(&mut self) -> Repairs {
        self.encoder.take_repairs()
    }
}

fn add_tags(line: &mut Line<'_>, rule: &Rule, topic: &str) -> Result<(), Rejection> {
    for (name, value) in &rule.fixed_tags {
        line.tag(name, value)?;
    }
    if let Some(name) = rule.topic_tag {
        line.tag(name, topic)?;
    }
    let mut levels = topic.split('/').enumerate();
    for (wanted, name) in &rule.captured_tags {
        if let Some((_, value)) = levels.find(|(level, _)| level == wanted) {
            line.tag(name, value)?;
        }
    }
    Ok(())
}

/// Adds the payload's fields; answers with the payload's time.
fn add_payload(
    line: &mut Line<'_>,
    rule: &Rule,
    topic: &str,
    payload: &str,
    path: &mut String,
    scratch: &mut String,
) -> Result<Option<i64>, Rejection> {
    let first = payload.bytes().find(|byte| !byte.is_ascii_whitespace());
    let is_json = match rule.payload {
        PayloadKind::Auto => matches!(first, Some(b'{' | b'[')),
        PayloadKind::Json => true,
        PayloadKind::Scalar => false,
    };
    path.clear();
    match &rule.field {
        FieldName::Level(level) => path.push_str(level_of(topic, *level)),
        FieldName::Fixed(_) if is_json && first == Some(b'{') => {}
        FieldName::Fixed(name) => path.push_str(name),
    }
    if is_json {
        return json::add_fields(line, payload, rule, path, scratch);
    }
    let wanted = rule.field_type(path);
    let mut unquoted = String::new();
    let found = match Scalar::parse(payload, &mut unquoted) {
        // A number that is to be text stays as it was written: `007`.
        Scalar::Integer(_) | Scalar::Float(_) if wanted == Some(FieldType::String) => {
            Scalar::Text(payload.trim())
        }
        found => found,
    };
    line.field(path, found.into_field(wanted, scratch)?)?;
    Ok(None)
}
