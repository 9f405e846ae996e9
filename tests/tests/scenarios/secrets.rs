//! No password, right or wrong, and no hash is in a log line, in a metric, or in what a command says.

use gaugeline_tests::{
    gaugeline::gaugeline,
    home::Home,
    http,
    mqtt::{Raw, connect_packet},
};

const WRONG: &str = "wr0ng-passw0rd-of-this-test";
const NEW: &str = "n3w-passw0rd-of-this-test";

#[test]
fn passwords_are_nowhere_to_be_read() {
    let home = Home::new();
    home.replace("broker.toml", "log = \"info\"", "log = \"trace\"");
    home.add_user("newcomer", NEW);
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
    // One bad line in the file: it must be named and not quoted.
    home.append("passwd", &format!("plain:{WRONG}\n"));
    let refused = broker.wait_for_log(&["ERROR", "passwd:"]);
    let pages = ["/metrics", "/readyz", "/healthz"].map(|path| http::get(home.admin_port, path));
    let pages = pages.into_iter().flatten().map(|answer| answer.body).collect::<String>();
    let checked = gaugeline(&["check", "-c", &home.argument("broker.toml")]);
    let said = [broker.stdout(), broker.stderr(), pages, refused, checked.stdout, checked.stderr].concat();
    let file = home.read("passwd");
    // USER:$7$ITERATIONS$SALT$HASH
    let hashes =
        file.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit('$').next());
    for secret in hashes.chain([secret.as_str(), WRONG, NEW]).filter(|secret| secret.len() > 8) {
        assert!(!said.contains(secret), "`{secret}` can be read in:\n{said}");
    }
    assert!(said.contains("nobody") && said.contains("passwd:"), "the test looks at the right texts");
}
