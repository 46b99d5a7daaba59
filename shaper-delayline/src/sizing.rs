//! How many frames a delay line needs: the packets under way, and what the rings hold besides.

use shaper_common::units::Nanos;

/// Frames a port may have in its tx ring and in the kernel before they come back, in the reckoning of
/// [`Sizing::frames_for`].
const SENT_PER_PORT: u64 = 256;
/// The fewest frames a port's fill ring is kept at.
const LEAST_FILL: u32 = 64;

/// The shape of a delay line, as far as it decides on frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizing {
    /// Number of ports that share the UMEM.
    pub ports: u32,
    /// Entries of each port's fill ring.
    pub fill: u32,
}

impl Sizing {
    /// Frames needed so that no packet is lost for want of one, when `packets_per_second` arrive in all directions
    /// together and each is held for at most `delay`: Little's law, L = lambda W, plus full fill rings and what is
    /// being sent. Held at the largest `u32`.
    ///
    /// A copy takes a frame from the arrival of its packet until it leaves, so it counts as a packet that is held for
    /// the packet's own delay and the spacings up to it: where each packet has c copies, `packets_per_second` is 1 + c
    /// times what arrives, and `delay` is c spacings longer.
    pub fn frames_for(&self, packets_per_second: u64, delay: Nanos) -> u32 {
        let held = (u128::from(packets_per_second) * u128::from(delay.0)).div_ceil(1_000_000_000);
        u32::try_from(held + u128::from(self.reserve())).unwrap_or(u32::MAX)
    }

    /// The longest delay at which `packets_per_second`, all directions together, find a free frame in a UMEM of
    /// `frames`: the inverse of [`frames_for`](Self::frames_for). Nothing if the rings alone need more.
    pub fn lossless_delay(&self, frames: u32, packets_per_second: u64) -> Option<Nanos> {
        let spare = u64::from(frames).checked_sub(self.reserve())?;
        if packets_per_second == 0 {
            return Some(Nanos::MAX);
        }
        let nanos = u128::from(spare) * 1_000_000_000 / u128::from(packets_per_second);
        Some(Nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn reserve(&self) -> u64 {
        u64::from(self.ports) * (u64::from(self.fill) + SENT_PER_PORT)
    }

    /// How full each fill ring is kept, in a UMEM of `frames`: full, but never more than a quarter of all frames
    /// over all ports, so that few frames are not all parked where no packet comes.
    pub(crate) fn fill_target(&self, frames: u32) -> u32 {
        (frames / (4 * self.ports.max(1))).max(LEAST_FILL).min(self.fill)
    }

    /// The fewest frames that work at all.
    pub(crate) fn least(&self) -> u32 {
        2 * self.ports * LEAST_FILL.min(self.fill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    const PAIR: Sizing = Sizing { ports: 2, fill: 1024 };

    #[test]
    fn the_bandwidth_delay_product_fits() {
        // 100,000 packets a second held for 20 ms are 2,000.
        assert_eq!(PAIR.frames_for(100_000, Nanos(20_000_000)), 2_000 + 2 * (1024 + 256));
    }

    #[test]
    fn no_frames_beside_the_rings_allow_no_delay() {
        assert_eq!(PAIR.lossless_delay(100, 1), None);
        assert_eq!(PAIR.lossless_delay(2 * (1024 + 256), 1_000), Some(Nanos(0)));
        assert_eq!(PAIR.lossless_delay(u32::MAX, 0), Some(Nanos::MAX));
    }

    #[test]
    fn few_frames_are_not_all_parked_in_fill_rings() {
        assert_eq!(PAIR.fill_target(65_536), 1024);
        assert_eq!(PAIR.fill_target(1_024), 128);
        assert_eq!(PAIR.fill_target(256), 64);
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn the_lossless_delay_of_a_size_is_at_least_the_delay_it_was_made_for(
            rate in 1u64..2_000_000, delay in 0u64..1_000_000_000, ports in 1u32..64,
        ) {
            let sizing = Sizing { ports, fill: 2048 };
            let frames = sizing.frames_for(rate, Nanos(delay));
            prop_assert!(sizing.lossless_delay(frames, rate) >= Some(Nanos(delay)));
        }
    }
}
