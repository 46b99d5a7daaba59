//! A server and clients of it, on loopback, each client's media by str0m and on the real clock. Nobody
//! sleeps for a time: clients are pumped until what is waited for is there, or a deadline is over.

mod chat;
mod http;
mod malformed;
mod media;
mod path;
mod peer;
mod sdp;
mod sessions;
mod signalling;
mod simulcast;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{ServeConfig, Server};

/// Starts a server on ports that are free.
fn serve(config: ServeConfig) -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(ServeConfig { listen, pin: false, ..config }).unwrap()
}

/// The value of a metric.
fn metric(server: &Server, name: &str) -> u64 {
    let text = server.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("shaper_webrtc_{name} ")));
    line.unwrap_or_else(|| panic!("no metric {name}")).parse().unwrap()
}

/// Waits for metrics.
fn until(server: &Server, what: &str, holds: impl Fn(&Server) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds(server) {
        assert!(Instant::now() < deadline, "{what}: not within a minute\n{}", server.metrics());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until a counter has come to a value, and asserts that it went no further.
fn counts(server: &Server, name: &str, value: u64) {
    until(server, name, |server| metric(server, name) >= value);
    assert_eq!(metric(server, name), value, "{name}");
}
