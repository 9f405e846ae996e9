//! MQTT to InfluxDB.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "scaffold")]
mod batch;
mod clock;
mod config;
mod dead_letter;
mod delivery;
mod line_protocol;
mod mapping;
mod metrics;
mod pipeline;
mod retry;
mod rotating_file;
mod sink;
mod status;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod tls;
