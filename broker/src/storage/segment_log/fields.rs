//! The fields that records are made of, both ways. A varint is seven bits a byte, lowest first, the eighth bit set on
//! all bytes but the last; texts and byte strings are a varint length and the bytes.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use gaugeline_protocol::{
    ClientId, PacketId, QoS, TopicFilter, TopicName, packet::Will, session::Subscription,
};

use crate::{
    router::{MailboxId, Stamp},
    storage::{KeptSubscription, LastConnection, Receiver},
};

/// The content of a record is not what its kind says. Its group's checksum was right, so it was written like this: by
/// a newer version, or by a fault of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_session(out: &mut Vec<u8>, session: MailboxId) {
    put_varint(out, session.number());
}

pub(super) fn put_stamp(out: &mut Vec<u8>, stamp: Stamp) {
    out.extend_from_slice(&stamp.nanoseconds().to_le_bytes());
}

pub(super) fn put_packet_id(out: &mut Vec<u8>, packet_id: PacketId) {
    out.extend_from_slice(&packet_id.as_u16().to_le_bytes());
}

/// A flag, and the number behind it if it is there.
pub(super) fn put_option(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(u8::from(number.is_some()));
    if let Some(number) = number {
        put_varint(out, number);
    }
}

pub(super) fn put_user(out: &mut Vec<u8>, user: Option<&Arc<str>>) {
    out.push(u8::from(user.is_some()));
    if let Some(user) = user {
        put_bytes(out, user.as_bytes());
    }
}

/// The last field of its record. The first realm has no name and takes no byte.
pub(super) fn put_realm(out: &mut Vec<u8>, realm: Option<&Arc<str>>) {
    if let Some(realm) = realm {
        put_bytes(out, realm.as_bytes());
    }
}

pub(super) fn put_will(out: &mut Vec<u8>, will: &Will) {
    put_bytes(out, will.topic.as_str().as_bytes());
    put_bytes(out, &will.payload);
    out.push(will.qos.bits() | u8::from(will.retain) << 2);
    put_varint(out, will.delay_seconds.into());
    put_option(out, will.message_expiry_seconds.map(u64::from));
    put_bytes(out, &will.properties);
}

pub(super) fn put_connection(out: &mut Vec<u8>, connection: &LastConnection) {
    match connection {
        LastConnection::Open { will } => {
            out.push(u8::from(will.is_some()));
            if let Some(will) = will {
                put_will(out, will);
            }
        }
        LastConnection::Parked { expires_at, will } => {
            out.push(2 | u8::from(will.is_some()));
            put_option(out, *expires_at);
            if let Some((will, due_at)) = will {
                put_varint(out, *due_at);
                put_will(out, will);
            }
        }
    }
}

pub(super) fn put_subscription(out: &mut Vec<u8>, filter: &TopicFilter, kept: &KeptSubscription) {
    put_bytes(out, filter.as_str().as_bytes());
    let Subscription { qos, no_local, retain_as_published, id } = &kept.subscription;
    let flags = [(*no_local, 4), (*retain_as_published, 8), (kept.walking, 16)];
    out.push(flags.iter().filter(|(set, _)| *set).fold(qos.bits(), |bits, (_, flag)| bits | flag));
    put_option(out, id.map(u64::from));
}

pub(super) fn put_receiver(out: &mut Vec<u8>, receiver: &Receiver) {
    put_session(out, receiver.session);
    let ids = receiver.subscription_ids.as_deref();
    out.push(receiver.qos.bits() | u8::from(receiver.retain) << 2 | u8::from(ids.is_some()) << 3);
    if let Some(ids) = ids {
        put_varint(out, ids.len() as u64);
        for id in ids {
            put_varint(out, (*id).into());
        }
    }
}

