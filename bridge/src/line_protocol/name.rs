//! Names and tag values made safe, then escaped. Every text has a safe form, so this never fails.
//!
//! | found | written | because |
//! |---|---|---|
//! | empty name | `unnamed` | there is no empty name |
//! | leading `_` | `x_...` | `_measurement`, `_field`, `_time` are reserved in 2.x |
//! | measurement with leading `#` | `x#...` | the line would be a comment |
//! | `time` as tag or field | `time_` | refused, or dropped without a word |
//! | control character | `_` | a line break would begin another line |
//! | `\` before `,` `=` space `\` or the end | `_` | read as an escape, differently by each server |

/// Where a text stands in the line: decides what is escaped and which names are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    Measurement,
    /// The name of a tag or a field.
    Key,
    TagValue,
}

/// Appends the safe form of `text`; true if it differs from what was asked for.
pub(super) fn write(out: &mut Vec<u8>, text: &str, kind: NameKind) -> bool {
    let bytes = text.as_bytes();
    let mut changed = false;
    match (kind, bytes.first()) {
        (NameKind::TagValue, _) => {}
        (_, None) => {
            out.extend_from_slice(b"unnamed");
            return true;
        }
        (_, Some(b'_')) | (NameKind::Measurement, Some(b'#')) => {
            out.push(b'x');
            changed = true;
        }
        _ => {}
    }
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b',' | b' ' => out.extend_from_slice(&[b'\\', byte]),
            b'=' if kind != NameKind::Measurement => out.extend_from_slice(b"\\="),
            b'\\' if matches!(after.first(), None | Some(b',' | b'=' | b' ' | b'\\')) => {
                out.push(b'_');
                changed = true;
            }
            0..=0x1f | 0x7f => {
                out.push(b'_');
                changed = true;
            }
            _ => out.push(byte),
        }
    }
    if kind == NameKind::Key && text == "time" {
        out.push(b'_');
        changed = true;
    }
    changed
}
