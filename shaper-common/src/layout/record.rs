//! What is written down of one decision, and by which id its packet is known.

use super::state::{Carried, RawFate};
use crate::fate::Cause;
use crate::pipeline::Packet;
use crate::units::Nanos;

/// A packet described by data, and the answer written over it: what the probe entry takes and gives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// The packet in.
    pub packet: Packet,
    /// Its channel in.
    pub channel: u32,
    /// One where the answer is there.
    pub answered: u32,
    /// The packet's id out.
    pub id: u64,
    /// The fate out.
    pub fate: RawFate,
}

/// The bit that marks the id of a control packet, which takes no index.
pub const BYPASS: u64 = 1 << 63;

/// The most channels of an attachment: one for each direction, and one for each rule.
pub const MOST_CHANNELS: u32 = 1 << 17;

/// The id of a packet: channel and number in one, unique within an attachment.
#[inline(always)]
#[must_use]
pub const fn packet_id(channel: u32, sequence: u64) -> u64 {
    (((channel & (MOST_CHANNELS - 1)) as u64) << 46) | (sequence & ((1 << 46) - 1))
}

/// The channel and number of an id.
#[must_use]
pub const fn split_id(id: u64) -> (u32, u64) {
    ((id >> 46) as u32 & (MOST_CHANNELS - 1), id & ((1 << 46) - 1))
}

/// The record of one decision: what went in, what came out, and the state it met.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The packet's number in its channel, which is the order of the decisions.
    pub sequence: u64,
    /// The packet; its arrival is the decision's clock.
    pub packet: Packet,
    /// What was decided.
    pub fate: RawFate,
    /// The carried state before this packet: makes each record checkable by itself.
    pub before: Carried,
    /// Number of the rule in its direction; zero for what none matches.
    pub rule: u32,
    /// Link direction.
    pub direction: u16,
    /// The layer-4 checksum as it stands in the packet, zero where there is none.
    pub l4_checksum: u16,
    /// The channel.
    pub channel: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

impl Record {
    /// The packet's id.
    #[must_use]
    pub const fn id(&self) -> u64 {
        packet_id(self.channel, self.sequence)
    }

    /// When it arrived, CLOCK_MONOTONIC.
    #[must_use]
    pub const fn arrival(&self) -> Nanos {
        self.packet.now
    }

    /// When it is to leave, zero for a dropped packet.
    #[must_use]
    pub const fn release(&self) -> Nanos {
        self.fate.release
    }

    /// Why the pipeline dropped it; `None` for a number that names no cause.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        Cause::from_raw(self.fate.cause)
    }
}
