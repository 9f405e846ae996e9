//! How `gaugeline sub` writes a message.

use std::{
    io::{self, Write},
    str::FromStr,
};

use jiff::Zoned;

/// A message as a subscriber received it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    /// When it arrived, in the zone of this machine.
    pub(super) at: &'a Zoned,
    /// The topic, aliases resolved.
    pub(super) topic: &'a str,
    /// The content.
    pub(super) payload: &'a [u8],
    /// The level that the broker delivered it with: 0, 1 or 2.
    pub(super) qos: u8,
    /// Whether it was stored before the subscription.
    pub(super) retain: bool,
    /// The content type (MQTT 5).
    pub(super) content_type: Option<&'a str>,
}

/// The shape of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// The payload alone.
    Payload,
    /// Topic, space, payload.
    Verbose,
    /// What `-F` describes.
    Template(Template),
    /// One JSON object a line.
    Json,
}

impl Output {
    /// Appends the message to `out`, without a line end.
    pub(super) fn write(&self, message: &Message<'_>, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Payload => out.write_all(message.payload),
            Self::Verbose => {
                write!(out, "{} ", message.topic)?;
                out.write_all(message.payload)
            }
            Self::Template(template) => template.write(message, out),
            Self::Json => write_json(message, out),
        }
    }
}

/// A parsed `-F` format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Payload,
    PayloadHex,
    PayloadLength,
    QoS,
    Retain,
    Time,
    UnixTime,
    Json,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            let (part, literal) = match (character, character == '%' || character == '\\') {
                (other, false) => (None, other),
                ('%', _) => match rest.next() {
                    Some('%') => (None, '%'),
                    Some('t') => (Some(Part::Topic), ' '),
                    Some('p') => (Some(Part::Payload), ' '),
                    Some('x') => (Some(Part::PayloadHex), ' '),
                    Some('l') => (Some(Part::PayloadLength), ' '),
                    Some('q') => (Some(Part::QoS), ' '),
                    Some('r') => (Some(Part::Retain), ' '),
                    Some('I') => (Some(Part::Time), ' '),
                    Some('U') => (Some(Part::UnixTime), ' '),
                    Some('j') => (Some(Part::Json), ' '),
                    other => return Err(unknown('%', other, "%t %p %x %l %q %r %I %U %j %%")),
                },
                (_, _) => match rest.next() {
                    Some('n') => (None, '\n'),
                    Some('t') => (None, '\t'),
                    Some('0') => (None, '\0'),
                    Some('\\') => (None, '\\'),
                    other => return Err(unknown('\\', other, r"\n \t \0 \\")),
                },
            };
            match part {
                None => plain.push(literal),
                Some(part) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part);
                }
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }
}

impl Template {
    fn write(&self, message: &Message<'_>, out: &mut impl Write) -> io::Result<()> {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.write_all(text.as_bytes())?,
                Part::Topic => out.write_all(message.topic.as_bytes())?,
                Part::Payload => out.write_all(message.payload)?,
                Part::PayloadHex => out.write_all(hex::encode(message.payload).as_bytes())?,
                Part::PayloadLength => write!(out, "{}", message.payload.len())?,
                Part::QoS => write!(out, "{}", message.qos)?,
                Part::Retain => write!(out, "{}", u8::from(message.retain))?,
                Part::Time => write!(out, "{}", message.at.strftime("%Y-%m-%dT%H:%M:%S%z"))?,
                Part::UnixTime => {
                    let at = message.at.timestamp();
                    write!(out, "{}.{:09}", at.as_second(), at.subsec_nanosecond())?;
                }
                Part::Json => write_json_of_mosquitto(message, out)?,
            }
        }
        Ok(())
    }
}

/// What is wrong with a placeholder.
fn unknown(sign: char, found: Option<char>, expected: &str) -> String {
    let found = found.map(String::from).unwrap_or_default();
    format!("`{sign}{found}` is not known, expected one of {expected}")
}

