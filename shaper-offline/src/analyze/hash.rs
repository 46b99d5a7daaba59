//! A fast 64-bit hash of packet content: multiply and fold, in the manner of wyhash.
//!
//! Not meant to withstand someone who wants collisions; two different packets of one capture meet
//! with a probability of about n²/2⁶⁵, and a meeting costs one wrong pair.

const K: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];

/// Both halves of the 128-bit product, folded.
#[inline]
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ K[0]) * u128::from(b ^ K[1]);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).map_or(0, |raw| u64::from_le_bytes(*raw))
}

/// Up to eight bytes, zero-extended; of more the first eight.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    if let Some(raw) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*raw);
    }
    // Two reads that may overlap, where they are of the same bytes.
    if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
        return u64::from(low) | u64::from(high) << ((bytes.len() - 4) * 8);
    }
    let (Some(&first), Some(&middle), Some(&last)) = (bytes.first(), bytes.get(bytes.len() / 2), bytes.last()) else {
        return 0;
    };
    u64::from(first) | u64::from(middle) << (bytes.len() / 2 * 8) | u64::from(last) << ((bytes.len() - 1) * 8)
}

/// Hashes bytes; the length counts too.
#[inline]
pub(super) fn bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed ^ K[2];
    // Four lanes keep the multiplier busy on long packets.
    let (blocks, mut rest) = bytes.as_chunks::<64>();
    if !blocks.is_empty() {
        let mut lanes = [state, state ^ K[0], state ^ K[1], state ^ K[3]];
        for block in blocks {
            for (lane, at) in lanes.iter_mut().zip([0, 16, 32, 48]) {
                *lane = mix(*lane ^ word(block, at), word(block, at + 8));
            }
        }
        state = mix(mix(lanes[0], lanes[1]), mix(lanes[2], lanes[3]));
    }
    while let Some((chunk, behind)) = rest.split_first_chunk::<16>() {
        state = mix(state ^ word(chunk, 0), word(chunk, 8));
        rest = behind;
    }
    state = mix(state ^ short_word(rest), short_word(rest.get(8..).unwrap_or_default()));
    mix(state, bytes.len() as u64)
}

/// For maps whose keys are such hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hashed(u64);

impl std::hash::Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, raw: &[u8]) {
        self.0 = bytes(self.0, raw);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A map from hashes.
pub(super) type HashedMap<T> = std::collections::HashMap<u64, T, std::hash::BuildHasherDefault<Hashed>>;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn any_single_bit_changes_the_hash() {
        for length in [1_usize, 7, 8, 9, 15, 16, 17, 63, 64, 65, 200] {
            let base = vec![0x5a_u8; length];
            let mut seen = HashSet::from([super::bytes(1, &base)]);
            for bit in 0..length * 8 {
                let mut changed = base.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(seen.insert(super::bytes(1, &changed)), "length {length} bit {bit}");
            }
        }
    }

    #[test]
    fn short_words_are_zero_extended() {
        let all: Vec<u8> = (1..=12).collect();
        for length in 0..=all.len() {
            let mut raw = [0; 8];
            raw.iter_mut().zip(&all[..length]).for_each(|(slot, &byte)| *slot = byte);
            assert_eq!(super::short_word(&all[..length]), u64::from_le_bytes(raw), "{length}");
        }
    }

    #[test]
    fn length_and_seed_count() {
        assert_ne!(super::bytes(1, &[0; 8]), super::bytes(1, &[0; 9]));
        assert_ne!(super::bytes(1, &[0; 8]), super::bytes(2, &[0; 8]));
    }

    #[test]
    fn counters_spread_over_all_bits() {
        let hashes: Vec<_> = (0..4096_u32).map(|n| super::bytes(0, &n.to_be_bytes())).collect();
        for bit in 0..64 {
            let ones = hashes.iter().filter(|&&hash| hash >> bit & 1 == 1).count();
            // 4096 fair coins: mean 2048, sigma 32; six sigma.
            assert!(ones.abs_diff(2048) < 192, "bit {bit}: {ones}");
        }
    }
}
