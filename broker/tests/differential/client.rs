//! A client of MQTT 5 that only says what these tests need.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A connection.
pub(crate) struct Client(TcpStream);

impl Client {
    /// Connects with a clean session; the reason code if it is refused.
    pub(crate) fn connect(port: u16, client_id: &str, credentials: Option<(&str, &str)>) -> Result<Self, u8> {
        Self::try_connect(port, client_id, credentials).expect("an answer")
    }

    /// As [`Self::connect`]; `None` if nobody answers.
    pub(crate) fn try_connect(
        port: u16,
        client_id: &str,
        credentials: Option<(&str, &str)>,
    ) -> Option<Result<Self, u8>> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut client = Self(stream);
        let flags = if credentials.is_some() { 0b1100_0010 } else { 0b0000_0010 };
        let mut body = [text("MQTT"), vec![5, flags, 0, 0, 0], text(client_id)].concat();
        if let Some((user, password)) = credentials {
            body.extend([text(user), text(password)].concat());
        }
        client.0.write_all(&packet(0x10, &body)).ok()?;
        let mut answer = [0; 1];
        client.0.peek(&mut answer).ok().filter(|read| *read == 1)?;
        let (first, body) = client.receive();
        assert_eq!(first, 0x20);
        match body[1] {
            0 => Some(Ok(client)),
            reason => Some(Err(reason)),
        }
    }

    /// Publishes to each topic, at QoS 0, and waits until that is done.
    pub(crate) fn publish(&mut self, topics: &[&str], payload: u8) {
        let messages = topics.iter().map(|topic| packet(0x30, &[text(topic), vec![0, payload]].concat()));
        self.0.write_all(&messages.collect::<Vec<_>>().concat()).unwrap();
        assert!(self.delivered().is_empty());
    }

    pub(crate) fn subscribe(&mut self, filters: &[&str]) {
        let wanted = filters.iter().map(|filter| [text(filter), vec![0]].concat()).collect::<Vec<_>>();
        self.send(0x82, &[vec![0, 1, 0], wanted.concat()].concat());
        assert_eq!(self.receive().0, 0x90);
    }

    /// Ends subscriptions; deliveries may still come.
    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) {
        let gone = filters.iter().map(|filter| text(filter)).collect::<Vec<_>>();
        self.send(0xa2, &[vec![0, 1, 0], gone.concat()].concat());
        assert_eq!(self.receive().0, 0xb0);
    }

    /// Payload and topic of everything that was delivered so far.
    pub(crate) fn delivered(&mut self) -> BTreeSet<(u8, String)> {
        self.send(0xc0, &[]);
        let mut messages = BTreeSet::new();
        loop {
            match self.receive() {
                (0xd0, _) => return messages,
                (0x30, body) => {
                    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
                    messages.insert((body[body.len() - 1], topic));
                }
                other => panic!("packet {other:02x?}"),
            }
        }
    }

    fn send(&mut self, first: u8, body: &[u8]) {
        self.0.write_all(&packet(first, body)).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let (mut length, mut shift) = (0_usize, 0);
        let mut byte = [0];
        self.0.read_exact(&mut byte).unwrap();
        let first = byte[0];
        loop {
            self.0.read_exact(&mut byte).unwrap();
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (first, body)
    }
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let low = (left & 0x7f) as u8;
        left >>= 7;
        packet.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}
