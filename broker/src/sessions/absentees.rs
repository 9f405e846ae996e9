//! Tells of sessions whose clients are gone and whose queues fill up, before messages are refused for them.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use gaugeline_protocol::ClientId;

use super::Registry;
use crate::router::Stamp;

/// At which fullness of its queue, in percent, a session is worth a line in the log.
const WARNINGS_PERCENT: [u8; 4] = [25, 50, 75, 95];

/// What was said about whom.
#[derive(Debug, Default)]
pub struct Absentees {
    /// The highest of [`WARNINGS_PERCENT`] that was logged, by client.
    warned: HashMap<ClientId, u8, RandomState>,
}

/// The state of the queues of all sessions without a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Absence {
    /// How full the fullest is, in percent.
    pub fullest_percent: u8,
    /// The stamp of the oldest message that waits in any of them.
    pub oldest: Option<Stamp>,
}

impl Absentees {
    /// Looks at every parked session, and logs each step that a queue has filled up further.
    pub fn look(&mut self, registry: &Registry, now_nanoseconds: u64) -> Absence {
        let mut absence = Absence::default();
        let mut still_warned = HashMap::default();
        registry.for_each_parked(|client_id, parked| {
            let (percent, oldest) = parked.mailbox.fullness();
            absence.fullest_percent = absence.fullest_percent.max(percent);
            absence.oldest = [absence.oldest, oldest].into_iter().flatten().min();
            let Some(step) = WARNINGS_PERCENT.into_iter().rev().find(|step| percent >= *step) else { return };
            if self.warned.get(client_id).is_none_or(|before| *before < step) {
                warn(client_id, percent, oldest, now_nanoseconds, parked.mailbox.identity().user.as_deref());
            }
            still_warned.insert(client_id.clone(), step);
        });
        self.warned = still_warned;
        absence
    }
}

fn warn(client_id: &ClientId, percent: u8, oldest: Option<Stamp>, now_nanoseconds: u64, user: Option<&str>) {
    let seconds =
        oldest.map_or(0, |stamp| now_nanoseconds.saturating_sub(stamp.nanoseconds()) / 1_000_000_000);
    tracing::warn!(
        client = &*crate::log::client_name(client_id.as_str()),
        user = &*crate::log::user_name(user),
        "is not connected, and its queue is {percent} % full; the oldest message waits for {seconds} s. Once it is \
         full, messages for it are refused or dropped: connect it, raise queue_messages or queue_bytes, or end its \
         session for good with `gaugeline forget` and this client's name"
    );
}
