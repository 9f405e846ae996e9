//! The program `gaugeline`: parses the command line and hands over to one module per subcommand.

mod acl;
mod bench;
mod bridge;
mod broker;
mod check;
mod client;
mod clock;
mod credentials;
mod failure;
mod files;
mod files_open;
mod health;
mod import;
mod init;
mod live_bridge;
mod log_output;
mod logging;
mod operate;
mod output;
mod passwd;
mod pki;
mod process;
mod publish;
mod random;
mod reach;
mod secret;
mod signals;
mod subscribe;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{EXIT_STATUS_HELP, Failure};

/// A secure MQTT broker with a bridge to InfluxDB
#[derive(Debug, Parser)]
#[command(name = "gaugeline", version, after_help = EXIT_STATUS_HELP)]
struct CommandLine {
    #[command(flatten)]
    logging: logging::Arguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Arguments),
    Init(init::Arguments),
    Broker(broker::Arguments),
    Bridge(bridge::Arguments),
    Check(check::Arguments),
    Import(import::Arguments),
    Health(health::Arguments),
    Credentials(credentials::Arguments),
    Status(operate::StatusArguments),
    Reload(operate::ReloadArguments),
    Clients(operate::ClientsArguments),
    Kick(operate::KickArguments),
    Forget(operate::ForgetArguments),
    Passwd(passwd::Arguments),
    Acl(acl::Arguments),
    Pki(pki::Arguments),
    Pub(Box<publish::Arguments>),
    Sub(Box<subscribe::Arguments>),
    Bench(Box<bench::Options>),
}

fn main() -> ExitCode {
    // Only fails if there is a provider already, and nothing before this line installs one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let CommandLine { logging, command } = CommandLine::parse();
    let done = match command {
        Command::Bench(options) => return bench::run(&options),
        Command::Up(arguments) => up::run(&arguments, &logging),
        Command::Broker(arguments) => broker::run(&arguments, &logging),
        Command::Bridge(arguments) => bridge::run(&arguments, &logging),
        Command::Init(arguments) => init::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        Command::Credentials(arguments) => credentials::run(&arguments),
        Command::Status(arguments) => operate::status(&arguments),
        Command::Reload(arguments) => operate::reload(&arguments),
        Command::Clients(arguments) => operate::clients(&arguments),
        Command::Kick(arguments) => operate::kick(&arguments),
        Command::Forget(arguments) => operate::forget(&arguments),
        Command::Passwd(arguments) => passwd::run(&arguments),
        Command::Acl(arguments) => match acl::run(&arguments) {
            Ok(false) => return ExitCode::FAILURE,
            answer => answer.map(drop),
        },
        Command::Pki(arguments) => pki::run(&arguments),
        Command::Pub(arguments) => run_client(&logging, publish::run(&arguments)),
        Command::Sub(arguments) => run_client(&logging, subscribe::run(&arguments)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("Error: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Runs a command that has one connection, and so needs one thread.
fn run_client(
    logging: &logging::Arguments,
    client: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    drop(logging.install("warn")?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::failed)?.block_on(client)
}

/// A runtime for the commands that serve: as many threads as the machine has cores.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
