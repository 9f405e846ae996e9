//! Line protocol as others read it: with the official parser of InfluxDB 3.

use std::{
    fs,
    path::{Path, PathBuf},
};

use influxdb_line_protocol::parse_lines;

/// The files of line protocol in a directory: ended ones, and the one that is being written.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_lines = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lp");
    let mut files = entries.map(|entry| entry.unwrap().path()).filter(is_lines).collect::<Vec<_>>();
    files.sort();
    files
}

/// All whole lines of a directory's files that are points, each checked.
///
/// # Panics
/// If the parser refuses a line, or a line has no timestamp.
pub fn points(directory: &Path) -> Vec<String> {
    files(directory).iter().flat_map(|file| points_of(&fs::read_to_string(file).unwrap())).collect()
}

/// All whole lines of a text that are points, each checked.
///
/// # Panics
/// As [`points`].
pub fn points_of(text: &str) -> Vec<String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    parse_lines(whole)
        .map(|line| {
            let line = line.unwrap_or_else(|error| panic!("{error} in\n{whole}"));
            assert!(line.timestamp.is_some(), "a line without a timestamp: {line}");
            line.to_string()
        })
        .collect()
}
