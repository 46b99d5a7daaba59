//! WebRTC as a workload: the signalling that its ends speak, a selective forwarding unit
//! ([`serve`]), what loads one, and where the milliseconds went between them ([`path`]).
//!
//! ICE, DTLS, SRTP, NACK, RTX, transport-wide congestion control and bandwidth estimation are
//! str0m's, once for each leg. Nothing here knows how a link is impaired.

#![deny(unsafe_code, missing_docs)]

mod clock;
mod dialect;
mod guard;
mod identity;
pub mod load;
pub mod packet_log;
pub mod path;
mod record_log;
mod rtp_header;
pub mod serve;
pub mod signal;
