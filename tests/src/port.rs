//! Loopback ports that nobody uses.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range from which the system takes the local ports of outgoing connections, so that no client of another
/// test takes a port between the look here and the start of the server.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// A port on which nothing listens. No two calls of one process return the same; two processes at the same time begin
/// at different places.
///
/// # Panics
/// If none is free.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(u64::from(std::process::id()) * 61 % u64::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + step % COUNT) % COUNT;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
