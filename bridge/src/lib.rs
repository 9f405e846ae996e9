//! MQTT to InfluxDB.

#[allow(dead_code, reason = "scaffold")]
mod line_protocol;
