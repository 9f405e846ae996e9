//! The orderly end of `gaugeline up`: first those who send, then what they have sent, then the rest.
//!
//! Whatever the broker has acknowledged is written by the bridge before it ends, if the sink takes it. If not, it
//! stays in the broker's store, and the next start goes on with it.

use std::time::Duration;

use gaugeline_bridge::Bridge;
use gaugeline_broker::Broker;
use gaugeline_protocol::ClientId;
use tokio::time::{interval, sleep, timeout};

use super::demo::Demo;
use crate::{bridge, broker, live_bridge::LiveBridge, output::say};

/// How long what was acknowledged may take to reach the sink.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(20);
/// How long the end may take before the user is told what it waits for.
const SILENCE: Duration = Duration::from_secs(1);
/// The bridge has everything if this long nothing has come: the broker is in the same process and sends at once.
const QUIET: Duration = Duration::from_millis(100);
/// How often the bridge is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Ends the demonstration, the other clients, the bridge and the broker, in this order.
pub(super) async fn end(demo: Option<Demo>, bridge: LiveBridge, broker: Broker) {
    say("\nEnding in order; once more ends at once.");
    if let Some(demo) = demo {
        demo.stop().await;
    }
    let (bridge, consumer) = bridge.end().await;
    if let Some(bridge) = bridge {
        write_what_is_acknowledged(&bridge, &broker, &consumer).await;
        bridge::stop(bridge).await;
    }
    broker::stop(broker).await;
}

/// Gives the bridge time to get and write all that the broker has for it.
async fn write_what_is_acknowledged(bridge: &Bridge, broker: &Broker, consumer: &ClientId) {
    // A sink that does not work now would only make the user wait.
    if bridge.readiness().is_ready() {
        let drained = async {
            broker.drain_to(consumer, DRAIN_TIME_MAX).await;
            until_quiet(bridge).await;
        };
        let explanation = async {
            sleep(SILENCE).await;
            say(format_args!(
                "Writing what the broker has acknowledged; this may take up to {} s.",
                DRAIN_TIME_MAX.as_secs()
            ));
            std::future::pending::<()>().await;
        };
        let in_time = timeout(DRAIN_TIME_MAX, async {
            tokio::select! {
                () = drained => {}
                () = explanation => {}
            }
        });
        if in_time.await.is_err() {
            say("Not all of it could be written; the next start goes on with the rest.");
        }
    }
}

/// Returns when the bridge has nothing left to write, and nothing has come for [`QUIET`].
async fn until_quiet(bridge: &Bridge) {
    let mut interval = interval(LOOK_INTERVAL);
    let mut received = bridge.metrics().messages_received();
    let mut quiet = Duration::ZERO;
    while quiet < QUIET {
        interval.tick().await;
        let received_now = bridge.metrics().messages_received();
        if received_now == received && bridge.metrics().messages_in_flight() == 0 {
            quiet += LOOK_INTERVAL;
        } else {
            quiet = Duration::ZERO;
        }
        received = received_now;
    }
}
