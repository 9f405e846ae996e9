//! Tables of raw packets and what becomes of them.

use gaugeline_protocol::{
    ReasonCode, Version,
    codec::{DecodeError, Limits, frame},
    packet::{Packet, decode},
};

pub(crate) const V3: &[Version] = &[Version::V31, Version::V311];
pub(crate) const V31: &[Version] = &[Version::V31];
pub(crate) const V311: &[Version] = &[Version::V311];
pub(crate) const V311_V5: &[Version] = &[Version::V311, Version::V5];
pub(crate) const V5: &[Version] = &[Version::V5];
pub(crate) const ALL: &[Version] = &Version::ALL;

/// One packet, the versions in which it is tried, and the reason for which it is refused; `None` if it is valid.
pub(crate) type Row = (&'static str, &'static [Version], &'static str, Option<ReasonCode>);

/// Bytes from hexadecimal digits and texts in apostrophes; brackets put the length before what they hold:
/// `0001 'a' [0101 0B01] FF`.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sections = Vec::new();
    for (at, part) in text.split('\'').enumerate() {
        if at % 2 == 1 {
            out.extend_from_slice(part.as_bytes());
            continue;
        }
        let mut digits = part.chars().filter(|char| !char.is_whitespace());
        while let Some(first) = digits.next() {
            match first {
                '[' => sections.push(out.len()),
                ']' => {
                    let section = out.split_off(sections.pop().unwrap());
                    out.extend(varint(section.len()));
                    out.extend(section);
                }
                _ => {
                    let (high, low) = (first.to_digit(16), digits.next().and_then(|char| char.to_digit(16)));
                    out.push((high.unwrap() << 4 | low.unwrap()) as u8);
                }
            }
        }
    }
    out
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A packet from its first byte and content; the length is put between. `10 | 0004 'MQTT' ...`
pub(crate) fn packet(text: &str) -> Vec<u8> {
    let Some((first, body)) = text.split_once('|') else { return bytes(text) };
    bytes(&format!("{first} [{body}]"))
}

/// Decodes one whole packet. That bytes are missing is never the answer to a whole packet.
pub(crate) fn read(version: Version, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let framed = frame(bytes, 1_000_000)?.expect("a whole packet");
    assert_eq!(framed.len, bytes.len(), "the row is one packet");
    decode(version, &framed, &Limits::default())
}

pub(crate) fn check(rows: &[Row]) {
    for (statement, versions, text, refused) in rows {
        for version in *versions {
            let bytes = packet(text);
            let found = read(*version, &bytes);
            match (&found, refused) {
                (Ok(_), None) => prefixes_are_incomplete(&bytes),
                (Err(error), Some(reason)) if error.reason() == *reason => {}
                _ => panic!("{statement} (MQTT {version}): {text}: expected {refused:?}, found {found:?}"),
            }
        }
    }
}

/// A strict prefix of a valid packet is never an error and never a packet.
pub(crate) fn prefixes_are_incomplete(bytes: &[u8]) {
    for len in 0..bytes.len() {
        assert_eq!(frame(&bytes[..len], 1_000_000), Ok(None), "{len} of {bytes:02X?}");
    }
}
