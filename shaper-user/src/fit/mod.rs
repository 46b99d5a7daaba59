//! What was measured, made a profile: series of packets from captures, runs, delays and irtt's JSON, and the profile that
//! a fit of them comes to. The mathematics is `shaper_offline::fit`.

mod captures;
mod delays;
mod due;
mod irtt;
mod measured;
mod profile;
mod records;

pub(crate) use measured::{Given, Measured};
pub(crate) use profile::{Both, Outputs, write};
