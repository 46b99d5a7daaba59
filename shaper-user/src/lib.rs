//! The parts of the `shaper` command.
//!
//! `cli` has one file a subcommand, `run` the whole experiment, `workload` what drives traffic through
//! it, `preview` what a link does to a stream without a run, `apply` one interface that is impaired, `stored` a run's
//! directory read back, `capture` the taps at a link's ends, `cut` captures that cannot be read to their end,
//! `fates` what an engine says of the packets in them, `fit` what a profile is
//! fitted to, `capabilities` what each command may.

#[cfg(feature = "live")]
mod apply;
#[cfg(feature = "live")]
pub mod capabilities;
#[cfg(feature = "live")]
pub mod capture;
pub mod cli;
mod cut;
#[cfg(feature = "live")]
mod fates;
mod fit;
#[cfg(feature = "live")]
mod preview;
#[cfg(feature = "live")]
pub mod run;
mod stored;
#[cfg(feature = "live")]
pub mod workload;
