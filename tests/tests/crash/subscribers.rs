//! The broker alone, killed at random: every acknowledged number reaches every subscriber with a persistent session,
//! at QoS 2 exactly once.

use std::sync::Arc;

use gaugeline_protocol::{QoS, Version};
use gaugeline_tests::{
    crash::{
        ledger::Lane,
        publisher::Script,
        random::Random,
        stage::{Role, Stage},
        subscriber::Subscriber,
        verdict::Verdict,
    },
    home::Home,
    process::Process,
    python, requirement, wait,
};

use crate::moments::{self, Load};

const KILLS: usize = 30;

/// One numbers series for each QoS and version, and one with payloads that fill the log's segments.
fn scripts() -> Vec<Script> {
    let lane = Lane::new;
    let script = |version, lane| Script { version, lane, fence: None, burst: 4, window: 50 };
    vec![
        Script {
            fence: Some(lane("fence", QoS::AtLeastOnce)),
            ..script(Version::V311, lane("zero", QoS::AtMostOnce))
        },
        script(Version::V5, lane("one", QoS::AtLeastOnce)),
        script(Version::V311, lane("two", QoS::ExactlyOnce)),
        script(Version::V5, lane("two-v5", QoS::ExactlyOnce)),
        Script { burst: 6, ..script(Version::V5, lane("bulk", QoS::AtLeastOnce).padded(20_000)) },
    ]
}

/// A client that is a program of its own: prints topics and payloads.
struct Program {
    name: &'static str,
    qos: QoS,
    start: Box<dyn Fn() -> Option<Process>>,
    process: Process,
    /// What it printed before it ended and was started again.
    earlier: Vec<String>,
}

impl Program {
    /// mosquitto_sub ends when it loses its connection, and its memory of exchanges at QoS 2 with it: so it listens at
    /// QoS 1. Paho comes back by itself.
    fn start_all(home: &Arc<Home>, lanes: &[Lane]) -> Vec<Self> {
        let topics: Arc<[String]> =
            lanes.iter().filter(|lane| lane.payload_bytes == 0).map(Lane::topic).collect();
        let mosquitto = |name: &'static str, version: &'static [&str]| {
            let (home, topics) = (Arc::clone(home), Arc::clone(&topics));
            Self::start(name, QoS::AtLeastOnce, move || {
                let mut command = home.mosquitto_client(&requirement::program("mosquitto_sub")?, "viewer");
                command.args(["-i", name, "-c", "-q", "1", "-F", "%t %p"]).args(version);
                command.args(topics.iter().flat_map(|topic| ["-t", topic]));
                Some(Process::start(name, &mut command))
            })
        };
        let paho = |name: &'static str, version: &'static str, qos: QoS| {
            let (home, topics) = (Arc::clone(home), Arc::clone(&topics));
            Self::start(name, qos, move || python::subscriber(version, name, qos.bits(), &home, &topics))
        };
        let programs = [
            mosquitto("mosquitto-v5", &["-V", "5", "-x", "3600"]),
            mosquitto("mosquitto-v3", &["-V", "311"]),
            paho("paho-1", "3.1.1", QoS::AtLeastOnce),
            paho("paho-2", "5.0", QoS::ExactlyOnce),
        ];
        let programs: Vec<_> = programs.into_iter().flatten().collect();
        let wanted = (programs.len() * topics.len()) as f64;
        wait::until_equal("subscriptions", &wanted, || home.metric("gaugeline_subscriptions", ""));
        programs
    }

    fn start(name: &'static str, qos: QoS, start: impl Fn() -> Option<Process> + 'static) -> Option<Self> {
        let process = start()?;
        Some(Self { name, qos, start: Box::new(start), process, earlier: Vec::new() })
    }

    /// Starts it again if it has ended.
    fn revive(&mut self) {
        if self.process.status().is_some() {
            let ended = std::mem::replace(&mut self.process, (self.start)().unwrap());
            self.earlier.extend(ended.wait().stdout.lines().map(str::to_owned));
        }
    }

    fn lines(&self) -> usize {
        self.earlier.len() + self.process.stdout_lines()
    }

    fn arrived(&self, lane: &Lane) -> Vec<u64> {
        let (topic, said) = (lane.topic(), self.process.stdout());
        let lines = self.earlier.iter().map(String::as_str).chain(said.lines());
        let payloads = lines.filter_map(|line| line.strip_prefix(&topic)?.strip_prefix(' '));
        payloads.map(|payload| Lane::number_in(payload.as_bytes()).unwrap()).collect()
    }
}

