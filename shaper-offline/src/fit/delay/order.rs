//! Whether the link keeps the order of packets.

use serde::Serialize;

use super::correlation::Score;
use super::distance::Distribution;
use crate::fit::draws::Draws;
use crate::fit::special::normal_quantile;
use crate::fit::{Options, Series};

/// Packets that are drawn anew at most.
const DRAWN: usize = 200_000;
/// Reordered packets that a free order would make, from which on none of them says that order is kept: by a Poisson law
/// none comes in one of 20,000 cases.
const TELLING: f64 = 10.0;
/// The share of packets sent at one stamp with another, from which on stamps are too coarse to tell the order: arrivals,
/// which are counted from the stamps, are then off by as much as packets lie apart.
const COARSE: f64 = 0.1;
/// Delays that say something of a distribution: a bound of 95 % around the shares that they give is 0.14 wide.
const LEAST_WORTH: f64 = 100.0;

/// What is known of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderVerdict {
    /// Packets overtook others.
    Free,
    /// None did, though with these delays they would have.
    Kept,
    /// None did, and hardly any would have; or the stamps are too coarse to tell.
    NotTold,
}

/// The order, and what was seen of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OrderFound {
    /// The verdict.
    pub verdict: OrderVerdict,
    /// Packets that arrived behind one that was sent at a later stamp (RFC 4737); 0 where stamps are too coarse.
    pub reordered: u64,
    /// Packets sent at the same stamp as another: which of them went first is not known.
    pub same_stamp: u64,
    /// How many a link of the fitted delays and a free order would have made of these packets; `None` without times, and
    /// where stamps are too coarse.
    pub expected_if_free: Option<f64>,
    /// Whether delays were fitted as packets had them of their own, without what they waited for those before them; only
    /// where the order was kept.
    pub taken_off: bool,
    /// Where it was taken off: how many delays of packets that waited for none would tell as much as what is left.
    pub left_worth: Option<f64>,
}

impl OrderFound {
    /// Whether what is left without waiting is too little to go by.
    #[must_use]
    pub fn leaves_too_little(&self) -> bool {
        self.left_worth.is_some_and(|worth| worth < LEAST_WORTH)
    }
}

/// Counts packets, given as sent and arrived, that arrive behind one that was sent later: of those in order of arrival,
/// that were sent before one that came before (RFC 4737, 3.3). Of one stamp none is the later.
fn reordered(packets: impl Iterator<Item = (i64, i64)>) -> u64 {
    let mut all: Vec<(i64, i64)> = packets.map(|(sent, arrival)| (arrival, sent)).collect();
    all.sort_unstable();
    let mut latest = i64::MIN;
    let mut behind = 0;
    for (_, sent) in all {
        if sent < latest {
            behind += 1;
        } else {
            latest = sent;
        }
    }
    behind
}

/// Packets that have their stamp with a neighbour in order of sending.
fn same_stamp(scores: &[Score]) -> u64 {
    scores.chunk_by(|one, next| one.sent_ns == next.sent_ns).map(<[_]>::len).filter(|n| *n > 1).sum::<usize>() as u64
}

/// Judges the order: what was seen against the same packets with delays drawn anew, correlated as those measured.
pub(super) fn judge(
    series: &Series,
    scores: &[Score],
    delays: &impl Distribution,
    time_ns: Option<f64>,
    options: &Options,
) -> OrderFound {
    let same_stamp = if series.timed { same_stamp(scores) } else { 0 };
    if !series.timed || same_stamp as f64 > COARSE * scores.len() as f64 {
        return OrderFound {
            verdict: OrderVerdict::NotTold,
            reordered: 0,
            same_stamp,
            expected_if_free: None,
            taken_off: false,
            left_worth: None,
        };
    }
    let measured = |score: &Score| {
        let packet = series.packets.get(score.number);
        let delay = packet.and_then(|packet| packet.fate.delay_ns());
        delay.map(|delay| (score.sent_ns, score.sent_ns.saturating_add(delay)))
    };
    let seen = reordered(scores.iter().filter_map(measured));
    let mut draws = Draws::new(options.seed ^ 0x6f_7264_6572);
    let mut before: Option<(i64, f64)> = None;
    let drawn = scores.iter().take(DRAWN).map(|score| {
        let fresh = normal_quantile(draws.uniform());
        let z = match (before, time_ns) {
            (Some((sent, z)), Some(time)) => {
                let kept = (-(score.sent_ns.saturating_sub(sent) as f64) / time).exp();
                kept * z + (1.0 - kept * kept).max(0.0).sqrt() * fresh
            }
            _ => fresh,
        };
        before = Some((score.sent_ns, z));
        (score.sent_ns, score.sent_ns.saturating_add(delays.quantile(normal_share(z)).round() as i64))
    });
    let of = scores.len().clamp(1, DRAWN) as f64;
    let expected = reordered(drawn) as f64 * scores.len() as f64 / of;
    let verdict = match seen {
        1.. => OrderVerdict::Free,
        0 if expected >= TELLING => OrderVerdict::Kept,
        0 => OrderVerdict::NotTold,
    };
    OrderFound {
        verdict,
        reordered: seen,
        same_stamp,
        expected_if_free: Some(expected),
        taken_off: false,
        left_worth: None,
    }
}

/// The share of a standard normal distribution below a point, within 1.5e-7 (Abramowitz and Stegun, 7.1.26).
fn normal_share(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let sum = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592]
        .iter()
        .fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    let tail = sum * (-x * x).exp() / 2.0;
    if z < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reordered_packets_are_those_behind_a_later_one() {
        // Sent 0 to 4, arriving as 0 2 3 1 4: 1 alone is late.
        let of = |arrivals: &[i64]| reordered((0..).zip(arrivals.iter().copied()));
        assert_eq!(of(&[10, 40, 20, 30, 50]), 1);
        assert_eq!(of(&[10, 20, 20, 30]), 0);
        // 4 overtakes all.
        assert_eq!(of(&[10, 20, 30, 40, 5]), 4);
    }

    #[test]
    fn packets_of_one_stamp_overtake_none_of_it() {
        assert_eq!(reordered([(0, 12), (0, 11), (0, 10), (5, 15)].into_iter()), 0);
        // One of the first stamp behind one of the second.
        assert_eq!(reordered([(0, 12), (0, 20), (5, 15), (5, 14)].into_iter()), 1);
    }

    #[test]
    fn normal_shares_are_those_of_tables() {
        for (z, share) in [(0.0, 0.5), (1.959_964, 0.975), (-2.326_348, 0.01), (-1.0, 0.158_655_3)] {
            assert!((normal_share(z) - share).abs() < 2e-7, "{z}: {}", normal_share(z));
        }
    }
}
