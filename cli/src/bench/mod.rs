//! `gaugeline bench`: a load generator for any MQTT broker, made to cost much less CPU than the broker that it loads.
//!
//! One thread with one epoll instance holds all connections (`--threads` for more). It copies pre-encoded PUBLISH
//! packets, finds acknowledgements and messages by scanning ([`scanner`]), writes once per connection and turn, and
//! reads the clock once per read and write. The loop is closed by default: publishers wait until the subscribers have
//! received, so that the broker is measured and not its queues. It is no MQTT client for anything else: it trusts the
//! broker and never reconnects.

mod client;
mod failure;
mod load;
mod options;
mod plan;
mod process;
mod progress;
mod publisher;
mod reactor;
mod report;
mod round;
mod scanner;
mod schedule;
mod sequence;
mod session;
mod shared;
mod stamp;
mod subscriber;
mod tally;
mod tls;
mod transport;
mod visits;
mod wire;

use std::process::ExitCode;

pub(crate) use options::Options;

use self::{
    failure::Failure,
    options::Shape,
    plan::Plan,
    report::{Report, Verdict},
    round::{Kind, Outcome},
    visits::Purpose,
};
use crate::clock;

/// Files that the process needs besides its connections.
const OTHER_FILES: u64 = 64;

/// Runs the load and prints the result on standard output.
pub(crate) fn run(options: &Options) -> ExitCode {
    let report = Plan::new(options, tag(), clock::now()).and_then(|plan| measure(&plan));
    let report = match report {
        Ok(report) => report,
        Err(failure) => {
            eprintln!("gaugeline bench: {failure}");
            return ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 });
        }
    };
    print(options, &report);
    match report.verdict() {
        Verdict::Fine => ExitCode::SUCCESS,
        Verdict::Disconnected => {
            eprintln!("gaugeline bench: the broker ended connections; the run is not complete");
            ExitCode::from(1)
        }
        Verdict::Silence => {
            eprintln!(
                "gaugeline bench: nothing arrived at the subscribers: the broker's ACL may forbid to write or to read \
                 --topic-prefix (MQTT 3.1.1 cannot say so)"
            );
            ExitCode::from(3)
        }
        Verdict::Lost => {
            eprintln!(
                "gaugeline bench: messages were lost. If the broker dropped them from a full queue, raise its limit \
                 (mosquitto: max_queued_messages) or lower --outstanding"
            );
            ExitCode::from(3)
        }
    }
}

fn print(options: &Options, report: &Report) {
    if options.json {
        match serde_json::to_string(report) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("gaugeline bench: {error}"),
        }
    } else {
        print!("{report}");
    }
}

/// Marks the messages of this run, so that those of another are not counted.
fn tag() -> u16 {
    let mut bytes = [0; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u16::from_ne_bytes(bytes),
        // Without a source of randomness, runs at the same time are still told apart.
        Err(_) => u16::try_from(std::process::id() & 0xffff).unwrap_or(0),
    }
}

/// Makes the rounds of the run.
fn measure(plan: &Plan) -> Result<Report, Failure> {
    raise_file_limit(plan)?;
    let outcome = match plan.shape {
        Shape::Connect => round::run(plan, Kind::Visit(Purpose::Storm, plan.count.unwrap_or(u64::MAX))),
        _ if plan.offline => measure_absence(plan),
        _ => round::run(plan, Kind::Load),
    };
    // Whatever became of the run, the broker is not to keep what it left.
    let forgotten = if plan.persistent {
        round::run(plan, Kind::Visit(Purpose::Forget, plan.subscribers.into())).map(drop)
    } else {
        Ok(())
    };
    let outcome = outcome?;
    forgotten?;
    Ok(Report::new(plan, &outcome))
}

/// The subscribers leave, the publishers publish, the subscribers come back. Time and cost are those of publishing.
fn measure_absence(plan: &Plan) -> Result<Outcome, Failure> {
    round::run(plan, Kind::Visit(Purpose::Subscribe, plan.subscribers.into()))?;
    let mut outcome = round::run(plan, Kind::Publish)?;
    let collected = round::run(plan, Kind::Collect { published: outcome.tally.published })?;
    let seconds = outcome.seconds;
    outcome.tally.add(collected.tally);
    outcome.seconds = seconds;
    Ok(outcome)
}

/// Makes sure that the process may open as many sockets as the plan needs.
fn raise_file_limit(plan: &Plan) -> Result<(), Failure> {
    let sockets = match plan.shape {
        Shape::Connect | Shape::Idle => plan.connections.into(),
        _ => u64::from(plan.publishers) + u64::from(plan.subscribers),
    };
    let needed = sockets + OTHER_FILES;
    let allowed = rlimit::increase_nofile_limit(needed)
        .map_err(|error| Failure::failed(format!("cannot ask for {needed} open files: {error}")))?;
    if allowed < needed {
        return Err(Failure::failed(format!(
            "{needed} open files are needed and {allowed} allowed: raise the hard limit (ulimit -Hn), or use fewer \
             connections"
        )));
    }
    Ok(())
}
