//! Queues that other tools count in packets.

use crate::profile::{Direction, FULL_PACKET};
use crate::quantity::{QueueLimit, Size};

/// The most packets that a queue in packets holds.
const MOST: u64 = shaper_common::backlog::MOST_PACKETS as u64;

/// A queue of so many packets; more than a profile counts become the bytes of as many full ones.
pub(super) fn packets(packets: u64, direction: &Direction) -> (QueueLimit, Option<String>) {
    match u32::try_from(packets) {
        Ok(few) if packets <= MOST => (QueueLimit::Packets(few), None),
        _ => {
            let bytes = Size(packets.saturating_mul(direction.wire_bytes(FULL_PACKET)).min(1_000_000_000_000));
            let note = format!(
                "a queue of {packets} packets is more than the {MOST} that are counted: it becomes {bytes:#}, as \
                    many full packets"
            );
            (QueueLimit::Bytes(bytes), Some(note))
        }
    }
}
