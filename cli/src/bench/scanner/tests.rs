use proptest::prelude::*;

use super::*;

fn publish(version: Version, qos: u8, topic: &str, properties: usize, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&u16::try_from(topic.len()).unwrap().to_be_bytes());
    body.extend_from_slice(topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&[0x12, 0x34]);
    }
    if version == Version::V5 {
        body.extend(length_field(properties));
        body.extend(std::iter::repeat_n(0xff, properties));
    }
    body.extend_from_slice(payload);
    packet(0x30 | qos << 1, &body)
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(length_field(body.len()));
    bytes.extend_from_slice(body);
    bytes
}

fn length_field(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap();
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn scan(version: Version, pieces: &[&[u8]]) -> Result<Vec<Event>, NotMqtt> {
    let mut scanner = Scanner::new(version);
    let mut events = Vec::new();
    for piece in pieces {
        scanner.feed(piece, &mut |event| events.push(*event))?;
    }
    Ok(events)
}

#[test]
fn reads_each_packet_of_a_subscribers_stream() {
    let payload: Vec<u8> = (0..64).collect();
    let stamp = Some([0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f]);
    for version in [Version::V311, Version::V5] {
        let cases = [
            (
                publish(version, 0, "a/b", 0, b"short"),
                Event::Publish(Received { qos: 0, packet_id: 0, stamp: None }),
            ),
            (
                publish(version, 1, "a/b", 3, &payload),
                Event::Publish(Received { qos: 1, packet_id: 0x1234, stamp }),
            ),
            (
                publish(version, 2, "", 0, &payload),
                Event::Publish(Received { qos: 2, packet_id: 0x1234, stamp }),
            ),
            (packet(0x40, &[0, 1]), Event::PubAck { reason: 0 }),
            (packet(0x40, &[0, 1, 0x97]), Event::PubAck { reason: 0x97 }),
            (packet(0x50, &[0, 7]), Event::PubRec { packet_id: 7, reason: 0 }),
            (packet(0x62, &[1, 0]), Event::PubRel { packet_id: 256 }),
            (packet(0x70, &[0, 1]), Event::PubComp),
            (packet(0xd0, &[]), Event::Other),
            (packet(0xe0, &[0x8e]), Event::Disconnect { reason: 0x8e }),
        ];
        for (bytes, event) in cases {
            assert_eq!(scan(version, &[&bytes]), Ok(vec![event]), "{bytes:?}");
        }
    }
}

#[test]
fn reads_the_answers_to_connect_and_subscribe() {
    let plain = ConnAck { session_present: true, reason: 0, receive_maximum: 65535, maximum_qos: 2 };
    assert_eq!(scan(Version::V311, &[&packet(0x20, &[1, 0])]), Ok(vec![Event::ConnAck(plain)]));
    // Reason string, user property, assigned identifier around the two that matter.
    let mut properties =
        vec![0x1f, 0, 1, b'x', 0x26, 0, 1, b'k', 0, 1, b'v', 0x21, 0, 20, 0x12, 0, 2, b'i', b'd'];
    properties.extend([0x24, 1, 0x27, 0, 1, 0, 0, 0x2a, 1]);
    let mut body = vec![0, 0, u8::try_from(properties.len()).unwrap()];
    body.extend(properties);
    let steered = ConnAck { session_present: false, reason: 0, receive_maximum: 20, maximum_qos: 1 };
    assert_eq!(scan(Version::V5, &[&packet(0x20, &body)]), Ok(vec![Event::ConnAck(steered)]));

    assert_eq!(
        scan(Version::V311, &[&packet(0x90, &[0, 1, 0x80])]),
        Ok(vec![Event::SubAck { failure: Some(0x80) }])
    );
    assert_eq!(scan(Version::V5, &[&packet(0x90, &[0, 1, 0, 2])]), Ok(vec![Event::SubAck { failure: None }]));
    assert_eq!(
        scan(Version::V5, &[&packet(0x90, &[0, 1, 0, 0x87])]),
        Ok(vec![Event::SubAck { failure: Some(0x87) }])
    );
}

#[test]
fn refuses_what_is_not_mqtt() {
    assert_eq!(scan(Version::V311, &[b"\x00\x00".as_slice()]), Err(NotMqtt::Type(0)));
    assert_eq!(scan(Version::V311, &[&[0x15, 3, 3, 0, 2, 2, 70]]), Err(NotMqtt::Type(0x15)));
    assert_eq!(scan(Version::V311, &[&[0x30, 0xff, 0xff, 0xff, 0xff]]), Err(NotMqtt::Length));
    assert_eq!(scan(Version::V311, &[&[0x30, 2, 0, 9]]), Err(NotMqtt::Short));
    let endless = packet(0x90, &vec![0; 2 * HEAD_BYTES_MAX]);
    let mut scanner = Scanner::new(Version::V311);
    let outcome: Result<Vec<()>, NotMqtt> =
        endless.chunks(1000).map(|piece| scanner.feed(piece, &mut |_| ())).collect();
    assert_eq!(outcome, Err(NotMqtt::Long));
}

#[derive(Debug, Clone)]
enum Piece {
    Publish { qos: u8, topic: usize, properties: usize, payload: Vec<u8> },
    Ack { first: u8, id: u16 },
    Other,
}

fn piece() -> impl Strategy<Value = Piece> {
    let payload = prop_oneof![
        9 => proptest::collection::vec(any::<u8>(), 0..100),
        1 => (100_usize..40_000).prop_map(|length| vec![7; length]),
    ];
    prop_oneof![
        6 => (0..=2_u8, 0..400_usize, 0..300_usize, payload)
            .prop_map(|(qos, topic, properties, payload)| Piece::Publish { qos, topic, properties, payload }),
        3 => (prop_oneof![Just(0x40), Just(0x50), Just(0x62), Just(0x70)], any::<u16>())
            .prop_map(|(first, id)| Piece::Ack { first, id }),
        1 => Just(Piece::Other),
    ]
}

fn bytes_of(version: Version, pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend(match piece {
            Piece::Publish { qos, topic, properties, payload } => {
                publish(version, *qos, &"t".repeat(*topic), *properties, payload)
            }
            Piece::Ack { first, id } => packet(*first, &id.to_be_bytes()),
            Piece::Other => packet(0xd0, &[]),
        });
    }
    bytes
}

proptest! {
    #[test]
    fn any_split_of_the_stream_gives_the_same_events(
        v5 in any::<bool>(),
        pieces in proptest::collection::vec(piece(), 1..12),
        sizes in proptest::collection::vec(1..700_usize, 1..50),
    ) {
        let version = if v5 { Version::V5 } else { Version::V311 };
        let bytes = bytes_of(version, &pieces);
        let whole = scan(version, &[&bytes]).unwrap();
        prop_assert_eq!(whole.len(), pieces.len());

        let mut rest = bytes.as_slice();
        let mut split = Vec::new();
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*size));
            split.push(piece);
            rest = after;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(scan(version, &split).unwrap(), whole.clone());
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(scan(version, &single).unwrap(), whole);
    }

    #[test]
    fn never_panics(v5 in any::<bool>(), bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..300_usize) {
        let version = if v5 { Version::V5 } else { Version::V311 };
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let _outcome = scan(version, &[first, second]);
    }
}
