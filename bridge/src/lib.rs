//! MQTT to InfluxDB.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "scaffold")]
mod batch;
mod clock;
mod config;
mod line_protocol;
mod mapping;
mod retry;
mod rotating_file;
mod sink;
