//! The client session on virtual time, against a server that is the test itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod connecting;
mod keep_alive;
mod operations;
mod publishing;
mod receiving;
mod rig;
mod subscribing;
