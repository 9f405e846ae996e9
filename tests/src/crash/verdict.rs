//! What arrived, compared with what was accepted.

use std::{collections::BTreeMap, fmt};

use super::ledger::Lane;

/// What is wrong with a lane; nothing if all lists are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The lane.
    pub lane: String,
    /// How many numbers were published, accepted, and arrived.
    pub counts: [usize; 3],
    /// Accepted, and did not arrive.
    pub missing: Vec<u64>,
    /// Arrived so many times.
    pub repeated: Vec<(u64, usize)>,
    /// Arrived, and were never published.
    pub unknown: Vec<u64>,
    /// Arrived for the first time right after a larger one, which is in front.
    pub overtaken: Vec<(u64, u64)>,
}

impl Verdict {
    /// Compares a lane's ledger with the numbers that arrived, in the order of their arrival.
    pub fn of(lane: &Lane, arrived: &[u64]) -> Self {
        let (accepted, last) = (lane.accepted(), lane.last());
        let mut times = BTreeMap::<u64, usize>::new();
        let mut overtaken = Vec::new();
        let mut largest = 0;
        for &number in arrived {
            let count = times.entry(number).or_default();
            *count += 1;
            if *count == 1 && number < largest {
                overtaken.push((largest, number));
            }
            largest = largest.max(number);
        }
        Self {
            lane: lane.name.clone(),
            counts: [usize::try_from(last).unwrap_or(usize::MAX), accepted.len(), times.len()],
            missing: accepted.iter().copied().filter(|number| !times.contains_key(number)).collect(),
            repeated: times.iter().filter(|(_, times)| **times > 1).map(|(a, b)| (*a, *b)).collect(),
            unknown: times.keys().copied().filter(|number| !(1..=last).contains(number)).collect(),
            overtaken,
        }
    }

    /// Whether every accepted number is there, none that was not published, and the order is kept.
    pub fn is_at_least_once(&self) -> bool {
        self.missing.is_empty() && self.unknown.is_empty() && self.overtaken.is_empty()
    }

    /// The same, and no number is there twice.
    pub fn is_exactly_once(&self) -> bool {
        self.is_at_least_once() && self.repeated.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [published, accepted, arrived] = self.counts;
        write!(f, "{}: {published} published, {accepted} accepted, {arrived} arrived", self.lane)?;
        show(f, "MISSING", &self.missing)?;
        show(f, "REPEATED", &self.repeated)?;
        show(f, "UNKNOWN", &self.unknown)?;
        show(f, "OVERTAKEN", &self.overtaken)
    }
}

/// The first of a list, which may be long.
fn show<T: fmt::Debug>(f: &mut fmt::Formatter<'_>, what: &str, list: &[T]) -> fmt::Result {
    const SHOWN: usize = 20;
    if list.is_empty() {
        return Ok(());
    }
    write!(f, "\n    {what} {}: {:?}", list.len(), list.iter().take(SHOWN).collect::<Vec<_>>())?;
    if list.len() > SHOWN { write!(f, " ... {:?}", list.last()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use gaugeline_protocol::QoS;

    use super::*;

    fn lane(published: u64, accepted: impl IntoIterator<Item = u64>) -> Lane {
        let lane = Lane::new("a", QoS::AtLeastOnce);
        for _ in 0..published {
            lane.next();
        }
        lane.accept(accepted);
        lane
    }

    #[test]
    fn every_fault_is_found() {
        let lane = lane(5, [1, 2, 4]);
        assert!(Verdict::of(&lane, &[1, 2, 3, 4]).is_exactly_once(), "3 was not accepted, and may be there");
        assert_eq!(Verdict::of(&lane, &[1, 4]).missing, [2]);
        assert_eq!(Verdict::of(&lane, &[1, 2, 2, 4]).repeated, [(2, 2)]);
        assert!(Verdict::of(&lane, &[1, 2, 1, 2, 4]).is_at_least_once(), "a repetition is not disorder");
        assert_eq!(Verdict::of(&lane, &[1, 2, 4, 6]).unknown, [6]);
        assert_eq!(Verdict::of(&lane, &[1, 4, 2]).overtaken, [(4, 2)]);
    }
}
