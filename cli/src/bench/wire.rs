//! Packets that the load generator sends, encoded once and patched. Lengths come from a checked plan, so nothing here
//! can fail: texts are cut at 65,535 bytes, which `plan.rs` never lets happen.

use super::{options::Version, stamp::Stamp};

/// Seconds after which the broker may give a silent client up; see [`super::worker`] for the pings.
pub(super) const KEEP_ALIVE_SECONDS: u16 = 60;
/// PINGREQ.
pub(super) const PING_REQUEST: [u8; 2] = [0xc0, 0];
/// DISCONNECT without a reason, the same in each version.
pub(super) const DISCONNECT: [u8; 2] = [0xe0, 0];
/// How long a persistent session of MQTT 5 outlives its connection, should the run not end as planned.
const SESSION_EXPIRY_SECONDS: u32 = 3600;

/// What a payload of JSON is made of: digits between the first two, filling between the last two.
const JSON_PARTS: [&[u8]; 3] = [b"{\"value\":1.", b",\"text\":\"", b"\"}"];
/// Digits of a sequence number.
const JSON_DIGITS: usize = 13;

/// What a client says when it connects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connect<'a> {
    pub(super) version: Version,
    pub(super) client_id: &'a str,
    /// Begin with an empty session.
    pub(super) clean: bool,
    /// Keep the session when the connection ends.
    pub(super) keep: bool,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a [u8]>,
}

impl Connect<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut flags = 0;
        // 3.1.1 has one bit for both ends of a session's life.
        if if self.version == Version::V5 { self.clean } else { !self.keep } {
            flags |= 0x02;
        }
        let mut body = Vec::with_capacity(64);
        text(&mut body, b"MQTT");
        let mut end = Vec::with_capacity(64);
        text(&mut end, self.client_id.as_bytes());
        if let Some(user) = self.user {
            flags |= 0x80;
            text(&mut end, user.as_bytes());
        }
        if let Some(password) = self.password {
            flags |= 0x40;
            text(&mut end, password);
        }
        body.extend_from_slice(&[if self.version == Version::V5 { 5 } else { 4 }, flags]);
        body.extend_from_slice(&KEEP_ALIVE_SECONDS.to_be_bytes());
        if self.version == Version::V5 {
            if self.keep {
                body.extend_from_slice(&[5, 0x11]);
                body.extend_from_slice(&SESSION_EXPIRY_SECONDS.to_be_bytes());
            } else {
                body.push(0);
            }
        }
        body.extend_from_slice(&end);
        packet(0x10, &body)
    }
}

/// SUBSCRIBE to one filter, with packet id 1.
pub(super) fn subscribe(version: Version, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    if version == Version::V5 {
        body.push(0);
    }
    text(&mut body, filter.as_bytes());
    body.push(qos);
    packet(0x82, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, by its first byte.
#[inline]
pub(super) fn acknowledgement(first: u8, packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [first, 2, high, low]
}

/// A PUBLISH to be copied out again and again, with another packet id and stamp each time.
#[derive(Debug, Clone)]
pub(super) struct PublishTemplate {
    bytes: Vec<u8>,
    packet_id_at: Option<usize>,
    stamp_at: Option<usize>,
    digits_at: Option<usize>,
}

impl PublishTemplate {
    pub(super) fn new(version: Version, qos: u8, topic: &str, payload_bytes: usize) -> Self {
        let mut body = Vec::with_capacity(payload_bytes + topic.len() + 8);
        text(&mut body, topic.as_bytes());
        let packet_id_in_body = body.len();
        if qos > 0 {
            body.extend_from_slice(&[0, 0]);
        }
        if version == Version::V5 {
            body.push(0);
        }
        let payload_in_body = body.len();
        body.resize(payload_in_body + payload_bytes, b'.');
        let bytes = packet(0x30 | (qos << 1), &body);
        let head = bytes.len() - body.len();
        Self {
            packet_id_at: (qos > 0).then_some(head + packet_id_in_body),
            stamp_at: (payload_bytes >= 16).then_some(head + payload_in_body),
            digits_at: None,
            bytes,
        }
    }

    /// The same with a payload of JSON that holds the sequence number. The plan has seen to it that it is long enough.
    pub(super) fn json(version: Version, qos: u8, topic: &str, payload_bytes: usize) -> Self {
        let mut template = Self::new(version, qos, topic, payload_bytes);
        let [begin, middle, end] = JSON_PARTS;
        let Some(payload_at) = template.stamp_at.take() else { return template };
        let digits_at = payload_at + begin.len();
        for (at, part) in [
            (payload_at, begin),
            (digits_at + JSON_DIGITS, middle),
            (payload_at + payload_bytes.saturating_sub(end.len()), end),
        ] {
            if let Some(place) = template.bytes.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        }
        template.digits_at = Some(digits_at);
        template
    }

    /// Bytes of one message on the wire.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends one message to `out`.
    #[inline]
    pub(super) fn append(&mut self, packet_id: u16, [origin, time]: [u64; 2], out: &mut Vec<u8>) {
        if let Some(place) = self.packet_id_at.and_then(|at| self.bytes.get_mut(at..at + 2)) {
            place.copy_from_slice(&packet_id.to_be_bytes());
        }
        if let Some(place) = self.stamp_at.and_then(|at| self.bytes.get_mut(at..at + 16)) {
            let (first, second) = place.split_at_mut(8);
            first.copy_from_slice(&origin.to_be_bytes());
            second.copy_from_slice(&time.to_be_bytes());
        }
        if let Some(place) = self.digits_at.and_then(|at| self.bytes.get_mut(at..at + JSON_DIGITS)) {
            let mut rest = Stamp::decode([origin, time]).number;
            for digit in place.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        out.extend_from_slice(&self.bytes);
    }
}

/// A length-prefixed text or byte string.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(bytes.iter().take(usize::from(length)));
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 5);
    bytes.push(first);
    let mut remaining = body.len();
    loop {
        let [low, ..] = remaining.to_le_bytes();
        remaining >>= 7;
        if remaining == 0 {
            bytes.push(low & 0x7f);
            break;
        }
        bytes.push(low | 0x80);
    }
    bytes.extend_from_slice(body);
    bytes
}

/// What a code of refusal means and what to do about it, in CONNACK (also of 3.1.1), SUBACK, PUBACK and DISCONNECT.
pub(super) fn explain(reason: u8) -> &'static str {
    match reason {
        0x01 | 0x84 => "the protocol version is not supported: try the other --mqtt",
        0x02 | 0x85 => "the client identifier is not allowed: try another --client-prefix",
        0x03 | 0x88 => "the broker is not available now: look at its log",
        0x04 | 0x86 => "wrong user name or password: check --user and --password-file",
        0x05 | 0x87 => {
            "not authorized: give --user and --password-file, or let the broker's ACL allow --topic-prefix"
        }
        0x80 => "refused without a reason: look at the broker's log, often it is its ACL",
        0x81 => "the broker found the packet malformed",
        0x82 => "the broker calls it a protocol error",
        0x89 => "the broker is busy: load it with fewer connections",
        0x8a => "the broker has banned this client",
        0x8b => "the broker is shutting down",
        0x8d => "the broker heard nothing for the keep-alive time",
        0x8e => "another client with the same identifier took over: give each run its own --client-prefix",
        0x8f | 0x90 => "the broker does not like the topic: try another --topic-prefix",
        0x93 => "more messages in flight than the broker allows: use a smaller --window",
        0x95 => "the packet is too large for the broker: use a smaller --payload",
        0x96 => "the broker limits the message rate",
        0x97 => "a quota of the broker is exceeded",
        0x9b => "the broker does not support this QoS: use a smaller --qos",
        0x9f => "the broker limits the rate of connections",
        _ => "look at the broker's log",
    }
}

