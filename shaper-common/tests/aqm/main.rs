//! Queue managements and the policer against references written from the RFCs: real queues simulated event by event,
//! in floating point, with timers where the RFCs have timers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod codel;
mod load;
mod pi2;
mod pie;
mod police;
mod step;