/// Everybody who listens.
struct Audience {
    own: Vec<(&'static str, QoS, Subscriber)>,
    programs: Vec<Program>,
}

impl Audience {
    fn gather(stage: &Stage, lanes: &[Lane], random: &mut Random) -> Self {
        let programs = Program::start_all(&stage.home, lanes);
        let mut own = |name, version, qos, breaks_off_once_in| {
            (name, qos, Subscriber::start(&stage.home, version, qos, breaks_off_once_in, random.draw()))
        };
        let own = vec![
            own("own-1-v3", Version::V311, QoS::AtLeastOnce, 0),
            own("own-1-v5", Version::V5, QoS::AtLeastOnce, 500),
            own("own-2-v3", Version::V311, QoS::ExactlyOnce, 500),
            own("own-2-v5", Version::V5, QoS::ExactlyOnce, 0),
        ];
        Self { own, programs }
    }

    fn wait_until_all_programs_hear_more(&mut self) {
        for program in &mut self.programs {
            let before = program.lines();
            wait::until(&format!("messages for {}", program.name), || {
                program.revive();
                (program.lines() > before).then_some(())
            });
        }
    }

    /// The faults of everybody, each with what he heard.
    fn verdicts(&self, lanes: &[Lane]) -> Vec<(&'static str, QoS, Verdict)> {
        let mut verdicts = Vec::new();
        for lane in lanes {
            for (name, qos, subscriber) in &self.own {
                verdicts.push((*name, *qos, Verdict::of(lane, &subscriber.arrived(lane))));
            }
            for program in self.programs.iter().filter(|_| lane.payload_bytes == 0) {
                verdicts.push((program.name, program.qos, Verdict::of(lane, &program.arrived(lane))));
            }
        }
        verdicts
    }

    /// Waits until everything is there, and checks that nothing is there that should not be.
    fn expect_every_number(&mut self, stage: &Stage, lanes: &[Lane]) {
        wait::look(wait::LONG_PATIENCE, || {
            self.programs.iter_mut().for_each(Program::revive);
            stage.queue() == 0.0
                && self.verdicts(lanes).iter().all(|(_, _, verdict)| verdict.missing.is_empty())
        });
        let mut faults = Vec::new();
        for (name, qos, verdict) in self.verdicts(lanes) {
            // The broker delivers everything at the QoS of the subscription in this test.
            let sound = match qos {
                QoS::ExactlyOnce => verdict.is_exactly_once(),
                _ => verdict.is_at_least_once(),
            };
            eprintln!("{name}: {verdict}");
            if !sound {
                faults.push(format!("{name}: {verdict}"));
            }
        }
        assert!(faults.is_empty(), "seed {}:\n{}", stage.seed, faults.join("\n"));
    }
}

#[test]
fn killing_the_broker_at_random_loses_nothing_for_subscribers() {
    let seed = Random::seed();
    eprintln!("seed {seed}");
    let home = Home::new();
    for key in ["queue_qos0_messages", "upgrade_outgoing_qos"] {
        home.replace("broker.toml", &format!("{key} = [\"gaugeline-bridge\"]"), &format!("{key} = true"));
    }
    let mut stage = Stage::with_broker(home, seed);
    let mut random = Random::new(seed);
    let scripts = scripts();
    let lanes: Vec<_> = scripts.iter().map(|script| script.lane.clone()).collect();
    let mut audience = Audience::gather(&stage, &lanes, &mut random);
    let mut load = Load::start(&stage, &scripts, &mut random);
    while stage.kills() < moments::kills(KILLS) {
        moments::wait_for_one(&mut stage, &load, &mut random);
        stage.kill(Role::Broker);
        wait::pass(random.milliseconds(300));
        stage.start(Role::Broker);
        audience.programs.iter_mut().for_each(Program::revive);
        // Other programs take a second to come back: now and then everybody gets the time.
        if random.once_in(3) {
            audience.wait_until_all_programs_hear_more();
        }
    }
    stage.raise_all(&mut random);
    load.finish();
    audience.expect_every_number(&stage, &lanes);
    for (_, _, subscriber) in audience.own {
        subscriber.join();
    }
}
