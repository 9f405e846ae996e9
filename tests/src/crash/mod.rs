//! Crashes on purpose, and the bookkeeping that proves that they cost nothing.
//!
//! Publishers ([`publisher`]) write numbers and note in a [`ledger`] which of them were acknowledged, while a test kills
//! the processes on a [`stage`] in a [`random`] order. Afterwards [`verdict`] compares the ledger with what arrived.

pub mod ledger;
pub mod link;
pub mod peer;
pub mod publisher;
pub mod random;
pub mod small_disk;
pub mod stage;
pub mod subscriber;
pub mod verdict;
