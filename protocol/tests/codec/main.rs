//! What the codec accepts, refuses and writes, over raw bytes.
//!
//! The tables name the normative statement of each row. Versions that a row leaves out do not have the rule, or state
//! it differently in a row of their own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod acknowledgements;
mod connack;
mod connect;
mod differential;
mod disconnect_and_auth;
mod every_packet;
mod fixed_header;
mod publish;
mod sample;
mod subscribe;
mod table;
mod topics;
mod writers;
