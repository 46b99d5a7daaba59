//! What an attachment is: the programs on the ports of a link, the delay line between them, and the
//! evidence of what happened.
//!
//! [`Engine::start`] puts it up, [`Engine::stop`] drains it and returns an [`Outcome`]: every record, the
//! oracle's word on them, and the account of packets in and out.

mod account;
pub mod clock;
mod diversion;
mod error;
mod evidence;
mod outcome;
mod spec;
mod xsk;

pub use account::Account;
pub use diversion::impairable;
pub use error::Error;
pub use evidence::Keep;
pub use outcome::{DirectionOutcome, Outcome, Recorded, Snapshot};
pub use shaper_bpf::{Exclusion, Hook};
pub use shaper_channel::{ChannelSpec, Mismatch, Rules, Verdict};
pub use shaper_common::layout::Recording;
pub use spec::{Behind, DirectionSpec, LinkSpec, Options, Site, SiteSpec};
pub use xsk::{Engine, RING};
