//! Real processes, killed at random and on purpose: nothing that was acknowledged is lost, and nothing is there twice.
//!
//! A run prints its seed. `GAUGELINE_CRASH_SEED` repeats its schedule, `GAUGELINE_CRASH_KILLS` makes it longer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod bridge;
mod disks;
mod modes;
mod moments;
mod queues;
mod sessions;
mod subscribers;
