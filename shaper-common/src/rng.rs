//! Counter-based randomness: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as
//! easy as 1, 2, 3", SC 2011).
//!
//! A draw is a function of seed, stream, packet index and purpose alone. Asking for one draw never
//! shifts another, and the draws for an index are the same however many packets other streams saw.

const MULTIPLIER_0: u64 = 0xD251_1F53;
const MULTIPLIER_1: u64 = 0xCD9E_8D57;
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;
const ROUNDS: usize = 10;

/// The Philox4x32-10 block function: four independent 32-bit words for a counter under a key.
#[inline(always)]
#[must_use]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    let mut round = 0;
    while round < ROUNDS {
        let p0 = MULTIPLIER_0 * c0 as u64;
        let p1 = MULTIPLIER_1 * c2 as u64;
        c0 = (p1 >> 32) as u32 ^ c1 ^ k0;
        c1 = p1 as u32;
        c2 = (p0 >> 32) as u32 ^ c3 ^ k1;
        c3 = p0 as u32;
        k0 = k0.wrapping_add(WEYL_0);
        k1 = k1.wrapping_add(WEYL_1);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// Where the draws of one packet come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    key: [u32; 2],
    counter: [u32; 4],
}

/// In the counter word that numbers groups of draws: the one beside it is a flow's hash, not part of an index.
const OF_FLOW: u32 = 1 << 31;

impl Source {
    /// The draws for packet `index` of `stream` (a link direction and rule) under `seed`.
    #[inline(always)]
    #[must_use]
    pub const fn of_link(seed: u64, stream: u32, index: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], counter: [index as u32, (index >> 32) as u32, 0, stream] }
    }

    /// The draws for packet `index` of a flow. Beyond 2^32 packets of one flow they repeat.
    #[inline(always)]
    #[must_use]
    pub const fn of_flow(seed: u64, stream: u32, flow_hash: u32, index: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], counter: [index as u32, flow_hash, OF_FLOW, stream] }
    }

    #[inline(always)]
    fn group(&self, number: u32) -> [u32; 4] {
        let [index, upper, of_flow, stream] = self.counter;
        philox4x32([index, upper, of_flow | number, stream], self.key)
    }

    /// What decides loss and jitter.
    #[inline(always)]
    #[must_use]
    pub fn draws(&self) -> Draws {
        let [loss, jitter, step, first] = self.group(0);
        Draws { loss, jitter, step, first }
    }

    /// What decides which packets are duplicated, corrupted and reordered, and when slots open.
    #[inline(always)]
    #[must_use]
    pub fn choices(&self) -> Choices {
        let [duplicate, corrupt, reorder, slot] = self.group(1);
        Choices { duplicate, corrupt, reorder, slot }
    }

    /// What decides how a packet is corrupted, and whether the queue's management acts on it.
    #[inline(always)]
    #[must_use]
    pub fn details(&self) -> Details {
        let [place, what, queue, _] = self.group(2);
        Details { place, what, queue, _reserved: 0 }
    }
}

/// Draws of one packet: one 32-bit word a purpose, each uniform and independent of the others.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// Decides an i.i.d. loss.
    pub loss: u32,
    /// Decides the jitter.
    pub jitter: u32,
    /// Decides where a chain of losses goes.
    pub step: u32,
    /// Decides where it begins.
    pub first: u32,
}

impl Draws {
    /// What is taken where nothing is drawn.
    pub const NONE: Self = Self { loss: 0, jitter: 0, step: 0, first: 0 };
}

/// More draws of one packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Decides about copies.
    pub duplicate: u32,
    /// Decides about damage.
    pub corrupt: u32,
    /// Decides about overtaking.
    pub reorder: u32,
    /// Decides when the slot opens that this packet is the first of.
    pub slot: u32,
}

impl Choices {
    /// What is taken where nothing is drawn.
    pub const NONE: Self = Self { duplicate: 0, corrupt: 0, reorder: 0, slot: 0 };
}

/// More draws of one packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Decides where a packet is damaged.
    pub place: u32,
    /// Decides what it is changed to.
    pub what: u32,
    /// Decides whether the queue's management acts.
    pub queue: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

impl Details {
    /// What is taken where nothing is drawn.
    pub const NONE: Self = Self { place: 0, what: 0, queue: 0, _reserved: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known-answer vectors of the Random123 distribution (kat_vectors, philox4x32 10).
    #[test]
    fn philox_matches_the_published_vectors() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn same_seed_same_draws_and_another_seed_other_ones() {
        let seven: std::vec::Vec<_> = (0..100).map(|index| Source::of_link(7, 1, index).draws()).collect();
        assert_eq!(seven, (0..100).map(|index| Source::of_link(7, 1, index).draws()).collect::<std::vec::Vec<_>>());
        assert!((0..100).all(|index| Source::of_link(8, 1, index).draws() != seven[index as usize]));
        assert!((0..100).all(|index| Source::of_link(7, 2, index).draws() != seven[index as usize]));
    }
}
