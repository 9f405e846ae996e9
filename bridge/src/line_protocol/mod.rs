//! Encodes points as InfluxDB line protocol that 1.x, 2.x and 3 read alike.
//!
//! Owns the grammar: escaping, names made safe ([`name`]), duplicates, number formats, the integer nanosecond
//! timestamp that every line ends with. Knows nothing of topics, JSON or batches. What it repairs it counts in
//! [`Repairs`]; what it cannot repair is a [`LineError`], and the output is as if the line had never begun.
//!
//! ```text
//! measurement[,tag=value...] field=value[,field=value...] timestamp\n
//! ```

mod name;
pub(crate) mod read;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;

use name::NameKind;

/// The most fields in one line. InfluxDB 3 Core stops at 500 columns in a table, tags and time included.
pub(crate) const FIELDS_PER_LINE_MAX: usize = 256;
/// The most bytes in the name of a measurement, a tag or a field, before escaping: far above any useful name, far
/// below what would make an index suffer.
pub(crate) const NAME_BYTES_MAX: usize = 1024;
/// The most bytes in measurement and tags as encoded. InfluxDB 1.x refuses a key above 65 535 bytes, with the
/// field's name and four bytes added.
pub(crate) const SERIES_KEY_BYTES_MAX: usize = 65_535 - 4 - 2 * NAME_BYTES_MAX;
/// What a field is called when a tag of the line has its name already: InfluxDB 3 has one column for both.
const SAME_NAME_SUFFIX: &str = "_field";

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FieldValue<'a> {
    /// Written in the shortest form that reads back equal; never NaN or infinite on the wire.
    Float(f64),
    /// Written with the suffix `i`.
    Integer(i64),
    /// Written as `true` or `false`.
    Boolean(bool),
    /// Quoted.
    Text(&'a str),
}

/// Whether line breaks inside string values stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineBreaks {
    /// Allowed by all three servers.
    Keep,
    /// Each becomes a space: `influx -import` reads a file line by line, quotes or not.
    Fold,
}

/// Why a point cannot be a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// A line needs a field.
    #[error("no field is left to write")]
    NoField,
    /// All the point had were numbers that line protocol cannot say.
    #[error("the only values are not finite numbers")]
    NotFinite,
    /// See [`NAME_BYTES_MAX`].
    #[error("a name is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// See [`SERIES_KEY_BYTES_MAX`].
    #[error("measurement and tags are longer than {SERIES_KEY_BYTES_MAX} bytes")]
    SeriesKeyTooLong,
    /// See [`FIELDS_PER_LINE_MAX`].
    #[error("more than {FIELDS_PER_LINE_MAX} fields")]
    TooManyFields,
}

/// What had to be changed to make lines valid, counted since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Repairs {
    /// Names with a character replaced, a prefix or a suffix added.
    pub(crate) renamed: u64,
    /// Tags left out because the line had a tag of that name.
    pub(crate) duplicate_tags: u64,
    /// Fields left out because the line had a field of that name: the first stays.
    pub(crate) duplicate_fields: u64,
    /// Fields left out because their number was NaN or infinite.
    pub(crate) not_finite: u64,
}

/// Writes lines, one after the other, each to the end of a buffer. Keeps its scratch space between lines.
#[derive(Debug)]
pub(crate) struct Encoder {
    line_breaks: LineBreaks,
    names: Vec<Name>,
    hasher: foldhash::fast::FixedState,
    repairs: Repairs,
}

/// A tag's or field's name in the line being written.
#[derive(Debug, Clone, Copy)]
struct Name {
    hash: u64,
    start: usize,
    end: usize,
    is_tag: bool,
}

impl Encoder {
    pub(crate) fn new(line_breaks: LineBreaks) -> Self {
        Self {
            line_breaks,
            names: Vec::with_capacity(16),
            hasher: foldhash::fast::FixedState::default(),
            repairs: Repairs::default(),
        }
    }

    /// Begins a line at the end of `out`. Dropping the [`Line`] unfinished takes everything back.
    pub(crate) fn line<'a>(
        &'a mut self,
        out: &'a mut Vec<u8>,
        measurement: &str,
    ) -> Result<Line<'a>, LineError> {
        self.names.clear();
        let start = out.len();
        if measurement.len() > NAME_BYTES_MAX {
            return Err(LineError::NameTooLong);
        }
        self.repairs.renamed += u64::from(name::write(out, measurement, NameKind::Measurement));
        Ok(Line { encoder: self, start, out, fields: 0, skipped_not_finite: false, finished: false })
    }

    /// What was repaired since the last call.
    pub(crate) fn take_repairs(&mut self) -> Repairs {
        std::mem::take(&mut self.repairs)
    }
}

