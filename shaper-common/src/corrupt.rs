//! Corruption: bits or bytes of a packet are changed on their way.

use crate::chance::Chance;
use crate::draw::scale;
use crate::pipeline::Packet;

/// The part of a packet that is changed.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// From the network header to the end.
    #[default]
    Any = 0,
    /// The network header, its extensions included.
    Network = 1,
    /// The transport header.
    Transport = 2,
    /// What is behind the transport header.
    Payload = 3,
}

/// Corruption at a random place of the part.
pub const ANYWHERE: u32 = u32::MAX;
/// The most bytes that are changed in a row.
pub const MOST_BYTES: u32 = 4;
/// The most bits that are flipped in a row.
pub const MOST_BITS: u32 = 8;

/// Which packets are changed, and how.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Corrupt {
    /// Which packets.
    pub chance: Chance,
    /// A [`Part`].
    pub part: u32,
    /// The first changed byte, from the beginning of the part; [`ANYWHERE`] for a random one.
    pub at: u32,
    /// Bits in a row that are flipped, from a random one of the byte on; zero where bytes are replaced.
    pub bits: u32,
    /// Bytes in a row that are replaced by other ones.
    pub bytes: u32,
    /// One where checksums are brought right again.
    pub repair: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

/// What is changed in a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// What is flipped in the four bytes from `at` on, the first byte highest; zero for an unchanged packet.
    pub flips: u32,
    /// The first byte, from the beginning of the frame.
    pub at: u16,
    /// One where checksums are brought right again.
    pub repair: u16,
}

impl Damage {
    /// Nothing is changed.
    pub const NONE: Self = Self { flips: 0, at: 0, repair: 0 };

    /// Whether the packet stays as it is.
    #[inline(always)]
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.flips == 0
    }
}

/// What is changed in a packet that was chosen, by two uniform draws: where, and to what. Nothing where the packet has
/// no such part.
#[inline(always)]
#[must_use]
pub fn damage(settings: &Corrupt, packet: &Packet, place: u32, what: u32) -> Damage {
    let (network, transport, payload) = (packet.network as u32, packet.transport as u32, packet.payload as u32);
    let (start, end) = if settings.part == Part::Network as u32 {
        (network, transport)
    } else if settings.part == Part::Transport as u32 {
        (transport, payload)
    } else if settings.part == Part::Payload as u32 {
        (payload, packet.len)
    } else {
        (network, packet.len)
    };
    // A part that is not there begins at zero or ends there; frames are shorter than 64 KiB.
    if start == 0 || end <= start || end > 0xffff {
        return Damage::NONE;
    }
    let length = end - start;
    let wanted = if settings.bits == 0 { settings.bytes } else { 1 };
    let at = if settings.at == ANYWHERE {
        // So that all of them lie within the part, where it is long enough.
        let places = if length > wanted { length - wanted + 1 } else { 1 };
        scale(place as u64, places as u64) as u32
    } else {
        settings.at
    };
    if at >= length {
        return Damage::NONE;
    }
    let room = length - at;
    let flips = if settings.bits == 0 { replaced(wanted, what) } else { flipped(settings.bits, room, what) };
    // What would lie behind the part stays as it is.
    let kept = if room >= MOST_BYTES { u32::MAX } else { !(u32::MAX >> ((room * 8) & 31)) };
    Damage { flips: flips & kept, at: (start + at) as u16, repair: settings.repair as u16 }
}

/// The flips that make other values of so many bytes: none of them is zero.
#[inline(always)]
fn replaced(bytes: u32, draw: u32) -> u32 {
    let other = |shift: u32| (1 + ((((draw >> shift) & 0xff) * 255) >> 8)) << shift;
    let all = other(24) | other(16) | other(8) | other(0);
    if bytes >= MOST_BYTES { all } else { all & !(u32::MAX >> ((bytes * 8) & 31)) }
}

/// So many bits in a row, from one of the first byte's on, within `room` bytes.
#[inline(always)]
fn flipped(bits: u32, room: u32, draw: u32) -> u32 {
    let room = if room >= 2 { 16 } else { 8 };
    let from = (draw >> 29) & 7;
    // In the last byte the row ends with it.
    let from = if from + bits > room { room - (bits & 15) } else { from };
    let row = !(u32::MAX >> (bits & 31));
    row >> (from & 31)
}
