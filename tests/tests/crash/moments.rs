//! When to strike: at any time, or just after something has happened.

use std::{env, time::Duration};

use gaugeline_tests::{
    crash::{
        ledger::Lane,
        publisher::{Publisher, Script},
        random::Random,
        stage::{DATABASE, Role, Stage},
    },
    wait,
};

/// How many processes are killed, unless the environment says otherwise.
const KILLS: &str = "GAUGELINE_CRASH_KILLS";

/// How long to wait for what need not happen.
const A_WHILE: Duration = Duration::from_secs(5);

/// How many processes a test kills.
pub(crate) fn kills(default: usize) -> usize {
    env::var(KILLS).map_or(default, |text| text.parse().unwrap())
}

/// The publishers of a run, and what they publish.
pub(crate) struct Load {
    pub(crate) lanes: Vec<Lane>,
    publishers: Vec<Publisher>,
}

impl Load {
    pub(crate) fn start(stage: &Stage, scripts: &[Script], random: &mut Random) -> Self {
        let lanes = scripts
            .iter()
            .flat_map(|script| [Some(script.lane.clone()), script.fence.clone()])
            .flatten()
            .collect();
        let publishers =
            scripts.iter().map(|script| Publisher::start(&stage.home, script, random.draw())).collect();
        Self { lanes, publishers }
    }

    /// How many numbers the broker has accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.lanes.iter().map(Lane::accepted_count).sum()
    }

    /// Waits for so many more.
    pub(crate) fn wait_for_more(&self, more: u64) {
        let before = self.accepted();
        let what = format!("{more} more acknowledgements");
        wait::until(&what, || {
            assert!(!self.publishers.iter().any(Publisher::has_failed), "a publisher has found a fault");
            (self.accepted() >= before + more).then_some(())
        });
    }

    /// Waits for so many more, but not for long: while nobody takes the messages away, the queue may be full.
    fn look_for_more(&self, more: u64) {
        let before = self.accepted();
        wait::look(A_WHILE, || self.accepted() >= before + more);
    }

    /// Ends the publishers once everything is acknowledged that can be.
    pub(crate) fn finish(&mut self) {
        for publisher in &self.publishers {
            publisher.stop();
        }
        for publisher in self.publishers.drain(..) {
            publisher.join();
        }
        for lane in &self.lanes {
            assert!(lane.accepted_count() > 0, "{} has published nothing", lane.name);
        }
    }
}

/// Waits for a moment to strike.
pub(crate) fn wait_for_one(stage: &mut Stage, load: &Load, random: &mut Random) {
    let roles = [Role::Broker, Role::Bridge, Role::Influxd];
    match random.below(6) {
        0 => wait::pass(random.milliseconds(100)),
        1 | 2 => wait::pass(random.milliseconds(1500)),
        5 if roles.iter().all(|role| stage.is_up(*role)) => {
            stage.wait_until_ready();
            let influxd = stage.influxd();
            influxd.wait_until_it_answers();
            let points = || influxd.count(DATABASE, "sensors", "value");
            let wanted = points() + 1 + random.below(400);
            wait::until("points", || (points() >= wanted).then_some(()));
            wait::pass(random.milliseconds(50));
        }
        _ if roles.iter().all(|role| stage.is_up(*role)) => load.wait_for_more(1 + random.below(400)),
        _ if stage.is_up(Role::Broker) => load.look_for_more(1 + random.below(400)),
        _ => {}
    }
}
