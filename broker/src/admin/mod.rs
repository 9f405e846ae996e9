//! The HTTP server for operators: `/metrics`, `/healthz`, `/readyz`, and for a broker what `api.rs` adds, behind a token.
//!
//! It has a thread and a runtime of its own, so that it answers while the data plane is saturated. Metrics and health ask
//! for no password and tell no secrets; the configuration keeps the server on loopback unless told otherwise.

mod api;
mod away;
mod bounded_listener;
mod control;
mod readiness;
mod token;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use tokio::sync::oneshot;

use self::bounded_listener::BoundedListener;
pub use self::readiness::{Component, Readiness};
pub(crate) use self::{control::Control, token::AdminToken};
use crate::metrics::MetricsSource;

/// What Prometheus expects of this format [OpenMetrics 1.0].
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why the admin server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken or not ours.
    #[error(
        "the admin server cannot listen on {address}: {error}; choose another address with `admin = \"IP:PORT\"`, or \"off\""
    )]
    Bind {
        /// What was configured.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The system gives no thread or no event queue.
    #[error("the admin server cannot start: {0}")]
    Start(std::io::Error),
}

/// A running admin server. Dropping it stops it.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    /// Dropped to stop the server.
    _stop: oneshot::Sender<()>,
}

#[derive(Clone)]
struct Sources {
    metrics: Arc<[Arc<dyn MetricsSource>]>,
    readiness: Readiness,
}

impl AdminServer {
    /// Listens and serves. Port 0 lets the system choose; see [`Self::address`].
    pub fn start(
        address: SocketAddr,
        metrics: Vec<Arc<dyn MetricsSource>>,
        readiness: Readiness,
    ) -> Result<Self, AdminError> {
        Self::start_with(address, metrics, readiness, None)
    }

    /// As [`Self::start`], with what operators can ask of a broker.
    pub(crate) fn start_with(
        address: SocketAddr,
        metrics: Vec<Arc<dyn MetricsSource>>,
        readiness: Readiness,
        control: Option<Control>,
    ) -> Result<Self, AdminError> {
        let bind = |error| AdminError::Bind { address, error };
        let listener = TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let actual = listener.local_addr().map_err(bind)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AdminError::Start)?;
        let listener = {
            let _guard = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(AdminError::Start)?
        };
        let (stop, stopped) = oneshot::channel();
        let routes = routes(Sources { metrics: metrics.into(), readiness }, actual);
        let routes = match control {
            Some(control) => routes.merge(api::routes(control)),
            None => routes,
        };
        let serve = async move {
            tokio::select! {
                // An error here is an error of accept, which axum retries itself.
                _ = axum::serve(BoundedListener::new(listener), routes) => {}
                // The sender never sends: this ends when it is dropped.
                _ = stopped => {}
            }
        };
        thread::Builder::new()
            .name("admin".into())
            .spawn(move || runtime.block_on(serve))
            .map_err(AdminError::Start)?;
        Ok(Self { address: actual, _stop: stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A page in a browser on this machine must not read the numbers by a name that was made to lead here. Only on loopback: on
/// a network, scrapers ask by names that the broker cannot know, and whoever is there can ask without a page.
fn routes(sources: Sources, address: SocketAddr) -> Router {
    let told =
        Router::new().route("/metrics", get(metrics)).route("/readyz", get(readyz)).with_state(sources);
    let told = if address.ip().to_canonical().is_loopback() {
        told.route_layer(middleware::from_fn(only_by_our_names))
    } else {
        told
    };
    told.route("/healthz", get(async || "ok\n"))
}

/// Whoever is no browser may leave the name out.
async fn only_by_our_names(request: Request, next: Next) -> Response {
    match request.headers().get(header::HOST) {
        Some(host) if !host.to_str().is_ok_and(api::names_this_machine) => {
            let error = "the host name is not `localhost` or an IP address: ask by one of these\n";
            (StatusCode::FORBIDDEN, error).into_response()
        }
        _ => next.run(request).await,
    }
}

async fn metrics(State(sources): State<Sources>) -> impl IntoResponse {
    let mut text = String::new();
    let encoded = sources
        .metrics
        .iter()
        .try_for_each(|source| encode_registry(&mut text, source.registry()))
        .and_then(|()| encode_eof(&mut text));
    match encoded {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            error.to_string(),
        ),
    }
}

async fn readyz(State(sources): State<Sources>) -> impl IntoResponse {
    let report = sources.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&report).unwrap_or_default() + "\n";
    (status, [(header::CONTENT_TYPE, "application/json")], body)
}

#[cfg(test)]
mod tests;
