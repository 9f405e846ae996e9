//! A schedule's dice: the same seed gives the same throws.

use std::{env, time::Duration};

use crate::clock;

/// Sets the seed of a run, so that a schedule can be repeated. What the machine makes of it still varies.
pub const SEED: &str = "GAUGELINE_CRASH_SEED";

/// Pseudo-random numbers (splitmix64): no dependency, and nothing here is a secret.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// With this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed that the environment names, or a new one.
    ///
    /// # Panics
    /// If the environment names something that is not a number.
    pub fn seed() -> u64 {
        env::var(SEED).map_or_else(|_| clock::unpredictable() % 1_000_000_000, |text| text.parse().unwrap())
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.draw() % limit }
    }

    /// True once in `times` throws.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A length below so many milliseconds.
    pub fn milliseconds(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }

    /// Puts the elements into a random order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, usize::try_from(self.below(last as u64 + 1)).unwrap());
        }
    }
}
