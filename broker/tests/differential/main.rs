//! Password files and ACL files mean the same to gaugeline and to the real mosquitto: generated files, by the hundred.
//!
//! One mosquitto reads one file after the other (SIGHUP) while its clients stay connected. What it lets each client do is
//! compared with what our rules say. Files with mistakes are generated too: both must refuse them.
//!
//! The seed is new in every run, and told when a comparison fails. `GAUGELINE_DIFFERENTIAL_SEED` repeats a run,
//! `GAUGELINE_DIFFERENTIAL_FILES` makes it longer. Each runs against mosquitto 2.0 and 2.1; gaugeline follows 2.1, and where 2.0
//! is different the tests say so.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod acl;
mod acl_text;
mod client;
mod conf;
mod mosquitto;
mod password;
mod password_text;
mod random;
mod reference;
