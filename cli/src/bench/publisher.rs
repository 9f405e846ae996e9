//! One publisher: how much it may send now, and the bytes of that.

use super::{plan::Plan, schedule::Rate, stamp::Stamp, wire::PublishTemplate};

/// Bytes that one turn of a publisher puts into one write; more than a message only if a message is larger.
const TURN_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one turn when nothing limits the load: what a socket takes at once.
const FLOOD_TURN_BYTES: usize = 64 * 1024;

/// A publisher's place in its stream of messages.
#[derive(Debug)]
pub(super) struct Publisher {
    index: u32,
    tag: u16,
    template: PublishTemplate,
    /// Number of the next message.
    next: u64,
    /// Number behind the last message.
    end: u64,
    /// Messages that are due by `--rate`; `None` without a rate.
    due: Option<u64>,
    /// When messages are due; known from the first on.
    rate: Option<Rate>,
    /// QoS 1 and 2: unacknowledged messages, and how many there may be.
    in_flight: u64,
    window: u64,
    acknowledged: bool,
    packet_id: u16,
    turn: u64,
    /// Already in the queue of those that may send.
    pub(super) queued: bool,
}

impl Publisher {
    pub(super) fn new(plan: &Plan, index: u32) -> Self {
        let template = if plan.json_payload { PublishTemplate::json } else { PublishTemplate::new };
        let template = template(
            plan.version,
            plan.qos,
            &plan.topic(index),
            usize::try_from(plan.payload_bytes).unwrap_or(usize::MAX),
        );
        let unlimited = plan.outstanding.is_none() && plan.rate.is_none();
        let flood = if unlimited { FLOOD_TURN_BYTES / template.len() } else { 0 };
        let turn = usize::from(plan.window).max(flood).min(TURN_BYTES_MAX / template.len()).max(1);
        Self {
            index,
            tag: plan.tag,
            next: 0,
            end: plan.share(index),
            due: plan.rate.map(|_| 0),
            rate: None,
            in_flight: 0,
            window: u64::from(plan.window),
            acknowledged: plan.qos > 0,
            packet_id: 0,
            turn: u64::try_from(turn).unwrap_or(1),
            template,
            queued: false,
        }
    }

    /// Its number among the publishers of the run.
    pub(super) fn index(&self) -> u32 {
        self.index
    }

    /// The broker has said how many unacknowledged messages it takes.
    pub(super) fn limit_window(&mut self, receive_maximum: u16) {
        self.window = self.window.min(u64::from(receive_maximum.max(1)));
    }

    /// How many messages it wants to send in its next write.
    pub(super) fn wants(&self) -> u64 {
        let mut wants = self.turn.min(self.end - self.next);
        if self.acknowledged {
            wants = wants.min(self.window.saturating_sub(self.in_flight));
        }
        match self.due {
            Some(due) => wants.min(due),
            None => wants,
        }
    }

    /// The rate makes one more message due.
    pub(super) fn fall_due(&mut self) {
        if let Some(due) = &mut self.due {
            *due += 1;
        }
    }

    /// All messages are sent.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.end
    }

    /// Sends nothing more.
    pub(super) fn stop(&mut self) {
        self.end = self.next;
    }

    /// Unacknowledged messages.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The broker has the oldest message in flight, or does not want it: acknowledgements come in order [MQTT-4.6.0-2].
    /// When the message was due, if there is a rate.
    pub(super) fn settle(&mut self) -> Option<u64> {
        let number = self.next - self.in_flight;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.rate.map(|rate| rate.due(self.index, number))
    }

    /// Appends `count` messages to `out`, sent `now` or, with a rate, due when it says.
    pub(super) fn fill(&mut self, count: u64, rate: Option<Rate>, now: u64, out: &mut Vec<u8>) {
        self.rate = rate;
        for number in self.next..self.next + count {
            self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
            let time = rate.map_or(now, |rate| rate.due(self.index, number));
            let stamp = Stamp { tag: self.tag, publisher: self.index, number, time };
            self.template.append(self.packet_id, stamp.encode(), out);
        }
        self.next += count;
        if self.acknowledged {
            self.in_flight += count;
        }
        if let Some(due) = &mut self.due {
            *due = due.saturating_sub(count);
        }
    }
}
