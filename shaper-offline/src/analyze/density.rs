//! Reorder density (RFC 5236): how far packets arrive from their place, over one flow's packets
//! without losses and duplicates.
//!
//! Displacement is the place among the arrivals less the place among those packets as sent: late
//! ones above zero, early ones below. It is the number of earlier arrivals with a larger sequence
//! number less that of later arrivals with a smaller one, so it is final as soon as nothing that may
//! count can come any more.

use serde::Serialize;

/// Largest displacement that counts; what is further from its place is taken for lost (DT of
/// RFC 5236 section 3.1).
pub(super) const THRESHOLD: i16 = 32;
/// Arrivals looked back on.
const RING: usize = 64;
/// Stands for a displacement beyond the threshold.
const BEYOND: i16 = i16::MAX;
const PLACES: usize = 2 * THRESHOLD as usize + 1;

/// Packets by displacement.
#[derive(Clone, Debug, Serialize)]
pub struct ReorderDensity {
    /// Displacements beyond this are not part of it.
    pub threshold: u16,
    /// Packets beyond, taken for lost.
    pub beyond: u64,
    /// Displacements that occurred, ascending.
    pub displacements: Vec<Displacement>,
}

/// One displacement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Displacement {
    /// Places later than sent; below zero for earlier.
    pub places: i16,
    /// Packets.
    pub packets: u64,
    /// Of all within the threshold.
    pub share: f64,
}

/// The last arrivals, whose displacements may still change.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    sequences: [u32; RING],
    displaced: [i16; RING],
    arrivals: u64,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { sequences: [0; RING], displaced: [0; RING], arrivals: 0 }
    }

    /// Sequence numbers of the arrivals before the next one, the latest first.
    pub(super) fn backwards(&self) -> impl Iterator<Item = u32> {
        let back = self.arrivals.min(RING as u64);
        (1..=back).filter_map(|ago| self.sequences.get((self.arrivals - ago) as usize % RING).copied())
    }

    /// Takes the next arrival, with its extent if it is reordered; returns the displacement of the
    /// arrival that it pushes out.
    #[inline]
    pub(super) fn arrive(&mut self, sequence: u32, extent: Option<i64>) -> Option<i16> {
        let at = self.arrivals as usize % RING;
        let left = (self.arrivals >= RING as u64).then(|| self.displaced.get(at).copied().unwrap_or(0));
        let displaced = match extent {
            None => 0,
            Some(extent) => self.late(sequence, extent, at),
        };
        if let (Some(number), Some(slot)) = (self.sequences.get_mut(at), self.displaced.get_mut(at)) {
            *number = sequence;
            *slot = displaced;
        }
        self.arrivals += 1;
        left
    }

    /// Moves the arrivals that it came behind, and returns by how many.
    #[cold]
    fn late(&mut self, sequence: u32, extent: i64, at: usize) -> i16 {
        let held = self.arrivals.min(RING as u64) as usize;
        if extent >= RING as i64 {
            return BEYOND;
        }
        let behind = |slot: usize, other: u32| slot < held && slot != at && other > sequence;
        let larger = self.sequences.iter().enumerate().filter(|&(slot, &other)| behind(slot, other)).count();
        let larger = i16::try_from(larger).unwrap_or(BEYOND);
        if larger > THRESHOLD {
            return BEYOND;
        }
        for ((slot, &other), displaced) in self.sequences.iter().enumerate().zip(&mut self.displaced) {
            if behind(slot, other) && *displaced != BEYOND {
                *displaced -= 1;
            }
        }
        larger
    }

    /// Displacements of all that is still held.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = i16> {
        let held = self.arrivals.min(RING as u64) as usize;
        self.arrivals = 0;
        self.displaced.iter().copied().take(held)
    }
}

/// Counts by displacement.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    in_place: u64,
    beyond: u64,
    /// Only where there was any displacement.
    displaced: Option<Box<[u64; PLACES]>>,
}

