//! What `gaugeline up` prints once it is ready: where everything is, and commands to paste.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use gaugeline_broker::Bound;

use crate::init::{CA_CERTIFICATE, SENSOR, VIEWER, secret_file};

/// All that the text is made of.
#[derive(Debug)]
pub(super) struct Banner<'a> {
    /// How this program was called, for the commands to paste.
    pub(super) program: &'a str,
    /// The data directory, absolute: the commands work from anywhere.
    pub(super) directory: &'a Path,
    /// The broker's listeners.
    pub(super) bound: &'a [Bound],
    /// Where metrics and health are served.
    pub(super) admin: Option<SocketAddr>,
    /// Where the data goes.
    pub(super) data: Data,
    /// Why it does not go there yet, one sentence each.
    pub(super) problems: &'a [String],
}

/// Where the data goes, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// Files in this directory.
    Files(PathBuf),
    /// InfluxDB 1 at this address, with this database.
    Influx1 { url: String, host: String, port: u16, database: String },
    /// Another server.
    Server(String),
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problems.is_empty() {
            writeln!(f, "\ngaugeline is ready.\n")?;
        } else {
            writeln!(f, "\ngaugeline takes messages, but they wait in the broker:\n")?;
            self.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))?;
            writeln!(f)?;
        }
        for bound in self.bound {
            // Longer names push their address to the right.
            writeln!(f, "  {:17} {}", bound.kind(), reach(bound.address))?;
        }
        if let Some(admin) = self.admin {
            writeln!(f, "  {:18}http://{admin}/metrics  /healthz  /readyz", "metrics, health")?;
        }
        match &self.data {
            Data::Files(directory) => writeln!(f, "  {:18}files in {}", "data", directory.display())?,
            Data::Influx1 { url, database, .. } => {
                writeln!(f, "  {:18}InfluxDB 1 at {url}, database {database}", "data")?;
            }
            Data::Server(server) => writeln!(f, "  {:18}{server}", "data")?,
        }
        if let Some(bound) = self.bound.iter().find(|bound| bound.tls && !bound.websocket) {
            self.commands(f, bound.address)?;
        }
        write!(f, "\nCtrl-C ends it in order.")
    }
}

impl Banner<'_> {
    /// The commands to try next.
    fn commands(&self, f: &mut fmt::Formatter<'_>, address: SocketAddr) -> fmt::Result {
        let path = |name: &str| quote(&self.directory.join(name).display().to_string()).into_owned();
        let (host, port) = (host(address.ip()), address.port());
        let ca = path(CA_CERTIFICATE);
        let login = |user| format!("-u {user} -P \"$(cat {})\"", path(&secret_file(user)));
        let message = "-q 1 -t sensors/kitchen/temperature -m 21.5";
        let program = quote(self.program);
        let sensor = login(SENSOR);
        writeln!(f, "\nSend a value:")?;
        writeln!(f, "  mosquitto_pub -h {host} -p {port} --cafile {ca} {sensor} {message}")?;
        writeln!(f, "  {program} pub -h {host} -p {port} --cafile {ca} {sensor} {message}")?;
        writeln!(f, "Watch what arrives:")?;
        writeln!(f, "  {program} sub -h {host} -p {port} --cafile {ca} {} -v -t 'sensors/#'", login(VIEWER))?;
        match &self.data {
            Data::Files(directory) => {
                let directory = quote(&directory.display().to_string()).into_owned();
                writeln!(f, "See the data:\n  tail -f {directory}/*")
            }
            Data::Influx1 { host, port, database, .. } => {
                write!(f, "See the data:\n  influx ")?;
                if (host.as_str(), *port) != ("127.0.0.1", 8086) {
                    write!(f, "-host {} -port {port} ", quote(host))?;
                }
                writeln!(f, "-database {} -execute 'select * from sensors limit 10'", quote(database))
            }
            Data::Server(_) => Ok(()),
        }
    }
}

/// An address in words.
fn reach(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("port {} on every address of this machine", address.port())
    } else {
        address.to_string()
    }
}

/// The name that a client on this machine connects to. By name where possible: that is in the certificate.
pub(super) fn host(ip: IpAddr) -> String {
    if ip.is_unspecified() || ip.is_loopback() { "localhost".to_owned() } else { ip.to_string() }
}

/// The text as one word of a shell.
fn quote(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_hold_real_paths_and_ports() {
        let banner = Banner {
            program: "/opt/my tools/gaugeline",
            directory: Path::new("/srv/it's here"),
            bound: &[
                Bound { address: "127.0.0.1:1883".parse().unwrap(), tls: false, websocket: false },
                Bound { address: "0.0.0.0:8884".parse().unwrap(), tls: true, websocket: true },
                Bound { address: "0.0.0.0:4711".parse().unwrap(), tls: true, websocket: false },
            ],
            admin: Some("127.0.0.1:9883".parse().unwrap()),
            data: Data::Influx1 {
                url: "http://a:8086".to_owned(),
                host: "a".to_owned(),
                port: 8086,
                database: "t".to_owned(),
            },
            problems: &[],
        };
        let problems = ["the sink is away".to_owned()];
        let waiting = Banner { problems: &problems, data: Data::Server("s".to_owned()), ..banner };
        let text = waiting.to_string();
        assert!(
            text.contains("takes messages, but they wait in the broker:\n\n  the sink is away\n"),
            "{text}"
        );
        assert!(!text.contains("ready."), "{text}");
        let text = banner.to_string();
        assert!(text.contains("gaugeline is ready."), "{text}");
        for part in [
            "port 4711 on every address",
            "MQTT in WebSockets over TLS port 8884",
            "127.0.0.1:1883",
            "http://127.0.0.1:9883/metrics",
            "InfluxDB 1 at http://a:8086, database t",
            r#"mosquitto_pub -h localhost -p 4711 --cafile '/srv/it'\''s here/pki/ca.crt' -u sensor"#,
            r#"-P "$(cat '/srv/it'\''s here/secrets/sensor')" -q 1 -t "#,
            "'/opt/my tools/gaugeline' pub -h localhost -p 4711",
            "influx -host a -port 8086 -database t -execute 'select * from sensors",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_listener_on_one_address_is_reached_there() {
        assert_eq!(host("192.0.2.7".parse().unwrap()), "192.0.2.7");
        assert_eq!(host("::".parse().unwrap()), "localhost");
        assert_eq!(quote("/a/b-c"), "/a/b-c");
        assert_eq!(quote(""), "''");
    }
}
