//! The delay line: holds each packet that an XDP program handed over until its release time, then sends it.
//!
//! `wheel` orders packets by release time, `pool` keeps free frames, `copies` makes copies of packets, `port` sends in
//! order, `forwarder` is the loop on a thread of its own; `control` and `monitor` are how other threads end and watch
//! it, `released` the log of what left when, `sizing` how many frames it takes.

mod control;
mod copies;
mod error;
mod forwarder;
mod monitor;
mod pool;
mod port;
mod released;
mod sizing;
mod sys;
mod wheel;

pub use control::Control;
pub use error::DelayLineError;
pub use forwarder::{Config, DelayLine, Ended, Outcome};
pub use monitor::{Counts, Monitor};
pub use pool::FramePool;
pub use port::Port;
pub use released::{Released, lateness_histogram};
pub use sizing::Sizing;
pub use sys::monotonic;
pub use wheel::{Due, Wheel};
