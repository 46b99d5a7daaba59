//! Duplicates: copies of a packet behind it.

use crate::chance::Chance;
use crate::units::Nanos;

/// The most copies of one packet.
pub const MOST_COPIES: u32 = 15;

/// Which packets have copies, and how many.
///
/// Copies are made before the bottleneck, which serves them right behind the packet, and share the packet's jitter: copy
/// `k` is released `k (service + spacing)` behind it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duplicate {
    /// Which packets have copies.
    pub chance: Chance,
    /// From each copy to the one behind it, beside the time that the bottleneck needs.
    pub spacing: Nanos,
    /// How many, [`MOST_COPIES`] at most.
    pub copies: u32,
    /// Explicit padding.
    pub _reserved: u32,
}
