//! Messages on their way to the sink, together: the lines to write, and for each the message it came from, so that a
//! line that is refused can become a dead letter. Three buffers however many messages there are.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use crate::{
    config::BatchConfig,
    mapping::{Mapper, Rejection},
};

/// A message as the broker delivers it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    /// When it was received, in nanoseconds since 1970: its point's time unless the payload has one.
    pub(crate) received_nanoseconds: i64,
}

/// Where a line or a rejection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
}

/// A batch, open or closed. The line at an index keeps that index.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Line protocol, each line with its line break.
    body: Vec<u8>,
    lines: Vec<Entry>,
    /// Topics and payloads, one after the other.
    sources: Vec<u8>,
    rejected: Vec<(Source, Rejection)>,
    /// Messages without a payload: they say nothing, and only clear what was retained.
    skipped: usize,
    /// How often its lines were said in other types.
    conversions: u32,
    first_at: Option<Instant>,
    /// When the first message was received, by the broker's clock, in nanoseconds since 1970.
    first_received: Option<i64>,
    last_at: Option<Instant>,
}

/// A line: where it ends in `body`, and its message.
#[derive(Debug, Clone, Copy)]
struct Entry {
    end: usize,
    source: Source,
}

/// A message in `sources`: the topic, then the payload.
#[derive(Debug, Clone, Copy)]
struct Source {
    start: usize,
    topic_end: usize,
    end: usize,
}

impl Batch {
    /// A batch with room for about as much as another one had.
    pub(crate) fn like(other: &Self) -> Self {
        Self {
            body: Vec::with_capacity(other.body.len()),
            lines: Vec::with_capacity(other.lines.len()),
            sources: Vec::with_capacity(other.sources.len()),
            ..Self::default()
        }
    }

    /// Takes a message in: as a line, or as a rejection.
    pub(crate) fn add(&mut self, mapper: &mut Mapper, message: &Message<'_>, now: Instant) {
        self.first_at.get_or_insert(now);
        self.first_received.get_or_insert(message.received_nanoseconds);
        self.last_at = Some(now);
        if message.payload.is_empty() {
            self.skipped += 1;
            return;
        }
        let start = self.sources.len();
        self.sources.extend_from_slice(message.topic.as_bytes());
        let topic_end = self.sources.len();
        self.sources.extend_from_slice(message.payload);
        let source = Source { start, topic_end, end: self.sources.len() };
        match mapper.map(message.topic, message.payload, message.received_nanoseconds, &mut self.body) {
            Ok(()) => self.lines.push(Entry { end: self.body.len(), source }),
            Err(rejection) => self.rejected.push((source, rejection)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages() == 0
    }

    /// Lines, rejections and what was skipped together.
    pub(crate) fn messages(&self) -> usize {
        self.lines.len() + self.rejected.len() + self.skipped
    }

    /// Messages that are neither a line nor a rejection.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped
    }

    /// When the first message was received, in nanoseconds since 1970: about the oldest, for messages come in order.
    pub(crate) fn first_received(&self) -> Option<i64> {
        self.first_received
    }

    /// The number of lines.
    pub(crate) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// The bytes of line protocol.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The bytes that the batch keeps in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.sources.len()
    }

    /// The bytes of topics and payloads.
    pub(crate) fn source_bytes(&self) -> usize {
        self.sources.len()
    }

    /// A line, its line break included; empty if there is no such line.
    pub(crate) fn line(&self, at: usize) -> &[u8] {
        let start = match at.checked_sub(1) {
            None => 0,
            Some(before) => self.lines.get(before).map_or(0, |entry| entry.end),
        };
        let range: Range<usize> = start..self.lines.get(at).map_or(start, |entry| entry.end);
        self.body.get(range).unwrap_or_default()
    }

    /// A batch of some of the messages, with other lines.
    pub(crate) fn converted(&self, lines: &[(usize, Vec<u8>)]) -> Self {
        let mut batch = Self { conversions: self.conversions + 1, ..Self::default() };
        for (at, line) in lines {
            let Some(origin) = self.origin(*at) else { continue };
            let start = batch.sources.len();
            batch.sources.extend_from_slice(origin.topic.as_bytes());
            let topic_end = batch.sources.len();
            batch.sources.extend_from_slice(origin.payload);
            batch.body.extend_from_slice(line);
            let source = Source { start, topic_end, end: batch.sources.len() };
            batch.lines.push(Entry { end: batch.body.len(), source });
        }
        batch
    }

    /// How often its lines were said in other types.
    pub(crate) fn conversions(&self) -> u32 {
        self.conversions
    }

