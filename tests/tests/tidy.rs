//! The rules of the house that no compiler checks. They hold for every file of the repository.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use gaugeline_tests::requirement::repository;

/// A file that is longer has more than one subject. Tests at its end do not count.
const FILE_LINES_MAX: usize = 500;
/// What may stand at the top: the fewer, the sooner a newcomer finds the way.
const TOP_LEVEL: [&str; 22] = [
    ".ci",
    ".dockerignore",
    ".env",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "bridge",
    "broker",
    "cli",
    "clippy.toml",
    "compose",
    "config",
    "deny.toml",
    "protocol",
    "rustfmt.toml",
    "tests",
];
/// Names for modules that say nothing about what is in them.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "types", "helpers", "misc"];

/// A file of the repository: its path from the root, and its text.
struct Source {
    path: PathBuf,
    text: String,
}

/// The paths that git knows or would know, so that what a build makes is left out.
fn paths() -> Vec<PathBuf> {
    let mut git = std::process::Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(repository());
    let output = git.output().unwrap();
    assert!(output.status.success(), "these tests need a git work tree: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let paths = text.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
    paths.filter(|path| repository().join(path).is_file()).collect()
}

/// All files with these extensions.
fn sources(extensions: &[&str]) -> Vec<Source> {
    let has_extension = |path: &PathBuf| {
        path.extension().is_some_and(|found| extensions.iter().any(|extension| found == *extension))
    };
    let sources = paths().into_iter().filter(has_extension).map(|path| {
        let text = fs::read_to_string(repository().join(&path)).unwrap();
        Source { path, text }
    });
    sources.collect()
}

/// The part of a Rust file that is not its tests.
fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod tests {").map_or(text, |end| &text[..end])
}

/// `tests.rs` beside a module, or a file in its directory `tests`.
fn is_module_tests(path: &Path) -> bool {
    path.iter().skip(2).any(|part| part == "tests" || part == "tests.rs")
}

/// Reports all findings at once.
fn expect_none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}

#[test]
fn files_are_short() {
    let long = sources(&["rs"]).into_iter().filter_map(|source| {
        let lines = without_tests(&source.text).lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", source.path.display()))
    });
    expect_none("a file has at most 500 lines beside its tests", long.collect());
}

#[test]
fn files_say_what_they_own() {
    // The tests of a module need no words: the module has them.
    let silent = sources(&["rs"])
        .into_iter()
        .filter(|source| !source.text.starts_with("//!") && !is_module_tests(&source.path));
    let silent = silent.map(|source| source.path.display().to_string());
    expect_none("a file begins with //!", silent.collect());
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    // In parts, so that this file does not find itself.
    let words = [
        ["#[", "ignore"],
        ["to", "do!("],
        ["unimple", "mented!("],
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X:"],
    ];
    let words = words.map(|parts| parts.concat());
    let mut findings = Vec::new();
    for source in sources(&["rs", "py", "toml", "md"]) {
        for (number, line) in source.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                // A rule may name what it forbids.
                let is_rule = ["CONTRIBUTING.md"].iter().any(|path| source.path.ends_with(path));
                if !is_rule {
                    findings.push(format!("{}:{}: {line}", source.path.display(), number + 1));
                }
            }
        }
    }
    expect_none("nothing is left undone, and no test is left out", findings);
}

#[test]
fn tests_do_not_sleep_to_be_on_the_safe_side() {
    let sleep = ["thread::", "sleep("].concat();
    // They look again and again until a condition holds; the load generator keeps a rate.
    let allowed = [
        "tests/src/wait.rs",
        "bridge/tests/support/mod.rs",
        "broker/tests/differential/mosquitto.rs",
        "cli/src/bench",
    ];
    let sleeping = sources(&["rs"]).into_iter().filter(|source| source.text.contains(&sleep));
    let sleeping = sleeping
        .filter(|source| !allowed.iter().any(|path| source.path.starts_with(path)))
        .map(|source| source.path.display().to_string());
    expect_none("a test looks again until a condition holds", sleeping.collect());
}

#[test]
fn names_say_something() {
    let empty = paths().into_iter().filter(|path| {
        let stem = path.file_stem().unwrap_or_default();
        path.extension().is_some_and(|extension| extension == "rs")
            && EMPTY_NAMES.iter().any(|name| stem == *name)
            || path.iter().any(|part| EMPTY_NAMES.iter().any(|name| part == *name))
    });
    expect_none(
        "a module is named after what it holds",
        empty.map(|path| path.display().to_string()).collect(),
    );
}