#[cfg(test)]
mod tests {
    use super::super::scanner::{Event, Received, Scanner};
    use super::*;

    #[test]
    fn connect_is_encoded_as_the_standard_says() {
        let connect = Connect {
            version: Version::V311,
            client_id: "a",
            clean: true,
            keep: false,
            user: Some("u"),
            password: Some(b"p"),
        };
        let expected = b"\x10\x13\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x01u\x00\x01p";
        assert_eq!(connect.encode(), expected);
        let kept =
            Connect { version: Version::V5, keep: true, clean: false, user: None, password: None, ..connect };
        assert_eq!(kept.encode(), b"\x10\x13\x00\x04MQTT\x05\x00\x00\x3c\x05\x11\x00\x00\x0e\x10\x00\x01a");
    }

    #[test]
    fn subscribe_is_encoded_as_the_standard_says() {
        assert_eq!(subscribe(Version::V311, "a/+", 1), b"\x82\x08\x00\x01\x00\x03a/+\x01");
        assert_eq!(subscribe(Version::V5, "#", 2), b"\x82\x07\x00\x01\x00\x00\x01#\x02");
    }

    #[test]
    fn json_has_the_asked_length_and_counts() {
        for (payload_bytes, filling) in [(35, 0), (64, 29), (1024, 989)] {
            let mut template = PublishTemplate::json(Version::V311, 1, "bench/1", payload_bytes);
            for number in [0, 42, (1 << 40) - 1] {
                let mut out = Vec::new();
                template.append(1, Stamp { tag: 7, publisher: 3, number, time: 5 }.encode(), &mut out);
                let payload = &out[out.len() - payload_bytes..];
                let expected = format!("{{\"value\":1.{number:013},\"text\":\"{}\"}}", ".".repeat(filling));
                assert_eq!(std::str::from_utf8(payload).unwrap(), expected);
            }
        }
    }

    #[test]
    fn the_template_is_what_the_scanner_reads() {
        for version in [Version::V311, Version::V5] {
            for qos in 0..=2 {
                for payload in [0, 15, 16, 64, 200, 70_000] {
                    let mut template = PublishTemplate::new(version, qos, "bench/1", payload);
                    let mut out = Vec::new();
                    let stamp = [u64::MAX - 1, 0x0102_0304_0506_0708];
                    template.append(0x0102, stamp, &mut out);
                    assert_eq!(out.len(), template.len());
                    let mut events = Vec::new();
                    Scanner::new(version).feed(&out, &mut |event| events.push(*event)).unwrap();
                    let packet_id = if qos > 0 { 0x0102 } else { 0 };
                    let received = Received { qos, packet_id, stamp: (payload >= 16).then_some(stamp) };
                    assert_eq!(events, [Event::Publish(received)], "{version:?} {qos} {payload}");
                }
            }
        }
    }
}
