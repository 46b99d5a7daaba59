//! The parts of the `shaper` command.
//!
//! `cli` has one file a subcommand, `run` the whole experiment, `workload` what drives traffic through
//! it, `capture` the taps at its ends.

#[cfg(feature = "live")]
pub mod capture;
pub mod cli;
#[cfg(feature = "live")]
pub mod run;
#[cfg(feature = "live")]
pub mod workload;
