//! Sockets: listeners, TLS, WebSocket, the handshake of a connection, and the connection itself, which is one task with one
//! hand-written poll.

mod arrival;
mod connection;
mod ending;
mod gate;
mod handshake;
mod incoming;
mod listener;
mod listeners;
mod outgoing;
mod pacing;
mod rights;
mod scratch;
mod stream;
pub mod tls;
mod websocket;

pub(crate) use listener::{Doorman, Listener, ListenerTerms};
pub use listeners::{BindError, Bound};
pub(crate) use listeners::{ListenError, Listeners, PlannedListeners};