    /// The message that a line came from.
    pub(crate) fn origin(&self, at: usize) -> Option<Origin<'_>> {
        self.lines.get(at).map(|entry| self.resolve(entry.source))
    }

    /// The messages that have no line, and why.
    pub(crate) fn rejected(&self) -> impl Iterator<Item = (Origin<'_>, &Rejection)> {
        self.rejected.iter().map(|(source, rejection)| (self.resolve(*source), rejection))
    }

    fn resolve(&self, source: Source) -> Origin<'_> {
        let topic = self.sources.get(source.start..source.topic_end).unwrap_or_default();
        let payload = self.sources.get(source.topic_end..source.end).unwrap_or_default();
        // The bytes were copied from a `str`.
        Origin { topic: std::str::from_utf8(topic).unwrap_or_default(), payload }
    }
}

/// When an open batch is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    lines: usize,
    bytes: usize,
    linger: Duration,
    quiet: Duration,
}

impl Policy {
    pub(crate) fn new(config: &BatchConfig) -> Self {
        Self {
            lines: config.lines.get(),
            bytes: config.bytes.get(),
            linger: config.linger,
            quiet: config.quiet,
        }
    }

    /// Whether the batch takes no more messages.
    pub(crate) fn is_full(&self, batch: &Batch) -> bool {
        batch.messages() >= self.lines || batch.body.len() >= self.bytes
    }

    /// When the batch is to be written even if it is not full: its first message waited long enough, or nothing has
    /// come after its last one. None for an empty batch.
    pub(crate) fn due_at(&self, batch: &Batch) -> Option<Instant> {
        let (first, last) = (batch.first_at?, batch.last_at?);
        Some((first + self.linger).min(last + self.quiet))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{clock, line_protocol::LineBreaks, mapping::Reason};

    /// A batch of these messages, mapped by no rule but the one for everything, received at 1, 2, 3...
    pub(crate) fn batch_of(messages: &[(&str, &str)]) -> Batch {
        let mut mapper = Mapper::new(Vec::new(), LineBreaks::Keep);
        let mut batch = Batch::default();
        for (at, (topic, payload)) in (1..).zip(messages) {
            let message = Message { topic, payload: payload.as_bytes(), received_nanoseconds: at };
            batch.add(&mut mapper, &message, clock::now());
        }
        batch
    }

    #[test]
    fn lines_know_their_messages() {
        let batch = batch_of(&[("a", "1"), ("b", "nan"), ("c/d", "x y")]);
        assert_eq!((batch.lines(), batch.messages(), batch.skipped()), (2, 3, 0));
        assert_eq!(batch.line(0), b"a,topic=a value=1.0 1\n");
        assert_eq!(batch.line(1), b"c,topic=c/d value=\"x y\" 3\n");
        assert_eq!(batch.line(2), b"");
        assert_eq!(batch.body(), [batch.line(0), batch.line(1)].concat());
        assert_eq!(batch.origin(1), Some(Origin { topic: "c/d", payload: b"x y" }));
        assert_eq!(batch.origin(2), None);
        let rejected: Vec<_> = batch.rejected().map(|(origin, why)| (origin.topic, why.reason)).collect();
        assert_eq!(rejected, [("b", Reason::NotFinite)]);
    }

    #[test]
    fn messages_without_a_payload_are_neither_lines_nor_rejections() {
        let batch = batch_of(&[("a", ""), ("b", "")]);
        assert_eq!((batch.lines(), batch.messages(), batch.skipped()), (0, 2, 2));
        assert_eq!(batch.rejected().count(), 0);
        assert!(!batch.is_empty(), "they wait for their acknowledgement");
    }

    #[test]
    fn when_it_is_written() {
        let config = BatchConfig {
            lines: 3.try_into().unwrap(),
            bytes: 1000.try_into().unwrap(),
            linger: Duration::from_millis(200),
            quiet: Duration::from_millis(20),
        };
        let policy = Policy::new(&config);
        let mut mapper = Mapper::new(Vec::new(), LineBreaks::Keep);
        let mut batch = Batch::default();
        assert_eq!(policy.due_at(&batch), None);
        let start = clock::now();
        let message = Message { topic: "a", payload: b"1", received_nanoseconds: 1 };
        batch.add(&mut mapper, &message, start);
        assert_eq!(policy.due_at(&batch), Some(start + Duration::from_millis(20)), "quiet");
        batch.add(&mut mapper, &message, start + Duration::from_millis(190));
        assert_eq!(policy.due_at(&batch), Some(start + Duration::from_millis(200)), "linger");
        assert!(!policy.is_full(&batch));
        batch.add(&mut mapper, &Message { payload: b"", ..message }, start);
        assert!(policy.is_full(&batch), "by messages, rejected ones included");
        let mut batch = Batch::default();
        batch.add(&mut mapper, &Message { payload: &[b'x'; 1000], ..message }, start);
        assert!(policy.is_full(&batch), "by bytes");
    }
}
