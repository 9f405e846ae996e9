//! Which messages of one publisher a subscriber has received: finds gaps, repetitions and late arrivals.

/// The sequence numbers of one publisher as one subscriber sees them.
///
/// It remembers which of the last 64 numbers have arrived; what is older counts as a repetition when it comes again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sequence {
    /// One more than the highest number that has arrived.
    next: u64,
    /// Bit i: number `next - 1 - i` has arrived.
    recent: u64,
}

/// What an arrival means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The number that was due.
    Due,
    /// So many numbers before this one have not arrived (yet).
    Ahead(u64),
    /// It was missing before.
    Late,
    /// It has arrived before.
    Repeated,
}

impl Sequence {
    #[inline]
    pub(super) fn arrive(&mut self, number: u64) -> Arrival {
        if number == self.next {
            self.next += 1;
            self.recent = self.recent << 1 | 1;
            return Arrival::Due;
        }
        self.arrive_out_of_order(number)
    }

    #[cold]
    fn arrive_out_of_order(&mut self, number: u64) -> Arrival {
        let Some(age) = self.next.checked_sub(number + 1) else {
            let gap = number - self.next;
            let shift = u32::try_from(gap + 1).unwrap_or(u32::MAX);
            self.recent = self.recent.checked_shl(shift).unwrap_or(0) | 1;
            self.next = number + 1;
            return Arrival::Ahead(gap);
        };
        let Some(bit) = u32::try_from(age).ok().and_then(|age| 1_u64.checked_shl(age)) else {
            return Arrival::Repeated;
        };
        if self.recent & bit != 0 {
            return Arrival::Repeated;
        }
        self.recent |= bit;
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tells_gaps_late_and_repeated_arrivals_apart() {
        let mut sequence = Sequence::default();
        let seen: Vec<Arrival> =
            [0, 1, 4, 4, 3, 3, 5, 2, 200, 5].map(|number| sequence.arrive(number)).into();
        use Arrival::{Ahead, Due, Late, Repeated};
        assert_eq!(seen, [Due, Due, Ahead(2), Repeated, Late, Repeated, Due, Late, Ahead(194), Repeated]);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(jumps in proptest::collection::vec(-10_i64..12, 1..200)) {
            let (mut sequence, mut seen, mut highest, mut missing) = (Sequence::default(), BTreeSet::new(), -1_i64, 0_i64);
            for jump in jumps {
                let number = (highest + jump).max(0);
                let new = seen.insert(number);
                match sequence.arrive(u64::try_from(number).unwrap()) {
                    Arrival::Due => prop_assert!(new && number == highest + 1),
                    Arrival::Ahead(gap) => {
                        prop_assert!(new && i64::try_from(gap).unwrap() == number - highest - 1);
                        missing += number - highest - 1;
                    }
                    Arrival::Late => { prop_assert!(new && number < highest); missing -= 1; }
                    Arrival::Repeated => prop_assert!(!new),
                }
                highest = highest.max(number);
                prop_assert_eq!(missing, highest + 1 - i64::try_from(seen.len()).unwrap());
            }
        }
    }
}
