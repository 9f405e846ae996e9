//! Random choices that a seed repeats.

/// Sebastiano Vigna's SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    /// With the seed of the environment, or a new one; and the seed, to tell it.
    pub(crate) fn new() -> (Self, u64) {
        let given = std::env::var("GAUGELINE_DIFFERENTIAL_SEED").ok();
        let seed = given.map_or_else(|| getrandom::u64().unwrap(), |text| text.parse().expect("a number"));
        (Self(seed), seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// How many files to compare.
pub(crate) fn files(default: usize) -> usize {
    let given = std::env::var("GAUGELINE_DIFFERENTIAL_FILES").ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}
