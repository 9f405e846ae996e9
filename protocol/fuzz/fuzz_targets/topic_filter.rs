//! Arbitrary filters and topics: no panic, and matching agrees with a recursive definition.

#![no_main]

use gaugeline_protocol::{TopicFilter, TopicName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let (Ok(filter), Ok(topic)) = (TopicFilter::new(texts.0), TopicName::new(texts.1)) else { return };
    let text = filter.filter();
    let hidden = topic.as_str().starts_with('$') && text.starts_with(['+', '#']);
    let filter_levels = text.split('/').collect::<Vec<_>>();
    let topic_levels = topic.as_str().split('/').collect::<Vec<_>>();
    let expected = !hidden && matches(&filter_levels, &topic_levels);
    assert_eq!(filter.matches(topic.as_str()), expected);
});

fn matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => matches(filter, topic),
        ([wanted, filter @ ..], [found, topic @ ..]) => wanted == found && matches(filter, topic),
        _ => false,
    }
}
