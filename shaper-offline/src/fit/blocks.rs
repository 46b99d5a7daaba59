//! Blocks in time: every other one is fitted on, those between are judged by.

use std::ops::Range;

use super::draws::Draws;

/// Losses that a block should hold, so that each half has bursts and gaps.
const LOSSES: usize = 8;
/// Blocks at least and at most.
const FEWEST: usize = 10;
const MOST: usize = 40;
/// Resamples of a gain.
const RESAMPLES: usize = 2_000;
/// Of these, so many below the bound of a gain: 1 %.
const BELOW: usize = RESAMPLES / 100;

/// Cuts so many packets, of which so many are lost, into an even number of blocks of one size.
///
/// Blocks that alternate meet a link that drifts in both halves alike; many of them give the judgement its own noise.
pub(super) fn split(packets: usize, lost: usize) -> Vec<Range<usize>> {
    let blocks = (lost / LOSSES).clamp(FEWEST, MOST);
    // Without losses nothing limits the number but the packets.
    let blocks = if lost == 0 { (packets / 100).clamp(FEWEST, MOST) } else { blocks } / 2 * 2;
    (0..blocks).map(|block| packets * block / blocks..packets * (block + 1) / blocks).collect()
}

/// The blocks that are fitted on.
pub(super) fn fitted(blocks: &[Range<usize>]) -> impl Iterator<Item = Range<usize>> {
    blocks.iter().step_by(2).cloned()
}

/// The blocks that are judged by.
pub(super) fn held_out(blocks: &[Range<usize>]) -> impl Iterator<Item = Range<usize>> {
    blocks.iter().skip(1).step_by(2).cloned()
}

/// The lower 99 % bound of what the sum of these gains comes to, one gain a block, by resampling the blocks
/// (bootstrap; Efron, Ann. Stat. 7, 1979).
pub(super) fn gain_bound(gains: &[f64], seed: u64) -> f64 {
    let mut draws = Draws::new(seed);
    let mut sums: Vec<f64> =
        (0..RESAMPLES).map(|_| (0..gains.len()).filter_map(|_| gains.get(draws.below(gains.len()))).sum()).collect();
    sums.sort_by(f64::total_cmp);
    sums.get(BELOW).copied().unwrap_or(f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_even_in_number_and_leave_nothing_out() {
        for (packets, lost) in [(400, 0), (400, 399), (1_001, 3), (99_999, 5_000), (1_000_000, 0)] {
            let blocks = split(packets, lost);
            assert!(blocks.len().is_multiple_of(2) && (FEWEST..=MOST).contains(&blocks.len()), "{}", blocks.len());
            assert_eq!((blocks[0].start, blocks[blocks.len() - 1].end), (0, packets));
            assert!(blocks.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(fitted(&blocks).count(), held_out(&blocks).count());
        }
    }

    #[test]
    fn a_gain_that_is_as_often_a_loss_has_a_bound_below_zero() {
        let even: Vec<f64> = (0..20).map(|n| if n % 2 == 0 { 1.0 } else { -0.9 }).collect();
        assert!(gain_bound(&even, 1) < 0.0);
        assert!(gain_bound(&[1.0, 1.1, 0.9, 1.2], 1) > 0.0);
    }
}
