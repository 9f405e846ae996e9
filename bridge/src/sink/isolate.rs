//! Which lines are at fault, so that one bad line does not cost its neighbours. Pure: a batch, the lines that were
//! sent and the server's refusal in; dead lines and the next attempts out.
//!
//! Writing a point twice is harmless, so whenever an answer leaves doubt, lines are sent again in smaller groups. That
//! also gets those back that InfluxDB 1.x drops along with others when a limit is reached.

use std::collections::HashMap;

use super::verdict::{Named, Refusal};
use crate::{
    batch::Batch,
    line_protocol::read,
    mapping::{Reason, Rejection},
};

/// What follows from a refusal. Every line that was sent is stored, dead, or sent again in a smaller group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolution {
    pub(crate) dead: Vec<(usize, Rejection)>,
    pub(crate) again: Vec<Vec<usize>>,
}

/// Draws the conclusions. `sent` are the lines that were sent, in their order.
pub(crate) fn resolve(batch: &Batch, sent: &[usize], refusal: &Refusal) -> Resolution {
    let dead = |line: usize, why: &str| (line, Rejection::new(Reason::Refused, why.to_owned()));
    let all_dead = || Resolution {
        dead: sent.iter().map(|line| dead(*line, &refusal.detail)).collect(),
        again: Vec::new(),
    };
    let parse_errors_are_possible = matches!(refusal.named, Named::Quoted(_));
    if sent.len() <= 1 || (refusal.dropped == Some(sent.len()) && !parse_errors_are_possible) {
        return all_dead();
    }
    match &refusal.named {
        Named::Numbers(numbers) => {
            let named: HashMap<usize, &str> =
                numbers.iter().map(|(number, why)| (*number, why.as_str())).collect();
            let found = |at: usize, _: usize| named.get(&(at + 1)).copied();
            let is_known = numbers.iter().all(|(number, _)| (1..=sent.len()).contains(number));
            bury(sent, found, refusal.rest_written && is_known)
        }
        Named::Quoted(quoted) => {
            let named: HashMap<&[u8], &str> =
                quoted.iter().map(|(line, why)| (line.as_bytes(), why.as_str())).collect();
            let found = |_: usize, line: usize| named.get(batch.line(line).trim_ascii_end()).copied();
            let matched = sent.iter().filter(|line| found(0, **line).is_some()).count();
            bury(sent, found, refusal.rest_written && matched >= quoted.len())
        }
        Named::Conflict { measurement, field, found } => {
            let is_suspect = |line: &usize| read::has_field(batch.line(*line), measurement, field, found);
            let (suspects, rest): (Vec<usize>, Vec<usize>) = sent.iter().partition(|line| is_suspect(line));
            // The answer names the first conflict and hides parse errors, so the rest is always sent again.
            if refusal.dropped == Some(suspects.len()) && !suspects.is_empty() {
                let dead = suspects.iter().map(|line| dead(*line, &refusal.detail)).collect();
                return Resolution { dead, again: vec![rest] };
            }
            split(sent, suspects, rest)
        }
        Named::Oldest => {
            let mut by_age = sent.to_vec();
            by_age.sort_by_key(|line| read::timestamp(batch.line(*line)));
            let rest = by_age.split_off(refusal.dropped.unwrap_or(0).min(by_age.len()));
            split(sent, by_age, rest)
        }
        Named::Nothing => halve(sent),
    }
}

/// The named lines are dead. The others are stored, or are sent again.
fn bury<'a>(sent: &[usize], why: impl Fn(usize, usize) -> Option<&'a str>, rest_written: bool) -> Resolution {
    let mut resolution = Resolution::default();
    let mut rest = Vec::new();
    for (at, line) in sent.iter().enumerate() {
        match why(at, *line) {
            Some(why) => resolution.dead.push((*line, Rejection::new(Reason::Refused, why.to_owned()))),
            None => rest.push(*line),
        }
    }
    if resolution.dead.is_empty() {
        return halve(sent);
    }
    if !rest_written && !rest.is_empty() {
        resolution.again.push(rest);
    }
    resolution
}

/// Two groups, or halves if one would be everything.
fn split(sent: &[usize], suspects: Vec<usize>, rest: Vec<usize>) -> Resolution {
    if suspects.is_empty() || rest.is_empty() {
        return halve(sent);
    }
    Resolution { dead: Vec::new(), again: vec![suspects, rest] }
}