/// Takes fields off the front of a record.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| Malformed)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    pub(super) fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed)
    }

    pub(super) fn fixed(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64_le().map_err(|_| Malformed)
    }

    pub(super) fn option(&mut self) -> Result<Option<u64>, Malformed> {
        Ok(if self.flag()? { Some(self.varint()?) } else { None })
    }

    pub(super) fn raw(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.varint()?).map_err(|_| Malformed)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        self.raw(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// A number of things, each read by `one`. Nothing is reserved on the word of a number.
    pub(super) fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.varint()?;
        (0..count).map(|_| one(self)).collect()
    }

    pub(super) fn session(&mut self) -> Result<MailboxId, Malformed> {
        self.varint().map(MailboxId::from_number)
    }

    pub(super) fn stamp(&mut self) -> Result<Stamp, Malformed> {
        self.fixed().map(Stamp::from_nanoseconds)
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, Malformed> {
        let id = self.0.try_get_u16_le().map_err(|_| Malformed)?;
        PacketId::new(id).ok_or(Malformed)
    }

    pub(super) fn client_id(&mut self) -> Result<ClientId, Malformed> {
        ClientId::new(self.text()?).ok_or(Malformed)
    }

    /// The last field of its record, if it is there.
    pub(super) fn realm(&mut self) -> Result<Option<Arc<str>>, Malformed> {
        if self.0.is_empty() { Ok(None) } else { Ok(Some(self.text()?.into())) }
    }

    pub(super) fn user(&mut self) -> Result<Option<Arc<str>>, Malformed> {
        Ok(if self.flag()? { Some(self.text()?.into()) } else { None })
    }

    pub(super) fn filter(&mut self) -> Result<TopicFilter, Malformed> {
        TopicFilter::new(self.text()?).map_err(|_| Malformed)
    }

    pub(super) fn will(&mut self) -> Result<Box<Will>, Malformed> {
        let topic = TopicName::new(self.text()?).map_err(|_| Malformed)?;
        let payload = Bytes::copy_from_slice(self.bytes()?);
        let (qos, retain) = self.delivery_flags()?;
        let delay_seconds = self.small()?;
        let message_expiry_seconds = if self.flag()? { Some(self.small()?) } else { None };
        let properties = Bytes::copy_from_slice(self.bytes()?);
        Ok(Box::new(Will { topic, payload, qos, retain, delay_seconds, message_expiry_seconds, properties }))
    }

    fn delivery_flags(&mut self) -> Result<(QoS, bool), Malformed> {
        let flags = self.byte()?;
        Ok((QoS::from_bits(flags & 3).ok_or(Malformed)?, flags & 4 != 0))
    }

    pub(super) fn connection(&mut self) -> Result<LastConnection, Malformed> {
        let flags = self.byte()?;
        let has_will = flags & 1 != 0;
        match flags >> 1 {
            0 => Ok(LastConnection::Open { will: if has_will { Some(self.will()?) } else { None } }),
            1 => {
                let expires_at = self.option()?;
                let due_at = if has_will { Some(self.varint()?) } else { None };
                let will = due_at.map(|due_at| Ok((self.will()?, due_at))).transpose()?;
                Ok(LastConnection::Parked { expires_at, will })
            }
            _ => Err(Malformed),
        }
    }

    pub(super) fn subscription(&mut self) -> Result<(TopicFilter, KeptSubscription), Malformed> {
        let filter = self.filter()?;
        let flags = self.byte()?;
        let qos = QoS::from_bits(flags & 3).ok_or(Malformed)?;
        let (no_local, retain_as_published) = (flags & 4 != 0, flags & 8 != 0);
        let id = if self.flag()? { Some(self.small()?) } else { None };
        let subscription = Subscription { qos, no_local, retain_as_published, id };
        Ok((filter, KeptSubscription { subscription, walking: flags & 16 != 0 }))
    }

    pub(super) fn receiver(&mut self) -> Result<Receiver, Malformed> {
        let session = self.session()?;
        let flags = self.byte()?;
        let qos = QoS::from_bits(flags & 3).ok_or(Malformed)?;
        let ids = if flags & 8 != 0 { Some(self.list(Self::small)?.into()) } else { None };
        Ok(Receiver { session, qos, retain: flags & 4 != 0, subscription_ids: ids })
    }

    /// Whether all fields were read.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}
