//! The delays that packets had of their own, where the order was kept.
//!
//! A link that keeps the order releases a packet no sooner than the one before it: what arrives right behind that one had a
//! delay of its own that was no longer than the one measured, and what arrives later had the one measured. So the series is
//! censored from the left, at points that hang on earlier packets alone, and the product-limit estimator (Kaplan and Meier,
//! J. Am. Stat. Assoc. 53, 1958, turned round) gives the distribution of what was drawn.

use crate::fit::{Fate, Observed, Options, Series};

/// A delay as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    delay: i64,
    /// Whether the packet arrived right behind one before it, and so may have waited for that.
    held: bool,
}

impl Measured {
    /// Whether it was no longer than this, and did not wait.
    pub(super) const fn is_own_up_to(self, delay: i64) -> bool {
        !self.held && self.delay <= delay
    }
}

/// Marks the packets that arrived no more than the resolution behind an earlier one; `None` where the delay is not known.
pub(super) fn marked(series: &Series, options: &Options) -> Vec<Option<Measured>> {
    let mut latest: Option<i64> = None;
    let mut mark = |packet: &Observed| {
        let delay = packet.fate.delay_ns()?;
        let arrival = packet.sent_ns.saturating_add(delay);
        let held = latest.is_some_and(|latest| arrival.saturating_sub(latest) <= options.resolution_ns);
        latest = latest.max(Some(arrival));
        Some(Measured { delay, held })
    };
    series.packets.iter().map(&mut mark).collect()
}

/// Delays of their own as a sorted sample, and the share of them, at its smallest, of which no more is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Own {
    pub(super) sorted: Vec<i64>,
    pub(super) unknown: f64,
    /// As many independent delays would tell as much.
    pub(super) worth: f64,
}

/// The shares of the distribution between which its variance is looked at.
const WITHIN: std::ops::RangeInclusive<f64> = 0.05..=0.95;

impl Own {
    /// Delays as they were measured, sorted.
    pub(super) fn measured(sorted: Vec<i64>) -> Self {
        let worth = sorted.len() as f64;
        Self { sorted, unknown: 0.0, worth }
    }

    /// By the product-limit estimator: as many values as there are delays that were not held, at even shares of the
    /// distribution. A delay that was held is at risk of being any up to its own. The estimate's variance is Greenwood's (1926),
    /// `F^2 sum d / (n (n - d))` over what lies above; where it is largest beside that of independent delays,
    /// `F (1 - F) / n`, it says how many of these are worth as much.
    pub(super) fn of(measured: impl Iterator<Item = Measured>) -> Self {
        let mut all: Vec<Measured> = measured.collect();
        all.sort_unstable_by_key(|one| one.delay);
        let free = all.iter().filter(|one| !one.held).count();
        // From the largest down: values, and the share of the distribution that lies at them.
        let mut masses: Vec<(i64, f64)> = Vec::new();
        let mut left = 1.0;
        let mut at_risk = all.len();
        let (mut above, mut worth) = (0.0, free as f64);
        for same in all.chunk_by(|one, other| one.delay == other.delay).rev() {
            let events = same.iter().filter(|one| !one.held).count();
            if let (1.., Some(first)) = (events, same.first()) {
                let mass = left * events as f64 / at_risk as f64;
                masses.push((first.delay, mass));
                left -= mass;
                let (events, at_risk) = (events as f64, at_risk as f64);
                above += events / (at_risk * (at_risk - events).max(1.0));
                if WITHIN.contains(&left) {
                    worth = worth.min((1.0 - left) / (left * above));
                }
            }
            at_risk -= same.len();
        }
        let unknown = left.max(0.0);
        if let Some((_, mass)) = masses.last_mut() {
            *mass += unknown;
        }
        let mut sorted = Vec::with_capacity(free);
        let mut below = 0.0;
        for (value, mass) in masses.into_iter().rev() {
            below += mass;
            while sorted.len() < free && (sorted.len() as f64 + 0.5) / free as f64 <= below {
                sorted.push(value);
            }
        }
        Self { sorted, unknown, worth }
    }
}

/// The same packets with a delay of its own drawn for each, released in order.
pub(super) fn drawn_anew(series: &Series, mut draw: impl FnMut() -> i64) -> Series {
    let mut latest = i64::MIN;
    let packet = |packet: &Observed| {
        let fate = match packet.fate {
            Fate::Arrived(_) => {
                latest = latest.max(packet.sent_ns.saturating_add(draw()));
                Fate::Arrived(latest.saturating_sub(packet.sent_ns))
            }
            other => other,
        };
        Observed { fate, ..*packet }
    };
    Series { packets: series.packets.iter().map(packet).collect(), ..*series }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(delays: &[(i64, bool)]) -> impl Iterator<Item = Measured> {
        delays.iter().map(|(delay, held)| Measured { delay: *delay, held: *held })
    }

    #[test]
    fn without_waiting_delays_are_those_measured() {
        let own = Own::of(measured(&[(5, false), (3, false), (9, false), (3, false)]));
        assert_eq!((own.sorted, own.unknown), (vec![3, 3, 5, 9], 0.0));
        // Greenwood's variance is the binomial one then.
        assert!((own.worth - 4.0).abs() < 1e-9, "{}", own.worth);
    }

    #[test]
    fn a_delay_that_was_held_is_shared_out_among_those_below() {
        // At 8 one of four; at 6 one is held; at 4 and 2 one of two and of one that are left: each 3/8 of all.
        let own = Own::of(measured(&[(8, false), (6, true), (4, false), (2, false)]));
        assert_eq!(own.sorted, [2, 4, 8]);
        assert!(own.unknown.abs() < 1e-12 && own.worth < 3.0, "{own:?}");
        // Below the smallest that is known lies what was held there: 1 of 2.
        let own = Own::of(measured(&[(8, false), (6, true)]));
        assert_eq!((own.sorted, own.unknown), (vec![8], 0.5));
    }

    #[test]
    fn those_right_behind_an_earlier_one_were_held() {
        let packets = [(0, 10_000_000), (1_000_000, 9_000_000), (2_000_000, 9_000_000), (3_000_000, 8_050_000)];
        let packets =
            packets.map(|(sent_ns, delay)| Observed { sent_ns, fate: Fate::Arrived(delay), bytes: None }).to_vec();
        let series = Series { packets, timed: true, absolute: true };
        let held: Vec<bool> = marked(&series, &Options::default()).into_iter().flatten().map(|one| one.held).collect();
        assert_eq!(held, [false, true, false, true]);
    }
}
