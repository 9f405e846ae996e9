//! Broker, bridge and InfluxDB, killed in any order: every acknowledged number is in InfluxDB exactly once.

use std::env;

use gaugeline_protocol::{QoS, Version};
use gaugeline_tests::{
    crash::{
        ledger::Lane,
        publisher::{Publisher, Script},
        random::Random,
        stage::{DATABASE, Role, Stage},
    },
    home::Home,
    wait,
};

/// How many processes are killed, unless the environment says otherwise.
const KILLS: &str = "GAUGELINE_CRASH_KILLS";
const KILLS_DEFAULT: usize = 50;

fn scripts() -> Vec<Script> {
    let lane = Lane::new;
    let script = |version, lane| Script { version, lane, fence: None, burst: 4 };
    let retained = lane("retained", QoS::AtLeastOnce).retained();
    let retained_twice = lane("retained-2", QoS::ExactlyOnce).retained();
    let fenced = |version, name: &str| Script {
        fence: Some(lane(&format!("fence-{name}"), QoS::AtLeastOnce)),
        ..script(version, lane(name, QoS::AtMostOnce))
    };
    vec![
        script(Version::V311, lane("one-v3", QoS::AtLeastOnce)),
        script(Version::V5, lane("one-v5", QoS::AtLeastOnce)),
        script(Version::V311, lane("two-v3", QoS::ExactlyOnce)),
        script(Version::V5, lane("two-v5", QoS::ExactlyOnce)),
        fenced(Version::V311, "zero-v3"),
        fenced(Version::V5, "zero-v5"),
        script(Version::V5, retained),
        script(Version::V311, retained_twice),
    ]
}

fn accepted(lanes: &[Lane]) -> u64 {
    lanes.iter().map(Lane::accepted_count).sum()
}

/// Waits for a moment to strike: after a while, or after something has happened.
fn wait_for_a_moment(stage: &mut Stage, random: &mut Random, lanes: &[Lane]) {
    let before = accepted(lanes);
    match random.below(6) {
        0 => wait::pass(random.milliseconds(100)),
        1 | 2 => wait::pass(random.milliseconds(1500)),
        3 | 4 if stage.is_up(Role::Broker) => {
            let more = 1 + random.below(400);
            wait::until("acknowledgements", || (accepted(lanes) >= before + more).then_some(()));
        }
        _ => {
            let up = [Role::Broker, Role::Bridge, Role::Influxd].iter().all(|role| stage.is_up(*role));
            if up {
                stage.wait_until_ready();
                let influxd = stage.influxd();
                influxd.wait_until_it_answers();
                let count = influxd.count(DATABASE, "sensors", "value");
                let more = 1 + random.below(400);
                wait::until("points", || {
                    (influxd.count(DATABASE, "sensors", "value") >= count + more).then_some(())
                });
                wait::pass(random.milliseconds(50));
            }
        }
    }
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

fn kill_at_random(stage: &mut Stage, random: &mut Random, lanes: &[Lane], kills: usize) {
    while stage.kills() < kills {
        wait_for_a_moment(stage, random, lanes);
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
    let kills = env::var(KILLS).map_or(KILLS_DEFAULT, |text| text.parse().unwrap());
    let Some(mut stage) = Stage::with_everything(Home::new(), seed) else { return };
    let mut random = Random::new(seed);
    let scripts = scripts();
    let lanes: Vec<_> = scripts
        .iter()
        .flat_map(|script| [Some(script.lane.clone()), script.fence.clone()])
        .flatten()
        .collect();
    let publishers: Vec<_> =
        scripts.iter().map(|script| Publisher::start(&stage.home, script, random.next())).collect();
    kill_at_random(&mut stage, &mut random, &lanes, kills);
    stage.raise_all(&mut random);
    for publisher in publishers {
        publisher.join();
    }
    stage.expect_every_number(&lanes);
    for lane in &lanes {
        assert!(lane.accepted_count() > 0, "{} has published nothing", lane.name);
    }
    let counts = [Role::Broker, Role::Bridge, Role::Influxd].map(|role| (role, stage.kills_of(role)));
    eprintln!("killed: {counts:?}");
}
