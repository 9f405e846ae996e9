//! The server's session over virtual time: what it answers, what it sends, what it sends again, and when it gives up.
//!
//! Statements without a version are those of MQTT 5.0.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod inbound;

mod negotiation;
mod outbound;
mod support;
mod time;
