//! Messages from the broker: one MQTT 5 session that outlives connections, over TCP or TLS.
//!
//! The session's packets are `gaugeline_protocol::client`'s affair; here are the socket, the time, and what a bridge
//! wants: subscribe after every login (the broker sends retained messages for new subscriptions only), take messages
//! as long as the pipeline has room, acknowledge what is safe, come back after every failure.
//!
//! While there is no room nothing is read but the answer to CONNECT, and the broker, whose Receive Maximum is exhausted
//! sooner or later, keeps what follows. The connection stays: keep-alive goes on.

mod answer;
mod carried;
mod failure;
mod reconnect;
mod remembered;
mod stream;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    num::NonZeroU16,
    sync::{Arc, Once},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes, BytesMut};
use gaugeline_protocol::{
    ReasonCode, Version,
    client::{Client, Event, Receipt},
    codec::{self, Limits},
    packet::{self, Connect, ConnectProperties, Packet, Publish},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
};

pub(crate) use self::remembered::Remembered;
use self::{
    carried::Carried,
    failure::{Failure, broken},
    reconnect::Reconnect,
    stream::{Connector, Stream},
};
use crate::{
    batch::Message,
    clock::{self, ArrivalClock},
    config::{LimitsConfig, MqttConfig, secret},
    metrics::Metrics,
    pipeline::{Arrival, DeliveryLost, Pipeline},
    status::{Part, Status},
    tls::TlsError,
};

/// The user property of a message that holds the time, in nanoseconds since 1970, at which the broker received it.
/// With it a message that is delivered twice is the same point.
pub(crate) const RECEIVED_PROPERTY: &str = "gaugeline-received";
/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// How long the last bytes of a connection may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a connection, or the wait for one, ended.
#[derive(Debug)]
enum Ended {
    /// It has to be tried again.
    Failed(Failure),
    /// What was received is lost in memory: the broker has to send it again.
    DeliveryLost,
    /// The bridge is to stop, at the latest at this time.
    Stopped(Instant),
}

impl<F: Into<Failure>> From<F> for Ended {
    fn from(failure: F) -> Self {
        Self::Failed(failure.into())
    }
}

impl From<DeliveryLost> for Ended {
    fn from(_: DeliveryLost) -> Self {
        Self::DeliveryLost
    }
}

/// A message that the broker waits for us to acknowledge.
#[derive(Debug)]
struct Owed {
    arrival: Arrival,
    receipt: Receipt,
    fingerprint: u64,
}

/// The session and where its messages go.
pub(crate) struct Source {
    config: MqttConfig,
    connector: Connector,
    client: Client,
    pipeline: Pipeline,
    status: Arc<Status>,
    metrics: Metrics,
    clock: ArrivalClock,
    owed: VecDeque<Owed>,
    carried: Carried,
    remembered: Remembered,
    reconnect: Reconnect,
    limits: Limits,
    /// Done once a message came without the broker's time.
    unstamped: Once,
}

/// Said once a process.
fn warn_of_duplicates() {
    tracing::warn!(
        "the broker does not tell when it received a message: messages are stamped on arrival here, and one that is \
         delivered twice may become two points, unless its payload has a time"
    );
}

/// The stop signal: the time until which to drain.
pub(crate) type Stop = watch::Receiver<Option<Instant>>;

/// Whether the certificates can be used: reads them and no more.
pub(crate) fn check(config: &MqttConfig) -> Result<(), TlsError> {
    Connector::new(config).map(drop)
}

