//! Each effect against its mathematics: up to a million fates of fixed seeds, judged at 99.9 %.
//!
//! The references are written here from the definitions, not taken from the code they judge.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod chance;
mod corrupt;
mod draws;
mod duplicate;
mod link;
mod loss;
mod outage;
mod policer;
mod rate;
mod reorder;
mod slot;
mod spared;
mod statistics;
