//! How many messages a second the bridge writes into a real InfluxDB 1.x, acknowledgements included.
//!
//! `cargo bench -p gaugeline-bridge` prints messages a second and the CPU seconds of the bridge and of influxd. The
//! broker is a thread of this program that has the messages ready and keeps to the bridge's Receive Maximum, so that
//! neither a broker nor a generator is measured.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic ends the benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use gaugeline_bridge::{Bridge, Config};
use support::Influxd;

const MESSAGES: usize = 2_000_000;
const DEVICES: usize = 1000;
const WINDOW: usize = 65_535;

fn main() {
    let messages = std::env::var("MESSAGES").map_or(MESSAGES, |count| count.parse().unwrap());
    let Some(influxd) = Influxd::start() else { return };
    for (name, payload) in [
        ("a number to a topic", scalar as fn(usize) -> (String, String)),
        ("a JSON object of 3 fields", object),
    ] {
        run(name, &influxd, messages, payload);
    }
}

fn scalar(number: usize) -> (String, String) {
    (format!("sensors/dev{:04}/temperature", number % DEVICES), format!("{}.{}", number % 90, number % 10))
}

fn object(number: usize) -> (String, String) {
    let topic = format!("sensors/dev{:04}", number % DEVICES);
    (topic, format!("{{\"temp\":{}.5,\"hum\":{},\"on\":true}}", number % 90, number % 100))
}

fn run(name: &str, influxd: &Influxd, messages: usize, message: fn(usize) -> (String, String)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let database = name.replace(' ', "_");
    let text = format!(
        "[mqtt]\nurl = \"mqtt://{}\"\n[[rule]]\ntopic = \"sensors/{{device}}/{{field}}\"\n\
         [[rule]]\ntopic = \"sensors/{{device}}\"\n\
         [sink]\nkind = \"influx1\"\nurl = \"{}\"\ndatabase = \"{database}\"\n",
        listener.local_addr().unwrap(),
        influxd.url()
    );
    let config = Config::parse(&directory.path().join("bridge.toml"), &text).unwrap();
    // As many as the payloads repeat, twice over.
    let packets: Vec<Vec<u8>> = (0..9000).map(|number| publish(&message(number))).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bridge = runtime.block_on(Bridge::start(config)).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    log_in(&mut stream);
    let influxd_before = cpu_seconds(influxd.pid());
    let own_before = cpu_seconds(std::process::id());
    let start = clock();
    let own_thread = serve(&mut stream, &packets, messages);
    let elapsed = (clock() - start).as_secs_f64();
    let own = cpu_seconds(std::process::id()) - own_before - own_thread;
    let influxd_cpu = cpu_seconds(influxd.pid()) - influxd_before;
    let peak = peak_bytes() >> 20;
    assert!(runtime.block_on(bridge.shutdown(Duration::from_secs(10))));
    let field = if database.contains("JSON") { "temp" } else { "temperature" };
    let stored = runtime.block_on(influxd.count(&database, "sensors", field));
    let rate = messages as f64 / elapsed;
    println!(
        "{name}: {rate:.0} messages/s, {stored} of {messages} stored; CPU seconds: bridge {own:.2}, influxd \
         {influxd_cpu:.2}, generator {own_thread:.2}; peak memory of all but influxd {peak} MiB"
    );
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

/// A PUBLISH of QoS 1 whose packet identifier, to be filled in, follows the topic.
fn publish((topic, payload): &(String, String)) -> Vec<u8> {
    let length = 2 + topic.len() + 2 + 1 + payload.len();
    assert!(length < 128);
    let mut packet = vec![0x32, length as u8, 0, topic.len() as u8];
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(&[0, 0, 0]);
    packet.extend_from_slice(payload.as_bytes());
    packet
}

fn log_in(stream: &mut TcpStream) {
    let mut buffer = [0; 1024];
    assert_eq!(stream.read(&mut buffer).map(|_| buffer[0]).unwrap(), 0x10, "CONNECT");
    stream.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
    assert_eq!(stream.read(&mut buffer).map(|_| buffer[0]).unwrap(), 0x82, "SUBSCRIBE");
    stream.write_all(&[0x90, 4, buffer[2], buffer[3], 0, 1]).unwrap();
}

/// Sends everything and waits for all acknowledgements; the CPU seconds that took this thread.
fn serve(stream: &mut TcpStream, packets: &[Vec<u8>], messages: usize) -> f64 {
    let before = thread_cpu_seconds();
    let (mut sent, mut acknowledged, mut partial) = (0, 0, 0);
    let mut out = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    while acknowledged < messages {
        out.clear();
        while sent < messages && sent - acknowledged < WINDOW && out.len() < 64 * 1024 {
            let packet = &packets[sent % packets.len()];
            let start = out.len();
            out.extend_from_slice(packet);
            let id = u16::try_from(sent % 65_535 + 1).unwrap();
            let at = start + 4 + usize::from(packet[3]);
            out[at..at + 2].copy_from_slice(&id.to_be_bytes());
            sent += 1;
        }
        stream.write_all(&out).unwrap();
        // Without anything to send, wait; otherwise take what is there.
        stream.set_nonblocking(!out.is_empty()).unwrap();
        match stream.read(&mut buffer) {
            Ok(read) => {
                assert_ne!(read, 0, "the bridge closed");
                acknowledged += (partial + read) / 4;
                partial = (partial + read) % 4;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        stream.set_nonblocking(false).unwrap();
    }
    thread_cpu_seconds() - before
}

/// User and system time of a process, in seconds: fields 14 and 15 of its stat, in hundredths.
fn cpu_seconds(pid: u32) -> f64 {
    ticks(&format!("/proc/{pid}/stat"))
}

fn thread_cpu_seconds() -> f64 {
    ticks("/proc/thread-self/stat")
}

fn ticks(path: &str) -> f64 {
    let stat = std::fs::read_to_string(path).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// The most memory that this process has had.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
