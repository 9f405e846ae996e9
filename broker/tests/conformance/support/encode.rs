//! One way to write every packet that a client sends.

use bytes::BytesMut;
use gaugeline_protocol::{
    Version,
    packet::{Ack, AckType, Auth, Connect, Disconnect, Outgoing, PingReq, Subscribe, Unsubscribe},
};

pub(crate) trait Encode {
    /// Appends the packet.
    fn put(&self, version: Version, out: &mut BytesMut);
}

macro_rules! encode {
    ($($packet:ty)+) => {
        $(impl Encode for $packet {
            fn put(&self, version: Version, out: &mut BytesMut) {
                self.encode(version, out).unwrap();
            }
        })+
    };
}

encode!(Auth Disconnect Outgoing<'_> PingReq Subscribe Unsubscribe);

impl Encode for Connect {
    fn put(&self, _: Version, out: &mut BytesMut) {
        self.encode(out).unwrap();
    }
}

impl Encode for (AckType, Ack) {
    fn put(&self, version: Version, out: &mut BytesMut) {
        self.1.encode(self.0, version, out).unwrap();
    }
}

/// Bytes as they are, to break the rules.
impl Encode for &[u8] {
    fn put(&self, _: Version, out: &mut BytesMut) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn put(&self, _: Version, out: &mut BytesMut) {
        out.extend_from_slice(self);
    }
}

impl<E: Encode> Encode for Vec<E> {
    fn put(&self, version: Version, out: &mut BytesMut) {
        for packet in self {
            packet.put(version, out);
        }
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn put(&self, version: Version, out: &mut BytesMut) {
        self.0.put(version, out);
        self.1.put(version, out);
    }
}
