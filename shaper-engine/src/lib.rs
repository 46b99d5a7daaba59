//! What an attachment is: programs that decide, what holds packets until their release, and the evidence of what
//! happened. There are two engines: `xsk`, with a delay line, and `edt`, with `fq`.
//!
//! [`Engine::start`] puts it up, [`Engine::stop`] drains it and returns an [`Outcome`]: every record, the
//! oracle's word on them, and the account of packets in and out.

mod account;
pub mod clock;
mod diversion;
mod edt;
mod engine;
mod error;
mod evidence;
mod follow;
mod hold;
mod loaded;
mod outcome;
mod room;
mod spec;
mod thread;
mod xsk;

pub use account::Account;
pub use diversion::impairable;
pub use engine::Engine;
pub use error::Error;
pub use evidence::Keep;
pub use follow::{Chunk, Following, Next};
pub use outcome::{DirectionOutcome, Outcome, Recorded, Snapshot};
pub use room::{Room, Share};
pub use shaper_bpf::{Exclusion, Hook};
pub use shaper_channel::{ChannelSpec, Kept, Mismatch, Rules, Verdict};
pub use shaper_common::layout::Recording;
pub use spec::{Behind, DirectionSpec, EngineKind, LinkSpec, Options, PortMode, Site, SiteSpec};
pub use xsk::RING;
