//! Broker, bridge and InfluxDB, killed in any order: every acknowledged number is in InfluxDB exactly once.

use gaugeline_protocol::{QoS, Version};
use gaugeline_tests::{
    crash::{
        ledger::Lane,
        publisher::Script,
        random::Random,
        stage::{Role, Stage},
    },
    home::Home,
    wait,
};

use crate::moments::{self, Load};

const KILLS: usize = 50;

fn scripts() -> Vec<Script> {
    let lane = Lane::new;
    let script = |version, lane| Script { version, lane, fence: None, burst: 4, window: 50 };
    let fenced = |version, name: &str| Script {
        fence: Some(lane(&format!("fence-{name}"), QoS::AtLeastOnce)),
        ..script(version, lane(name, QoS::AtMostOnce))
    };
    let flood = |version, lane| Script { burst: 300, window: 1000, ..script(version, lane) };
    vec![
        script(Version::V311, lane("one-v3", QoS::AtLeastOnce)),
        script(Version::V5, lane("one-v5", QoS::AtLeastOnce)),
        script(Version::V311, lane("two-v3", QoS::ExactlyOnce)),
        script(Version::V5, lane("two-v5", QoS::ExactlyOnce)),
        fenced(Version::V311, "zero-v3"),
        fenced(Version::V5, "zero-v5"),
        script(Version::V5, lane("retained", QoS::AtLeastOnce).retained()),
        script(Version::V311, lane("retained-2", QoS::ExactlyOnce).retained()),
        flood(Version::V5, lane("flood", QoS::AtLeastOnce)),
    ]
}

/// Who dies now.
fn victims(random: &mut Random) -> Vec<Role> {
    use Role::{Bridge, Broker, Influxd};
    let mut victims = match random.below(10) {
        0..=2 => vec![Broker],
        3..=4 => vec![Bridge],
        5 => vec![Influxd],
        6 => vec![Broker, Bridge],
        7 => vec![Broker, Influxd],
        8 => vec![Bridge, Influxd],
        _ => vec![Broker, Bridge, Influxd],
    };
    random.shuffle(&mut victims);
    victims
}

fn kill_at_random(stage: &mut Stage, load: &Load, random: &mut Random, kills: usize) {
    while stage.kills() < kills {
        moments::wait_for_one(stage, load, random);
        for role in victims(random) {
            stage.kill(role);
            if random.once_in(3) {
                wait::pass(random.milliseconds(100));
            }
        }
        if random.once_in(2) {
            wait::pass(random.milliseconds(600));
        }
        let mut roles = [Role::Broker, Role::Bridge, Role::Influxd];
        random.shuffle(&mut roles);
        for role in roles {
            // Now and then one stays down while others die.
            if !random.once_in(6) {
                stage.start(role);
            }
            if random.once_in(3) {
                wait::pass(random.milliseconds(200));
            }
        }
    }
}

#[test]
fn killing_everything_at_random_loses_and_duplicates_nothing() {
    let seed = Random::seed();
    eprintln!("seed {seed}");
    let Some(mut stage) = Stage::with_everything(Home::new(), seed) else { return };
    let mut random = Random::new(seed);
    let mut load = Load::start(&stage, &scripts(), &mut random);
    kill_at_random(&mut stage, &load, &mut random, moments::kills(KILLS));
    stage.raise_all(&mut random);
    load.finish();
    stage.expect_every_number(&load.lanes);
    let counts = [Role::Broker, Role::Bridge, Role::Influxd].map(|role| (role, stage.kills_of(role)));
    eprintln!("killed: {counts:?}");
}

/// A bridge that never lives long makes progress all the same: what it has written is acknowledged soon.
#[test]
fn a_bridge_that_never_lives_long_empties_the_queue() {
    const MESSAGES: u64 = 90_000;
    /// At most; on a busy machine many are too short to connect.
    const LIFE_MILLISECONDS: u64 = 800;
    let seed = Random::seed();
    let Some(mut stage) = Stage::with_everything(Home::new(), seed) else { return };
    stage.kill(Role::Bridge);
    let flood = Script {
        version: Version::V5,
        lane: Lane::new("flood", QoS::AtLeastOnce),
        fence: None,
        burst: 1000,
        window: 1000,
    };
    let mut random = Random::new(seed);
    let mut load = Load::start(&stage, &[flood], &mut random);
    load.wait_for_more(MESSAGES);
    load.finish();
    let emptied = wait::look(wait::LONG_PATIENCE, || {
        stage.start(Role::Bridge);
        wait::pass(random.milliseconds(LIFE_MILLISECONDS));
        stage.kill(Role::Bridge);
        stage.queue() == 0.0
    });
    assert!(emptied, "{} messages wait after {} lives", stage.queue(), stage.kills());
    eprintln!("{} lives", stage.kills());
    stage.start(Role::Bridge);
    stage.expect_every_number(&load.lanes);
}
