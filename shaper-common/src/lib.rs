//! The decision of `shaper`: what happens to a packet, as one pure function.
//!
//! [`pipeline::decide`] is compiled into the eBPF programs and into userspace. There is no floating
//! point, no allocation and no clock in here: time and randomness are arguments, so that the userspace
//! build replays recorded arrivals and must come to the same fates as the kernel, bit for bit.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod aqm;
pub mod backlog;
pub mod capacity;
pub mod chance;
pub mod corrupt;
pub mod delay;
pub mod draw;
pub mod duplicate;
pub mod fate;
pub mod flow;
pub mod layout;
pub mod loss;
pub mod normal;
mod normal_table;
pub mod octave;
pub mod order;
pub mod outage;
pub mod parse;
pub mod pipeline;
pub mod police;
pub mod process;
mod process_table;
pub mod quantile;
pub mod rate;
pub mod reorder;
pub mod rewrite;
pub mod rng;
pub mod rules;
pub mod slot;
pub mod timeline;
pub mod trace;
pub mod units;
