//! The load tester: clients that publish and subscribe through a server, and what comes of it.
//!
//! Two planes, as in the server. Signalling is the calling thread with an async runtime: a task for
//! each client. Media is the workers: threads without one, each with the transports of some
//! clients. Frames go out by a schedule that nothing delays; packets carry who sent them and when, so
//! that latency is measured from payload to payload, by one clock.

mod client;
mod config;
mod failure;
mod latency;
mod payload;
mod plan;
mod resources;
pub mod results;
mod run;
mod sockets;
#[cfg(test)]
mod tests;
mod worker;

pub use self::config::{Faults, LoadConfig, Quality, Target};
pub use self::failure::Stage;
pub use self::run::{LoadError, Outcome, Started, Stop, run, run_until_signal};
pub use self::sockets::{HostSockets, Sockets};
