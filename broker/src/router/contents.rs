//! What is in a mailbox: things to send, in their order.

use std::collections::VecDeque;

use bytes::{Buf as _, BytesMut};
use gaugeline_protocol::{QoS, codec};

use super::{Delivery, Stamp};

/// One thing to send.
#[derive(Debug)]
pub enum Entry {
    /// Encoded PUBLISH packets of QoS 0, to be sent as they are.
    Run {
        /// The length of all of them, in bytes.
        bytes: u32,
        /// How many they are.
        messages: u32,
    },
    /// One encoded PUBLISH above QoS 0.
    Frame {
        /// Its length, in bytes.
        bytes: u32,
        /// Where the packet id is, counted from its first byte.
        packet_id_at: u32,
        /// Its QoS.
        qos: QoS,
    },
    /// A message that is encoded when it is sent.
    Delivery(Delivery),
}

/// What was in a mailbox: entries, and the frames that they tell the lengths of, one behind the other.
#[derive(Debug, Default)]
pub struct Contents {
    /// In the order in which they were pushed.
    pub entries: VecDeque<Entry>,
    /// The encoded packets.
    pub frames: BytesMut,
    /// How many messages, each of a run counted.
    pub messages: usize,
    /// How many bytes, deliveries counted with their size.
    pub bytes: usize,
}

impl Contents {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Something that was taken out of [`Contents`] and is not to be sent.
#[derive(Debug)]
pub enum Dropped {
    /// Encoded packets, one behind the other.
    Frames {
        /// Of all of them.
        topic: String,
        /// How many.
        count: u64,
    },
    /// A message that was not encoded.
    Delivery(Delivery),
}

/// Encoded packets of one topic, QoS and version, ready to be copied into mailboxes.
#[derive(Debug, Default)]
pub struct Frames {
    /// The packets, one behind the other.
    pub bytes: BytesMut,
    /// The length of each packet and where its packet id is.
    pub each: Vec<(u32, u32)>,
    /// Their QoS.
    pub qos: QoS,
}

impl Contents {
    /// Drops the delivery at the front; `None` if something else is there.
    pub(super) fn pop_oldest_delivery(&mut self) -> Option<Stamp> {
        if !matches!(self.entries.front(), Some(Entry::Delivery(_))) {
            return None;
        }
        let Some(Entry::Delivery(oldest)) = self.entries.pop_front() else { return None };
        self.sent(1, oldest.message.size());
        Some(oldest.message.stamp())
    }

