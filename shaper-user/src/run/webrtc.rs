//! What a WebRTC run came to: the tester's own figures, and the way of its packets through captures and server.

#[cfg(feature = "webrtc")]
mod convert;
#[cfg(feature = "webrtc")]
mod judge;
#[cfg(feature = "webrtc")]
mod over_time;

#[cfg(feature = "webrtc")]
pub(super) use judge::judge;

/// Which packet of one leg became which of another, by the server.
pub(super) const MAP_LOG: &str = "server.map";
/// The same of a server that came after one that was killed.
pub(super) const SECOND_MAP_LOG: &str = "server-2.map";
/// Which packets clients sent and received, by the tester.
pub(super) const PACKET_LOG: &str = "tester.packets";
