//! Sockets: listeners, TLS, WebSocket, the handshake of a connection, and the connection itself, which is one task with one
//! hand-written poll.

mod admission;
mod arrival;
mod bind;
mod claimed_id;
mod connection;
mod doorman;
mod ending;
mod enhanced;
mod gate;
mod handshake;
mod incoming;
mod listener;
mod listeners;
mod lobby;
mod mount_point;
mod outgoing;
mod pacing;
mod reauthentication;
mod rights;
mod scratch;
mod session_start;
mod standing;
mod stream;
mod terms;
pub mod tls;
mod websocket;

pub(crate) use doorman::Doorman;
pub(crate) use listener::Listener;
pub use listeners::{BindError, Bound};
pub(crate) use listeners::{ListenError, Listeners, PlannedListeners};
pub(crate) use standing::Standing;
pub(crate) use terms::ListenerTerms;
