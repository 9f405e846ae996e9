//! A table that forgets: bounded, and what was used last stays longest.

use std::hash::Hash;

use foldhash::HashMap;

/// Entries per generation; two are kept. Enough for every address that fails within an hour on a bad day, and a few MiB.
const ENTRIES_PER_GENERATION: usize = 65_536;

/// When the young generation is full, it becomes the old one, and what was old is forgotten.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    entries_max: usize,
}

impl<K: Hash + Eq + Copy, V> Table<K, V> {
    pub(super) fn new() -> Self {
        Self::bounded(ENTRIES_PER_GENERATION)
    }

    fn bounded(entries_max: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), entries_max }
    }

    /// The value, without counting as use.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The value, made if there is none.
    pub(super) fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key).unwrap_or_else(make);
            if self.young.len() >= self.entries_max {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, value);
        }
        self.young.entry(key).or_insert_with(|| unreachable!("it has just been inserted"))
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_used_entries_survive() {
        let mut table = Table::bounded(4);
        for n in 0..100_u32 {
            *table.entry(n, || 0) += 1;
            *table.entry(1000, || 0) += 1;
            assert_eq!((table.peek(&n), table.peek(&1000)), (Some(&1), Some(&(n + 1))));
            assert!(table.young.len() + table.old.len() <= 8);
        }
        assert_eq!(table.peek(&0), None);
        table.remove(&1000);
        assert_eq!(table.peek(&1000), None);
    }
}
