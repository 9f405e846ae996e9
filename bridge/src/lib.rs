//! MQTT to InfluxDB.
