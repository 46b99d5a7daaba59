//! A channel in userspace: one direction of a link, or one rule in it, with all that decides and all that it remembers.
//!
//! [`Channel`] decides as the kernel does, packet by packet: for previews, and for what is foretold of a run. [`Oracle`]
//! replays the kernel's own records.
#![forbid(unsafe_code)]

mod channel;
mod memory;
mod oracle;
mod spec;
mod trace;
mod window;

pub use channel::Channel;
pub use oracle::{Kept, Mismatch, Oracle, Verdict};
pub use spec::{Changes, ChannelSpec, Rules, Tables, TooMany};
pub use trace::{PacketTrace, Row, StepTrace, Trace, Unfit};
pub use window::{Followed, PacketWindow, StepWindow};
