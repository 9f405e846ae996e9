//! `bridge/METRICS.md` names what dashboards are made from: it has to be what the broker says.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use gaugeline_broker::metrics::{Metrics, MetricsSource as _};

const PAGE: &str = include_str!("../../bridge/METRICS.md");

/// What the page has between backticks about the broker, in the first column of its tables.
fn documented() -> BTreeSet<String> {
    let (_, section) = PAGE.split_once("\n## `gaugeline_broker`").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    cells.flat_map(|(cell, _)| cell.split('`').step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Names under which the bridge writes the families of the broker: fields, and measurements of those with labels.
fn written() -> BTreeSet<String> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, Metrics::new().registry()).unwrap();
    let mut names = BTreeSet::from(["up".to_owned()]);
    for line in text.lines() {
        let mut words = line.split(' ');
        if let (Some("#"), Some("TYPE"), Some(name), Some(kind)) =
            (words.next(), words.next(), words.next(), words.next())
        {
            let field = name.strip_prefix("gaugeline_").unwrap();
            let has_labels = text.contains(&format!("\n{name}_total{{"));
            match kind {
                "histogram" => names.extend(["_sum"].map(|suffix| format!("{field}{suffix}"))),
                _ => names.extend([field.to_owned()]),
            }
            names.extend(has_labels.then(|| format!("gaugeline_broker_{field}")));
        }
    }
    names
}

#[test]
fn the_page_names_what_the_bridge_writes_about_the_broker() {
    let (documented, written) = (documented(), written());
    // Clients choose their names, so it is not written.
    let hidden = |name: &String| name.contains("messages_dropped_by_client");
    // Gauges with labels have no value before the broker runs.
    let lazy = |name: &String| name.contains("certificate_expiry_seconds");
    // `_count` and the like stand for what is before them.
    let shorthand = |name: &String| name.starts_with('_');
    let missing: Vec<_> =
        written.difference(&documented).filter(|name| !hidden(name) && !lazy(name)).collect();
    assert!(missing.is_empty(), "METRICS.md does not tell of {missing:?}");
    let invented: Vec<_> =
        documented.difference(&written).filter(|name| !shorthand(name) && !lazy(name)).collect();
    assert!(invented.is_empty(), "METRICS.md tells of {invented:?}, which the broker does not say");
}
