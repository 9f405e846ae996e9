//! Who waits to be let in, and who has to go when there is no room.
//!
//! Addresses share the room fairly: when it is full, the address that has the most places gives one up, to anybody who has
//! fewer. It gives up whoever has kept the broker waiting for longest. Somebody who waits for the broker, for its turn at a
//! handshake for instance, goes only if its address has nobody else to give up and the newcomer's still has fewer: what was
//! worked for is not thrown away for the next one in the same line.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use foldhash::fast::RandomState;

use crate::auth::AddressKey;

/// How often a connection that goes on counts as one that has just begun to keep the broker waiting: the flights of a
/// handshake, the request for a WebSocket. Not at each byte, or bytes that trickle would keep a place.
const RENEWALS_MAX: u8 = 8;

/// How many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) total: usize,
    pub(super) per_address: usize,
}

/// There is no room, and nobody who has to give some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
}

/// A place, in the order in which they were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Number(u64);

/// All places; each holds what its owner is sent away with.
#[derive(Debug)]
pub(super) struct Places<T> {
    taken: HashMap<Number, Taken<T>, RandomState>,
    groups: HashMap<AddressKey, Group, RandomState>,
    /// The last one is the first to give up a place.
    ranking: BTreeSet<Rank>,
    /// Counts arrivals and what goes on.
    last: u64,
}

/// The more places, the higher; among equals, the longer somebody there has kept the broker waiting.
type Rank = (usize, Reverse<u64>, AddressKey);

#[derive(Debug)]
struct Taken<T> {
    address: AddressKey,
    /// Since when the broker waits for it; `None`: it waits for the broker.
    idle_since: Option<u64>,
    last_renewed: u64,
    renewals: u8,
    owner: T,
}

#[derive(Debug, Default)]
struct Group {
    /// Whom the broker waits for, and since when.
    idle: BTreeMap<u64, Number>,
    /// Who waits for the broker.
    busy: BTreeSet<Number>,
}

impl Group {
    fn count(&self) -> usize {
        self.idle.len() + self.busy.len()
    }

    fn rank(&self, address: AddressKey) -> Rank {
        let oldest = self.idle.first_key_value().map_or(u64::MAX, |(since, _)| *since);
        (self.count(), Reverse(oldest), address)
    }

    fn longest_idle(&self) -> Option<Number> {
        self.idle.first_key_value().map(|(_, number)| *number)
    }
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { taken: HashMap::default(), groups: HashMap::default(), ranking: BTreeSet::new(), last: 0 }
    }
}

impl<T> Places<T> {
    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    /// A place for a newcomer, whom the broker waits for at first; and who had to go for it.
    pub(super) fn arrive(
        &mut self,
        address: AddressKey,
        room: Room,
        owner: T,
    ) -> Result<(Number, Option<T>), Full> {
        let displaced = self.make_room(address, room)?;
        let displaced = displaced.and_then(|number| self.leave(number));
        let since = self.next();
        let number = Number(since);
        let taken = Taken { address, idle_since: Some(since), last_renewed: since, renewals: 0, owner };
        self.taken.insert(number, taken);
        self.change(address, |group| {
            group.idle.insert(since, number);
        });
        Ok((number, displaced))
    }

    /// Gives the place back, unless it was given to somebody else already.
    pub(super) fn leave(&mut self, number: Number) -> Option<T> {
        let taken = self.taken.remove(&number)?;
        self.change(taken.address, |group| match taken.idle_since {
            Some(since) => drop(group.idle.remove(&since)),
            None => drop(group.busy.remove(&number)),
        });
        Some(taken.owner)
    }

    /// It waits for the broker now.
    pub(super) fn set_busy(&mut self, number: Number) {
        let Some(taken) = self.taken.get_mut(&number) else { return };
        let Some(since) = taken.idle_since.take() else { return };
        self.change_of(number, |group| {
            group.idle.remove(&since);
            group.busy.insert(number);
        });
    }

