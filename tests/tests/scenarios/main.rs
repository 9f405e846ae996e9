//! The real program, real servers and real clients, as a user would put them together.
//!
//! Each scenario has its own data directory and ports, so they run side by side. What they share is in this crate's
//! library. Where a server or a client is missing, see `requirement`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod bridge;
mod bridge_reload;
mod certificates;
mod clients;
mod command_line;
mod delivery;
mod demo;
mod influx_apis;
mod init;
mod load;
mod mosquitto_conf;
mod mosquitto_files;
mod mosquitto_listeners;
mod mosquitto_passwd;
mod mosquitto_running;
mod mosquitto_websockets;
mod outage;
mod prepare;
mod privileges;
mod procedures;
mod refusals;
mod reload;
mod secrets;
mod websocket;
