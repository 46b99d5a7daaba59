//! Order: whether a packet may overtake its predecessor.

use crate::units::Nanos;

/// What jitter may do to the order of packets.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Each packet leaves at its own time, and so may overtake.
    #[default]
    Free = 0,
    /// No packet leaves before its predecessor: it is held back to the predecessor's release time.
    /// On dense traffic this lengthens the realised delays.
    Keep = 1,
}

impl Order {
    /// The order of a stored number; `None` for a number that names none.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            0 => Some(Self::Free),
            1 => Some(Self::Keep),
            _ => None,
        }
    }
}

/// The release time under the wanted order; `last` is the latest release so far and is brought up to date.
#[inline(always)]
#[must_use]
pub fn arrange(order: u32, last: &mut Nanos, release: Nanos) -> Nanos {
    let arranged = if order == Order::Keep as u32 { release.later_of(*last) } else { release };
    *last = last.later_of(arranged);
    arranged
}