/// Both halves are sent again.
pub(crate) fn halve(sent: &[usize]) -> Resolution {
    let (first, second) = sent.split_at(sent.len() / 2);
    Resolution { dead: Vec::new(), again: vec![first.to_vec(), second.to_vec()] }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::{
        super::verdict::{Api, Verdict, classify},
        *,
    };
    use crate::batch::tests::batch_of;

    /// How the model of a server answers.
    #[derive(Debug, Clone, Copy)]
    enum Style {
        /// 1.x: conflicts, with the first one named and all counted.
        ConflictV1,
        /// 1.x with a limit: refuses all that are bad, and loses good ones along with them.
        LimitV1,
        /// 2.x: nothing is stored, the bad lines are quoted.
        QuotedV2,
        /// 3: numbers.
        NumbersV3,
        /// An answer that says nothing.
        Mute,
    }

    /// Answers a write of `sent`; `stored` gets what such a server would store.
    fn answer(
        style: Style,
        batch: &Batch,
        sent: &[usize],
        bad: &BTreeSet<usize>,
        stored: &mut BTreeSet<usize>,
    ) -> Verdict {
        let refused: Vec<usize> = sent.iter().copied().filter(|line| bad.contains(line)).collect();
        let good = sent.iter().copied().filter(|line| !bad.contains(line));
        let Some(first) = refused.first().copied() else {
            stored.extend(good);
            return classify(Api::V1, 204, b"");
        };
        let text = |line: usize| String::from_utf8_lossy(batch.line(line)).trim_end().to_owned();
        let (api, status, body) = match style {
            Style::ConflictV1 => {
                stored.extend(good);
                let measurement = text(first).split(',').next().unwrap().to_owned();
                let text = format!(
                    "partial write: field type conflict: input field \"value\" on measurement \"{measurement}\" is \
                     type boolean, already exists as type float dropped={}",
                    refused.len()
                );
                (Api::V1, 400, serde_json::json!({ "error": text }))
            }
            Style::LimitV1 => {
                stored.extend(good.skip(refused.len()));
                let text = format!(
                    "partial write: max-series-per-database limit exceeded: (50) dropped={}",
                    refused.len()
                );
                (Api::V1, 400, serde_json::json!({ "error": text }))
            }
            Style::QuotedV2 => {
                let lines: Vec<String> = refused
                    .iter()
                    .map(|line| format!("unable to parse '{}': missing fields", text(*line)))
                    .collect();
                (Api::V2, 400, serde_json::json!({ "code": "invalid", "message": lines.join("\n") }))
            }
            Style::NumbersV3 => {
                stored.extend(good);
                let number = |line: &usize| sent.iter().position(|other| other == line).unwrap() + 1;
                let data: Vec<_> = refused
                    .iter()
                    .map(|line| serde_json::json!({"error_message": "bad", "line_number": number(line), "original_line": ""}))
                    .collect();
                let error = "partial write of line protocol occurred";
                (Api::V3, 400, serde_json::json!({ "error": error, "data": data }))
            }
            Style::Mute => (Api::V1, 400, serde_json::json!({ "error": "no" })),
        };
        classify(api, status, body.to_string().as_bytes())
    }

    /// Sends until nothing is left; answers with what is stored, what is dead, and the number of requests.
    fn run(style: Style, batch: &Batch, bad: &BTreeSet<usize>) -> (BTreeSet<usize>, BTreeSet<usize>, usize) {
        let mut stored = BTreeSet::new();
        let mut dead = BTreeMap::new();
        let mut work = vec![(0..batch.lines()).collect::<Vec<usize>>()];
        let mut requests = 0;
        while let Some(sent) = work.pop() {
            if sent.is_empty() {
                continue;
            }
            requests += 1;
            assert!(requests < 10 * batch.lines() + 10, "this never ends");
            if let Verdict::Refused(refusal) = answer(style, batch, &sent, bad, &mut stored) {
                let resolution = resolve(batch, &sent, &refusal);
                assert!(resolution.again.iter().all(|group| group.len() < sent.len()));
                for (line, why) in resolution.dead {
                    assert!(dead.insert(line, why).is_none(), "dead twice");
                }
                work.extend(resolution.again);
            }
        }
        (stored, dead.into_keys().collect(), requests)
    }

    fn batch(lines: &[(bool, u8)]) -> (Batch, BTreeSet<usize>) {
        let messages: Vec<(String, &str)> = lines
            .iter()
            .map(|(bad, measurement)| (format!("m{measurement}"), if *bad { "true" } else { "1" }))
            .collect();
        let messages: Vec<(&str, &str)> =
            messages.iter().map(|(topic, payload)| (topic.as_str(), *payload)).collect();
        let bad = (0..lines.len()).filter(|at| lines[*at].0).collect();
        (batch_of(&messages), bad)
    }

    proptest! {
        /// Whatever the server is like and however many lines are bad: every innocent is stored, and exactly the bad
        /// ones are dead.
        #[test]
        fn innocents_are_stored(
            lines in prop::collection::vec((any::<bool>(), 0_u8..3), 1..60),
            style in prop::sample::select(vec![
                Style::ConflictV1, Style::LimitV1, Style::QuotedV2, Style::NumbersV3, Style::Mute,
            ]),
        ) {
            let (batch, bad) = batch(&lines);
            let (stored, dead, _) = run(style, &batch, &bad);
            let good: BTreeSet<usize> = (0..lines.len()).filter(|line| !bad.contains(line)).collect();
            prop_assert_eq!(stored, good);
            prop_assert_eq!(dead, bad);
        }
    }

    /// A stream with some bad lines must not become one request a line.
    #[test]
    fn few_requests() {
        let lines: Vec<(bool, u8)> = (0..1000).map(|at| (at % 10 == 0, u8::from(at % 20 == 0))).collect();
        let (batch, bad) = batch(&lines);
        for (style, most) in
            [(Style::ConflictV1, 6), (Style::QuotedV2, 2), (Style::NumbersV3, 1), (Style::LimitV1, 1000)]
        {
            let (_, _, requests) = run(style, &batch, &bad);
            assert!(requests <= most, "{style:?}: {requests}");
        }
    }

    #[test]
    fn points_older_than_the_retention_period() {
        let batch = batch_of(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let refusal = |dropped: usize| {
            let body =
                format!("{{\"error\":\"partial write: points beyond retention policy dropped={dropped}\"}}");
            match classify(Api::V1, 400, body.as_bytes()) {
                Verdict::Refused(refusal) => refusal,
                other => panic!("{other:?}"),
            }
        };
        // Line 0 is the oldest whatever the order of sending.
        let resolution = resolve(&batch, &[2, 1, 0], &refusal(1));
        assert_eq!(resolution.again, [vec![0], vec![1, 2]]);
        assert_eq!(resolve(&batch, &[2, 1], &refusal(2)).dead.len(), 2);
        assert_eq!(resolve(&batch, &[2, 1], &refusal(0)).again, [vec![2], vec![1]]);
    }
}
