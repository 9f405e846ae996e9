//! The processes that are killed and started again, and what they had said.

use std::{fmt, fs, path::Path, sync::Arc, thread};

use serde_json::Value;

use super::{ledger::Lane, random::Random, verdict::Verdict};
use crate::{gaugeline, home::Home, http, influxd::Influxd, process::Process, wait};

/// The database that the bridge writes to.
pub const DATABASE: &str = "telemetry";

/// A process on the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `gaugeline broker`.
    Broker,
    /// `gaugeline bridge`.
    Bridge,
    /// InfluxDB.
    Influxd,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Bridge => "bridge",
            Self::Influxd => "influxd",
        })
    }
}

/// Broker, bridge and InfluxDB, or the broker alone.
#[derive(Debug)]
pub struct Stage {
    /// The data directory.
    pub home: Arc<Home>,
    /// Says which run this was.
    pub seed: u64,
    influxd: Option<Influxd>,
    broker: Option<Process>,
    bridge: Option<Process>,
    /// What happened, with the last words of those who were killed.
    history: Vec<String>,
    kills: Vec<Role>,
}

impl Stage {
    /// The broker alone, running.
    pub fn with_broker(home: Home, seed: u64) -> Self {
        let mut stage = Self {
            home: Arc::new(home),
            seed,
            influxd: None,
            broker: None,
            bridge: None,
            history: Vec::new(),
            kills: Vec::new(),
        };
        stage.start(Role::Broker);
        stage.wait_until_ready();
        stage
    }

    /// All three, running, and the bridge has subscribed. `None` if InfluxDB is not installed.
    pub fn with_everything(home: Home, seed: u64) -> Option<Self> {
        let influxd = Influxd::start()?;
        influxd.create_database(DATABASE);
        write_to(&home, &influxd);
        let mut stage = Self::with_broker(home, seed);
        stage.influxd = Some(influxd);
        stage.start(Role::Bridge);
        wait::until("the bridge's subscription", || {
            stage.expect_running();
            (stage.home.metric("gaugeline_subscriptions", "") == 1.0).then_some(())
        });
        Some(stage)
    }

    /// Whether the process was started and not killed since.
    pub fn is_up(&self, role: Role) -> bool {
        match role {
            Role::Broker => self.broker.is_some(),
            Role::Bridge => self.bridge.is_some(),
            Role::Influxd => self.influxd.as_ref().is_some_and(Influxd::is_running),
        }
    }

    /// How often something was killed.
    pub fn kills(&self) -> usize {
        self.kills.len()
    }

    /// How often this one was.
    pub fn kills_of(&self, role: Role) -> usize {
        self.kills.iter().filter(|killed| **killed == role).count()
    }

    /// Starts a process if it does not run; waits for nothing.
    pub fn start(&mut self, role: Role) {
        if self.is_up(role) {
            return;
        }
        self.note(format!("start {role}"));
        let mut command = gaugeline::command();
        match role {
            Role::Broker => {
                command.args(["broker", "-c"]).arg(self.home.path("broker.toml"));
                self.broker = Some(Process::start("gaugeline broker", &mut command));
            }
            Role::Bridge => self.bridge = Some(self.home.bridge()),
            Role::Influxd => self.influxd().launch(),
        }
    }

    /// Ends a process with SIGKILL if it runs.
    ///
    /// # Panics
    /// If it has ended by itself.
    pub fn kill(&mut self, role: Role) {
        if !self.is_up(role) {
            return;
        }
        self.expect_running();
        let words = match role {
            Role::Broker => self.broker.take().map(last_words),
            Role::Bridge => self.bridge.take().map(last_words),
            Role::Influxd => Some(last_words(self.influxd().take())),
        };
        self.kills.push(role);
        self.note(format!("kill {role}; it had said:\n{}", words.unwrap_or_default()));
    }

    /// Notes something in the history.
    pub fn note(&mut self, what: String) {
        self.history.push(what);
    }

    /// Looks that nobody has ended by himself: a crash of its own is a fault of its own.
    ///
    /// # Panics
    /// If somebody has.
    pub fn expect_running(&mut self) {
        for process in [self.broker.as_mut(), self.bridge.as_mut()].into_iter().flatten() {
            process.expect_running();
        }
    }