impl Source {
    pub(crate) fn new(
        config: MqttConfig,
        limits: &LimitsConfig,
        pipeline: Pipeline,
        remembered: Remembered,
        status: Arc<Status>,
        metrics: Metrics,
    ) -> Result<Self, TlsError> {
        let connector = Connector::new(&config)?;
        let window = u16::try_from(limits.messages_in_flight.get()).ok().and_then(NonZeroU16::new);
        let connect = Connect {
            version: Version::V5,
            client_id: config.client_id.as_str().to_owned(),
            clean_start: false,
            keep_alive_seconds: config.keep_alive_seconds,
            will: None,
            user_name: config.user.clone(),
            password: None,
            properties: ConnectProperties {
                session_expiry_seconds: config.session_expiry_seconds,
                receive_maximum: Some(window.unwrap_or(NonZeroU16::MAX)),
                packet_bytes_max: limits.packet_bytes.try_into().ok(),
                // Asks the broker for its time of each message; other brokers ignore it.
                user_properties: vec![(RECEIVED_PROPERTY.to_owned(), "nanoseconds".to_owned())],
                ..ConnectProperties::default()
            },
        };
        Ok(Self {
            connector,
            client: Client::new(connect),
            pipeline,
            status,
            metrics,
            clock: ArrivalClock::default(),
            owed: VecDeque::new(),
            carried: Carried::default(),
            remembered,
            reconnect: Reconnect::new(),
            unstamped: Once::new(),
            limits: Limits::default(),
            config,
        })
    }

    /// Runs until it is stopped. True if everything that was received is safe then.
    pub(crate) async fn run(mut self, mut stop: Stop) -> bool {
        let deadline = self.run_until_stopped(&mut stop).await;
        self.metrics.connected.set(0);
        // Connected or not, what was received may still be written.
        self.pipeline.drain(deadline).await.is_ok() && self.pipeline.is_idle()
    }

    async fn run_until_stopped(&mut self, stop: &mut Stop) -> Instant {
        loop {
            let mut ended = self.connection(stop).await;
            if let Ended::Failed(failure) = ended {
                match self.failed(failure, stop).await {
                    None => continue,
                    Some(other) => ended = other,
                }
            }
            match ended {
                Ended::Stopped(deadline) => return deadline,
                Ended::DeliveryLost | Ended::Failed(_) => self.start_over().await,
            }
        }
    }

    /// Forgets what is in memory; the broker sends it again on the next connection. A bug, so not in a hurry.
    async fn start_over(&mut self) {
        self.pipeline.abandon();
        self.owed.clear();
        self.carried.clear();
        tokio::time::sleep(self.reconnect.delay_after_fault()).await;
    }

    /// Reports the failure and waits before the next attempt; `Some` if something else came between.
    async fn failed(&mut self, failure: Failure, stop: &mut Stop) -> Option<Ended> {
        let now = clock::now();
        self.metrics.connected.set(0);
        self.status.failing(Part::Broker, failure.kind, failure.severity, &failure.detail, now);
        self.carried
            .keep(self.owed.drain(..).map(|owed| (owed.receipt.packet_id(), owed.arrival, owed.fingerprint)));
        let delay = self.reconnect.delay(failure.severity, now);
        progressing(&mut self.pipeline, stop, tokio::time::sleep(delay)).await.err()
    }