/// The message as a JSON object; a payload that is not text is written in hex.
fn write_json(message: &Message<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut object = serde_json::json!({
        "topic": message.topic,
        "qos": message.qos,
        "retain": message.retain,
    });
    match std::str::from_utf8(message.payload) {
        Ok(text) => insert(&mut object, "payload", text),
        Err(_) => insert(&mut object, "payload_hex", &hex::encode(message.payload)),
    }
    if let Some(content_type) = message.content_type {
        insert(&mut object, "content_type", content_type);
    }
    serde_json::to_writer(out, &object).map_err(io::Error::from)
}

/// The message with the keys of mosquitto_sub's `%j`.
fn write_json_of_mosquitto(message: &Message<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut object = serde_json::json!({
        "tst": message.at.strftime("%Y-%m-%dT%H:%M:%S.%6f%z").to_string(),
        "topic": message.topic,
        "qos": message.qos,
        "retain": u8::from(message.retain),
        "payloadlen": message.payload.len(),
    });
    match std::str::from_utf8(message.payload) {
        Ok(text) => insert(&mut object, "payload", text),
        Err(_) => insert(&mut object, "payload_hex", &hex::encode(message.payload)),
    }
    serde_json::to_writer(out, &object).map_err(io::Error::from)
}

/// Adds a text to a JSON object.
fn insert(object: &mut serde_json::Value, key: &str, text: &str) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), text.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static AT: LazyLock<Zoned> = LazyLock::new(|| "2026-11-22T06:30:00.25+01:00[+01:00]".parse().unwrap());
    static MESSAGE: LazyLock<Message<'_>> = LazyLock::new(|| Message {
        at: &AT,
        topic: "a/b",
        payload: b"21.5",
        qos: 1,
        retain: true,
        content_type: None,
    });

    fn written(output: &Output, message: &Message<'_>) -> String {
        let mut out = Vec::new();
        output.write(message, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_shape_writes_the_message() {
        assert_eq!(written(&Output::Payload, &MESSAGE), "21.5");
        assert_eq!(written(&Output::Verbose, &MESSAGE), "a/b 21.5");
        assert_eq!(
            written(&Output::Json, &MESSAGE),
            r#"{"payload":"21.5","qos":1,"retain":true,"topic":"a/b"}"#
        );
        let binary = Message { payload: &[0xff, 0], content_type: Some("x"), ..*MESSAGE };
        assert_eq!(
            written(&Output::Json, &binary),
            r#"{"content_type":"x","payload_hex":"ff00","qos":1,"retain":true,"topic":"a/b"}"#
        );
    }

    #[test]
    fn a_template_is_filled_in() {
        let template = r"%t\t%p %x %l q%q r%r 100%%\\\n".parse().map(Output::Template).unwrap();
        assert_eq!(written(&template, &MESSAGE), "a/b\t21.5 32312e35 4 q1 r1 100%\\\n");
        let times = "%I %U".parse().map(Output::Template).unwrap();
        assert_eq!(written(&times, &MESSAGE), "2026-11-22T06:30:00+0100 1795325400.250000000");
        let json = "%j".parse().map(Output::Template).unwrap();
        let expected = r#"{"payload":"21.5","payloadlen":4,"qos":1,"retain":1,"topic":"a/b","tst":"2026-11-22T06:30:00.250000+0100"}"#;
        assert_eq!(written(&json, &MESSAGE), expected);
        let empty = "".parse().map(Output::Template).unwrap();
        assert_eq!(written(&empty, &MESSAGE), "");
    }

    #[test]
    fn an_unknown_placeholder_is_named() {
        for (template, part) in [("%z", "`%z`"), ("%", "`%`"), (r"\q", r"`\q`"), ("a\\", r"`\`")] {
            assert!(template.parse::<Template>().unwrap_err().contains(part), "{template}");
        }
    }
}
