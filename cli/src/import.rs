//! `gaugeline import`: a mosquitto.conf as broker.toml.

use std::{fmt::Write as _, path::PathBuf};

use gaugeline_broker::config::{Loaded, Overrides, mosquitto, to_toml};

use crate::{failure::Failure, files, output::say};

const EXAMPLES: &str = "\
Examples:
  gaugeline import /etc/mosquitto/mosquitto.conf > broker.toml && gaugeline check -c broker.toml

The paths in it are those of mosquitto's files, from the present directory. Without the import, `gaugeline broker -c
mosquitto.conf` does the same.";

/// Print the broker.toml that does what a mosquitto.conf does
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The mosquitto.conf
    #[arg(value_name = "FILE")]
    config: PathBuf,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.config.as_path();
    let content = files::read_configuration(path)?;
    let loaded = mosquitto::parse(path, &content, &Overrides::default()).map_err(Failure::configuration)?;
    say(text(&loaded).trim_end());
    Ok(())
}

/// The file, headed by what has no equivalent.
fn text(loaded: &Loaded) -> String {
    let mut out = String::from("# Made by `gaugeline import` from:\n");
    for file in &loaded.config.files {
        writeln!(out, "#   {}", file.display()).ok();
    }
    if !loaded.warnings.is_empty() {
        out += "# What has no equivalent:\n";
        for warning in &loaded.warnings {
            writeln!(out, "#   {warning}").ok();
        }
    }
    out += "# config/broker.toml of gaugeline explains every key.\n\n";
    out + &to_toml(&loaded.config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_equivalent_is_a_comment() {
        let content = b"autosave_interval 5\nlistener 1883 127.0.0.1\nallow_anonymous true\n";
        let loaded = mosquitto::parse("m.conf".as_ref(), content, &Overrides::default()).unwrap();
        let text = text(&loaded);
        let start = "# Made by `gaugeline import` from:\n#   m.conf\n# What has no equivalent:\n\
                     #   m.conf:1: `autosave_interval` is ignored: ";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("\n\nallow_anonymous = true\n"), "{text}");
        assert!(text.contains("\n[[listener]]\nbind = \"127.0.0.1:1883\"\n"), "{text}");
    }
}