#[test]
fn the_top_level_stays_small() {
    let strange = paths().into_iter().filter_map(|path| {
        let top = path.iter().next().unwrap().to_str().unwrap().to_owned();
        (!TOP_LEVEL.contains(&top.as_str())).then_some(top)
    });
    expect_none("only these stand at the top", strange.collect());
}

#[test]
fn lines_end_where_their_text_does() {
    let mut findings = Vec::new();
    for source in sources(&["rs", "toml", "md", "py", "yaml", "yml"]) {
        let mut lines = source.text.lines().enumerate();
        if let Some((number, _)) = lines.find(|(_, line)| line.ends_with([' ', '\t'])) {
            findings.push(format!("{}:{}: ends with a space", source.path.display(), number + 1));
        }
        if !source.text.is_empty() && !source.text.ends_with('\n') {
            findings.push(format!("{}: does not end with a line break", source.path.display()));
        }
    }
    expect_none("no trailing space", findings);
}

/// The crate boundary is what proves that the protocol does no IO.
#[test]
fn the_protocol_knows_no_runtime() {
    let manifest = fs::read_to_string(repository().join("protocol/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for forbidden in ["tokio", "mio", "socket2", "rustls", "tracing", "gaugeline"] {
        assert!(!dependencies.contains(forbidden), "protocol depends on {forbidden}:\n{dependencies}");
    }
}

/// An import never points up: the program uses the parts, the parts use the protocol.
#[test]
fn layers() {
    for (name, forbidden) in [
        // Without the colons it may be the name of a measurement.
        ("protocol", &["gaugeline_broker::", "gaugeline_bridge::"][..]),
        ("broker", &["gaugeline_bridge::"]),
        ("bridge", &["gaugeline_broker::"]),
    ] {
        let findings = sources(&["rs"]).into_iter().filter(|source| {
            source.path.starts_with(format!("{name}/src"))
                && forbidden.iter().any(|other| source.text.contains(other))
        });
        expect_none(
            "an import never points up",
            findings.map(|source| source.path.display().to_string()).collect(),
        );
    }
    // The router decides without a task, a socket or a clock.
    for source in sources(&["rs"]).into_iter().filter(|source| source.path.starts_with("broker/src/router")) {
        let code = without_tests(&source.text);
        for forbidden in ["tokio", "std::net", "crate::net", "clock::"] {
            assert!(!code.contains(forbidden), "{} uses {forbidden}", source.path.display());
        }
    }
}

/// What the documents point at is there.
#[test]
fn documents_name_files_that_exist() {
    let mut findings = Vec::new();
    for source in sources(&["md"]).into_iter().filter(|source| !source.path.ends_with("CHANGELOG.md")) {
        // Every second part stands between backticks.
        let quoted = source.text.split('`').skip(1).step_by(2);
        let is_ours = |text: &&str| {
            let first = text.split('/').next().unwrap_or_default();
            text.contains('/') && TOP_LEVEL.contains(&first) && !text.contains([' ', '*', '<', '\n'])
        };
        for path in quoted.filter(is_ours) {
            // `NAME.rs` stands for any.
            if !path.contains("NAME") && !repository().join(path).exists() {
                findings.push(format!("{}: {path}", source.path.display()));
            }
        }
    }
    expect_none("a document names what exists", findings);
}

/// Merged documents tend to say the same thing twice, the second time differently.
#[test]
fn documents_say_things_once() {
    let mut findings = Vec::new();
    for source in sources(&["md"]) {
        let mut seen = std::collections::HashSet::new();
        let mut is_code = false;
        for (index, line) in source.text.lines().enumerate() {
            is_code ^= line.starts_with("```");
            // A new table, and a new heading, may speak of the same things again.
            if line.starts_with("|---") || line.starts_with('#') {
                seen.clear();
            }
            let subject = match line.strip_prefix("| ") {
                Some(row) => row.split(" | ").next().unwrap_or_default(),
                None => line.trim_start_matches("- "),
            };
            let says_something = subject.len() > 12 && !is_code;
            if says_something && !seen.insert(subject) {
                findings.push(format!("{}:{}: {subject}", source.path.display(), index + 1));
            }
        }
    }
    expect_none("a document says a thing once", findings);
}
