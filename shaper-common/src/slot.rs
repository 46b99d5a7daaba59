//! Slots: packets leave in bursts, when a slot opens, as over a medium that grants its stations turns.

use crate::delay::around;
use crate::quantile::Quantiles;
use crate::units::Nanos;

/// How slots follow one another, and what one takes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// The time from one slot's opening to the next one's; zero with [`spread`](Self::spread) for no slots.
    pub gap: Nanos,
    /// Half-width or sigma around it.
    pub spread: Nanos,
    /// A [`crate::delay::Jitter`]; a table holds the whole time.
    pub kind: u32,
    /// Packets that leave in one slot; zero for any number.
    pub packets: u32,
    /// Bytes that leave in one slot; zero for any number. One packet leaves in each, however long it is.
    pub bytes: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

/// The slot that packets leave in now.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// When it opens.
    pub opens: Nanos,
    /// Packets that leave in it.
    pub packets: u32,
    /// Their bytes.
    pub bytes: u32,
}

impl Slots {
    /// Whether packets wait for slots at all.
    #[inline(always)]
    #[must_use]
    pub const fn any(&self) -> bool {
        self.gap.0 != 0 || self.spread.0 != 0
    }
}

/// When a packet that could leave at `ready` leaves: with the slot that is still to open, while it takes more; or else
/// with the next one, which opens a gap behind the last one, and no earlier than the first packet for it is ready. Gaps are
/// by the table where there is one.
#[inline(always)]
#[must_use]
pub fn wait(settings: &Slots, table: Option<&Quantiles>, slot: &mut Slot, ready: Nanos, len: u32, draw: u32) -> Nanos {
    let fits = (settings.packets == 0 || slot.packets < settings.packets)
        && (settings.bytes == 0 || slot.bytes as u64 + len as u64 <= settings.bytes as u64);
    if ready <= slot.opens && fits {
        slot.packets = slot.packets.saturating_add(1);
        slot.bytes = slot.bytes.saturating_add(len);
        return slot.opens;
    }
    let gap = match table {
        Some(table) => table.delay(draw),
        None => around(settings.gap, settings.spread, settings.kind, draw),
    };
    // The first slot of all opens for the first packet.
    let opens = if slot.packets == 0 { ready } else { slot.opens.saturating_add(gap).later_of(ready) };
    *slot = Slot { opens, packets: 1, bytes: len };
    opens
}
