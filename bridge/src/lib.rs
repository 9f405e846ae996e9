//! MQTT to InfluxDB.

#[allow(dead_code, unused_imports, unreachable_pub, reason = "scaffold")]
mod config;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "scaffold")]
mod line_protocol;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "scaffold")]
mod mapping;
