//! What a connection holds back until storage is as far: acknowledgements, packet ids, messages with a stamp.

use std::task::Context;

use super::connection::Connection;
use crate::storage::Ticket;

impl Connection {
    /// Sends what waited for storage, and has itself woken for what waits still.
    pub(super) fn release_acknowledgements(&mut self, cx: &Context<'_>) {
        while let Some(position) = self.awaits_storage() {
            let durable = self.hub.store.durable();
            self.session.release(durable.position(), &mut self.out);
            if let Some(gated) = self.gated.take_if(|gated| gated.not_before <= durable) {
                self.out.extend_from_slice(&gated.packets);
            }
            if self.awaits_storage().is_some_and(|next| next >= position && next > durable.position())
                && self.hub.store.wait(Ticket::new(position), cx.waker())
            {
                return;
            }
        }
    }

    /// The next position of storage that lets something go on.
    fn awaits_storage(&self) -> Option<u64> {
        let gated = self.gated.as_ref().map(|gated| gated.not_before.position());
        let durable = self.hub.store.durable();
        let stall = self.storage_stall.filter(|ticket| *ticket > durable).map(Ticket::position);
        let unsafe_message = self.awaited_message();
        [self.session.awaits_storage(), gated, stall, unsafe_message].into_iter().flatten().min()
    }
}
