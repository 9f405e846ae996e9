//! One mapping rule: which topics, and what becomes measurement, tags, fields and time.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::{
    scalar::FieldType,
    template::{Template, TemplateError, is_capture_name},
    timestamp::TimestampFormat,
};

/// What a field without a name is called.
const DEFAULT_FIELD: &str = "value";
/// The measurement of a topic without any word in it, such as `/`.
const NAMELESS_MEASUREMENT: &str = "mqtt";
/// The tag in which the rule for everything else keeps the topic.
const TOPIC_TAG: &str = "topic";

/// How a payload is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadKind {
    /// JSON if it begins with `{` or `[`, a single value otherwise.
    #[default]
    Auto,
    /// JSON of any kind; anything else is refused.
    Json,
    /// A single value, whatever it begins with.
    Scalar,
}

/// A rule as the configuration states it.
#[derive(Debug, Clone, Default)]
pub struct RuleConfig {
    /// The topic template, such as `sensors/{device}/{field}`.
    pub topic: String,
    /// The measurement, which may contain captures: `{site}_power`. Default: the capture `{measurement}`, else the
    /// template's first literal level.
    pub measurement: Option<String>,
    /// The name of a value that has none. Default `value`. Not together with the capture `{field}`.
    pub field: Option<String>,
    /// How the payload is read.
    pub payload: PayloadKind,
    /// Tags that every point gets.
    pub tags: BTreeMap<String, String>,
    /// Types of fields by their flattened name.
    pub types: BTreeMap<String, FieldType>,
    /// The JSON member (by its flattened name) that holds the time. Default: the time of arrival.
    pub timestamp: Option<String>,
    /// How that time is written.
    pub timestamp_format: TimestampFormat,
}

/// What is wrong with a rule, and under which of its keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {problem}")]
pub struct RuleError {
    /// The key in the rule's table.
    pub key: &'static str,
    /// What was found and what was expected.
    pub problem: String,
}

impl RuleError {
    fn new(key: &'static str, problem: impl Into<String>) -> Self {
        Self { key, problem: problem.into() }
    }
}

impl From<TemplateError> for RuleError {
    fn from(error: TemplateError) -> Self {
        Self::new("topic", error.to_string())
    }
}

/// A rule that was checked and made ready.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) template: Template,
    pub(super) measurement: Measurement,
    pub(super) field: FieldName,
    pub(super) payload: PayloadKind,
    /// Captures that become tags: the level and the name.
    pub(super) captured_tags: Vec<(usize, Box<str>)>,
    pub(super) fixed_tags: Vec<(Box<str>, Box<str>)>,
    /// The tag that holds the whole topic.
    pub(super) topic_tag: Option<&'static str>,
    types: HashMap<Box<str>, FieldType, foldhash::fast::FixedState>,
    pub(super) timestamp: Option<TimestampMember>,
}

/// Where the measurement's name comes from.
#[derive(Debug, Clone)]
pub(super) enum Measurement {
    Fixed(Box<str>),
    Level(usize),
    /// Put together from several.
    Pieces(Vec<Piece>),
    /// The topic's first level that is not empty.
    FirstLevel,
}

/// A part of a measurement's name.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(Box<str>),
    Level(usize),
}

/// Where a field's name comes from.
#[derive(Debug, Clone)]
pub(super) enum FieldName {
    /// The name of a value without one; members of a JSON object have their own.
    Fixed(Box<str>),
    /// The topic's level; members of a JSON object are named after it too.
    Level(usize),
}

/// The JSON member that holds the time.
#[derive(Debug, Clone)]
pub(super) struct TimestampMember {
    pub(super) key: Box<str>,
    pub(super) format: TimestampFormat,
}

impl Rule {
    /// Checks a rule.
    pub fn new(config: &RuleConfig) -> Result<Self, RuleError> {
        let template = Template::parse(&config.topic)?;
        let captures: Vec<(usize, &str)> = template.captures().collect();
        let (measurement, used) = measurement(config, &template, &captures)?;
        let field = field_name(config, &captures)?;
        let captured_tags: Vec<(usize, Box<str>)> = captures
            .iter()
            .filter(|(level, name)| *name != "measurement" && *name != "field" && !used.contains(level))
            .map(|(level, name)| (*level, Box::from(*name)))
            .collect();
        for name in config.tags.keys() {
            if !is_capture_name(name) {
                let problem =
                    format!("has the tag `{name}`: letters, digits and `_` were expected, a letter first");
                return Err(RuleError::new("tags", problem));
            }
            if captured_tags.iter().any(|(_, captured)| **captured == **name) {
                return Err(RuleError::new(
                    "tags",
                    format!("has the tag `{name}`, which the topic captures too"),
                ));
            }
        }
        let timestamp = config
            .timestamp
            .as_ref()
            .map(|key| TimestampMember { key: key.as_str().into(), format: config.timestamp_format });
        if timestamp.is_some() && config.payload == PayloadKind::Scalar {
            return Err(RuleError::new("timestamp", "names a JSON member, and the payload is `scalar`"));
        }
        let fixed_tags = config.tags.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        Ok(Self {
            measurement,
            field,
            payload: config.payload,
            captured_tags,
            fixed_tags: fixed_tags.collect(),
            topic_tag: None,
            types: config.types.iter().map(|(name, kind)| (name.as_str().into(), *kind)).collect(),
            timestamp,
            template,
        })
    }