/// A line being written: tags first, then fields, then [`Self::finish`].
#[derive(Debug)]
pub(crate) struct Line<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
    start: usize,
    fields: usize,
    skipped_not_finite: bool,
    finished: bool,
}

impl Line<'_> {
    /// Adds a tag, before any field. An empty value means that the tag is absent: line protocol has no empty tag.
    pub(crate) fn tag(&mut self, key: &str, value: &str) -> Result<(), LineError> {
        debug_assert!(self.fields == 0, "tags come before fields");
        if value.is_empty() {
            return Ok(());
        }
        let before = self.out.len();
        self.out.push(b',');
        if !self.write_key(key, true)? {
            self.out.truncate(before);
            return Ok(());
        }
        self.out.push(b'=');
        self.encoder.repairs.renamed += u64::from(name::write(self.out, value, NameKind::TagValue));
        if self.out.len() - self.start > SERIES_KEY_BYTES_MAX {
            return Err(LineError::SeriesKeyTooLong);
        }
        Ok(())
    }

    /// Adds a field. A number that is not finite, or a name that the line has already, is left out and counted.
    pub(crate) fn field(&mut self, key: &str, value: FieldValue<'_>) -> Result<(), LineError> {
        if matches!(value, FieldValue::Float(number) if !number.is_finite()) {
            self.encoder.repairs.not_finite += 1;
            self.skipped_not_finite = true;
            return Ok(());
        }
        if self.fields == FIELDS_PER_LINE_MAX {
            return Err(LineError::TooManyFields);
        }
        let before = self.out.len();
        self.out.push(if self.fields == 0 { b' ' } else { b',' });
        if !self.write_key(key, false)? {
            self.out.truncate(before);
            return Ok(());
        }
        self.out.push(b'=');
        self.write_value(value);
        self.fields += 1;
        Ok(())
    }

    /// Ends the line with its time in nanoseconds since 1970.
    pub(crate) fn finish(mut self, timestamp_nanoseconds: i64) -> Result<(), LineError> {
        if self.fields == 0 {
            return Err(if self.skipped_not_finite { LineError::NotFinite } else { LineError::NoField });
        }
        self.out.push(b' ');
        self.out.extend_from_slice(itoa::Buffer::new().format(timestamp_nanoseconds).as_bytes());
        self.out.push(b'\n');
        self.finished = true;
        Ok(())
    }

    /// Writes a name that the line does not have yet; false if it has it.
    fn write_key(&mut self, key: &str, is_tag: bool) -> Result<bool, LineError> {
        if key.len() > NAME_BYTES_MAX {
            return Err(LineError::NameTooLong);
        }
        let start = self.out.len();
        let mut renamed = name::write(self.out, key, NameKind::Key);
        if !is_tag && self.has_name(start, true) {
            self.out.extend_from_slice(SAME_NAME_SUFFIX.as_bytes());
            renamed = true;
        }
        if self.has_name(start, is_tag) {
            match is_tag {
                true => self.encoder.repairs.duplicate_tags += 1,
                false => self.encoder.repairs.duplicate_fields += 1,
            }
            return Ok(false);
        }
        self.encoder.repairs.renamed += u64::from(renamed);
        let hash = self.hash_from(start);
        self.encoder.names.push(Name { hash, start, end: self.out.len(), is_tag });
        Ok(true)
    }

    /// Whether the name at the end of `out` was written before as a tag's (or field's) name.
    fn has_name(&self, start: usize, is_tag: bool) -> bool {
        if self.encoder.names.is_empty() {
            return false;
        }
        let hash = self.hash_from(start);
        let written = self.out.get(start..);
        self.encoder.names.iter().any(|name| {
            name.hash == hash && name.is_tag == is_tag && self.out.get(name.start..name.end) == written
        })
    }

    fn hash_from(&self, start: usize) -> u64 {
        self.encoder.hasher.hash_one(self.out.get(start..).unwrap_or_default())
    }

    fn write_value(&mut self, value: FieldValue<'_>) {
        match value {
            FieldValue::Float(number) => {
                self.out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
            }
            FieldValue::Integer(number) => {
                self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                self.out.push(b'i');
            }
            FieldValue::Boolean(true) => self.out.extend_from_slice(b"true"),
            FieldValue::Boolean(false) => self.out.extend_from_slice(b"false"),
            FieldValue::Text(text) => write_text(self.out, text, self.encoder.line_breaks),
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// Inside quotes only `"` and `\` are special.
fn write_text(out: &mut Vec<u8>, text: &str, line_breaks: LineBreaks) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' | b'\r' if line_breaks == LineBreaks::Fold => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
