//! A server and clients of it, on loopback, each client's media by str0m and on the real clock. Nobody
//! sleeps: clients are pumped until what is waited for is there, or a deadline is over.

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
