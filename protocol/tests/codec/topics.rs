//! Matching, where mqttbytes panics or is wrong.

use gaugeline_protocol::TopicFilter;

#[test]
fn rows_a1_and_a2() {
    for (row, filter, topic, expected) in [
        ("A1 a topic that begins outside of ASCII", "#", "\u{e9}/a", true),
        ("A1 a topic that begins outside of ASCII", "+/a", "\u{1F321}/a", true),
        ("A2 [MQTT-4.7.2-1] literal $", "$SYS/a", "$SYS/a", true),
        ("A2 [MQTT-4.7.2-1] literal $", "$SYS/#", "$SYS/x", true),
        ("A2 [MQTT-4.7.2-1] leading wildcard", "#", "$SYS/x", false),
        ("A2 [MQTT-4.7.2-1] leading wildcard", "+/x", "$SYS/x", false),
    ] {
        assert_eq!(TopicFilter::new(filter).unwrap().matches(topic), expected, "{row}: {filter} {topic}");
    }
}