    /// One connection from beginning to end.
    async fn connection(&mut self, stop: &mut Stop) -> Ended {
        let connected = progressing(&mut self.pipeline, stop, self.connector.connect()).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(failure)) => return Ended::Failed(failure),
            Err(ended) => return ended,
        };
        if let Err(failure) = self.log_in() {
            return Ended::Failed(failure);
        }
        let (mut reader, mut writer) = tokio::io::split(stream);
        let ended = match self.serve(&mut reader, &mut writer, stop).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        if let Ended::Stopped(deadline) = ended {
            // What is safe by then is acknowledged; the rest comes again after the next login.
            let drained = self.pipeline.drain(deadline).await;
            self.acknowledge();
            self.client.disconnect(ReasonCode::Success, None).ok();
            if drained.is_err() {
                self.say_farewell(&mut reader, &mut writer).await;
                return Ended::DeliveryLost;
            }
        }
        self.say_farewell(&mut reader, &mut writer).await;
        self.metrics.connected.set(0);
        ended
    }

    /// Writes CONNECT, with the password as it is now.
    fn log_in(&mut self) -> Result<(), Failure> {
        let password = match &self.config.password_file {
            Some(path) => {
                let secret =
                    secret::read(path).map_err(|error| Failure::lasting("password", error.to_string()))?;
                Some(Bytes::from_owner(secret))
            }
            None => None,
        };
        self.client.connect_packet_mut().password = password;
        let written = self.client.connect(clock::now());
        // It is read again for the next connection, and must not stay in memory until then.
        self.client.connect_packet_mut().password = None;
        written.map_err(|error| Failure::lasting("protocol", format!("CONNECT cannot be written: {error}")))
    }

    async fn serve(
        &mut self,
        reader: &mut tokio::io::ReadHalf<Box<dyn Stream>>,
        writer: &mut tokio::io::WriteHalf<Box<dyn Stream>>,
        stop: &mut Stop,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut input = BytesMut::new();
        let mut output = Output::default();
        loop {
            self.process(&mut input)?;
            self.acknowledge();
            while self.client.poll_transmit(&mut output.bytes) {}
            let reads = self.reads();
            input.reserve(READ_BYTES);
            let due = self.client.poll_timeout();
            tokio::select! {
                read = reader.read_buf(&mut input), if reads => {
                    if read? == 0 {
                        let detail = match self.client.is_online() {
                            true => "was closed by the broker",
                            false => "was closed by the broker before it answered: does it speak MQTT 5?",
                        };
                        return Err(Failure::passing("lost", detail).into());
                    }
                }
                written = output.write(writer), if output.has_work() => written?,
                progress = self.pipeline.progress() => progress?,
                () = at(due) => self.timeout(reads)?,
                deadline = stopped(stop) => return Err(Ended::Stopped(deadline)),
            }
        }
    }

    /// Whether packets are taken. The answer to CONNECT needs no room: without it there is no connection.
    fn reads(&self) -> bool {
        self.pipeline.has_room() || !self.client.is_online()
    }

    fn timeout(&mut self, reads: bool) -> Result<(), Failure> {
        let (now, online) = (clock::now(), self.client.is_online());
        if !reads && online {
            // The answers to our PINGREQs are unread in the socket's buffer: their absence means nothing.
            self.client.handle_packet(now, Packet::PingResp).map_err(|error| broken(online, &error))?;
        }
        self.client.handle_timeout(now).map_err(|error| broken(online, &error))
    }

    /// Takes whole packets off the front of `input`, as long as it may.
    fn process(&mut self, input: &mut BytesMut) -> Result<(), Failure> {
        let (now, unix_nanoseconds) = (clock::now(), clock::unix_nanoseconds());
        let packet_bytes_max = self.client.packet_bytes_max();
        let online = self.client.is_online();
        let mut taken = 0;
        while self.reads() {
            let rest = input.get(taken..).unwrap_or_default();
            let frame = match codec::frame(rest, packet_bytes_max) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return Err(broken(online, &self.client.handle_malformed(error))),
            };
            let packet = packet::decode(Version::V5, &frame, &self.limits)
                .map_err(|error| broken(online, &self.client.handle_malformed(error)))?;
            match self.client.handle_packet(now, packet).map_err(|error| broken(online, &error))? {
                None | Some(Event::Published { .. }) => {}
                Some(Event::Unsubscribed(ack)) => self.unsubscribed(&ack),
                Some(Event::Message { publish, receipt }) => {
                    let broker_time = broker_time(&publish);
                    let received_nanoseconds = broker_time.unwrap_or_else(|| {
                        self.unstamped.call_once(warn_of_duplicates);
                        self.clock.stamp(unix_nanoseconds)
                    });
                    let message =
                        Message { topic: publish.topic, payload: publish.payload, received_nanoseconds };
                    let fingerprint = self.carried.fingerprint(&message, broker_time);
                    let receipt = receipt.map(|receipt| (receipt, fingerprint));
                    take(
                        &mut self.pipeline,
                        &mut self.carried,
                        &mut self.owed,
                        &message,
                        publish.dup,
                        receipt,
                        now,
                    );
                }
                Some(Event::Connected { session_present, properties }) => {
                    self.connected(session_present, &properties, now)?;
                }
                Some(Event::Subscribed(ack)) => self.subscribed(&ack, now),
                Some(Event::Refused { reason, properties }) => {
                    return Err(self.refused(reason, properties.reason_string.as_deref()));
                }
                Some(Event::Disconnected(disconnect)) => {
                    return Err(self.disconnected(disconnect.reason, disconnect.reason_string.as_deref()));
                }
            }
            taken += frame.len;
        }
        if taken > 0 {
            input.advance(taken);
            self.pipeline.report();
        }
        Ok(())
    }

    /// Acknowledges everything that is safe: one comparison for each message.
    fn acknowledge(&mut self) {
        let safe = self.pipeline.safe_up_to();
        while let Some(owed) = self.owed.pop_front_if(|owed| owed.arrival <= safe) {
            self.client.acknowledge(owed.receipt);
            self.reconnect.progressed();
        }
    }

    /// The last bytes of a connection - acknowledgements, DISCONNECT - if they can be sent soon. What the broker still
    /// sends is read, and left to the next connection: a socket that is closed with unread bytes is reset, and the broker
    /// would lose the acknowledgements that it has not read yet.
    async fn say_farewell(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) {
        let mut bytes = BytesMut::new();
        while self.client.poll_transmit(&mut bytes) {}
        let mut unread = vec![0; READ_BYTES];
        let speak = async {
            writer.write_all(&bytes).await?;
            writer.shutdown().await
        };
        let listen = async {
            while reader.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        let farewell = async { tokio::try_join!(speak, listen) };
        // The connection is over either way.
        drop(tokio::time::timeout(FAREWELL, farewell).await);
    }
}

