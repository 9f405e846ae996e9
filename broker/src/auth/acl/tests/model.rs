//! A second evaluator, written from the description and as plainly as possible, that must always agree.

use proptest::{prelude::*, sample::select};

use super::*;

/// Evaluates the text of a file line by line, without any structure.
fn naive(
    content: &str,
    user: Option<&str>,
    client_id: &str,
    access: AccessKind,
    topic: &str,
) -> (bool, Option<u32>) {
    let refused = topic.starts_with("$share")
        || access == Write
            && topic.starts_with("$SYS")
            && !naive_match("$SYS/broker/connection/+/state", topic, None);
    if refused {
        return (false, None);
    }
    for pattern_pass in [false, true] {
        if pattern_pass && [user.unwrap_or_default(), client_id].concat().contains(['+', '#']) {
            continue;
        }
        for deny_pass in [true, false] {
            let mut section = None;
            for (number, line) in (1..).zip(content.lines()) {
                let words = line.split(' ').collect::<Vec<_>>();
                if words[0] == "user" {
                    section = Some(words[1]);
                    continue;
                }
                let applies = if pattern_pass {
                    words[0] == "pattern" && (user.is_some() || !words[2].contains("%u"))
                } else {
                    words[0] == "topic" && section == user
                };
                let grants = match words[1] {
                    "deny" => deny_pass,
                    "read" => !deny_pass && access == Read,
                    "write" => !deny_pass && access == Write,
                    _ => !deny_pass,
                };
                let names = pattern_pass.then_some((user, client_id));
                if applies && grants && naive_match(words[2], topic, names) {
                    return (!deny_pass, Some(number));
                }
            }
        }
    }
    (false, None)
}

fn naive_match(filter: &str, topic: &str, names: Option<(Option<&str>, &str)>) -> bool {
    if filter.starts_with('$') != topic.starts_with('$') {
        return false;
    }
    let filter = filter.split('/').collect::<Vec<_>>();
    let topic = topic.split('/').collect::<Vec<_>>();
    naive_levels(&filter, &topic, names)
}

fn naive_levels(filter: &[&str], topic: &[&str], names: Option<(Option<&str>, &str)>) -> bool {
    match (filter, topic) {
        ([], []) | (["#"], _) => true,
        ([first, filter @ ..], [level, topic @ ..]) => {
            let same = match (*first, names) {
                ("+", _) => true,
                ("%u", Some((user, _))) => user == Some(*level),
                ("%c", Some((_, client_id))) => client_id == *level,
                (text, _) => text == *level,
            };
            same && naive_levels(filter, topic, names)
        }
        _ => false,
    }
}

const LEVELS: [&str; 6] = ["a", "b", "", "$SYS", "%u", "$share"];
const NAMES: [&str; 7] = ["a", "b", "+", "$SYS", "a/b", "%u", ""];

fn level(wildcards: bool) -> impl Strategy<Value = &'static str> {
    let mut levels = LEVELS.to_vec();
    if wildcards {
        levels.extend(["+", "+", "%c", "%ux", "%u"]);
    }
    select(levels)
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(false), 1..4)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("not empty", |topic| !topic.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    (prop::collection::vec(level(true), 0..4), any::<bool>())
        .prop_map(|(mut levels, rest)| {
            if rest {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("a valid filter", |filter| TopicFilter::new(filter).is_ok())
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => select(vec!["a", "b", "+"]).prop_map(|user| format!("user {user}")),
        4 => (
            select(vec!["topic", "pattern"]),
            select(vec!["read", "write", "readwrite", "deny"]),
            filter()
        )
            .prop_map(|(keyword, access, filter)| format!("{keyword} {access} {filter}")),
    ]
}

fn file(lines: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..lines).prop_map(|lines| lines.join("\n"))
}

fn user() -> impl Strategy<Value = Option<&'static str>> {
    select(NAMES.to_vec()).prop_map(|name| Some(name).filter(|name| !name.is_empty()))
}

fn client_id() -> impl Strategy<Value = &'static str> {
    select(NAMES.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>())
}

/// Every topic of up to four levels over the levels that files and names use, and one that they do not use.
fn topics() -> Vec<String> {
    let levels = ["a", "b", "", "$SYS", "%u", "$share", "%ux", "%c", "new"];
    let mut topics = vec![String::new()];
    let mut all = Vec::new();
    for depth in 0..4 {
        topics = topics
            .iter()
            .flat_map(|topic| {
                levels.map(|level| if depth == 0 { level.to_owned() } else { format!("{topic}/{level}") })
            })
            .collect();
        all.extend(topics.iter().filter(|topic| !topic.is_empty()).cloned());
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decisions_are_those_of_the_model(
        content in file(12),
        user in user(),
        client_id in client_id(),
        write in any::<bool>(),
        topics in prop::collection::vec(topic(), 1..8),
    ) {
        let access = if write { Write } else { Read };
        let acl = parse(&content).unwrap();
        for topic in topics {
            let found = acl.decide(user, client_id, access, &topic);
            let expected = naive(&content, user, client_id, access, &topic);
            prop_assert_eq!((found.allowed, found.line.map(NonZeroU32::get)), expected, "{} in\n{}", topic, content);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_refused_subscription_could_not_receive_anything(
        content in file(8),
        user in user(),
        client_id in client_id(),
        filter in filter(),
    ) {
        let acl = parse(&content).unwrap();
        let filter = TopicFilter::new(&filter).unwrap();
        let mut matching = topics();
        matching.retain(|topic| filter.matches(topic));
        let readable = matching.iter().find(|topic| acl.decide(user, client_id, Read, topic).allowed);
        let may = acl.decide_subscribe(user, client_id, &filter).allowed;
        if let Some(readable) = readable {
            prop_assert!(may, "{} could read {} in\n{}", filter, readable, content);
        }
        // Without denies the answer is exact.
        if !content.contains(" deny ") {
            prop_assert_eq!(may, readable.is_some(), "{} in\n{}", filter, content);
        }
        // With one line of each kind at most, a deny either covers what is granted or does not.
        let denies = content.matches(" deny ").count();
        if denies == 1 {
            prop_assert_eq!(may, readable.is_some(), "{} in\n{}", filter, content);
        }
    }
}
