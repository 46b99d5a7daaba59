//! Interarrival jitter (RFC 3550, section 6.4.1 and appendix A.8).

use super::clock::{Line, of_payload_type};
use crate::stats::Budget;

/// Packets kept while the clock rate is not known yet.
const KEPT: usize = 2_048;
/// How often an estimate is asked for.
const ASK_EVERY: u64 = 16;
/// Nanoseconds in a second.
const SECOND: f64 = 1e9;

/// How the clock rate is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// By the payload type.
    Static(f64),
    /// Estimated; `true` if it is one in use.
    Estimated(f64, bool),
}

impl Rate {
    /// In Hz.
    #[must_use]
    pub fn hz(self) -> f64 {
        match self {
            Self::Static(hz) | Self::Estimated(hz, _) => hz,
        }
    }
}

/// The estimator of RFC 3550, J += (|D| - J) / 16, over all packets in order of arrival, copies and
/// reordered ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimator {
    /// Units of the clock.
    pub value: f64,
    /// Largest value.
    pub max: f64,
    sum: f64,
    /// Differences that went in.
    pub count: u64,
}

impl Estimator {
    /// A difference of relative transit times, in units of the clock.
    #[inline]
    pub fn step(&mut self, difference: f64) {
        self.value += (difference.abs() - self.value) * (1.0 / 16.0);
        self.max = self.max.max(self.value);
        self.sum += self.value;
        self.count += 1;
    }

    /// Mean of the values after each packet.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// Jitter of one stream, also while its clock rate is still to be found.
#[derive(Debug)]
pub struct Jitter {
    estimator: Estimator,
    /// The packet before: nanoseconds and timestamp.
    last: Option<(i64, u32)>,
    /// Units a nanosecond, 0 while unknown.
    per_ns: f64,
    rate: Option<Rate>,
    learning: Option<Box<Learning>>,
    /// Whether the first packets had to be left out, as there were too many before the rate was known.
    begun_late: bool,
}

/// Steps from packet to packet until the rate is known.
#[derive(Debug)]
struct Learning {
    line: Line,
    steps: Vec<(i64, i32)>,
    budget: Budget,
}

impl Drop for Learning {
    fn drop(&mut self) {
        self.budget.give_back(self.steps.capacity() * 2);
    }
}

impl Learning {
    fn keep(&mut self, step: (i64, i32)) -> bool {
        if self.steps.len() == self.steps.capacity() {
            let more = self.steps.capacity().max(32);
            if self.steps.len() >= KEPT || !self.budget.take(more * 2) {
                return false;
            }
            self.steps.reserve_exact(more);
        }
        self.steps.push(step);
        true
    }
}

impl Jitter {
    /// For a stream that begins with this payload type; `budget` is for the packets kept meanwhile.
    #[must_use]
    pub fn new(payload_type: u8, budget: &Budget) -> Self {
        let mut new = Self {
            estimator: Estimator::default(),
            last: None,
            per_ns: 0.0,
            rate: None,
            learning: None,
            begun_late: false,
        };
        if !new.now_of(payload_type) {
            let learning = Learning { line: Line::default(), steps: Vec::new(), budget: budget.clone() };
            new.learning = Some(Box::new(learning));
        }
        new
    }

    /// The stream goes on with this payload type: where it has a rate of its own, that is the
    /// stream's from now on. Whether it has one.
    pub fn now_of(&mut self, payload_type: u8) -> bool {
        let Some(hz) = of_payload_type(payload_type).map(f64::from) else { return false };
        let rate = Rate::Static(hz);
        if self.rate != Some(rate) {
            // Units of two clocks cannot be subtracted.
            self.last = None;
            self.set(rate);
            self.learning = None;
        }
        true
    }

    fn set(&mut self, rate: Rate) {
        self.rate = Some(rate);
        self.per_ns = rate.hz() / SECOND;
    }

    /// Numbering began anew, and timestamps with it: nothing to compare the next one with.
    pub fn begin_anew(&mut self) {
        self.last = None;
    }

    /// The next packet in order of arrival.
    #[inline]
    pub fn step(&mut self, ts_ns: i64, timestamp: u32) {
        let Some((ts_before, timestamp_before)) = self.last.replace((ts_ns, timestamp)) else { return };
        let ns = ts_ns.saturating_sub(ts_before);
        let units = timestamp.wrapping_sub(timestamp_before).cast_signed();
        if self.per_ns > 0.0 {
            self.estimator.step(ns as f64 * self.per_ns - f64::from(units));
        } else {
            self.learn(ns, units);
        }
    }

