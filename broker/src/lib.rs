//! The MQTT server.

pub mod auth;
mod clock;
pub mod config;
pub mod file_error;
pub mod metrics;
