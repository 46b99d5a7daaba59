//! Each effect on real packets, as root: what was asked for in a profile comes out at a tap at the far end, frame by
//! frame, and the account, the records, the oracle and the tap agree on every one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bed;
mod change;
mod check;
mod frame;
mod manage;
mod queue;
mod rules;
mod tap;
mod time;
mod trace;
