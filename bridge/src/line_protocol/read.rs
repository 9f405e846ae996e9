//! Looks into lines that [`super::Encoder`] wrote. No parser for lines of others.

use std::ops::Range;

use super::name::{self, NameKind};

/// The time of a line.
pub(crate) fn timestamp(line: &[u8]) -> Option<i64> {
    let line = line.trim_ascii_end();
    let at = line.iter().rposition(|byte| *byte == b' ')?;
    std::str::from_utf8(line.get(at + 1..)?).ok()?.parse().ok()
}

/// Whether the line has this measurement and this field with a value of this type, as InfluxDB names types: `float`,
/// `integer`, `string`, `boolean`.
pub(crate) fn has_field(line: &[u8], measurement: &str, field: &str, kind: &str) -> bool {
    let value = self::field(line, Some(measurement), field);
    value.and_then(|value| line.get(value)).is_some_and(|value| value_of(value).1 == kind)
}

/// Where in the line the value of this field is, if the line has it and this measurement; without one, any.
pub(crate) fn field(line: &[u8], measurement: Option<&str>, field: &str) -> Option<Range<usize>> {
    let mut wanted = Vec::new();
    if let Some(measurement) = measurement {
        name::write(&mut wanted, measurement, NameKind::Measurement);
        let rest = line.strip_prefix(wanted.as_slice())?;
        if !matches!(rest.first(), Some(b',' | b' ')) {
            return None;
        }
        wanted.clear();
    }
    name::write(&mut wanted, field, NameKind::Key);
    let mut at = find_plain(line, b' ')? + 1;
    loop {
        let rest = line.get(at..)?;
        let equals_at = find_plain(rest, b'=')?;
        let start = at + equals_at + 1;
        let (value_bytes, _) = value_of(line.get(start..)?);
        let end = start + value_bytes;
        if rest.get(..equals_at)? == wanted {
            return Some(start..end);
        }
        match line.get(end)? {
            b',' => at = end + 1,
            _ => return None,
        }
    }
}

/// The first such byte that no backslash is before.
fn find_plain(bytes: &[u8], wanted: u8) -> Option<usize> {
    let mut escaped = false;
    bytes.iter().position(|byte| {
        let is_it = *byte == wanted && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_it
    })
}

/// How long the value at the front is, and its type.
fn value_of(bytes: &[u8]) -> (usize, &'static str) {
    if let Some(text) = bytes.strip_prefix(b"\"") {
        return (find_plain(text, b'"').map_or(bytes.len(), |end| end + 2), "string");
    }
    let end = bytes.iter().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(bytes.len());
    let kind = match bytes.get(..end).unwrap_or_default() {
        b"true" | b"false" => "boolean",
        [.., b'i'] => "integer",
        _ => "float",
    };
    (end, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_lines() {
        let line = b"m\\ 1,t=a\\ b\\,c s=\"x, y=1 \\\"z\\\\\",f\\ 1=1.5,i=2i,b=true 17\n";
        for (measurement, field, kind, expected) in [
            ("m 1", "s", "string", true),
            ("m 1", "f 1", "float", true),
            ("m 1", "i", "integer", true),
            ("m 1", "b", "boolean", true),
            ("m 1", "i", "float", false),
            ("m 1", "y", "float", false),
            ("m 1", "t", "string", false),
            ("m", "i", "integer", false),
            ("m 1,t", "i", "integer", false),
        ] {
            assert_eq!(has_field(line, measurement, field, kind), expected, "{measurement} {field} {kind}");
        }
        assert_eq!(timestamp(line), Some(17));
        assert_eq!(timestamp(b"m v=1 -5\n"), Some(-5));
        assert_eq!(timestamp(b""), None);
        assert!(has_field(b"m v=1.0 1\n", "m", "v", "float"));
        assert!(!has_field(b"m v=\"", "m", "w", "float"));
    }
}
