//! Clock offset and skew from SYNC exchanges.
//!
//! Offset and delay are NTP's (RFC 5905 section 8): offset ((t2-t1)+(t3-t4))/2, delay
//! (t4-t1)-(t3-t2), taken from the exchange of least delay among the last eight (its clock
//! filter). An asymmetry d between the two directions shifts the offset by d/2 and cannot be seen
//! from the exchange.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::units::{Micros, Ppm};

/// How many exchanges the clock filter looks back on.
pub const FILTER_LEN: usize = 8;
/// How many filter minima the skew is estimated from, at most.
const SKEW_POINTS: usize = 64;
/// Fewer minima than this give no skew.
const SKEW_MINIMUM: usize = 3;

/// The four stamps of one exchange: t1 and t4 by the asker's clock, t2 and t3 by the answerer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Request sent.
    pub t1: Micros,
    /// Request received.
    pub t2: Micros,
    /// Reply sent.
    pub t3: Micros,
    /// Reply received.
    pub t4: Micros,
}

impl Exchange {
    /// How far the answerer's clock is ahead of the asker's, in microseconds.
    #[must_use]
    pub fn offset(&self) -> f64 {
        let difference = |a: Micros, b: Micros| i128::from(a.0) - i128::from(b.0);
        (difference(self.t2, self.t1) + difference(self.t3, self.t4)) as f64 / 2.0
    }

    /// The round trip without the answerer's own time.
    #[must_use]
    pub fn delay(&self) -> Micros {
        let round_trip = self.t4.0.saturating_sub(self.t1.0);
        Micros(round_trip.saturating_sub(self.t3.0.saturating_sub(self.t2.0)))
    }
}

/// The estimate after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Microseconds by which the answerer's clock is ahead.
    pub offset: f64,
    /// Delay of the exchange the offset comes from.
    pub delay: Micros,
    /// Middle of that exchange by the asker's clock.
    pub at: Micros,
    /// How much faster the answerer's clock runs; none before three filters' worth of exchanges.
    pub skew: Option<Ppm>,
    /// Exchanges so far.
    pub exchanges: u64,
}

/// The clock filter and the skew estimate over its minima.
#[derive(Debug, Default)]
pub struct Estimator {
    recent: VecDeque<Exchange>,
    minima: VecDeque<(f64, f64)>,
    exchanges: u64,
}

impl Estimator {
    /// Takes an exchange in and gives the estimate so far.
    pub fn add(&mut self, exchange: Exchange) -> Estimate {
        self.exchanges += 1;
        if self.recent.len() == FILTER_LEN {
            self.recent.pop_front();
        }
        self.recent.push_back(exchange);
        let best = self.recent.iter().min_by_key(|e| e.delay()).copied().unwrap_or(exchange);
        let middle = Micros(best.t1.0.midpoint(best.t4.0));
        // Disjoint windows, so that no exchange counts for two points of the skew.
        if self.exchanges.is_multiple_of(FILTER_LEN as u64) {
            if self.minima.len() == SKEW_POINTS {
                self.minima.pop_front();
            }
            self.minima.push_back((middle.0 as f64, best.offset()));
        }
        Estimate {
            offset: best.offset(),
            delay: best.delay(),
            at: middle,
            skew: self.skew(),
            exchanges: self.exchanges,
        }
    }

    /// Theil-Sen: the median of the slopes between all pairs of minima (Sen, 1968).
    fn skew(&self) -> Option<Ppm> {
        if self.minima.len() < SKEW_MINIMUM {
            return None;
        }
        let mut slopes = Vec::with_capacity(self.minima.len() * (self.minima.len() - 1) / 2);
        for (i, &(x0, y0)) in self.minima.iter().enumerate() {
            for &(x1, y1) in self.minima.iter().skip(i + 1) {
                if x1 > x0 {
                    slopes.push((y1 - y0) / (x1 - x0));
                }
            }
        }
        let middle = slopes.len() / 2;
        if slopes.is_empty() {
            return None;
        }
        let (_, median, _) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
        Some(Ppm(*median * 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SplitMix64;

    /// Exchanges over a link of the given one-way delays, the answerer ahead by `offset` at time 0
    /// and faster by `skew`.
    fn exchange(at_us: f64, out_us: f64, back_us: f64, offset: f64, skew: f64) -> Exchange {
        let answerer = |t: f64| Micros((t + offset + t * skew * 1e-6) as i64);
        Exchange {
            t1: Micros(at_us as i64),
            t2: answerer(at_us + out_us),
            t3: answerer(at_us + out_us + 50.0),
            t4: Micros((at_us + out_us + 50.0 + back_us) as i64),
        }
    }

    #[test]
    fn symmetric_delay_gives_the_injected_offset() {
        let mut estimator = Estimator::default();
        let estimate = estimator.add(exchange(1e6, 20_000.0, 20_000.0, 5_000.0, 0.0));
        assert!((estimate.offset - 5_000.0).abs() <= 1.0, "{estimate:?}");
        assert_eq!(estimate.delay, Micros(40_000));
        assert_eq!(estimate.skew, None);
    }

    #[test]
    fn an_asymmetry_of_d_costs_half_of_d() {
        let mut estimator = Estimator::default();
        let d = 10_000.0;
        let estimate = estimator.add(exchange(1e6, 20_000.0 + d, 20_000.0, 0.0, 0.0));
        assert!((estimate.offset - d / 2.0).abs() <= 1.0, "{estimate:?}");
    }

    #[test]
    fn the_least_delayed_of_eight_decides_until_it_leaves_the_filter() {
        let mut estimator = Estimator::default();
        estimator.add(exchange(0.0, 1_000.0, 1_000.0, 700.0, 0.0));
        for i in 1..8 {
            let estimate = estimator.add(exchange(f64::from(i) * 1e6, 9_000.0, 1_000.0, 700.0, 0.0));
            assert!((estimate.offset - 700.0).abs() <= 1.0);
        }
        let estimate = estimator.add(exchange(8e6, 9_000.0, 1_000.0, 700.0, 0.0));
        assert!((estimate.offset - 4_700.0).abs() <= 1.0, "{estimate:?}");
    }

    #[test]
    fn stamps_out_of_this_world_do_not_overflow() {
        let (least, most) = (Micros(0), Micros(i64::MAX));
        let mut estimator = Estimator::default();
        for bits in 0..16 {
            let stamp = |bit: u32| if bits >> bit & 1 == 1 { most } else { least };
            let estimate = estimator.add(Exchange { t1: stamp(0), t2: stamp(1), t3: stamp(2), t4: stamp(3) });
            assert!(estimate.offset.is_finite());
        }
    }

    #[test]
    fn skew_is_found_under_jitter() {
        let mut rng = SplitMix64::new(11);
        let mut estimator = Estimator::default();
        let mut last = None;
        for i in 0..240 {
            let out = 10_000.0 + rng.up_to(3_000) as f64;
            let back = 10_000.0 + rng.up_to(3_000) as f64;
            last = Some(estimator.add(exchange(f64::from(i) * 0.5e6, out, back, 2_000.0, 50.0)));
        }
        let estimate = last.unwrap();
        // The minimum of 8 triangular sums lies within some 700 us of the floor, half of which
        // can be asymmetry; over 120 s the slope of 30 such points is known to a few ppm.
        let skew = estimate.skew.unwrap().0;
        assert!((skew - 50.0).abs() < 6.0, "{skew}");
    }
}
