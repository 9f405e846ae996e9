//! SCRAM-SHA-256 [RFC 5802, RFC 7677]: a client shows that it knows its password without sending it, and the broker shows
//! that it knows the user.
//!
//! Here are the file of users, the entry of one user, and the server's side of one exchange. Nothing here reads a socket
//! or knows of MQTT's packets; who may try how often is decided by the authenticator.

mod credential;
mod exchange;
mod file;

pub use self::{
    credential::{EXPECTED_ENTRY, EntryError, ITERATIONS_DEFAULT, ITERATIONS_MIN, ScramCredential},
    exchange::{ClientFirst, Exchange, MESSAGE_BYTES_MAX, ScramError},
    file::{SCRAM_USER_BYTES_MAX, ScramFile},
};

/// The name of the authentication method in CONNECT, AUTH and CONNACK.
pub const METHOD: &str = "SCRAM-SHA-256";

#[cfg(test)]
mod tests;
