//! A small seeded generator for burst gaps, burst ids and phases.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for each name, so that two roles run with one seed do not draw the
    /// same burst ids.
    pub(crate) fn for_name(seed: u64, name: &str) -> Self {
        let mut mixed = Self::new(seed ^ (u64::from(crate::wire::fnv1a32(name.as_bytes())) << 16));
        Self::new(mixed.next_u64())
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..=max`, by the widening multiply (its bias is below 2^-64 times the range).
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        let range = u128::from(max) + 1;
        ((u128::from(self.next_u64()) * range) >> 64) as u64
    }

    /// Any u32 but zero: burst id 0 means "no burst".
    pub(crate) fn nonzero_u32(&mut self) -> u32 {
        loop {
            let drawn = (self.next_u64() >> 32) as u32;
            if drawn != 0 {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_match_the_published_vector_for_seed_1234567() {
        let mut rng = SplitMix64::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn up_to_reaches_both_ends_and_never_beyond() {
        let mut rng = SplitMix64::new(3);
        let drawn: Vec<u64> = (0..1_000).map(|_| rng.up_to(4)).collect();
        assert!(drawn.iter().all(|&d| d <= 4));
        assert!(drawn.contains(&0) && drawn.contains(&4));
    }

    #[test]
    fn two_names_under_one_seed_draw_differently() {
        let mut a = SplitMix64::for_name(7, "controller");
        let mut b = SplitMix64::for_name(7, "peer-1");
        assert_ne!(a.next_u64(), b.next_u64());
    }
}
