//! MQTT 3.1, 3.1.1 and 5.0 without IO: packets, topics and session state machines.
//!
//! Nothing in here opens a socket, reads a clock or starts a task: bytes and times go in, bytes and events come out.

pub mod client;
mod client_id;
pub mod codec;
pub mod packet;
mod packet_id;
mod qos;
mod reason;
pub mod session;
pub mod topic;
mod version;

pub use client_id::ClientId;
pub use packet_id::PacketId;
pub use qos::QoS;
pub use reason::ReasonCode;
pub use topic::{TopicError, TopicFilter, TopicName};
pub use version::Version;
