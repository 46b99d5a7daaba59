//! The TOAST v2 wire format: 32-byte little-endian header, payloads, discovery text.
//!
//! Encoding writes into a buffer of the caller's and decoding borrows from the datagram; neither
//! allocates (a peer id that needs JSON escapes is the one exception).

mod crc;
mod datagram;
mod header;
mod payload;
#[cfg(test)]
mod tests;

pub use datagram::{BufferTooSmall, Datagram, DecodeError, DiscoveryText, decode, encode, encode_discovery};
pub use header::{ChecksumMode, FLAG_BURST, HEADER_LEN, Header, MAGIC, MessageType, VERSION};
pub use payload::{
    Announce, Command, PayloadError, PlayState, SYNC_REPLY_LEN, SyncPayload, TransportCommand, TransportPayload,
    TransportStateReply, decode_announce, decode_sync, decode_transport, encode_announce, encode_sync,
    encode_transport,
};

/// Magic of an incompatible protocol of the same name (CRC32, groups 239.192.0-3, ports
/// 9000-9003), told apart so that a capture can name it.
pub const OTHER_TOAST_MAGIC: u32 = 0x544F_4153;

/// The group and port of TOAST v2.
pub const DEFAULT_GROUP: std::net::SocketAddrV4 =
    std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(239, 255, 77, 77), 7777);

/// FNV-1a, 32 bits (Fowler, Noll and Vo). Not salted: every process computes the same value.
#[must_use]
pub const fn fnv1a32(bytes: &[u8]) -> u32 {
    let mut hash: u32 = 0x811C_9DC5;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

/// The session id of a session's name: FNV-1a over its UTF-8 bytes, the same in every process and
/// on every host.
#[must_use]
pub const fn session_id(name: &str) -> u32 {
    fnv1a32(name.as_bytes())
}

/// The u32 by which a SYNC reply names the peer that asked: FNV-1a over the peer id.
#[must_use]
pub const fn requester_id(peer_id: &str) -> u32 {
    fnv1a32(peer_id.as_bytes())
}

/// The instant nearest to `near_us` whose low 32 bits are `low` (RFC 1982 arithmetic): undoes the
/// wrap of the header's timestamp, 71.6 minutes apart.
#[must_use]
pub fn unwrap_timestamp(low: u32, near_us: i64) -> i64 {
    let ahead = low.wrapping_sub(near_us as u32) as i32;
    near_us.wrapping_add(i64::from(ahead))
}

/// Whether sequence `a` comes after `b` (RFC 1982), across the wrap of 32 bits.
#[must_use]
pub fn sequence_after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}
