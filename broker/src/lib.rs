//! The MQTT server of gaugeline.

pub mod admin;
pub mod auth;
mod clock;
pub mod config;
pub mod file_error;
pub mod metrics;
pub mod net;
pub mod router;
pub mod sessions;
pub mod storage;
