//! The part of the admin server that needs a token: status, reload, clients, sessions.
//!
//! A page of somebody else in the operator's browser must not be able to use it: the token goes in a header that no page
//! can send without being asked for leave first, which is never given; and the name in `Host` must be this machine's, so
//! that a name that was made to lead here leads nowhere.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{Path, RawQuery, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::Serialize;

use super::{
    away::Forgotten,
    control::{Control, ReloadResult},
};
use crate::{audit::Event, log::Excerpt};

/// Clients on a page, unless asked for another number.
const CLIENTS_DEFAULT: usize = 100;

/// All routes; see the module.
pub(super) fn routes(control: Control) -> Router {
    let control = Arc::new(control);
    Router::new()
        .route("/status", get(status))
        .route("/reload", post(reload))
        .route("/clients", get(clients))
        .route("/clients/{id}", delete(kick))
        .route("/clients/{id}/disconnect", post(kick))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}", get(session).delete(forget))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&control), admit))
        .with_state(control)
}

type Shared = State<Arc<Control>>;

/// What a session took with it.
#[derive(Serialize)]
struct Dropped {
    messages: usize,
}

#[derive(Serialize)]
struct Problem {
    error: String,
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).unwrap_or_default() + "\n";
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], text)
        .into_response()
}

fn problem(status: StatusCode, error: impl Into<String>) -> Response {
    json(status, &Problem { error: error.into() })
}

/// Lets in who shows the token, and writes down what is done with it.
async fn admit(State(control): Shared, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let refused = refusal(&control, request.headers());
    let answer = match refused {
        Some(answer) => answer,
        None => next.run(request).await,
    };
    let status = answer.status();
    // Looking changes nothing; that somebody tries to look without the token matters.
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        control.refusals().admin(method.as_str(), &path, status.as_u16());
    } else if method != Method::GET {
        let event = Event::Admin { method: method.as_str(), path: Excerpt(&path), status: status.as_u16() };
        control.audit().record(event);
    }
    answer
}

fn refusal(control: &Control, headers: &HeaderMap) -> Option<Response> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(names_this_machine) {
        let error = "the host name is not `localhost` or an IP address: ask by one of these";
        return Some(problem(StatusCode::FORBIDDEN, error));
    }
    let Some(token) = control.token.load_full() else {
        let error = "there is no `admin_token_file` in the broker's configuration: make one with \
                     `openssl rand -hex 32`, readable by the broker alone, name it there, and reload with SIGHUP";
        return Some(problem(StatusCode::FORBIDDEN, error));
    };
    let shown = headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    if shown.and_then(|shown| shown.strip_prefix(b"Bearer ")).is_some_and(|shown| token.is(shown)) {
        return None;
    }
    let mut answer =
        problem(StatusCode::UNAUTHORIZED, "expected `Authorization: Bearer TOKEN` with the admin token");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    Some(answer)
}

/// Whether a `Host` header [RFC 9110, section 7.2] names this machine by what nobody else can make lead here.
pub(super) fn names_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || inner.unwrap_or(name).parse::<IpAddr>().is_ok()
}

async fn status(State(control): Shared) -> Response {
    json(StatusCode::OK, &control.status())
}

async fn reload(State(control): Shared) -> Response {
    match control.reload().await {
        Ok(report) => json(StatusCode::OK, &ReloadResult::from(Ok(report))),
        Err(error) => json(StatusCode::UNPROCESSABLE_ENTITY, &ReloadResult::from(Err(error.to_string()))),
    }
}

async fn clients(State(control): Shared, RawQuery(query): RawQuery) -> Response {
    match page(query) {
        Ok((after, limit)) => json(StatusCode::OK, &control.clients(after.as_deref(), limit)),
        Err(problem) => *problem,
    }
}

async fn sessions(State(control): Shared, RawQuery(query): RawQuery) -> Response {
    match page(query) {
        Ok((after, limit)) => json(StatusCode::OK, &control.away(after.as_deref(), limit)),
        Err(problem) => *problem,
    }
}

/// Which page is asked for: behind whom it begins, and how long it is.
fn page(query: Option<String>) -> Result<(Option<String>, usize), Box<Response>> {
    let (mut after, mut limit) = (None, CLIENTS_DEFAULT);
    for (key, value) in form(query.as_deref().unwrap_or_default()) {
        match (key.as_str(), value.parse()) {
            ("after", _) => after = Some(value),
            ("limit", Ok(number)) => limit = number,
            _ => {
                let error = format!("{key}={value}: expected `limit=NUMBER` and `after=CLIENT`");
                return Err(Box::new(problem(StatusCode::BAD_REQUEST, error)));
            }
        }
    }
    Ok((after, limit))
}

async fn kick(State(control): Shared, Path(client): Path<String>) -> Response {
    if control.kick(&client) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let kept = control.session(&client).is_some();
        let hint = if kept { "; it has a session, which `gaugeline forget` ends" } else { "" };
        problem(StatusCode::NOT_FOUND, format!("no client `{client}` is connected{hint}"))
    }
}

async fn forget(State(control): Shared, Path(client): Path<String>) -> Response {
    match control.forget(&client).await {
        Forgotten::Done(messages) => json(StatusCode::OK, &Dropped { messages }),
        Forgotten::NotSafe => {
            let error = format!(
                "the session of `{client}` has ended, but that is not on disk yet: after a crash it may come back; see \
                 /readyz"
            );
            problem(StatusCode::SERVICE_UNAVAILABLE, error)
        }
        Forgotten::Connected => {
            let error = format!(
                "the client `{client}` is connected: end its connection first, with `gaugeline kick`"
            );
            problem(StatusCode::CONFLICT, error)
        }
        Forgotten::Unknown => problem(StatusCode::NOT_FOUND, format!("no client `{client}` has a session")),
    }
}

async fn session(State(control): Shared, Path(client): Path<String>) -> Response {
    match control.session(&client) {
        Some(session) => json(StatusCode::OK, &session),
        None => problem(StatusCode::NOT_FOUND, format!("no client `{client}` has a session")),
    }
}

/// The pairs of a query [URL Standard, section 5.1]. What is no UTF-8 stands there as replacement characters.
fn form(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (decoded(k), decoded(v)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_else_can_give_a_meaning_is_a_host() {
        for (host, expected) in [
            ("localhost", true),
            ("LocalHost:9883", true),
            ("127.0.0.1:9883", true),
            ("[::1]:9883", true),
            ("[::1]", true),
            ("192.0.2.7", true),
            ("", false),
            ("evil.example:9883", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("localhost:9883@evil.example", false),
        ] {
            assert_eq!(names_this_machine(host), expected, "{host}");
        }
    }

    #[test]
    fn a_query_is_decoded() {
        let pairs = form("after=a%2Fb+c&limit=7&&x");
        let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>();
        assert_eq!(pairs, [("after", "a/b c"), ("limit", "7"), ("x", "")]);
        assert_eq!(decoded("100%"), "100%");
    }
}
