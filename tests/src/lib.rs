//! What the end-to-end scenarios share: they start the real program, real servers and real clients, each in a
//! temporary directory on free loopback ports, and look at them from outside.
//!
//! Nothing here knows the inside of gaugeline. Everything is synchronous, and nothing sleeps to be on the safe side:
//! [`wait::until`] looks again and again until a condition holds or its deadline has passed. A process that a test
//! started ends with it; if the test failed, it prints what the process said.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

pub mod browser;
mod clock;
pub mod conf;
pub mod crash;
pub mod gaugeline;
pub mod home;
pub mod http;
pub mod influxd;
pub mod line_protocol;
pub mod mosquitto;
pub mod mqtt;
pub mod port;
pub mod process;
pub mod python;
pub mod reference;
pub mod requirement;
pub mod stub;
pub mod tutorial;
pub mod wait;
