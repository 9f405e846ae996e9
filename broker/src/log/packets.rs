//! What clients send and get, for those who look for a fault: at debug, acknowledgements and pings at trace. Never what a
//! message or a password says.
//!
//! The callers ask [`is_shown`] first, once for all packets of a wake: as long as nobody looks, that is all it costs.

use std::{fmt, net::SocketAddr};

use gaugeline_protocol::{
    QoS, ReasonCode, TopicFilter, Version,
    codec::{self, Limits},
    packet::{self, Connect, Packet, Publish, Will},
    session::Violation,
};
use tracing::level_filters::LevelFilter;

use super::{Excerpt, client_name, one_line, user_name};
use crate::auth::Identity;

/// Whether anybody may want to see packets.
#[inline]
pub(crate) fn is_shown() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

/// A line about a client's packet.
macro_rules! line {
    ($level:ident, $identity:expr, $($text:tt)+) => {
        tracing::$level!(
            client = &*client_name($identity.client_id.as_str()),
            user = &*user_name($identity.user.as_deref()),
            "{}",
            one_line(format_args!($($text)+))
        )
    };
}

/// A connection that MQTT can be spoken on: `over` says what carries it.
pub(crate) fn opened(address: SocketAddr, over: &str) {
    tracing::debug!(%address, "open: {over}");
}

/// A CONNECT, before anything of it is judged.
pub(crate) fn connect(connect: &Connect, address: SocketAddr) {
    tracing::debug!(
        client = &*client_name(&connect.client_id),
        user = &*user_name(connect.user_name.as_deref()),
        %address,
        "{}",
        one_line(format_args!("received {}", ConnectDetails(connect)))
    );
}

/// A client has come in while another connection has its identifier, which is to end.
pub(crate) fn takes_over(identity: &Identity) {
    line!(debug, identity, "takes over from an older connection with the same client identifier");
}

/// A filter of a SUBSCRIBE and what the client is told about it.
pub(crate) fn subscribed(identity: &Identity, filter: &TopicFilter, asked: QoS, answer: ReasonCode) {
    let filter = Excerpt(filter.as_str());
    let granted = match answer {
        ReasonCode::Success => 0,
        ReasonCode::GrantedQoS1 => 1,
        ReasonCode::GrantedQoS2 => 2,
        refused => {
            return line!(debug, identity, "received SUBSCRIBE (QoS {}) {filter}: {refused}", asked.bits());
        }
    };
    line!(debug, identity, "received SUBSCRIBE (QoS {}) {filter}: granted QoS {granted}", asked.bits());
}

/// A filter of an UNSUBSCRIBE and what the client is told about it.
pub(crate) fn unsubscribed(identity: &Identity, filter: &TopicFilter, answer: ReasonCode) {
    line!(debug, identity, "received UNSUBSCRIBE {}: {}", Excerpt(filter.as_str()), Outcome(answer));
}

/// The client broke the protocol, or was silent for too long. The line about the refusal may be part of a sum.
pub(crate) fn violated(identity: &Identity, violation: &Violation) {
    line!(debug, identity, "the connection ends: {violation} ({})", violation.reason());
}

/// A packet that a client has sent. SUBSCRIBE and UNSUBSCRIBE are told with their answers.
#[cold]
pub(crate) fn received(identity: &Identity, packet: &Packet<'_>) {
    if !matches!(packet, Packet::Subscribe(_) | Packet::Unsubscribe(_)) {
        tell(identity, "received", packet);
    }
}

/// Whole packets that leave for a client.
#[cold]
pub(crate) fn sent(identity: &Identity, version: Version, mut packets: &[u8]) {
    while let Ok(Some(frame)) = codec::frame(packets, usize::MAX) {
        if let Ok(packet) = packet::decode(version, &frame, &Limits::default()) {
            tell(identity, "sent", &packet);
        }
        packets = packets.get(frame.len..).unwrap_or_default();
    }
}

fn tell(identity: &Identity, way: &str, packet: &Packet<'_>) {
    match packet {
        Packet::Publish(publish) => line!(debug, identity, "{way} {}", PublishDetails(publish)),
        Packet::Disconnect(disconnect) => {
            let reason = Outcome(disconnect.reason);
            match &disconnect.reason_string {
                None => line!(debug, identity, "{way} DISCONNECT ({reason})"),
                Some(said) => line!(debug, identity, "{way} DISCONNECT ({reason}: {})", Excerpt(said)),
            }
        }
        Packet::ConnAck(answer) => {
            let present = if answer.session_present { "session present" } else { "no session present" };
            line!(debug, identity, "{way} CONNACK ({present}, {})", Outcome(answer.reason));
        }
        Packet::PubAck(ack) => line!(trace, identity, "{way} PUBACK ({})", Acknowledges(ack)),
        Packet::PubRec(ack) => line!(trace, identity, "{way} PUBREC ({})", Acknowledges(ack)),
        Packet::PubRel(ack) => line!(trace, identity, "{way} PUBREL ({})", Acknowledges(ack)),
        Packet::PubComp(ack) => line!(trace, identity, "{way} PUBCOMP ({})", Acknowledges(ack)),
        other => line!(trace, identity, "{way} {}", other.packet_type()),
    }
}

/// A reason code, whose 0 has a meaning for each packet.
struct Outcome(ReasonCode);

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ReasonCode::Success => write!(f, "success"),
            reason => write!(f, "{reason}"),
        }
    }
}

struct Acknowledges<'a>(&'a packet::Ack);

impl fmt::Display for Acknowledges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet id {}, {}", self.0.packet_id, Outcome(self.0.reason))
    }
}

struct PublishDetails<'a>(&'a Publish<'a>);

impl fmt::Display for PublishDetails<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Publish { dup, qos, retain, topic, packet_id, properties, payload } = self.0;
        write!(f, "PUBLISH (QoS {}", qos.bits())?;
        if *retain {
            write!(f, ", retain")?;
        }
        if *dup {
            write!(f, ", dup")?;
        }
        if let Some(packet_id) = packet_id {
            write!(f, ", packet id {}", packet_id)?;
        }
        if let Some(alias) = properties.topic_alias {
            write!(f, ", topic alias {alias}")?;
        }
        write!(f, ", {} bytes) {}", payload.len(), Excerpt(topic))
    }
}

struct ConnectDetails<'a>(&'a Connect);

impl fmt::Display for ConnectDetails<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connect = self.0;
        let (clean, what) = (connect.clean_start, if connect.version.is_v5() { "start" } else { "session" });
        write!(f, "CONNECT (MQTT {}, {}clean {what}", connect.version, if clean { "" } else { "no " })?;
        write!(f, ", keep alive {} s", connect.keep_alive_seconds)?;
        match connect.properties.session_expiry_seconds {
            0 => {}
            u32::MAX => write!(f, ", session never expires")?,
            seconds => write!(f, ", session expires after {seconds} s")?,
        }
        if let Some(method) = &connect.properties.authentication_method {
            write!(f, ", authentication method {}", Excerpt(method))?;
        }
        match &connect.will {
            None => write!(f, ")"),
            Some(Will { topic, payload, qos, retain, .. }) => {
                let retain = if *retain { ", retain" } else { "" };
                write!(
                    f,
                    ", will (QoS {}{retain}, {} bytes) {})",
                    qos.bits(),
                    payload.len(),
                    Excerpt(topic.as_str())
                )
            }
        }
    }
}
