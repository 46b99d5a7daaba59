//! A load against a server on loopback.

mod changes;
mod counts;
mod failures;
mod sdp;

use std::net::SocketAddr;
use std::time::Duration;

use super::{LoadConfig, Outcome, Stop, run};
use crate::serve::{ServeConfig, Server};

/// Starts a server on ports that are free.
fn serve(config: ServeConfig) -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(ServeConfig { listen, pin: false, ..config }).unwrap()
}

/// A few clients with little video, for seconds.
fn config(server: &Server) -> LoadConfig {
    LoadConfig {
        server: format!("ws://{}/ws", server.listening()),
        duration: Duration::from_secs(3),
        ramp_up: Some(Duration::from_millis(500)),
        drain: Duration::from_secs(2),
        timeout: Duration::from_secs(60),
        quality: super::Quality::P480,
        workers: Some(1),
        ..LoadConfig::default()
    }
}

fn load(config: LoadConfig) -> Outcome {
    run(config, &Stop::new(), |_| {}).unwrap()
}
