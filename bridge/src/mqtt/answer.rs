//! What the broker answers to CONNECT and SUBSCRIBE, and with what it ends a connection.

use std::time::Instant;

use gaugeline_protocol::{
    QoS, ReasonCode, TopicFilter,
    packet::{ConnAckProperties, RetainHandling, SubAck, SubscribeFilter, UnsubAck},
};
use tracing::{info, warn};

use super::{Source, failure::Failure};
use crate::{
    config::MqttConfig,
    status::{Part, Severity},
};

impl Source {
    pub(super) fn connected(
        &mut self,
        session_present: bool,
        properties: &ConnAckProperties,
        now: Instant,
    ) -> Result<(), Failure> {
        self.reconnect.online(now);
        self.metrics.connections.inc();
        self.metrics.connected.set(1);
        if !session_present {
            self.carried.clear();
            self.remembered.forget();
        }
        let (url, id) = (&self.config.url, &self.config.client_id);
        let session = if session_present { "resumed" } else { "new" };
        info!("connected to {url} as {id:?}, session {session}", id = id.as_str());
        if let Some(seconds) = properties.session_expiry_seconds
            && seconds < self.config.session_expiry_seconds
        {
            let wanted = self.config.session_expiry_seconds;
            warn!("the broker keeps messages for {seconds} s while the bridge is away, not {wanted} s");
        }
        let filter = |filter: &TopicFilter| SubscribeFilter {
            retain_handling: RetainHandling::OnNewSubscribe,
            ..SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce)
        };
        self.client
            .subscribe(self.config.topics.iter().map(filter).collect(), None)
            .map_err(|error| Failure::lasting("subscribe", format!("cannot subscribe: {error}")))?;
        let removed = self.remembered.beyond(&self.config.topics);
        self.remembered.add(&self.config.topics);
        if !removed.is_empty() {
            self.client
                .unsubscribe(removed)
                .map_err(|error| Failure::lasting("subscribe", format!("cannot unsubscribe: {error}")))?;
        }
        Ok(())
    }

    /// The topics that the session had too much are gone.
    pub(super) fn unsubscribed(&mut self, ack: &UnsubAck) {
        let removed = self.remembered.beyond(&self.config.topics);
        for (filter, reason) in removed.iter().zip(&ack.reasons) {
            match reason.is_error() {
                false => info!("unsubscribed from `{filter}`, which is not in `topics` any more"),
                true => warn!("the broker keeps the subscription to `{filter}`: {reason}"),
            }
        }
        if ack.reasons.iter().all(|reason| !reason.is_error()) {
            self.remembered.replace(&self.config.topics);
        }
    }

    pub(super) fn subscribed(&self, ack: &SubAck, now: Instant) {
        self.status.working(Part::Broker, now);
        let answers = || self.config.topics.iter().zip(&ack.reasons);
        for (filter, _) in answers().filter(|(_, reason)| **reason == ReasonCode::Success) {
            warn!("the broker grants only QoS 0 for `{filter}`: messages may be lost");
        }
        let refused: Vec<String> = answers()
            .filter(|(_, reason)| reason.is_error())
            .map(|(filter, reason)| format!("`{filter}` ({reason})"))
            .collect();
        if refused.is_empty() {
            self.status.working(Part::Subscription, now);
            return;
        }
        let user = self.config.user.as_deref().unwrap_or("anonymous");
        let detail = format!("to {} was refused: may the user {user:?} read it?", refused.join(", "));
        self.status.failing(Part::Subscription, "refused", Severity::NeedsAttention, &detail, now);
    }

    pub(super) fn refused(&self, reason: ReasonCode, text: Option<&str>) -> Failure {
        let MqttConfig { url, user, password_file, .. } = &self.config;
        let advice = match (reason, user, password_file) {
            (ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized, None, _) => {
                ": it wants a `user` and a `password_file`".to_owned()
            }
            (ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized, Some(user), Some(file)) => {
                format!(": check the user {user:?} and the password in {}", file.display())
            }
            (ReasonCode::UnsupportedProtocolVersion, ..) => {
                ": the bridge needs a broker that speaks MQTT 5".to_owned()
            }
            _ => String::new(),
        };
        let text = text.map(|text| format!(" ({text:?})")).unwrap_or_default();
        let detail = format!("was refused by {url}: {reason}{text}{advice}");
        match reason {
            ReasonCode::ServerUnavailable | ReasonCode::ServerBusy | ReasonCode::ConnectionRateExceeded => {
                Failure::passing("busy", detail)
            }
            _ => Failure::lasting("refused", detail),
        }
    }

    pub(super) fn disconnected(&self, reason: ReasonCode, text: Option<&str>) -> Failure {
        let text = text.map(|text| format!(" ({text:?})")).unwrap_or_default();
        let detail = format!("was ended by the broker: {reason}{text}");
        match reason {
            ReasonCode::SessionTakenOver => Failure::lasting(
                "taken_over",
                format!(
                    "{detail}: is another bridge running with the client id {:?}?",
                    self.config.client_id.as_str()
                ),
            ),
            ReasonCode::ServerShuttingDown | ReasonCode::ServerBusy => Failure::passing("lost", detail),
            _ => Failure::lasting("ended", detail),
        }
    }
}
