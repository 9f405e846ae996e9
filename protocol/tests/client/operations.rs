//! Random operations, against what must hold at all times.

use std::collections::BTreeMap;

use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    client::Receipt,
    packet::{AckType, ConnAckProperties},
};
use proptest::{collection::vec, prelude::*};

use crate::rig::{Rig, Seen};

#[derive(Debug, Clone)]
enum Operation {
    Publish(QoS),
    Acknowledge(prop::sample::Index),
    ServerPublish(QoS, u16),
    ServerAck(AckType, u16),
    Reconnect { session_present: bool },
    Wait(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let qos = prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)];
    let kind = prop_oneof![
        Just(AckType::PubAck),
        Just(AckType::PubRec),
        Just(AckType::PubRel),
        Just(AckType::PubComp)
    ];
    prop_oneof![
        4 => qos.clone().prop_map(Operation::Publish),
        4 => any::<prop::sample::Index>().prop_map(Operation::Acknowledge),
        4 => (qos, 1..8_u16).prop_map(|(qos, id)| Operation::ServerPublish(qos, id)),
        6 => (kind, 1..8_u16).prop_map(|(kind, id)| Operation::ServerAck(kind, id)),
        1 => any::<bool>().prop_map(|session_present| Operation::Reconnect { session_present }),
        1 => (0..20_u64).prop_map(Operation::Wait),
    ]
}

/// What the client owes and is owed, kept the slow way.
#[derive(Default)]
struct Model {
    /// Not acknowledged by the server, by identifier.
    published: BTreeMap<u16, QoS>,
    receipts: Vec<Receipt>,
}

fn run(version: Version, operations: Vec<Operation>) {
    let mut rig = Rig::online(version);
    let mut model = Model::default();
    for operation in operations {
        match operation {
            Operation::Publish(qos) => {
                if let Some(id) = rig.publish(qos) {
                    let known = model.published.insert(id.as_u16(), qos);
                    assert_eq!(known, None, "[MQTT-2.2.1-4]: the identifier was free");
                }
            }
            Operation::Acknowledge(index) => {
                if !model.receipts.is_empty() {
                    let receipt = model.receipts.remove(index.index(model.receipts.len()));
                    assert!(rig.client.acknowledge(receipt));
                }
            }
            Operation::ServerPublish(qos, id) => {
                if let Ok(Seen::Message { receipt: Some(receipt), .. }) = rig.server_publish(qos, id, false) {
                    model.receipts.push(receipt);
                }
            }
            Operation::ServerAck(kind, id) => {
                if let Seen::Published(id, ReasonCode::Success) =
                    rig.server_ack(kind, id, ReasonCode::Success)
                {
                    assert!(model.published.remove(&id.as_u16()).is_some(), "told once");
                }
            }
            Operation::Reconnect { session_present } => reconnect(&mut rig, &mut model, session_present),
            Operation::Wait(seconds) => {
                rig.after(seconds);
                if rig.client.handle_timeout(rig.now).is_err() {
                    reconnect(&mut rig, &mut model, true);
                }
            }
        }
        if !rig.client.is_online() {
            reconnect(&mut rig, &mut model, true);
        }
        assert_eq!(rig.client.unacknowledged(), model.published.len());
        assert!(rig.client.owed() >= model.receipts.len());
        rig.sent();
    }
    for receipt in std::mem::take(&mut model.receipts) {
        rig.client.acknowledge(receipt);
    }
    assert_eq!(rig.client.owed(), 0, "everything acknowledged has left");
}

fn reconnect(rig: &mut Rig, model: &mut Model, session_present: bool) {
    rig.reconnect(session_present, ConnAckProperties::default());
    model.receipts.clear();
    let resumes = session_present || rig.client.version() == Version::V31;
    let dups = rig.sent().iter().filter(|word| word.starts_with("PUB")).count();
    if resumes {
        assert_eq!(dups, model.published.len(), "[MQTT-4.4.0-1]: each is sent again");
    } else {
        assert_eq!(dups, 0);
        while let Some(given_up) = rig.client.poll_given_up() {
            assert!(model.published.remove(&given_up.packet_id.as_u16()).is_some(), "given up once");
        }
        assert!(model.published.is_empty(), "nothing is dropped silently");
    }
}

#[test]
fn whatever_happens_nothing_is_lost_or_told_twice() {
    let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(operations in vec(operation(), 0..60))| {
        for version in Version::ALL {
            run(version, operations.clone());
        }
    });
}
