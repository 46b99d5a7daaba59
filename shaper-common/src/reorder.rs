//! Reordering: some packets leave without the delay, ahead of those that came before them.

use crate::chance::Chance;

/// Which packets leave without the delay.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reorder {
    /// Which of those that may.
    pub chance: Chance,
    /// A packet may when it is at least so many behind the last one that did, or behind the beginning; 0 and 1 for
    /// every packet.
    pub gap: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

/// Whether a packet that goes on leaves without the delay: `chosen` is its chance, `since` counts the packets that went
/// on since the last one that did.
#[inline(always)]
#[must_use]
pub fn overtakes(settings: &Reorder, chosen: bool, since: &mut u32) -> bool {
    let behind = since.saturating_add(1);
    let overtakes = chosen && behind >= settings.gap;
    *since = if overtakes { 0 } else { behind };
    overtakes
}
