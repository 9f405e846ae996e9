//! A broker to test, a client that shows every packet, and a log that can be asked.

mod client;
mod configured;
mod encode;
mod log;
mod pki;
pub(crate) mod scram;
mod server;
mod store;
pub(crate) mod websocket;

use std::{future::Future, num::NonZeroU16, time::Duration};

use bytes::Bytes;
use gaugeline_protocol::{
    QoS, TopicFilter, TopicName, Version,
    packet::{Connect, ConnectProperties, Outgoing, SubscribeFilter, Will},
};

pub(crate) use client::Client;
pub(crate) use configured::{Configured, Directory, listener};
pub(crate) use encode::Encode;
pub(crate) use log::Log;
pub(crate) use pki::{Pki, dial, dial_and_connect, dial_to};
pub(crate) use server::{Server, Setup};
pub(crate) use store::HeldStore;

/// How long anything may take before a test fails. Far more than needed on an idle machine, because tests share two cores
/// with each other and with compilers.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The result of the future, which must be there in time.
pub(crate) async fn in_time<R>(what: &str, future: impl Future<Output = R> + Send) -> R {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(result) => result,
        Err(_) => panic!("waited for {what} for {} s", DEADLINE.as_secs()),
    }
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool + Send + Sync) {
    in_time(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// A CONNECT for a new session that ends with its connection.
pub(crate) fn clean(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        client_id: client_id.to_owned(),
        clean_start: true,
        keep_alive_seconds: 0,
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

/// A CONNECT for a session that outlives its connection, the old one if there is one.
pub(crate) fn kept(version: Version, client_id: &str) -> Connect {
    let session_expiry_seconds = if version.is_v5() { 3600 } else { 0 };
    Connect {
        clean_start: false,
        properties: ConnectProperties { session_expiry_seconds, ..ConnectProperties::default() },
        ..clean(version, client_id)
    }
}

/// The same CONNECT with a user and a password.
pub(crate) fn by(connect: Connect, user: &str, password: &str) -> Connect {
    Connect {
        user_name: Some(user.to_owned()),
        password: Some(Bytes::copy_from_slice(password.as_bytes())),
        ..connect
    }
}

/// A will at QoS 1 that is published as soon as the connection is lost.
pub(crate) fn will(topic: &str, payload: &'static str) -> Will {
    Will {
        topic: TopicName::new(topic).unwrap(),
        payload: Bytes::from_static(payload.as_bytes()),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_seconds: 0,
        message_expiry_seconds: None,
        properties: Bytes::new(),
    }
}

/// The only Receive Maximum, topic alias or similar of that value.
pub(crate) fn nonzero(value: u16) -> NonZeroU16 {
    NonZeroU16::new(value).unwrap()
}

/// A filter with the options of a plain subscription.
pub(crate) fn filter(text: &str, qos: QoS) -> SubscribeFilter {
    SubscribeFilter::new(TopicFilter::new(text).unwrap(), qos)
}

/// A message at QoS 0.
pub(crate) fn message<'a>(topic: &'a str, payload: &'a str) -> Outgoing<'a> {
    Outgoing { topic, payload: payload.as_bytes(), ..Outgoing::default() }
}

/// The same message at another QoS, with this packet identifier.
pub(crate) fn at(qos: QoS, packet_id: u16, message: Outgoing<'_>) -> Outgoing<'_> {
    Outgoing { qos, packet_id: gaugeline_protocol::PacketId::new(packet_id), ..message }
}
