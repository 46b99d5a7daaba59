//! What comes out of a table of quantiles, to the last draw: the same table that decides is asked.

use shaper_common::quantile::{Knot, Quantiles, SIDE};
use shaper_common::units::Nanos;

/// Draws of one side.
const HALF: u64 = 1 << 31;
/// Octaves whose draws are counted one by one: segments of later ones hold two or more.
const COUNTED: u32 = 7;

/// Mean and standard deviation, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) sigma: f64,
}

/// The share of draws whose delay is no longer than `at`.
pub(super) fn cdf(quantiles: &Quantiles, at: Nanos) -> f64 {
    // Delays rise with the rank.
    let (mut below, mut reached) = (0, 2 * HALF);
    while below < reached {
        let middle = below.midpoint(reached);
        if quantiles.delay(draw(middle)) <= at {
            below = middle + 1;
        } else {
            reached = middle;
        }
    }
    below as f64 / (2 * HALF) as f64
}

/// The least delay that the given share of draws does not exceed.
pub(crate) fn quantile(quantiles: &Quantiles, share: f64) -> Nanos {
    let rank = (share * (2 * HALF) as f64).ceil().clamp(0.0, (2 * HALF) as f64) as u64;
    rank.checked_sub(1).map_or(Nanos::ZERO, |rank| quantiles.delay(draw(rank)))
}

/// The draw with so many draws below it in the order of delays.
const fn draw(rank: u64) -> u32 {
    if rank < HALF { (rank | HALF) as u32 } else { (2 * HALF - 1 - rank) as u32 }
}

/// The moments over all 2^32 draws, but for the rounding of each delay to whole nanoseconds.
pub(super) fn moments(quantiles: &Quantiles) -> Moments {
    // About the median, so that little is lost where the spread is small beside the delay.
    let middle = quantiles.delay(draw(HALF)).0 as f64;
    let (mut sum, mut square) = (0.0, 0.0);
    for single in 0..1u32 << (COUNTED - 1) {
        for draw in [single, single | 1 << 31] {
            let off = quantiles.delay(draw).0 as f64 - middle;
            sum += off;
            square += off * off;
        }
    }
    for (entries, side) in [(&quantiles.lower, Knot::LOWER), (&quantiles.upper, 0)] {
        let corners = corners(quantiles, entries, side);
        for (from, to) in corners.iter().zip(corners.iter().skip(1)) {
            // So many draws, evenly between the corners.
            let count = (to.at - from.at) as f64 / 2.0;
            if count > 0.0 {
                let (near, far) = (from.value as f64 - middle, to.value as f64 - middle);
                let mean = f64::midpoint(near, far);
                sum += count * mean;
                square += count * (mean * mean + (far - near).powi(2) / 12.0 * (1.0 - 1.0 / (count * count)));
            }
        }
    }
    let draws = (2 * HALF) as f64;
    let mean = sum / draws;
    Moments { mean: middle + mean, sigma: (square / draws - mean * mean).max(0.0).sqrt() }
}

/// The points between which a side is linear.
fn corners(quantiles: &Quantiles, entries: &[u64; SIDE], side: u64) -> Vec<Knot> {
    let of_entry = |(entry, value): (usize, &u64)| {
        let place = (32 + entry as u64 % 32) << (entry / 32) >> 5;
        Knot { at: side + place, value: *value }
    };
    let own = |knot: &&Knot| knot.at >> 32 == side >> 32;
    let mut corners: Vec<Knot> = entries.iter().enumerate().skip(32 * COUNTED as usize).map(of_entry).collect();
    corners.extend(quantiles.knots.iter().take(quantiles.knot_count as usize).filter(own));
    // An entry comes before the knots in its place, which begin its segment.
    corners.sort_by_key(|corner| corner.at);
    corners
}

#[cfg(test)]
mod tests {
    use shaper_common::octave;

    use super::*;

    #[test]
    fn ranks_go_from_the_furthest_below_to_the_furthest_above() {
        assert_eq!([0, 1, HALF - 1, HALF, 2 * HALF - 1].map(draw), [1 << 31, 1 << 31 | 1, u32::MAX, (1 << 31) - 1, 0]);
        assert!(octave::is_lower(draw(HALF - 1)) && !octave::is_lower(draw(HALF)));
    }
}