    /// Starts whatever is down, and waits until the broker is ready and InfluxDB answers.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn raise_all(&mut self, random: &mut Random) {
        let mut roles = [Role::Broker, Role::Bridge, Role::Influxd];
        random.shuffle(&mut roles);
        for role in roles {
            if role == Role::Broker || self.influxd.is_some() {
                self.start(role);
            }
        }
        self.wait_until_ready();
        if let Some(influxd) = &self.influxd {
            influxd.wait_until_it_answers();
        }
    }

    /// Waits until the broker says that it is ready.
    ///
    /// # Panics
    /// If it does not, or is down.
    pub fn wait_until_ready(&mut self) {
        let broker = self.broker.as_mut().unwrap();
        self.home.wait_until_ready(broker);
    }

    /// The InfluxDB.
    ///
    /// # Panics
    /// If there is none on this stage.
    pub fn influxd(&mut self) -> &mut Influxd {
        self.influxd.as_mut().unwrap()
    }

    /// The running broker.
    ///
    /// # Panics
    /// If it does not run.
    pub fn broker(&self) -> &Process {
        self.broker.as_ref().unwrap()
    }

    /// The numbers of a lane that are in InfluxDB, in the order of their points' time.
    ///
    /// # Panics
    /// If InfluxDB does not answer.
    pub fn points(&self, lane: &Lane) -> Vec<u64> {
        let query = format!("SELECT \"value\" FROM \"sensors\" WHERE \"device\" = '{}'", lane.name);
        let rows = self.influxd.as_ref().unwrap().query(DATABASE, &query);
        rows.iter().map(|row| number(&row[1])).collect()
    }

    /// Waits until every accepted number of every lane is in InfluxDB and the broker's queue is empty, then checks that
    /// each is there exactly once and in order.
    ///
    /// # Panics
    /// With the faults.
    pub fn expect_every_number(&self, lanes: &[Lane]) {
        let mut faults = Vec::new();
        wait::look(wait::LONG_PATIENCE, || {
            faults = lanes
                .iter()
                .map(|lane| Verdict::of(lane, &self.points(lane)))
                .filter(|verdict| !verdict.is_exactly_once())
                .collect();
            faults.iter().all(|verdict| verdict.missing.is_empty()) && self.queue() == 0.0
        });
        // What was written while we looked.
        let verdicts: Vec<_> = lanes.iter().map(|lane| Verdict::of(lane, &self.points(lane))).collect();
        let report: Vec<_> = verdicts.iter().map(ToString::to_string).collect();
        let report = report.join("\n");
        assert!(verdicts.iter().all(Verdict::is_exactly_once), "seed {}:\n{report}", self.seed);
        assert_eq!(self.queue(), 0.0, "seed {}: messages wait in the broker:\n{report}", self.seed);
        eprintln!("{report}");
    }

    /// How many messages wait in the broker, sent or not.
    pub fn queue(&self) -> f64 {
        self.home.metric("gaugeline_queued_messages", "")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- seed {}, {} kills; what happened:", self.seed, self.kills.len());
            for what in &self.history {
                eprintln!("--- {what}");
            }
            let kept = std::env::temp_dir().join(format!("gaugeline-crash-{}", self.seed));
            match copy(&self.home.path("data"), &kept) {
                Ok(()) => eprintln!("--- the broker's storage as it is now: {}", kept.display()),
                Err(error) => eprintln!("--- the broker's storage was not kept: {error}"),
            }
        }
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Makes the bridge write to this InfluxDB: replaces the first paragraph of the section.
fn write_to(home: &Home, influxd: &Influxd) {
    let text = home.read("bridge.toml");
    let (before, after) = text.split_once("\n[sink]\n").unwrap();
    let (_, after) = after.split_once("\n\n").unwrap();
    let sink = format!("kind = \"influx1\"\nurl = \"{}\"\ndatabase = \"{DATABASE}\"", influxd.url());
    home.write("bridge.toml", &format!("{before}\n[sink]\n{sink}\n\n{after}"));
}

fn last_words(process: Process) -> String {
    let words = process.stderr();
    process.kill();
    words
}

/// InfluxDB 1 keeps numbers without a suffix as floats.
fn number(value: &Value) -> u64 {
    let float = value.as_f64().unwrap();
    assert!(float >= 0.0 && float.fract() == 0.0, "a value is {value}");
    float as u64
}

/// Whether somebody answers for health there.
pub fn answers(port: u16) -> bool {
    http::get(port, "/healthz").is_some_and(|answer| answer.status == 200)
}