    /// The rule for everything that no other rule is for: nothing is lost for want of one.
    pub fn catch_all() -> Self {
        Self {
            // A template `#` would leave out topics that begin with `$`, which are here only if asked for.
            template: Template::everything(),
            measurement: Measurement::FirstLevel,
            field: FieldName::Fixed(DEFAULT_FIELD.into()),
            payload: PayloadKind::Auto,
            captured_tags: Vec::new(),
            fixed_tags: Vec::new(),
            topic_tag: Some(TOPIC_TAG),
            types: HashMap::default(),
            timestamp: None,
        }
    }

    /// Whether messages on this topic are for this rule.
    pub(super) fn matches(&self, topic: &str) -> bool {
        self.template.matches(topic)
    }

    /// The type that the field was given.
    pub(super) fn field_type(&self, field: &str) -> Option<FieldType> {
        if self.types.is_empty() { None } else { self.types.get(field).copied() }
    }
}

impl Measurement {
    /// The name for a topic that the rule matches. `scratch` is where it is put together if it has parts.
    pub(super) fn name<'a>(&'a self, topic: &'a str, scratch: &'a mut String) -> &'a str {
        match self {
            Self::Fixed(name) => name,
            Self::Level(level) => level_of(topic, *level),
            Self::FirstLevel => {
                topic.split('/').find(|level| !level.is_empty()).unwrap_or(NAMELESS_MEASUREMENT)
            }
            Self::Pieces(pieces) => {
                scratch.clear();
                for piece in pieces {
                    scratch.push_str(match piece {
                        Piece::Text(text) => text,
                        Piece::Level(level) => level_of(topic, *level),
                    });
                }
                scratch
            }
        }
    }
}

/// The level of a topic that has it.
pub(super) fn level_of(topic: &str, level: usize) -> &str {
    topic.split('/').nth(level).unwrap_or_default()
}

/// The measurement and the levels that its name is made from.
fn measurement(
    config: &RuleConfig,
    template: &Template,
    captures: &[(usize, &str)],
) -> Result<(Measurement, Vec<usize>), RuleError> {
    let captured = captures.iter().find(|(_, name)| *name == "measurement");
    let Some(text) = &config.measurement else {
        return match (captured, template.first_literal()) {
            (Some((level, _)), _) => Ok((Measurement::Level(*level), Vec::new())),
            (None, Some(name)) => Ok((Measurement::Fixed(name.into()), Vec::new())),
            (None, None) => Err(RuleError::new(
                "topic",
                "has no literal level to name the measurement after: add `measurement = \"...\"`",
            )),
        };
    };
    if captured.is_some() {
        return Err(RuleError::new("measurement", "is given, and the topic captures `{measurement}` too"));
    }
    let pieces = parse_pieces(text, captures)?;
    let used = pieces.iter().filter_map(|piece| match piece {
        Piece::Level(level) => Some(*level),
        Piece::Text(_) => None,
    });
    let used = used.collect();
    Ok(match pieces.as_slice() {
        [Piece::Text(name)] => (Measurement::Fixed(name.clone()), used),
        [Piece::Level(level)] => (Measurement::Level(*level), used),
        _ => (Measurement::Pieces(pieces), used),
    })
}

/// Takes `{site}_power` apart.
fn parse_pieces(text: &str, captures: &[(usize, &str)]) -> Result<Vec<Piece>, RuleError> {
    let error = |problem: String| RuleError::new("measurement", problem);
    if text.is_empty() {
        return Err(error("is empty, and a name was expected".to_owned()));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err(error(format!("is `{text}`, in which a `}}` is missing")));
        };
        let Some((level, _)) = captures.iter().find(|(_, captured)| *captured == name) else {
            return Err(error(format!("uses `{{{name}}}`, which the topic does not capture")));
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        pieces.push(Piece::Level(*level));
        rest = after;
    }
    if rest.contains('}') {
        return Err(error(format!("is `{text}`, in which a `{{` is missing")));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    Ok(pieces)
}

fn field_name(config: &RuleConfig, captures: &[(usize, &str)]) -> Result<FieldName, RuleError> {
    let captured = captures.iter().find(|(_, name)| *name == "field");
    match (captured, &config.field) {
        (Some(_), Some(_)) => Err(RuleError::new("field", "is given, and the topic captures `{field}` too")),
        (Some((level, _)), None) => Ok(FieldName::Level(*level)),
        (None, Some(name)) if name.is_empty() => {
            Err(RuleError::new("field", "is empty, and a name was expected"))
        }
        (None, name) => Ok(FieldName::Fixed(name.as_deref().unwrap_or(DEFAULT_FIELD).into())),
    }
}