    /// The broker waits for it now.
    pub(super) fn set_idle(&mut self, number: Number) {
        let now = self.next();
        let Some(taken) = self.taken.get_mut(&number).filter(|taken| taken.idle_since.is_none()) else {
            return;
        };
        if taken.renewals < RENEWALS_MAX {
            taken.renewals += 1;
            taken.last_renewed = now;
        }
        let since = taken.last_renewed;
        taken.idle_since = Some(since);
        self.change_of(number, |group| {
            group.busy.remove(&number);
            group.idle.insert(since, number);
        });
    }

    /// Who has to go for a newcomer from this address.
    fn make_room(&self, address: AddressKey, room: Room) -> Result<Option<Number>, Full> {
        let own = self.groups.get(&address);
        let count = own.map_or(0, Group::count);
        let own_idle = own.and_then(Group::longest_idle);
        let is_full = self.taken.len() >= room.total;
        if count >= room.per_address {
            return own_idle.map(Some).ok_or(if is_full { Full::Total } else { Full::Address });
        }
        if !is_full {
            return Ok(None);
        }
        let Some((most, _, heaviest)) = self.ranking.last() else { return Err(Full::Total) };
        if count >= *most {
            return own_idle.map(Some).ok_or(Full::Total);
        }
        let other = self.groups.get(heaviest);
        let last_in_line = || other.filter(|_| *most > count + 1)?.busy.last().copied();
        other.and_then(Group::longest_idle).or_else(last_in_line).map(Some).ok_or(Full::Total)
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn change_of(&mut self, number: Number, change: impl FnOnce(&mut Group)) {
        if let Some(address) = self.taken.get(&number).map(|taken| taken.address) {
            self.change(address, change);
        }
    }

    /// Changes a group, and its rank with it.
    fn change(&mut self, address: AddressKey, change: impl FnOnce(&mut Group)) {
        let group = self.groups.entry(address).or_default();
        self.ranking.remove(&group.rank(address));
        change(group);
        if group.count() == 0 {
            self.groups.remove(&address);
        } else {
            self.ranking.insert(group.rank(address));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> AddressKey {
        AddressKey::from(std::net::IpAddr::from([192, 0, 2, last]))
    }

    /// The same, looked for among all of them each time.
    #[derive(Default)]
    struct Model {
        last: u64,
        /// Number, address, since when it is idle, when that was last renewed, how often.
        taken: Vec<(u64, u8, Option<u64>, u64, u8)>,
    }

    impl Model {
        fn count(&self, address: u8) -> usize {
            self.taken.iter().filter(|taken| taken.1 == address).count()
        }

        fn longest_idle(&self, among: impl Fn(u8) -> bool) -> Option<u64> {
            let idle = self.taken.iter().filter(|taken| taken.2.is_some() && among(taken.1));
            idle.min_by_key(|taken| taken.2).map(|taken| taken.0)
        }

        fn victim(&self, from: u8, room: Room) -> Result<Option<u64>, Full> {
            let own = self.count(from);
            let is_full = self.taken.len() >= room.total;
            if own >= room.per_address {
                let full = if is_full { Full::Total } else { Full::Address };
                return self.longest_idle(|address| address == from).map(Some).ok_or(full);
            }
            if !is_full {
                return Ok(None);
            }
            let most = self.taken.iter().map(|taken| self.count(taken.1)).max().unwrap();
            if own == most {
                return self.longest_idle(|address| address == from).map(Some).ok_or(Full::Total);
            }
            if let Some(idle) = self.longest_idle(|address| self.count(address) == most) {
                return Ok(Some(idle));
            }
            let heaviest = self.taken.iter().filter(|taken| self.count(taken.1) == most);
            let heaviest = heaviest.max_by_key(|taken| address(taken.1)).unwrap().1;
            let last = self.taken.iter().filter(|taken| taken.1 == heaviest).map(|taken| taken.0).max();
            last.filter(|_| most > own + 1).map(Some).ok_or(Full::Total)
        }

        fn find(&mut self, number: u64) -> Option<&mut (u64, u8, Option<u64>, u64, u8)> {
            self.taken.iter_mut().find(|taken| taken.0 == number)
        }
    }

    proptest! {
        #[test]
        fn places_are_those_of_the_model(steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_usize..30), 1..300)) {
            let room = Room { total: 12, per_address: 7 };
            let (mut places, mut model) = (Places::default(), Model::default());
            let mut numbers = vec![];
            for (step, from, which) in steps {
                let known = numbers.get(which).copied();
                match (step, known) {
                    (0..=2, _) | (_, None) => {
                        let victim = model.victim(from, room);
                        let arrived = places.arrive(address(from), room, model.last + 1);
                        let displaced = arrived.as_ref().map(|(_, displaced)| *displaced);
                        prop_assert_eq!(displaced.map_err(|full| *full), victim);
                        let Ok((number, displaced)) = arrived else { continue };
                        model.taken.retain(|taken| Some(taken.0) != displaced);
                        model.last += 1;
                        model.taken.push((model.last, from, Some(model.last), model.last, 0));
                        prop_assert_eq!(number.0, model.last);
                        numbers.push(number);
                    }
                    (3, Some(number)) => {
                        places.set_busy(number);
                        if let Some(taken) = model.find(number.0) {
                            taken.2 = None;
                        }
                    }
                    (4, Some(number)) => {
                        places.set_idle(number);
                        model.last += 1;
                        let now = model.last;
                        if let Some(taken) = model.find(number.0).filter(|taken| taken.2.is_none()) {
                            if taken.4 < RENEWALS_MAX {
                                (taken.3, taken.4) = (now, taken.4 + 1);
                            }
                            taken.2 = Some(taken.3);
                        }
                    }
                    (_, Some(number)) => {
                        let left = places.leave(number).is_some();
                        prop_assert_eq!(left, model.find(number.0).is_some());
                        model.taken.retain(|taken| taken.0 != number.0);
                    }
                }
                prop_assert_eq!(places.len(), model.taken.len());
                prop_assert!(places.len() <= room.total);
                prop_assert_eq!(places.ranking.len(), places.groups.len());
            }
        }
    }

    const ROOM: Room = Room { total: 100, per_address: 100 };

    #[test]
    fn who_fills_the_room_keeps_nobody_else_out() {
        let mut places = Places::default();
        for _ in 0..100 {
            places.arrive(address(1), ROOM, 1).unwrap();
        }
        for last in 2..52 {
            assert_eq!(places.arrive(address(last), ROOM, last).unwrap().1, Some(1));
        }
        assert_eq!(places.groups[&address(1)].count(), 50);
    }

    #[test]
    fn half_open_connections_make_room_and_those_in_line_do_not() {
        let mut places = Places::default();
        let numbers: Vec<_> = (0..100).map(|n| places.arrive(address(1), ROOM, n).unwrap().0).collect();
        for number in &numbers[..99] {
            places.set_busy(*number);
        }
        assert_eq!(places.arrive(address(1), ROOM, 100).unwrap().1, Some(99));
        let (last, _) = places.arrive(address(1), ROOM, 101).unwrap();
        places.set_busy(last);
        assert_eq!(places.arrive(address(1), ROOM, 102).err(), Some(Full::Total));
        // Another address has none, so it gets the place of the last in line.
        assert_eq!(places.arrive(address(2), ROOM, 103).unwrap().1, Some(101));
    }

    #[test]
    fn bytes_that_trickle_do_not_keep_a_place() {
        let mut places = Places::default();
        let (trickles, _) = places.arrive(address(1), ROOM, 0).unwrap();
        for n in 1..100 {
            places.arrive(address(2), ROOM, n).unwrap();
            places.set_busy(trickles);
            places.set_idle(trickles);
        }
        let here = Room { total: 100, per_address: 1 };
        assert_eq!(places.arrive(address(1), here, 100).unwrap().1, Some(0));
        assert!(places.taken.values().all(|taken| taken.renewals <= RENEWALS_MAX));
    }
}
