//! TOAST v2, the multicast transport-sync workload: its wire format, a controller and a peer that
//! speak it, the log each of them keeps, and the score that is read from those logs alone.
//!
//! The protocol cores take time and randomness as arguments and touch no socket;
//! [`controller::run`] and [`peer::run`] put a thin shell of one thread and two sockets around
//! them. Nothing here knows how a link is impaired.

pub mod burst;
pub mod clock;
pub mod config;
pub mod controller;
pub mod dedup;
mod endpoint;
pub mod log;
pub mod peer;
pub mod plan;
mod rng;
pub mod score;
pub mod script;
mod shell;
#[cfg(test)]
mod simulation;
mod stop;
pub mod sync;
mod sys;
#[cfg(test)]
mod testing;
pub mod transport;
pub mod units;
pub mod wire;

pub use shell::{RunError, RunSummary, SocketError};
pub use stop::StopFlag;
