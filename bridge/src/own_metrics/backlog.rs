//! Points about gaugeline that wait for the server: a bounded number of bytes, the oldest go first.

use std::collections::VecDeque;

use bytes::Bytes;

/// About seven hundred samples of 6 KiB: two hours.
const BYTES_MAX: usize = 4 << 20;
/// The most that is written at once: far below what any server takes.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// Samples in the order of their time.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    samples: VecDeque<Bytes>,
    bytes: usize,
}

impl Backlog {
    /// Adds a sample; answers with how many were given up for it.
    pub(super) fn push(&mut self, sample: Bytes) -> u64 {
        self.bytes += sample.len();
        self.samples.push_back(sample);
        let mut lost = 0;
        while self.bytes > BYTES_MAX && self.remove() {
            lost += 1;
        }
        lost
    }

    /// The oldest samples, as many as are written at once, and how many these are. `None` if there are none.
    pub(super) fn oldest(&self) -> Option<(Bytes, usize)> {
        let first = self.samples.front()?;
        let mut body = first.to_vec();
        let mut count = 1;
        for sample in self.samples.iter().skip(1) {
            if body.len() + sample.len() > WRITE_BYTES_MAX {
                break;
            }
            body.extend_from_slice(sample);
            count += 1;
        }
        Some((body.into(), count))
    }

    /// How many samples wait.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Forgets the oldest samples.
    pub(super) fn forget(&mut self, count: usize) {
        for _ in 0..count {
            self.remove();
        }
    }

    fn remove(&mut self) -> bool {
        let removed = self.samples.pop_front();
        self.bytes -= removed.as_ref().map_or(0, Bytes::len);
        removed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_written_first_and_given_up_first() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.oldest(), None);
        let sample = |letter: u8| Bytes::from(vec![letter; WRITE_BYTES_MAX / 2]);
        for letter in b'a'..=b'h' {
            assert_eq!(backlog.push(sample(letter)), 0);
        }
        assert_eq!(backlog.push(sample(b'i')), 1);
        let (body, count) = backlog.oldest().unwrap();
        assert_eq!((body.len(), count, body[0], body[body.len() - 1]), (WRITE_BYTES_MAX, 2, b'b', b'c'));
        backlog.forget(count);
        assert_eq!(backlog.oldest().unwrap().0[0], b'd');
        backlog.forget(100);
        assert_eq!(backlog.oldest(), None);
        // One that is larger than everything.
        assert_eq!(backlog.push(vec![0; BYTES_MAX + 1].into()), 1);
        assert_eq!((backlog.oldest(), backlog.bytes), (None, 0));
    }
}
