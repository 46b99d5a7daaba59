//! What people write about a link, compiled to integers.
//!
//! [`presets::load`] finds a profile by name or path, [`overrides::Overrides`] changes it by flags,
//! [`compile`] makes of it the integers that `shaper_common::pipeline::decide` takes, and
//! [`expected::Expected`] says beforehand what comes out: the configured distribution after its cut at
//! zero, the largest delay, the outages, the shift by a kept order, and warnings where a setting bends itself.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod compile;
pub mod configured;
pub mod describe;
pub mod distribution;
pub mod effect;
pub mod error;
pub mod exchange;
pub mod expectation;
pub mod expected;
pub mod filter;
pub mod held;
pub mod loss;
mod names;
pub mod outages;
pub mod overrides;
pub mod presets;
pub mod profile;
pub mod quantity;
mod read;
pub mod scenario;
pub mod shift;
pub mod trace;

pub use compile::{Compile, CompiledDirection, CompiledLink};
pub use configured::Configured;
pub use error::{CompileError, Invalid, ProfileError};
pub use expectation::Expectation;
pub use expected::Expected;
pub use filter::{Filter, FilterError, RuleSet, RuleSetError};
pub use held::Held;
pub use loss::Loss;
pub use overrides::{OverrideError, Overrides};
pub use presets::{list, load};
pub use profile::{Change, Direction, Distribution, Link, Order, Outages, Patch, Profile, RuleProfile, Scheduled};
