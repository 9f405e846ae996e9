//! A client that does nothing by itself: a test sees every packet, and acknowledges or not as it likes.

use std::{io, net::SocketAddr};

use bytes::BytesMut;
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, Version, codec,
    packet::{
        Ack, AckType, ConnAck, Connect, Disconnect, Outgoing, Packet, PingReq, Publish, Subscribe,
        SubscribeFilter, Unsubscribe, decode,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{Server, clean, encode::Encode, filter, in_time};

/// What a client speaks MQTT over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    version: Version,
    received: BytesMut,
    last_packet_id: PacketId,
    /// The client's end of the connection, to find it in the log.
    pub(crate) address: SocketAddr,
}

impl Client {
    /// A TCP connection on which nothing was sent.
    pub(crate) async fn open(server: &Server, version: Version) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let address = stream.local_addr().unwrap();
        Self::over(stream, version, address)
    }

    /// A TCP connection to another listener than the first.
    pub(crate) async fn open_at(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let own = stream.local_addr().unwrap();
        Self::over(stream, version, own)
    }

    /// A connection on which CONNECT was sent, and nothing received.
    pub(crate) async fn open_and_send(server: &Server, connect: &Connect) -> Self {
        let mut client = Self::open(server, connect.version).await;
        client.send(connect.clone()).await;
        client
    }

    /// A client over another stream.
    pub(crate) fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        version: Version,
        address: SocketAddr,
    ) -> Self {
        let last_packet_id = PacketId::new(100).unwrap();
        Self { stream: Box::new(stream), version, received: BytesMut::new(), last_packet_id, address }
    }

    /// Connects and returns whatever CONNACK comes.
    pub(crate) async fn try_connect(server: &Server, connect: &Connect) -> (Self, ConnAck) {
        let mut client = Self::open_and_send(server, connect).await;
        let answer = client.expect_connack().await;
        (client, answer)
    }

    /// Connects, and is accepted.
    pub(crate) async fn connect(server: &Server, connect: &Connect) -> Self {
        let (client, answer) = Self::try_connect(server, connect).await;
        assert_eq!(answer.reason, ReasonCode::Success);
        client
    }

    /// Connects with a new session that ends with the connection.
    pub(crate) async fn join(server: &Server, version: Version, client_id: &str) -> Self {
        Self::connect(server, &clean(version, client_id)).await
    }

    /// Sends packets, or bytes, in one write.
    pub(crate) async fn send(&mut self, packets: impl Encode) {
        let mut bytes = BytesMut::new();
        packets.put(self.version, &mut bytes);
        in_time("room to send", self.stream.write_all(&bytes)).await.unwrap();
        in_time("room to send", self.stream.flush()).await.unwrap();
    }

    /// Sends an acknowledgement.
    pub(crate) async fn acknowledge(&mut self, step: AckType, packet_id: PacketId) {
        self.send((step, Ack::new(packet_id, ReasonCode::Success))).await;
    }

    /// A packet identifier that this client did not use yet.
    pub(crate) fn packet_id(&mut self) -> PacketId {
        self.last_packet_id = self.last_packet_id.successor();
        self.last_packet_id
    }

    /// The next packet; `None` if the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Packet<'static>> {
        in_time("a packet", async {
            loop {
                if let Some(packet) = self.buffered() {
                    return Some(packet);
                }
                match self.stream.read_buf(&mut self.received).await {
                    Ok(0) => return self.ended(),
                    Ok(_) => {}
                    Err(error) if is_end(&error) => return self.ended(),
                    Err(error) => panic!("cannot read: {error}"),
                }
            }
        })
        .await
    }

    fn ended(&self) -> Option<Packet<'static>> {
        let left = self.received.len();
        assert_eq!(left, 0, "the connection ended within a packet, of which so many bytes came");
        None
    }

    /// The packet lives as long as the test process: so it can be kept and compared without copies of every field.
    fn buffered(&mut self) -> Option<Packet<'static>> {
        let len = codec::frame(&self.received, usize::MAX).unwrap()?.len;
        let bytes: &'static [u8] = Box::leak(self.received.split_to(len).to_vec().into_boxed_slice());
        let frame = codec::frame(bytes, usize::MAX).unwrap().unwrap();
        Some(decode(self.version, &frame, &codec::Limits::default()).unwrap())
    }

    /// The next bytes as they are, for answers in another version.
    pub(crate) async fn receive_bytes(&mut self, length: usize) -> Vec<u8> {
        in_time("bytes", async {
            while self.received.len() < length {
                assert_ne!(
                    self.stream.read_buf(&mut self.received).await.unwrap(),
                    0,
                    "the connection ended"
                );
            }
            self.received.split_to(length).to_vec()
        })
        .await
    }

    /// The next packet, whatever it is.
    pub(crate) async fn receive(&mut self) -> Packet<'static> {
        self.next().await.expect("a packet, but the connection ended")
    }

    pub(crate) async fn expect(&mut self, expected: Packet<'static>) {
        assert_eq!(self.receive().await, expected);
    }

    pub(crate) async fn expect_connack(&mut self) -> ConnAck {
        match self.receive().await {
            Packet::ConnAck(answer) => *answer,
            other => panic!("expected CONNACK: {other:?}"),
        }
    }

    /// The next packet, a PUBLISH.
    pub(crate) async fn expect_publish(&mut self) -> Publish<'static> {
        match self.receive().await {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH: {other:?}"),
        }
    }

    /// The next packet, a PUBLISH of this payload.
    pub(crate) async fn expect_payload(&mut self, payload: &str) -> Publish<'static> {
        let publish = self.expect_publish().await;
        let (found, expected) = (String::from_utf8_lossy(publish.payload), payload);
        assert!(found == expected, "found {found:.60} ({}), expected {expected:.60}", publish.payload.len());
        publish
    }

    /// As [`Self::expect_payload`], and acknowledges it to the end.
    pub(crate) async fn take(&mut self, payload: &str) -> Publish<'static> {
        let publish = self.expect_payload(payload).await;
        self.settle(&publish).await;
        publish
    }

    /// Acknowledges a message to the end.
    pub(crate) async fn settle(&mut self, publish: &Publish<'_>) {
        match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(packet_id)) => self.acknowledge(AckType::PubAck, packet_id).await,
            (QoS::ExactlyOnce, Some(packet_id)) => {
                self.acknowledge(AckType::PubRec, packet_id).await;
                self.expect_ack(AckType::PubRel, packet_id).await;
                self.acknowledge(AckType::PubComp, packet_id).await;
            }
            _ => {}
        }
    }

    /// The next packet, this acknowledgement without a failure. Returns its reason.
    pub(crate) async fn expect_ack(&mut self, step: AckType, packet_id: PacketId) -> ReasonCode {
        let reason = self.expect_answer(step, packet_id).await;
        assert!(!reason.is_error(), "{reason}");
        reason
    }

    /// The next packet, this acknowledgement. Returns its reason.
    pub(crate) async fn expect_answer(&mut self, step: AckType, packet_id: PacketId) -> ReasonCode {
        let found = match (step, self.receive().await) {
            (AckType::PubAck, Packet::PubAck(ack))
            | (AckType::PubRec, Packet::PubRec(ack))
            | (AckType::PubRel, Packet::PubRel(ack))
            | (AckType::PubComp, Packet::PubComp(ack)) => ack,
            (_, other) => panic!("expected {step:?}: {other:?}"),
        };
        assert_eq!(found.packet_id, packet_id);
        found.reason
    }

    /// Publishes to the end of the exchange; returns the reason of PUBACK or PUBREC.
    pub(crate) async fn publish(&mut self, qos: QoS, message: Outgoing<'_>) -> ReasonCode {
        if qos == QoS::AtMostOnce {
            self.send(message).await;
            // The answer shows that the message before it has been routed.
            self.ping().await;
            return ReasonCode::Success;
        }
        let packet_id = self.packet_id();
        self.send(Outgoing { qos, packet_id: Some(packet_id), ..message }).await;
        if qos == QoS::AtLeastOnce {
            return self.expect_answer(AckType::PubAck, packet_id).await;
        }
        let reason = self.expect_answer(AckType::PubRec, packet_id).await;
        if !reason.is_error() {
            self.acknowledge(AckType::PubRel, packet_id).await;
            self.expect_ack(AckType::PubComp, packet_id).await;
        }
        reason
    }

    /// Subscribes with default options, and is granted the QoS.
    pub(crate) async fn subscribe(&mut self, text: &str, qos: QoS) {
        let reasons = self.subscribe_to(vec![filter(text, qos)], None).await;
        assert_eq!(reasons.iter().map(|reason| reason.byte()).collect::<Vec<_>>(), [qos.bits()]);
    }

    /// Subscribes; returns the reasons of SUBACK.
    pub(crate) async fn subscribe_to(
        &mut self,
        filters: Vec<SubscribeFilter>,
        id: Option<u32>,
    ) -> Vec<ReasonCode> {
        let packet_id = self.packet_id();
        self.send(Subscribe { packet_id, id, filters, user_properties: vec![] }).await;
        match self.receive().await {
            Packet::SubAck(answer) => {
                assert_eq!(answer.packet_id, packet_id);
                answer.reasons
            }
            other => panic!("expected SUBACK: {other:?}"),
        }
    }

    /// Unsubscribes; returns the reasons of UNSUBACK, of which MQTT 3 has none.
    pub(crate) async fn unsubscribe(&mut self, texts: &[&str]) -> Vec<ReasonCode> {
        let packet_id = self.packet_id();
        let filters = texts.iter().map(|text| filter(text, QoS::AtMostOnce).filter).collect();
        self.send(Unsubscribe { packet_id, filters, user_properties: vec![] }).await;
        match self.receive().await {
            Packet::UnsubAck(answer) => {
                assert_eq!(answer.packet_id, packet_id);
                answer.reasons
            }
            other => panic!("expected UNSUBACK: {other:?}"),
        }
    }

    /// Asks for a sign of life, which must be the next packet.
    pub(crate) async fn ping(&mut self) {
        self.send(PingReq).await;
        self.expect(Packet::PingResp).await;
    }

    /// Nothing is on its way to this client. The broker sends what waits in the mailbox right after the answer to the
    /// first PINGREQ: whatever was there comes before the answer to the second.
    pub(crate) async fn expect_silence(&mut self) {
        self.ping().await;
        self.ping().await;
    }

    /// All messages that are on their way to this client, other packets left out. Those above QoS 0 are still to be
    /// acknowledged. The fence is that of [`Self::expect_silence`].
    pub(crate) async fn collect(&mut self) -> Vec<Publish<'static>> {
        let mut found = Vec::new();
        for _ in 0..2 {
            self.send(PingReq).await;
            loop {
                match self.receive().await {
                    Packet::PingResp => break,
                    Packet::Publish(publish) => found.push(publish),
                    _ => {}
                }
            }
        }
        found
    }

    /// The broker ends the connection for this reason, and says so if it speaks MQTT 5 [MQTT-4.13.1-1].
    pub(crate) async fn expect_disconnect(&mut self, reason: ReasonCode) {
        if self.version.is_v5() {
            self.expect(Packet::Disconnect(Disconnect::new(reason))).await;
        }
        self.expect_end().await;
    }

    /// The connection ends without a further packet.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.next().await, None);
    }

    /// The stream ends without MQTT: with TLS alerts, an error, or nothing at all.
    pub(crate) async fn expect_no_service(&mut self) {
        in_time("the end", async {
            while self.stream.read_buf(&mut self.received).await.is_ok_and(|read| read > 0) {}
        })
        .await;
    }

    /// Leaves with DISCONNECT, and waits until the broker has closed too.
    pub(crate) async fn leave(self) {
        self.leave_with(Disconnect::new(ReasonCode::Success)).await;
    }

    /// Leaves with this DISCONNECT, and waits until the broker has closed too.
    pub(crate) async fn leave_with(mut self, disconnect: Disconnect) {
        self.send(disconnect).await;
        while self.next().await.is_some() {}
    }

    /// Ends the connection without a word, and waits until the broker has noticed.
    pub(crate) async fn break_off(mut self) {
        self.stream.shutdown().await.unwrap();
        while self.next().await.is_some() {}
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionAborted
    )
}
