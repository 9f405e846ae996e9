//! MQTT over WebSocket, with and without TLS: from a page in a real browser, and from Paho.

use gaugeline_tests::{
    browser::{Browser, Page},
    home::Home,
    port, python, requirement,
};
use serde_json::{Value, json};

/// A broker's directory with two WebSocket listeners, one of them with TLS, and their ports.
fn home(origins: &str) -> (Home, u16, u16) {
    let home = Home::new();
    let (open, secure) = (port::free(), port::free());
    let listener = |port: u16, tls: &str| {
        format!("\n[[listener]]\nbind = \"127.0.0.1:{port}\"\nprotocol = \"websocket\"\n{origins}{tls}")
    };
    home.append("broker.toml", &listener(open, ""));
    home.append(
        "broker.toml",
        &listener(secure, "certificate = \"pki/server.crt\"\nkey = \"pki/server.key\"\n"),
    );
    (home, open, secure)
}

#[test]
fn a_page_in_a_browser_connects_subscribes_and_publishes() {
    let html = requirement::repository().join("tests/browser/page.html");
    let page = Page::serve(std::fs::read_to_string(html).unwrap());
    let origins = format!("origins = [\"http://127.0.0.1:{}\"]\n", page.port);
    let (home, open, secure) = home(&origins);
    let closed = port::free();
    home.append(
        "broker.toml",
        &format!(
            "\n[[listener]]\nbind = \"127.0.0.1:{closed}\"\nprotocol = \"websocket\"\n\
             origins = [\"https://example.org\"]\n"
        ),
    );
    let broker = home.broker();
    page.set_plan(
        json!({
            "open": format!("ws://127.0.0.1:{open}/mqtt"),
            "secure": format!("wss://localhost:{secure}/mqtt"),
            "closed": format!("ws://127.0.0.1:{closed}/mqtt"),
            "passwords": { "sensor": home.secret("sensor"), "viewer": home.secret("viewer") },
        })
        .to_string(),
    );
    let Some(mut browser) = Browser::open(&page, &home.path("pki/server.key")) else { return };
    let found = page.result(&mut browser);
    browser.close();
    let found = serde_json::from_str::<Value>(&found).unwrap_or(Value::String(found));
    let refused = format!("no connection to ws://127.0.0.1:{closed}/mqtt");
    assert_eq!(found, json!({ "open": "ok", "secure": "ok", "closed": refused }));
    broker.wait_for_log(&["origins", "403"]);
}

#[test]
fn paho_of_both_versions_publishes_over_websocket() {
    let (home, _, secure) = home("");
    let _broker = home.broker();
    for version in ["3.1.1", "5.0"] {
        let before = home.metric("gaugeline_messages_received_total", "qos=\"1\"");
        let Some(ended) = python::publish_over_websocket(version, &home, secure, "sensors/paho/t", "1.5")
        else {
            return;
        };
        ended.successful();
        assert_eq!(home.metric("gaugeline_messages_received_total", "qos=\"1\""), before + 1.0);
    }
}
