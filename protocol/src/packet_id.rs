//! Packet identifiers [MQTT 5.0, section 2.2.1].

use std::{fmt, num::NonZeroU16};

/// Identifies a packet that waits for its acknowledgement; never zero [MQTT-2.2.1-3].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The first identifier that a session hands out.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// `None` for zero.
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The identifier as it is on the wire.
    pub const fn as_u16(self) -> u16 {
        self.0.get()
    }

    /// The identifier after this one; 65535 is followed by 1.
    #[must_use]
    pub const fn successor(self) -> Self {
        match self.0.checked_add(1) {
            Some(next) => Self(next),
            None => Self::FIRST,
        }
    }

    /// How many steps of [`Self::successor`] lead from `earlier` to `self`, 0 to 65534.
    pub const fn steps_since(self, earlier: Self) -> u16 {
        let (now, then) = (self.as_u16(), earlier.as_u16());
        if now >= then { now - then } else { u16::MAX - then + now }
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circle_of_identifiers_leaves_zero_out() {
        let last = PacketId::new(u16::MAX).unwrap();
        assert_eq!(last.successor(), PacketId::FIRST);
        assert_eq!(PacketId::FIRST.steps_since(last), 1);
        assert_eq!(last.steps_since(PacketId::FIRST), 65_534);
        assert_eq!(PacketId::FIRST.steps_since(PacketId::FIRST), 0);
        assert_eq!(PacketId::new(0), None);
    }
}