    fn learn(&mut self, ns: i64, units: i32) {
        let Some(learning) = &mut self.learning else { return };
        learning.line.step(ns, units);
        if !self.begun_late && !learning.keep((ns, units)) {
            self.begun_late = true;
            learning.budget.give_back(learning.steps.capacity() * 2);
            learning.steps = Vec::new();
        }
        if learning.line.count() % ASK_EVERY == 0 {
            self.decide();
        }
    }

    fn decide(&mut self) {
        let Some(estimate) = self.learning.as_ref().and_then(|learning| learning.line.estimate()) else { return };
        self.set(Rate::Estimated(estimate.hz, estimate.in_use));
        if let Some(learning) = self.learning.take() {
            for &(ns, units) in &learning.steps {
                self.estimator.step(ns as f64 * self.per_ns - f64::from(units));
            }
        }
    }

    /// Whether a packet fits the timeline of those before: its timestamp went on with time, within a
    /// tenth and half a second. Without a known rate it does not.
    #[must_use]
    pub fn continuous(&self, ts_ns: Option<i64>, timestamp: u32) -> bool {
        let Some(((ts_before, timestamp_before), ts_ns)) = self.last.zip(ts_ns) else { return false };
        if self.per_ns <= 0.0 {
            return false;
        }
        let ns = ts_ns.saturating_sub(ts_before) as f64;
        let told = f64::from(timestamp.wrapping_sub(timestamp_before).cast_signed()) / self.per_ns;
        (told - ns).abs() <= ns.abs() * 0.1 + SECOND / 2.0
    }

    /// The stream has ended: what is known of it by now has to do.
    pub fn finish(&mut self) {
        if self.per_ns <= 0.0 {
            self.decide();
        }
    }

    /// The clock rate; `None` if it is not known.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// The estimator; without a rate there is none.
    #[must_use]
    pub fn estimator(&self) -> Option<&Estimator> {
        (self.per_ns > 0.0 && self.estimator.count > 0).then_some(&self.estimator)
    }
}

#[cfg(test)]
mod tests {
    use super::{Estimator, Jitter, Rate};
    use crate::stats::Budget;

    #[test]
    fn the_estimator_is_that_of_rfc_3550() {
        // By hand: 16/16 = 1; 1 + (0 - 1)/16 = 0.9375; 0.9375 + (32 - 0.9375)/16 = 2.87890625.
        let mut estimator = Estimator::default();
        let values: Vec<_> = [16.0, 0.0, -32.0]
            .map(|difference| {
                estimator.step(difference);
                estimator.value
            })
            .to_vec();
        assert_eq!(values, [1.0, 0.9375, 2.878_906_25]);
        assert_eq!(estimator.max, 2.878_906_25);
        assert_eq!(estimator.mean(), Some((1.0 + 0.9375 + 2.878_906_25) / 3.0));
    }

    /// Every 20 ms a packet of 160 units, every tenth 8 ms late.
    fn feed(jitter: &mut Jitter, packets: u32) {
        for packet in 0..packets {
            let late = if packet % 10 == 9 { 8_000_000 } else { 0 };
            jitter.step(i64::from(packet) * 20_000_000 + late, packet.wrapping_mul(160).wrapping_add(u32::MAX - 5_000));
        }
        jitter.finish();
    }

    #[test]
    fn what_came_before_the_rate_was_known_counts_the_same() {
        let (mut known, mut learnt) = (Jitter::new(0, &Budget::unlimited()), Jitter::new(111, &Budget::unlimited()));
        feed(&mut known, 400);
        feed(&mut learnt, 400);
        assert_eq!(known.rate(), Some(Rate::Static(8_000.0)));
        assert_eq!(learnt.rate(), Some(Rate::Estimated(8_000.0, true)));
        assert_eq!(known.estimator(), learnt.estimator());
        assert_eq!(known.estimator().unwrap().count, 399);
    }

    #[test]
    fn memory_that_was_taken_is_given_back() {
        let budget = Budget::of(2 * 64);
        let mut jitter = Jitter::new(96, &budget);
        // No time passes, so there is no rate; the third 32 packets find no room.
        for packet in 0..200 {
            jitter.step(0, packet);
        }
        assert!(jitter.begun_late && jitter.estimator().is_none());
        drop(jitter);
        assert!(budget.take(2 * 64));
    }

    #[test]
    fn a_timeline_is_continued_or_not() {
        let mut jitter = Jitter::new(0, &Budget::unlimited());
        feed(&mut jitter, 10);
        let (ts, timestamp) = jitter.last.unwrap();
        assert!(jitter.continuous(Some(ts + 600_000_000_000), timestamp.wrapping_add(600 * 8_000)));
        assert!(!jitter.continuous(Some(ts + 600_000_000_000), timestamp.wrapping_add(300 * 8_000)));
        assert!(!jitter.continuous(Some(ts + 1_000_000), timestamp.wrapping_add(1 << 30)));
        assert!(!jitter.continuous(None, timestamp));
    }
}
