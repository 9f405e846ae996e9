//! `gaugeline health`: asks a running broker or bridge whether it does its job, for container engines and scripts.

use std::{fmt, net::SocketAddr, time::Duration};

use gaugeline_broker::config::ADMIN_DEFAULT;
use serde::Deserialize;

use crate::{failure::Failure, operate::ask, output::say};

/// From the connection to the whole answer. Shorter than the time after which a container engine gives up on the
/// question itself, so that the answer is a reason.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

const EXAMPLES: &str = "\
Examples:
  gaugeline health
  gaugeline health --admin 127.0.0.1:9884

Asks /readyz. Exit status: 0 if it is ready; 1 if it is not, with the reasons, or if nobody answers within 3 seconds; \
2 for wrong usage.";

/// Ask a running broker or bridge whether it is ready
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where it serves /readyz: `admin` of broker.toml, or --admin of `gaugeline bridge`
    #[arg(long, value_name = "IP:PORT", default_value_t = ADMIN_DEFAULT)]
    admin: SocketAddr,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let address = arguments.admin;
    let answer = ask(address, "GET", "/readyz", "", ANSWER_TIME_MAX)
        .map_err(|error| Failure::failed(format!("no answer from http://{address}/readyz: {error}")))?;
    judge(&answer).map_err(|problem| Failure::failed(format!("http://{address}/readyz: {problem}")))?;
    say("ready");
    Ok(())
}

/// Why an answer does not mean that all is well.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// Parts with what they lack.
    NotReady(Vec<String>),
    /// Something else listens there, or the answer was cut off.
    NotUnderstood(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady(reasons) => write!(f, "not ready: {}", reasons.join("; ")),
            Self::NotUnderstood(found) => {
                write!(f, "expected the answer of a broker or bridge, found {found:?}")
            }
        }
    }
}

/// The body of `/readyz`; what else it may hold some day does not matter here.
#[derive(Debug, Deserialize)]
struct Report {
    ready: bool,
    components: std::collections::BTreeMap<String, State>,
}

#[derive(Debug, Deserialize)]
struct State {
    ready: bool,
    reason: Option<String>,
}

/// What an answer says. Only a ready report under the status 200 is good.
fn judge(answer: &[u8]) -> Result<(), Problem> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status_line = head.lines().next().unwrap_or_default();
    let not_understood = || Problem::NotUnderstood(status_line.chars().take(100).collect());
    let status = status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let report: Report = serde_json::from_str(body).map_err(|_| not_understood())?;
    match (status, report.ready) {
        (Some("200"), true) => Ok(()),
        (Some(_), false) => Err(Problem::NotReady(reasons(report))),
        _ => Err(not_understood()),
    }
}

fn reasons(report: Report) -> Vec<String> {
    let unready = report.components.into_iter().filter(|(_, state)| !state.ready);
    let reasons = unready.map(|(name, state)| match state.reason {
        Some(reason) => format!("{name}: {reason}"),
        None => name,
    });
    let reasons: Vec<_> = reasons.collect();
    if reasons.is_empty() { vec!["nothing has started yet".to_owned()] } else { reasons }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use gaugeline_broker::admin::{AdminServer, Readiness};

    use super::*;

    /// What the command says to somebody who answers this to every question.
    fn told(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = Vec::new();
            while !question.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                question.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            question
        });
        let told = run(&Arguments { admin });
        let question = String::from_utf8(server.join().unwrap()).unwrap();
        assert!(question.starts_with("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:"), "{question}");
        told.map_err(|failure| {
            assert_eq!(failure.exit_status(), 1, "{failure}");
            failure.to_string()
        })
    }

    #[test]
    fn only_a_ready_report_is_good() {
        let good =
            "HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"ready\":true,\"components\":{\"broker\":{\"ready\":true}}}\n";
        assert_eq!(told(good), Ok(()));
        for (answer, part) in [
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":false,\"components\":{\"bridge\":{\"ready\":false,\
                 \"reason\":\"no login\"},\"broker\":{\"ready\":true},\"store\":{\"ready\":false}}}",
                "not ready: bridge: no login; store",
            ),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":false,\"components\":{}}",
                "not ready: nothing has started yet",
            ),
            ("HTTP/1.1 503 Busy\r\n\r\n{\"ready\":true,\"components\":{}}", "found \"HTTP/1.1 503 Busy\""),
            ("HTTP/1.1 200 OK\r\n\r\nok", "found \"HTTP/1.1 200 OK\""),
            ("SSH-2.0-OpenSSH\r\n", "found \"SSH-2.0-OpenSSH\""),
            ("", "found \"\""),
        ] {
            let said = told(answer).unwrap_err();
            assert!(said.contains(part), "{answer}: {said}");
        }
    }

    #[test]
    fn nobody_there_is_said() {
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failure = run(&Arguments { admin }).unwrap_err();
        assert!(failure.to_string().starts_with("no answer from http://127.0.0.1:"), "{failure}");
        assert_eq!(failure.exit_status(), 1);
    }

    #[test]
    fn whoever_listens_and_says_nothing_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = ask(address, "GET", "/readyz", "", Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn it_understands_the_real_server() {
        let readiness = Readiness::default();
        let part = readiness.component("bridge");
        let server = AdminServer::start("127.0.0.1:0".parse().unwrap(), Vec::new(), readiness).unwrap();
        let arguments = Arguments { admin: server.address() };
        let said = run(&arguments).unwrap_err().to_string();
        assert!(said.ends_with("not ready: bridge: starting"), "{said}");
        part.ready();
        run(&arguments).unwrap();
    }
}
