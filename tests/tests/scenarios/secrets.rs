//! No password, right or wrong, no hash and no token is in a log line, in the audit log, in a metric, in an answer of the
//! admin server, or in what a command says.

use gaugeline_tests::{
    gaugeline::gaugeline,
    home::Home,
    http,
    mqtt::{Raw, connect_packet},
    wait,
};

const WRONG: &str = "wr0ng-passw0rd-of-this-test";
const NEW: &str = "n3w-passw0rd-of-this-test";

#[test]
fn passwords_are_nowhere_to_be_read() {
    let home = Home::new();
    home.replace("broker.toml", "log = \"info\"", "log = \"trace\"");
    home.add_user("newcomer", NEW);
    home.append("broker.toml", "\n[audit]\nfile = \"audit.jsonl\"\n");
    let broker = home.broker();
    let secret = home.secret("sensor");
    for level in [3, 4, 5] {
        for (user, password) in
            [("sensor", secret.as_str()), ("newcomer", NEW), ("sensor", WRONG), ("nobody", WRONG)]
        {
            let mut raw = Raw::connect(home.plain_port);
            raw.write(&connect_packet(level, &format!("{user}-{level}"), Some(user), Some(password)));
            raw.read_packet().unwrap();
        }
        // A password where the user name belongs, and a CONNECT that ends within the password.
        let mut raw = Raw::connect(home.plain_port);
        let whole = connect_packet(level, "short", Some("sensor"), Some(&secret));
        raw.write(&whole[..whole.len() - 5]);
    }
    let mut watched = Raw::connect(home.plain_port);
    watched.write(&connect_packet(4, "watched", Some("sensor"), Some(&secret)));
    watched.read_packet().unwrap();
    let operator = home.secret("admin");
    let operated = ["/status", "/clients", "/sessions/watched"].map(|path| {
        let answer = http::get_with_token(home.admin_port, path, &operator).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    });
    assert!(operated[1].contains("watched") && operated[2].contains("watched"), "{operated:?}");
    http::get_with_token(home.admin_port, "/status", WRONG).unwrap();
    // One bad line in the file: it must be named and not quoted.
    home.append("passwd", &format!("plain:{WRONG}\n"));
    let refused = broker.wait_for_log(&["ERROR", "passwd:"]);
    let pages = ["/metrics", "/readyz", "/healthz"].map(|path| http::get(home.admin_port, path));
    let pages = pages.into_iter().flatten().map(|answer| answer.body).collect::<String>();
    let checked = gaugeline(&["check", "-c", &home.argument("broker.toml")]);
    let audited = wait::until("the audit log", || {
        Some(home.read("audit.jsonl")).filter(|text| text.contains("\"login_refused\""))
    });
    let (logged, operated) = ([broker.stdout(), broker.stderr()].concat(), operated.concat());
    let said = [logged, pages, operated, audited, refused, checked.stdout, checked.stderr].concat();
    let file = home.read("passwd");
    // USER:$7$ITERATIONS$SALT$HASH
    let hashes =
        file.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit('$').next());
    for secret in hashes.chain([secret.as_str(), &operator, WRONG, NEW]).filter(|secret| secret.len() > 8) {
        assert!(!said.contains(secret), "`{secret}` can be read in:\n{said}");
    }
    assert!(said.contains("nobody") && said.contains("passwd:"), "the test looks at the right texts");
}
