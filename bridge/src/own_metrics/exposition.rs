//! Reads the text of `/metrics` (OpenMetrics 1.0, and the older Prometheus text): families of samples.
//!
//! Owns the grammar only. What it does not understand it leaves out: a broker of a newer version may say more.

/// What the values of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, from 0 when the program starts.
    Counter,
    /// Any value.
    Gauge,
    /// Counts of observations by their size.
    Histogram,
}

/// All samples under one `# TYPE`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) samples: Vec<Sample>,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// What follows the family's name: ``, `_total`, `_sum`, `_count`, `_bucket`.
    pub(super) suffix: String,
    /// Names and values.
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

/// The families of a text, in its order.
pub(super) fn parse(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    // Samples of families of other kinds have no place.
    let mut is_known = false;
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.split_ascii_whitespace();
            if words.next() == Some("TYPE")
                && let (Some(name), kind) = (words.next(), words.next().and_then(kind))
            {
                is_known = kind.is_some();
                families.extend(kind.map(|kind| Family { name: name.to_owned(), kind, samples: Vec::new() }));
            }
            continue;
        }
        if let Some(family) = families.last_mut().filter(|_| is_known)
            && let Some(sample) = sample(line, &family.name)
        {
            family.samples.push(sample);
        }
    }
    families
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "counter" => Some(Kind::Counter),
        "gauge" => Some(Kind::Gauge),
        "histogram" => Some(Kind::Histogram),
        _ => None,
    }
}

/// `NAME{LABELS} VALUE ...`
fn sample(line: &str, family: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    // Prometheus' older text has the suffix of a counter in the family's name already.
    let suffix = name.strip_prefix(family)?.to_owned();
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { suffix, labels, value })
}

/// `name="value",name="value"}`; answers with what follows.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = after.get(end + 1..)?;
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn families_and_samples() {
        let text = "# HELP a_b Some words: {x=\"1\"} 5.\n# TYPE a_b counter\na_b_total{reason=\"x\"} 3\n\
                    a_b_total{reason=\"y \\\"q\\\" \\\\ \\n}\",qos=\"1\"} 4 1520879607.789 # {trace=\"1\"} 1\n# TYPE g gauge\n\
                    g 1.5\n# TYPE i info\ni_info{a=\"b\"} 1\n# TYPE h histogram\nh_sum 0.5\nh_count 2\n\
                    h_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let families = parse(text);
        let sample = |suffix: &str, labels: &[(&str, &str)], value| Sample {
            suffix: suffix.to_owned(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            value,
        };
        let family = |name: &str, kind, samples| Family { name: name.to_owned(), kind, samples };
        assert_eq!(
            families,
            [
                family(
                    "a_b",
                    Kind::Counter,
                    vec![
                        sample("_total", &[("reason", "x")], 3.0),
                        sample("_total", &[("reason", "y \"q\" \\ \n}"), ("qos", "1")], 4.0),
                    ]
                ),
                family("g", Kind::Gauge, vec![sample("", &[], 1.5)]),
                family(
                    "h",
                    Kind::Histogram,
                    vec![
                        sample("_sum", &[], 0.5),
                        sample("_count", &[], 2.0),
                        sample("_bucket", &[("le", "0.1")], 1.0),
                        sample("_bucket", &[("le", "+Inf")], 2.0),
                    ]
                ),
            ]
        );
    }

    #[test]
    fn what_is_no_sample_is_left_out() {
        for text in
            ["", "<html>", "a 1", "# TYPE", "# TYPE a", "# TYPE a gauge\nb 1\na\na{ 1\na{x=\"1} 2\na x\n"]
        {
            assert!(parse(text).iter().all(|family| family.samples.is_empty()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(# TYPE a (gauge|counter)\n)?(a[{=\", }\\\\a-z0-9\n]{0,20}){0,10}\\PC*") {
            parse(&text);
        }
    }
}
