//! Sockets: what comes in, and what protects it on the way.

pub mod tls;
