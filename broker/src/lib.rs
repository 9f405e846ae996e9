//! The MQTT server of gaugeline.
//!
//! [`Broker::start`] turns a [`config::Config`] into a running server on the present tokio runtime;
//! [`Broker::shutdown`] ends it. Layers, from the bottom: `router`, `auth` and `storage` decide and keep, without IO;
//! `sessions` knows where each session is; `net` moves bytes.

pub mod admin;
mod audit;
pub mod auth;
mod broker;
pub mod clock;
pub mod config;
mod exposure;
pub mod file_error;
mod hub;
mod log;
pub mod metrics;
mod net;
pub mod process_user;
pub mod reload;
pub mod router;
pub mod sessions;
mod settings;
mod status_topics;
pub mod storage;
pub mod watch;

pub use broker::{Broker, StartError, Surroundings};
pub use net::{BindError, Bound, tls};
