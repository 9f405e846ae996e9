//! The deframer against the frames of the library, cut anywhere.

use bytes::Bytes;
use proptest::prelude::*;
use tungstenite::protocol::frame::Frame;

use super::*;

/// A client's frame on the wire, written by the library.
fn frame(opcode: OpCode, is_final: bool, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { is_final, opcode, mask: Some(mask), ..FrameHeader::default() };
    let mut bytes = Vec::new();
    Frame::from_payload(header, Bytes::copy_from_slice(payload)).format(&mut bytes).unwrap();
    bytes
}

fn binary(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Data(Data::Binary), true, [1, 2, 3, 4], payload)
}

/// Feeds the stream in pieces of these sizes, over and over.
fn deframe(stream: &[u8], sizes: &[usize]) -> Result<(Vec<u8>, Vec<Signal>), Fault> {
    let mut deframer = Deframer::default();
    let (mut data, mut signals) = (Vec::new(), Vec::new());
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        rest = after;
        let mut piece = piece.to_vec();
        let length = deframer.deframe(&mut piece, &mut signals)?;
        data.extend_from_slice(&piece[..length]);
    }
    Ok((data, signals))
}

/// One thing that a client sends.
#[derive(Debug, Clone)]
enum Sent {
    Message(Vec<Vec<u8>>),
    Ping(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let payload = |most| prop::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        3 => prop::collection::vec(payload(300), 1..4).prop_map(Sent::Message),
        1 => payload(70_000).prop_map(|payload| Sent::Message(vec![payload])),
        1 => payload(125).prop_map(Sent::Ping),
    ]
}

proptest! {
    #[test]
    fn payloads_come_out_in_order_however_the_stream_is_cut(
        all in prop::collection::vec((sent(), any::<[u8; 4]>()), 0..8),
        sizes in prop::collection::vec(1usize..5000, 1..10),
    ) {
        let (mut stream, mut expected, mut pings) = (Vec::new(), Vec::new(), Vec::new());
        for (sent, mask) in &all {
            match sent {
                Sent::Message(fragments) => {
                    for (at, fragment) in fragments.iter().enumerate() {
                        let kind = if at == 0 { Data::Binary } else { Data::Continue };
                        let last = at + 1 == fragments.len();
                        stream.extend(frame(OpCode::Data(kind), last, *mask, fragment));
                        // Between the fragments of a message too [RFC 6455, section 5.4].
                        stream.extend(frame(OpCode::Control(Control::Ping), true, *mask, b"?"));
                        expected.extend_from_slice(fragment);
                        pings.push(Signal::Ping(b"?".to_vec()));
                    }
                }
                Sent::Ping(payload) => {
                    stream.extend(frame(OpCode::Control(Control::Ping), true, *mask, payload));
                    pings.push(Signal::Ping(payload.clone()));
                }
            }
        }
        let (data, signals) = deframe(&stream, &sizes).unwrap();
        prop_assert_eq!(data, expected);
        prop_assert_eq!(signals, pings);
    }
}

#[test]
fn what_breaks_the_protocol_is_refused() {
    let opcode = |kind| OpCode::Data(kind);
    let mask = [9; 4];
    let cut = |mut bytes: Vec<u8>, at: usize, byte: u8| {
        bytes[at] = byte;
        bytes
    };
    for (stream, fault) in [
        (frame(opcode(Data::Text), true, mask, b"x"), Fault::Text),
        (vec![0x82, 0x01, b'x'], Fault::NotMasked),
        (cut(binary(b"x"), 0, 0xc2), Fault::Reserved),
        (cut(binary(b"x"), 0, 0x83), Fault::Malformed),
        ([&[0x82, 0xff, 0x80], &[0; 11][..]].concat(), Fault::Malformed),
        (frame(opcode(Data::Continue), true, mask, b"x"), Fault::Fragments),
        ([frame(opcode(Data::Binary), false, mask, b"x"), binary(b"y")].concat(), Fault::Fragments),
        (frame(OpCode::Control(Control::Ping), false, mask, b"x"), Fault::Control),
        (frame(OpCode::Control(Control::Ping), true, mask, &[0; 126]), Fault::Control),
        (frame(OpCode::Control(Control::Close), true, mask, &[3]), Fault::Control),
        (frame(OpCode::Control(Control::Close), true, mask, &1005_u16.to_be_bytes()), Fault::Control),
    ] {
        for sizes in [[1], [1000]] {
            assert_eq!(deframe(&stream, &sizes), Err(fault), "{stream:02x?}");
        }
    }
}

#[test]
fn nothing_counts_after_a_close() {
    for (payload, code) in [(&b""[..], CloseCode::Status), (&[0x03, 0xe8, b'!'], CloseCode::Normal)] {
        let close = frame(OpCode::Control(Control::Close), true, [5; 4], payload);
        let stream = [binary(b"a"), close, binary(b"b"), vec![0xff; 20]].concat();
        assert_eq!(deframe(&stream, &[1000]), Ok((b"a".to_vec(), vec![Signal::Close(code)])));
    }
}
