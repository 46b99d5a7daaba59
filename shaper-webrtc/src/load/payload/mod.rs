//! Payloads: what a depacketiser and a decoder take, and at the end of each packet a stamp that says
//! who sent it and when.

pub(crate) mod opus;
pub(crate) mod stamp;
pub(crate) mod vp8;
mod vp8_modes;
