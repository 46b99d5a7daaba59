//! WebRTC as a workload: the signalling that its ends speak, a selective forwarding unit
//! ([`serve`]), and what loads one.
//!
//! ICE, DTLS, SRTP, NACK, RTX, transport-wide congestion control and bandwidth estimation are
//! str0m's, once for each leg. Nothing here knows how a link is impaired.

#![deny(unsafe_code, missing_docs)]

mod clock;
mod dialect;
pub mod packet_log;
pub mod serve;
pub mod signal;
