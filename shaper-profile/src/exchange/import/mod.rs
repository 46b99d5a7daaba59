//! The formats that are read, one file a format.

pub(super) mod atc;
pub(super) mod devtools;
pub(super) mod dist;
pub(super) mod libwebrtc;
pub(super) mod mahimahi;
mod netem;
pub(super) mod pensieve;
mod queue;
pub(super) mod tc;
pub(super) mod tcconfig;
pub(super) mod theaterq;