impl Counts {
    #[inline]
    pub(super) fn add(&mut self, displaced: i16) {
        if displaced == 0 {
            self.in_place += 1;
        } else {
            self.add_displaced(displaced);
        }
    }

    #[cold]
    fn add_displaced(&mut self, displaced: i16) {
        if displaced.unsigned_abs() > THRESHOLD.unsigned_abs() {
            self.beyond += 1;
            return;
        }
        let counts = self.displaced.get_or_insert_with(|| Box::new([0; PLACES]));
        if let Some(count) = counts.get_mut((displaced + THRESHOLD) as usize) {
            *count += 1;
        }
    }

    pub(super) fn report(&self) -> ReorderDensity {
        let held = |places: i16| match &self.displaced {
            _ if places == 0 => self.in_place,
            Some(counts) => counts.get((places + THRESHOLD) as usize).copied().unwrap_or(0),
            None => 0,
        };
        let all: u64 = (-THRESHOLD..=THRESHOLD).map(held).sum();
        let displacements = (-THRESHOLD..=THRESHOLD).map(|places| (places, held(places)));
        ReorderDensity {
            threshold: THRESHOLD.unsigned_abs(),
            beyond: self.beyond,
            displacements: displacements
                .filter(|&(_, packets)| packets > 0)
                .map(|(places, packets)| Displacement { places, packets, share: packets as f64 / all as f64 })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Displacements of packets that arrive in this order, by arrival.
    fn displacements(sequences: &[u32]) -> Vec<i16> {
        let mut ring = Ring::new();
        let mut found = Vec::new();
        for (at, &sequence) in sequences.iter().enumerate() {
            let earliest = sequences[..at].iter().position(|&other| other > sequence);
            found.extend(ring.arrive(sequence, earliest.map(|earliest| (at - earliest) as i64)));
        }
        // The ring holds the last ones by slot.
        let wrapped = found.len() % RING;
        let mut rest: Vec<_> = ring.rest().collect();
        if sequences.len() >= RING {
            rest.rotate_left(wrapped);
        }
        found.extend(rest);
        found
    }

    #[test]
    fn a_sequence_worked_out_by_hand_comes_out() {
        // Places of arrival 1 to 8 less 1 4 2 5 3 6 7 8.
        assert_eq!(displacements(&[1, 4, 2, 5, 3, 6, 7, 8]), [0, -2, 1, -1, 2, 0, 0, 0]);
        // Losses take no place: 2 and 6 never come.
        assert_eq!(displacements(&[1, 4, 3, 7, 5]), [0, -1, 1, -1, 1]);
    }

    #[test]
    fn shares_are_of_what_is_within_the_threshold() {
        let mut counts = Counts::default();
        for displaced in [0, 0, 0, 2, -1, -1, BEYOND] {
            counts.add(displaced);
        }
        let report = counts.report();
        let found: Vec<_> = report.displacements.iter().map(|one| (one.places, one.packets)).collect();
        assert_eq!((report.beyond, found), (1, vec![(-1, 2), (0, 3), (2, 1)]));
        assert!((report.displacements[1].share - 0.5).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition_read_literally(
            moves in prop::collection::vec(0_u32..12, 1..300),
            dropped in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            // Each packet is late by so many places at most, and some are lost.
            let mut order: Vec<(u32, u32)> = (0..).zip(&moves).map(|(at, &late)| (at * 2 + late * 3, at)).collect();
            order.sort_unstable();
            let mut received: Vec<u32> = order.iter().map(|one| one.1).collect();
            for one in dropped {
                if received.len() > 1 {
                    received.remove(one.index(received.len()));
                }
            }
            let mut sorted = received.clone();
            sorted.sort_unstable();
            let expected: Vec<i16> = received
                .iter()
                .enumerate()
                .map(|(at, sequence)| at as i16 - sorted.binary_search(sequence).unwrap() as i16)
                .collect();
            prop_assert_eq!(displacements(&received), expected);
        }
    }
}
