//! What holds for every packet in every version.

use gaugeline_protocol::{
    Version,
    codec::{Limits, frame},
    packet::decode,
};
use proptest::{collection::vec, prelude::*};

use crate::{
    sample::{any_sample, mutated},
    table::{prefixes_are_incomplete, read},
};

fn what_is_written_is_read(version: Version) {
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(sample in any_sample(version))| {
        let bytes = sample.encode(version);
        let found = read(version, &bytes);
        prop_assert!(matches!(&found, Ok(found) if sample.is(version, found)), "{found:?}");
        prefixes_are_incomplete(&bytes);
    });
}

#[test]
fn what_is_written_is_read_in_mqtt_3_1() {
    what_is_written_is_read(Version::V31);
}

#[test]
fn what_is_written_is_read_in_mqtt_3_1_1() {
    what_is_written_is_read(Version::V311);
}

#[test]
fn what_is_written_is_read_in_mqtt_5() {
    what_is_written_is_read(Version::V5);
}

/// Whatever comes, a frame ends in a packet or in an error, without a panic; and a frame is never too long.
fn survives(version: Version, bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some(found)) = frame(rest, 1000) {
        assert!(found.len <= rest.len() && found.len <= 1000 && found.len >= 2);
        if let Err(error) = decode(version, &found, &Limits::default()) {
            assert!(error.reason().is_error());
            assert!(!error.to_string().is_empty());
        }
        rest = &rest[found.len..];
    }
}

#[test]
fn nothing_panics() {
    let config = ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(bytes in vec(any::<u8>(), 0..60), v31 in mutated(Version::V31),
        v311 in mutated(Version::V311), v5 in mutated(Version::V5))| {
        for version in Version::ALL {
            survives(version, &bytes);
            survives(version, &v31);
            survives(version, &v311);
            survives(version, &v5);
        }
    });
}
