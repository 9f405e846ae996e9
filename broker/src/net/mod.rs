//! Sockets: listeners, TLS, WebSocket, the handshake of a connection, and the connection itself, which is one task with one
//! hand-written poll.

mod connection;
mod ending;
mod handshake;
mod incoming;
mod listener;
mod outgoing;
mod scratch;
mod stream;
pub mod tls;
mod websocket;

pub(crate) use listener::{Doorman, Listener, ListenerTerms};
