//! Turns at work that takes a processor a while: so many at a time, and addresses one after the other.
//!
//! Who takes many turns from one address waits behind itself, not in front of everybody else.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::auth::AddressKey;

/// Hands out turns.
#[derive(Debug)]
pub(crate) struct Turns {
    line: Mutex<Line>,
}

/// It is somebody's turn as long as this exists.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Turns>);

#[derive(Debug, Default)]
struct Line {
    most: usize,
    taken: usize,
    /// Counts places in the line and in the round.
    last: u64,
    groups: HashMap<AddressKey, Group, RandomState>,
    /// Which address is next: those that wait, each once, in the order in which they were served last.
    round: BTreeMap<u64, AddressKey>,
}

/// Those who wait from one address, in the order in which they came.
#[derive(Debug)]
struct Group {
    in_round: u64,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place in the line; given up when dropped.
struct InLine<'a> {
    turns: &'a Arc<Turns>,
    address: AddressKey,
    number: u64,
}

impl Turns {
    /// So many at a time.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { line: Mutex::new(Line { most, ..Line::default() }) })
    }

    /// So many at a time from now on.
    pub(crate) fn set_most(&self, most: usize) {
        self.line.lock().most = most;
        self.call();
    }

    /// Waits for a turn. Dropping the future gives up the place in the line.
    pub(crate) async fn take(self: &Arc<Self>, address: AddressKey) -> Turn {
        let called = {
            let mut line = self.line.lock();
            if line.taken < line.most && line.round.is_empty() {
                line.taken += 1;
                None
            } else {
                Some(line.join(address))
            }
        };
        let Some((number, called)) = called else { return Turn(Arc::clone(self)) };
        let mut place = InLine { turns: self, address, number };
        if called.await.is_err() {
            // Nobody else takes it out of the line.
            std::future::pending::<()>().await;
        }
        place.number = NOWHERE;
        Turn(Arc::clone(self))
    }

    /// Gives free turns to those who wait.
    fn call(&self) {
        loop {
            let mut line = self.line.lock();
            if line.taken >= line.most {
                return;
            }
            let Some(next) = line.next() else { return };
            // Counted for whoever is called: if that one is gone, its place gives it back.
            line.taken += 1;
            drop(line);
            next.send(()).ok();
        }
    }

    fn give_back(&self) {
        self.line.lock().taken -= 1;
        self.call();
    }
}

/// The number of no place.
const NOWHERE: u64 = 0;

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if self.number == NOWHERE {
            return;
        }
        let was_called = !self.turns.line.lock().leave(self.address, self.number);
        if was_called {
            self.turns.give_back();
        }
    }
}

impl Line {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn join(&mut self, address: AddressKey) -> (u64, oneshot::Receiver<()>) {
        let number = self.number();
        let (call, called) = oneshot::channel();
        let group = self.groups.entry(address).or_insert_with(|| {
            self.round.insert(number, address);
            Group { in_round: number, waiting: BTreeMap::new() }
        });
        group.waiting.insert(number, call);
        (number, called)
    }

    /// The first in line of the address whose time it is.
    fn next(&mut self) -> Option<oneshot::Sender<()>> {
        let (_, address) = self.round.pop_first()?;
        let number = self.number();
        let group = self.groups.get_mut(&address)?;
        let (_, next) = group.waiting.pop_first()?;
        if group.waiting.is_empty() {
            self.groups.remove(&address);
        } else {
            group.in_round = number;
            self.round.insert(number, address);
        }
        Some(next)
    }

    /// False if it is no longer there.
    fn leave(&mut self, address: AddressKey, number: u64) -> bool {
        let Some(group) = self.groups.get_mut(&address) else { return false };
        if group.waiting.remove(&number).is_none() {
            return false;
        }
        if group.waiting.is_empty() {
            self.round.remove(&group.in_round);
            self.groups.remove(&address);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn address(last: u8) -> AddressKey {
        AddressKey::from(std::net::IpAddr::from([192, 0, 2, last]))
    }

    type Taking<'a> = Pin<Box<dyn Future<Output = Turn> + 'a>>;

    fn poll(taking: &mut Taking<'_>) -> Option<Turn> {
        match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn asks<'a>(turns: &'a Arc<Turns>, last: u8) -> Taking<'a> {
        let mut taking: Taking<'a> = Box::pin(turns.take(address(last)));
        assert!(poll(&mut taking).is_none(), "all turns are taken");
        taking
    }

    fn take(turns: &Arc<Turns>, last: u8) -> Turn {
        let mut taking = pin!(turns.take(address(last)));
        match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => turn,
            Poll::Pending => panic!("there is no turn"),
        }
    }

    #[test]
    fn addresses_take_turns_whoever_has_more_in_line() {
        let turns = Turns::new(1);
        let mut turn = Some(take(&turns, 1));
        let mut line = [1, 1, 1, 1, 2, 2, 3].map(|last| (last, asks(&turns, last)));
        let mut order = Vec::new();
        for _ in 0..line.len() {
            drop(turn.take());
            let called = line.iter_mut().filter(|(last, _)| *last > 0);
            let (last, next) =
                called.filter_map(|(last, taking)| Some((last, poll(taking)?))).next().unwrap();
            order.push(std::mem::take(last));
            turn = Some(next);
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 1, 1]);
    }

    #[test]
    fn who_gives_up_loses_no_turn_for_others() {
        let turns = Turns::new(1);
        let turn = take(&turns, 1);
        let (waits, called, mut last) = (asks(&turns, 2), asks(&turns, 3), asks(&turns, 4));
        drop(waits);
        drop(turn);
        // The next one has been called, and goes without having looked.
        drop(called);
        let turn = poll(&mut last).unwrap();
        drop((turn, last));
        let line = turns.line.lock();
        assert_eq!((line.taken, line.groups.len(), line.round.len()), (0, 0, 0));
    }

    #[test]
    fn more_turns_are_given_out_at_once() {
        let turns = Turns::new(1);
        let _turn = take(&turns, 1);
        let mut line = [2, 3, 4].map(|last| asks(&turns, last));
        turns.set_most(3);
        let called = line.iter_mut().filter_map(poll).collect::<Vec<_>>();
        assert_eq!(called.len(), 2);
    }
}