/// Takes a message in, unless it is one that was taken on the last connection.
fn take(
    pipeline: &mut Pipeline,
    carried: &mut Carried,
    owed: &mut VecDeque<Owed>,
    message: &Message<'_>,
    dup: bool,
    receipt: Option<(Receipt, u64)>,
    now: Instant,
) {
    let Some((receipt, fingerprint)) = receipt else {
        pipeline.accept(message, now);
        return;
    };
    let known = if dup { carried.take(receipt.packet_id(), fingerprint) } else { None };
    let arrival = known.unwrap_or_else(|| pipeline.accept(message, now));
    owed.push_back(Owed { arrival, receipt, fingerprint });
}

/// The time at which the broker received the message, if it says so.
fn broker_time(publish: &Publish<'_>) -> Option<i64> {
    if publish.properties.raw.is_empty() {
        return None;
    }
    let mut properties = publish.properties.user_properties();
    properties.find(|(name, _)| *name == RECEIVED_PROPERTY).and_then(|(_, value)| value.parse().ok())
}

/// Does something while batches go on; fails if they cannot, or if the bridge is to stop.
async fn progressing<F: Future>(
    pipeline: &mut Pipeline,
    stop: &mut Stop,
    future: F,
) -> Result<F::Output, Ended> {
    tokio::pin!(future);
    loop {
        tokio::select! {
            output = &mut future => return Ok(output),
            progress = pipeline.progress() => progress?,
            deadline = stopped(stop) => return Err(Ended::Stopped(deadline)),
        }
    }
}

/// Waits until the bridge is to stop. Whoever could say so being gone means at once.
async fn stopped(stop: &mut Stop) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(clock::now),
        Err(_) => clock::now(),
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Bytes on their way to the broker.
#[derive(Debug, Default)]
struct Output {
    bytes: BytesMut,
    unflushed: bool,
}

impl Output {
    fn has_work(&self) -> bool {
        !self.bytes.is_empty() || self.unflushed
    }

    /// Writes some bytes, or flushes once all are written. Dropping the future loses nothing.
    async fn write(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if self.bytes.is_empty() {
            writer.flush().await?;
            self.unflushed = false;
            return Ok(());
        }
        self.unflushed = true;
        match writer.write_buf(&mut self.bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            _ => Ok(()),
        }
    }
}
