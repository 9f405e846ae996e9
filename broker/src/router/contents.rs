//! What is in a mailbox: things to send, in their order.

use std::collections::VecDeque;

use bytes::BytesMut;
use gaugeline_protocol::QoS;

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
