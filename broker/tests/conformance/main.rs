//! What the broker does on the wire: scenarios over real sockets, each for every version of MQTT that it applies to.
//!
//! The broker runs inside the test, on a port that the system chooses. Nothing waits for time to pass unless the time
//! itself is what is tested: a test waits for a packet, for the end of the connection, or for a condition, always
//! with a deadline. That nothing comes is shown by a fence ([`support::Client::expect_silence`]).
//!
//! Statements without a version are those of MQTT 5.0.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

/// Makes a test of each scenario for each version that it applies to.
macro_rules! scenarios {
    ($($versions:ident { $($name:ident),+ $(,)? })+) => { $($(scenarios!(@ $versions $name);)+)+ };
    (@ every $name:ident) => { scenarios!(@@ $name v31 V31, v311 V311, v5 V5); };
    (@ since_311 $name:ident) => { scenarios!(@@ $name v311 V311, v5 V5); };
    (@ v3 $name:ident) => { scenarios!(@@ $name v31 V31, v311 V311); };
    (@ v31 $name:ident) => { scenarios!(@@ $name v31 V31); };
    (@ v311 $name:ident) => { scenarios!(@@ $name v311 V311); };
    (@ v5 $name:ident) => { scenarios!(@@ $name v5 V5); };
    (@@ $name:ident $($test:ident $version:ident),+) => {
        mod $name {
            $(#[tokio::test]
            async fn $test() {
                super::$name(gaugeline_protocol::Version::$version).await;
            })+
        }
    };
}

mod access;
mod concurrency;
mod connecting;
mod delivery_options;
mod ending;
mod expiry;
mod fleet;
mod flow;
mod guard;
mod identifiers;
mod keep_alive;
mod listeners;
mod lobby;
mod log_lines;
mod malformed;
mod pressure;
mod properties;
mod quality;
mod refusals;
mod reload;
mod retained;
mod scram;
mod sessions;
mod shared;
mod status_topics;
mod storage;
mod subscriptions;
mod support;
mod takeover;
mod tls;
mod topic_alias;
mod websocket;
mod wills;
