//! When each message of an open-loop load is due: message k of all publishers, in turn, at k / rate. Nothing is stored
//! per message, so a late message is still measured from the time at which it was due.

/// A steady rate shared by all publishers of the run in turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Nanoseconds from the epoch.
    pub(super) start: u64,
    pub(super) per_second: u32,
    pub(super) publishers: u32,
}

impl Rate {
    /// When message `number` of a publisher is due, in nanoseconds from the epoch.
    #[inline]
    pub(super) fn due(&self, publisher: u32, number: u64) -> u64 {
        let place = u128::from(number) * u128::from(self.publishers) + u128::from(publisher);
        let after = place * 1_000_000_000 / u128::from(self.per_second.max(1));
        self.start.saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
    }
}

/// Walks through the due times of one thread's publishers.
#[derive(Debug)]
pub(super) struct Schedule {
    rate: Rate,
    /// Publisher and where its client is, in ascending order.
    publishers: Vec<(u32, usize)>,
    place: usize,
    number: u64,
}

impl Schedule {
    pub(super) fn new(rate: Rate, publishers: Vec<(u32, usize)>) -> Self {
        Self { rate, publishers, place: 0, number: 0 }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// When the next message of this thread is due; never without publishers.
    pub(super) fn next_due(&self) -> u64 {
        self.publishers
            .get(self.place)
            .map_or(u64::MAX, |(publisher, _)| self.rate.due(*publisher, self.number))
    }

    /// The client whose message is due at `now`, if any: call again until there is none.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<usize> {
        let &(publisher, client) = self.publishers.get(self.place)?;
        if self.rate.due(publisher, self.number) > now {
            return None;
        }
        self.place += 1;
        if self.place == self.publishers.len() {
            self.place = 0;
            self.number += 1;
        }
        Some(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_together_send_at_the_rate() {
        let rate = Rate { start: 1000, per_second: 1_000_000, publishers: 3 };
        let mut threads = [
            Schedule::new(rate, vec![(0, 10), (2, 11)]),
            Schedule::new(rate, vec![(1, 20)]),
            Schedule::new(rate, vec![]),
        ];
        assert_eq!(threads.each_ref().map(Schedule::next_due), [1000, 2000, u64::MAX]);
        let due: Vec<Vec<usize>> =
            threads.iter_mut().map(|thread| std::iter::from_fn(|| thread.pop_due(6999)).collect()).collect();
        // Messages 0 to 5 are due before 7000, publisher 0 has 0 and 3, publisher 1 has 1 and 4, publisher 2 has 2 and 5.
        assert_eq!(due, [vec![10, 11, 10, 11], vec![20, 20], vec![]]);
        assert_eq!(threads.each_ref().map(Schedule::next_due), [7000, 8000, u64::MAX]);
    }
}
