//! From bytes to packets and back, strictly.
//!
//! [`frame()`] splits whole packets off a buffer; [`crate::packet`] gives them meaning. What leaves this module is
//! well formed in every respect that can be seen without the state of a session. It does no IO and keeps no state.
//!
//! `mqttbytes` decodes and writes some of the control packets. It accepts much that the standard forbids, so its
//! decoders only ever see what the gate (`gate.rs`) has walked through, and its writers only what was checked before.

mod error;
mod frame;
pub(crate) mod gate;
pub(crate) mod lift;
mod limits;
pub(crate) mod property;
mod reader;
pub(crate) mod writer;

pub use error::{DecodeError, EncodeError};
pub use frame::{Frame, frame, packet_len};
pub use limits::Limits;
pub(crate) use reader::Reader;

/// The largest number that a variable byte integer can hold [MQTT 5.0, section 1.5.5].
pub const VARINT_MAX: usize = 268_435_455;