    /// Something at the front has been sent.
    pub fn sent(&mut self, messages: usize, bytes: usize) {
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn push_frames(&mut self, frames: &Frames) {
        self.frames.extend_from_slice(&frames.bytes);
        self.bytes += frames.bytes.len();
        self.messages += frames.each.len();
        if frames.qos != QoS::AtMostOnce {
            self.entries.extend(frames.each.iter().map(|&(bytes, packet_id_at)| Entry::Frame {
                bytes,
                packet_id_at,
                qos: frames.qos,
            }));
            return;
        }
        // A batch is bounded by the read buffer, a run by the mailbox: both far below 4 GiB.
        let (added_bytes, added) = (frames.bytes.len() as u32, frames.each.len() as u32);
        match self.entries.back_mut() {
            Some(Entry::Run { bytes, messages }) => {
                *bytes += added_bytes;
                *messages += added;
            }
            _ => self.entries.push_back(Entry::Run { bytes: added_bytes, messages: added }),
        }
    }

    /// Appends a message that is encoded when it is sent.
    pub fn push_delivery(&mut self, delivery: Delivery) {
        self.bytes += delivery.message.size();
        self.messages += 1;
        self.entries.push_back(Entry::Delivery(delivery));
    }

    /// Keeps the messages of topics that `keeps` says yes to, in their order; it is asked once for each row of the same
    /// topic.
    pub fn retain_topics(&mut self, mut keeps: impl FnMut(&str) -> bool, dropped: &mut Vec<Dropped>) {
        let old = std::mem::take(self);
        let mut frames = old.frames;
        let mut last = (String::new(), None);
        let mut decide = |topic: &str| {
            if last.1.is_none() || last.0 != topic {
                last = (topic.to_owned(), Some(keeps(topic)));
            }
            last.1 == Some(true)
        };
        for entry in old.entries {
            match entry {
                Entry::Delivery(delivery) if decide(delivery.message.topic()) => self.push_delivery(delivery),
                Entry::Delivery(delivery) => dropped.push(Dropped::Delivery(delivery)),
                Entry::Frame { bytes, packet_id_at, qos } => {
                    let frame = frames.split_to((bytes as usize).min(frames.len()));
                    match topic_of(&frame) {
                        Some(topic) if !decide(topic) => note(dropped, topic),
                        _ => {
                            let each = vec![(bytes, packet_id_at)];
                            self.push_frames(&Frames { bytes: frame, each, qos });
                        }
                    }
                }
                Entry::Run { bytes, messages } => {
                    let mut run = frames.split_to((bytes as usize).min(frames.len()));
                    for _ in 0..messages {
                        let length = first_length(&run).unwrap_or(run.len());
                        let frame = run.split_to(length);
                        match topic_of(&frame) {
                            Some(topic) if !decide(topic) => note(dropped, topic),
                            _ => {
                                let each = vec![(frame.len() as u32, 0)];
                                self.push_frames(&Frames { bytes: frame, each, qos: QoS::AtMostOnce });
                            }
                        }
                    }
                }
            }
        }
    }

    /// Keeps what can wait for another connection; returns how many messages went.
    pub(super) fn keep_deliveries(&mut self, keeps: impl Fn(QoS) -> bool) -> usize {
        let before = self.messages;
        self.frames = BytesMut::new();
        self.entries.retain(|entry| matches!(entry, Entry::Delivery(kept) if keeps(kept.qos)));
        self.messages = self.entries.len();
        self.bytes = self
            .entries
            .iter()
            .map(|entry| if let Entry::Delivery(kept) = entry { kept.message.size() } else { 0 })
            .sum();
        before - self.messages
    }
}

fn first_length(packets: &[u8]) -> Option<usize> {
    codec::frame(packets, usize::MAX).ok().flatten().map(|frame| frame.len)
}

/// The topic of an encoded PUBLISH, which is what its body begins with.
fn topic_of(packet: &[u8]) -> Option<&str> {
    let mut body = codec::frame(packet, usize::MAX).ok().flatten()?.body;
    let length = body.try_get_u16().ok()?;
    body.get(..usize::from(length)).and_then(|topic| std::str::from_utf8(topic).ok())
}

fn note(dropped: &mut Vec<Dropped>, topic: &str) {
    match dropped.last_mut() {
        Some(Dropped::Frames { topic: last, count }) if last == topic => *count += 1,
        _ => dropped.push(Dropped::Frames { topic: topic.to_owned(), count: 1 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PUBLISH of QoS 0 without a payload, as MQTT 3 has it.
    fn packet(topic: &str) -> Vec<u8> {
        let length = u8::try_from(topic.len()).unwrap();
        [&[0x30, length + 2, 0, length], topic.as_bytes()].concat()
    }

    fn push(contents: &mut Contents, qos: QoS, topics: &[&str]) {
        let mut frames = Frames { qos, ..Frames::default() };
        for topic in topics {
            let packet = packet(topic);
            frames.each.push((packet.len() as u32, 0));
            frames.bytes.extend_from_slice(&packet);
        }
        contents.push_frames(&frames);
    }

    #[test]
    fn what_is_kept_is_as_if_nothing_else_had_been_pushed() {
        let mut contents = Contents::default();
        push(&mut contents, QoS::AtMostOnce, &["a", "b", "b", "a", "longer/topic"]);
        push(&mut contents, QoS::AtLeastOnce, &["b", "a"]);
        push(&mut contents, QoS::AtMostOnce, &["b"]);
        let mut dropped = Vec::new();
        contents.retain_topics(|topic| topic != "b", &mut dropped);
        let mut expected = Contents::default();
        push(&mut expected, QoS::AtMostOnce, &["a", "a", "longer/topic"]);
        push(&mut expected, QoS::AtLeastOnce, &["a"]);
        assert_eq!((contents.messages, contents.bytes), (expected.messages, expected.bytes));
        assert_eq!(contents.frames, expected.frames);
        assert_eq!(format!("{:?}", contents.entries), format!("{:?}", expected.entries));
        let counts = dropped.iter().map(|gone| match gone {
            Dropped::Frames { topic, count } => (topic.as_str(), *count),
            Dropped::Delivery(_) => panic!("nothing of that kind was pushed"),
        });
        assert_eq!(counts.collect::<Vec<_>>(), [("b", 4)]);
    }
}
