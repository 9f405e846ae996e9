//! The values of labels: why something was refused, dropped or ended.

use gaugeline_protocol::QoS;

/// The values of a label, known in advance.
pub trait Reason: Copy + Eq + 'static {
    /// Every value, in the order of [`Self::index`].
    const ALL: &'static [Self];
    /// The position in [`Self::ALL`].
    fn index(self) -> usize;
    /// The value of the label.
    fn label(self) -> &'static str;
}

/// Declares an enum of label values: variant, text, meaning.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl Reason for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            fn index(self) -> usize {
                self as usize
            }
            fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

reasons! {
    /// Why an open connection ended.
    CloseReason {
        /// The client sent DISCONNECT.
        ClientDisconnect = "client_disconnect",
        /// The connection broke or ended without DISCONNECT.
        ConnectionLost = "connection_lost",
        /// Nothing came for one and a half keep-alive times.
        KeepAliveTimeout = "keep_alive_timeout",
        /// The client broke the protocol.
        ProtocolError = "protocol_error",
        /// A packet over a limit.
        PacketTooLarge = "packet_too_large",
        /// The client exceeded its quota or the receive maximum.
        QuotaExceeded = "quota_exceeded",
        /// Another connection took over the session.
        TakenOver = "taken_over",
        /// The client did not read what was sent to it.
        SlowConsumer = "slow_consumer",
        /// The user was removed or lost the right to connect.
        NotAuthorized = "not_authorized",
        /// The broker stops.
        Shutdown = "shutdown",
        /// A fault of the broker, its disk for instance.
        Internal = "internal",
    }
}

reasons! {
    /// Why a connection did not get as far as a session.
    RefusalReason {
        /// No user name, unknown user, no or wrong password.
        NotAuthorized = "not_authorized",
        /// Too many connections, or too many that wait for their password check.
        ServerBusy = "server_busy",
        /// More connections than the limit, in total.
        TooManyConnections = "too_many_connections",
        /// More connections than the limit, from one address.
        TooManyFromAddress = "too_many_from_address",
        /// More connections than the limit of their listener.
        TooManyOnListener = "too_many_on_listener",
        /// More connections that are not let in yet than the limit.
        TooManyPending = "too_many_pending",
        /// More connections that are not let in yet than the limit, from one address.
        TooManyPendingFromAddress = "too_many_pending_from_address",
        /// Closed for another one that wants to come in, because it kept the broker waiting, or many came from its address.
        Displaced = "displaced",
        /// All CONNECT packets together have more bytes than the limit.
        ConnectBytesTotal = "connect_bytes_total",
        /// An address that its listener does not take clients from.
        Network = "network",
        /// Connections of the address or of the user come too fast.
        TooFast = "too_fast",
        /// More connections than the limit, of one user.
        TooManyOfUser = "too_many_of_user",
        /// The address or the user has to wait after failed logins.
        LoginBackoff = "login_backoff",
        /// CONNECT did not come in time.
        ConnectTimeout = "connect_timeout",
        /// The first packet was not a valid CONNECT.
        MalformedConnect = "malformed_connect",
        /// The TLS handshake failed.
        TlsHandshake = "tls_handshake",
        /// The request did not open a WebSocket.
        WebSocketHandshake = "websocket_handshake",
        /// The script of a page that is not among the origins of a WebSocket listener.
        Origin = "origin",
        /// A version other than 3.1, 3.1.1 and 5.0.
        ProtocolVersion = "protocol_version",
        /// A client identifier that is not allowed.
        ClientId = "client_id",
        /// A keep-alive that is longer than allowed, or none.
        KeepAlive = "keep_alive",
        /// A will that may not be published.
        Will = "will",
        /// An authentication method that is not supported.
        AuthenticationMethod = "authentication_method",
        /// The connection ended before CONNECT was there.
        ConnectionLost = "connection_lost",
        /// The broker stops.
        Shutdown = "shutdown",
    }
}

reasons! {
    /// Why a message was not delivered to someone who would have got it, or not taken.
    DropReason {
        /// The session's queue is at its limit.
        QueueFull = "queue_full",
        /// A QoS 0 message to a client that does not keep up.
        SlowConsumer = "slow_consumer",
        /// The message expiry interval has passed.
        Expired = "expired",
        /// Larger than the client's maximum packet size.
        TooLarge = "too_large",
        /// A payload over the limit `payload_bytes`.
        PayloadLimit = "payload_limit",
        /// A topic that is too long behind the mount point of its listener.
        TopicTooLong = "topic_too_long",
        /// The subscriber may not read the topic.
        AclRead = "acl_read",
        /// The publisher may not write the topic.
        AclWrite = "acl_write",
        /// The will's topic may not be written.
        AclWill = "acl_will",
        /// The session ended with messages in its queue.
        SessionEnded = "session_ended",
        /// The retained store is at its limit.
        RetainedFull = "retained_full",
        /// All queues together are at their limit.
        TotalQueueFull = "total_queue_full",
        /// The broker stopped before the message was sent.
        Shutdown = "shutdown",
    }
}

reasons! {
    /// What became of a reload.
    Reload {
        /// What the files say holds.
        Done = "done",
        /// A file has a mistake: everything is as before.
        Refused = "refused",
    }
}

reasons! {
    /// The three qualities of service.
    QosLabel {
        /// At most once.
        AtMostOnce = "0",
        /// At least once.
        AtLeastOnce = "1",
        /// Exactly once.
        ExactlyOnce = "2",
    }
}

impl From<QoS> for QosLabel {
    fn from(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::AtMostOnce,
            QoS::AtLeastOnce => Self::AtLeastOnce,
            QoS::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}
