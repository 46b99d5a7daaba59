//! Signalling in the SimplestChat dialect: JSON texts over a WebSocket, each an object whose `type`
//! says what it is; names in camelCase, no request ids. A reply matches its request by type and
//! order, and events come in between.
//!
//! Transports and media are described as mediasoup does it, by ICE, DTLS and RTP parameters, and not
//! by SDP: [`transport`] and [`rtp`]. [`codecs`] has the payload types and header extensions that the
//! dialect fixes.

mod client;
pub mod codecs;
mod decode;
pub mod rtp;
mod server;
#[cfg(test)]
mod tests;
pub mod transport;

pub use client::ClientMessage;
pub use decode::{SignalError, decode_client, decode_server, encode};
pub use server::{ParticipantInfo, ProducerInfo, ServerMessage};
