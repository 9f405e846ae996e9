//! The first 16 bytes of each payload: who sent it in which run, as the how-many-th, and when.
//!
//! ```text
//! 0  publisher, 24 bits | sequence number, 40 bits
//! 8  tag of the run, 16 bits | nanoseconds since the run's epoch, 48 bits (78 hours)
//! ```

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Marks the run.
    pub(super) tag: u16,
    pub(super) publisher: u32,
    pub(super) number: u64,
    /// When it was sent, or was due; nanoseconds.
    pub(super) time: u64,
}

const NUMBER_BITS: u32 = 40;
const TIME_BITS: u32 = 48;

impl Stamp {
    #[inline]
    pub(super) fn encode(self) -> [u64; 2] {
        let origin = u64::from(self.publisher) << NUMBER_BITS | self.number & ((1 << NUMBER_BITS) - 1);
        [origin, u64::from(self.tag) << TIME_BITS | self.time & ((1 << TIME_BITS) - 1)]
    }

    #[inline]
    pub(super) fn decode([origin, time]: [u64; 2]) -> Self {
        Self {
            tag: (time >> TIME_BITS) as u16,
            publisher: (origin >> NUMBER_BITS) as u32,
            number: origin & ((1 << NUMBER_BITS) - 1),
            time: time & ((1 << TIME_BITS) - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_went() {
        for stamp in [
            Stamp { tag: 0, publisher: 0, number: 0, time: 0 },
            Stamp { tag: u16::MAX, publisher: (1 << 24) - 1, number: (1 << 40) - 1, time: (1 << 48) - 1 },
            Stamp { tag: 0xbeef, publisher: 77, number: 1, time: 123_456_789_012 },
        ] {
            assert_eq!(Stamp::decode(stamp.encode()), stamp);
        }
    }
}
