//! A probe as bytes of a packet.

use shaper_common::layout::Probe;
use shaper_common::units::Nanos;

/// Writes a probe to the beginning of a packet.
pub(super) fn encode(probe: &Probe, packet: &mut [u8; 64]) {
    let fields = [
        (0, &probe.now.0.to_ne_bytes()[..]),
        (8, &probe.index.to_ne_bytes()),
        (16, &probe.len.to_ne_bytes()),
        (20, &probe.flow_hash.to_ne_bytes()),
        (24, &probe.direction.to_ne_bytes()),
        (28, &probe.cause.to_ne_bytes()),
    ];
    for (at, bytes) in fields {
        for (place, byte) in packet.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }
}

/// Reads the answer from the beginning of a packet.
pub(super) fn decode(packet: &[u8; 64]) -> Probe {
    let u32_at =
        |at: usize| packet.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    let u64_at =
        |at: usize| packet.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    Probe {
        now: Nanos(u64_at(0)),
        index: u64_at(8),
        len: u32_at(16),
        flow_hash: u32_at(20),
        direction: u32_at(24),
        cause: u32_at(28),
    }
}
