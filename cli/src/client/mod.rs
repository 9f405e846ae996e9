//! An MQTT client for the command line: what `pub`, `sub` and the simulated sensors share.

mod arguments;
mod connection;
mod tls;
mod transport;
mod url;

pub(crate) use arguments::{Arguments, Target, parse_qos, parse_seconds, parse_topic};
pub(crate) use connection::{Connection, Happened, Message};
pub(crate) use tls::Arguments as TlsArguments;
