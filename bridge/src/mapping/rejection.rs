//! Why a message does not become a line: what the dead letter says and what the counter is labelled with.

use std::borrow::Cow;

use crate::line_protocol::LineError;

/// The kinds of reasons. Few and stable: each is a label of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The payload is not text.
    NotUtf8,
    /// The payload was expected to be JSON and is not.
    InvalidJson,
    /// JSON nested deeper than is flattened.
    TooDeep,
    /// More fields than a line may have.
    TooManyFields,
    /// A name or the topic is longer than InfluxDB takes.
    NameTooLong,
    /// The only values are NaN or infinite.
    NotFinite,
    /// Nothing in the payload is a value.
    NoField,
    /// A value is not of the type that the rule says.
    FieldType,
    /// The timestamp cannot be understood or is out of range.
    BadTimestamp,
    /// The database refused the line: a conflicting type, a limit, a time before the retention period.
    Refused,
    /// The line alone is larger than what the database takes in one request.
    TooLarge,
    /// The database fails on this line, again and again, and on this line alone.
    Poison,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::NotUtf8,
        Self::InvalidJson,
        Self::TooDeep,
        Self::TooManyFields,
        Self::NameTooLong,
        Self::NotFinite,
        Self::NoField,
        Self::FieldType,
        Self::BadTimestamp,
        Self::Refused,
        Self::TooLarge,
        Self::Poison,
    ];

    /// The reason as a metric's label and as a word in the dead letter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::InvalidJson => "invalid_json",
            Self::TooDeep => "too_deep",
            Self::TooManyFields => "too_many_fields",
            Self::NameTooLong => "name_too_long",
            Self::NotFinite => "not_finite",
            Self::NoField => "no_field",
            Self::FieldType => "field_type",
            Self::BadTimestamp => "bad_timestamp",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Poison => "poison",
        }
    }
}

/// A reason and its details in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: Reason,
    pub(crate) detail: Cow<'static, str>,
}

/// The most bytes of detail that are kept: server replies may quote a whole batch.
const DETAIL_BYTES_MAX: usize = 500;

impl Rejection {
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut detail = detail.into();
        if detail.len() > DETAIL_BYTES_MAX {
            let end = detail.floor_char_boundary(DETAIL_BYTES_MAX);
            detail = format!("{}...", detail.get(..end).unwrap_or_default()).into();
        }
        Self { reason, detail }
    }
}

impl From<LineError> for Rejection {
    fn from(error: LineError) -> Self {
        let reason = match error {
            LineError::NoField => Reason::NoField,
            LineError::NotFinite => Reason::NotFinite,
            LineError::NameTooLong | LineError::SeriesKeyTooLong => Reason::NameTooLong,
            LineError::TooManyFields => Reason::TooManyFields,
        };
        Self::new(reason, error.to_string())
    }
}
