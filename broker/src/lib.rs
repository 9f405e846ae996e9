//! The MQTT server.
