//! Interarrival jitter (RFC 3550, section 6.4.1 and appendix A.8).

use super::clock::{Line, of_payload_type};
use crate::stats::Budget;

/// Packets kept while the clock rate is not certain yet.
const KEPT: usize = 2_048;
/// How often an estimate is asked for, in packets, until there is one; then each time that there are twice as many.
const ASK_EVERY: u64 = 16;
/// Seconds after which an estimate is not revised any more. A queue that fills or empties bends a line of one second by
/// more than what neighbouring rates differ by, and hardly one of ten.
const FIRM_SECONDS: f64 = 10.0;
/// Estimates that differ by less are one rate, told a little better.
const SAME: f64 = 0.001;
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

/// Clocks of one stream that are told apart; the one with the fewest packets gives way.
const CLOCKS: usize = 8;
/// So many packets of another clock in between do not change a timeline: parity, a damaged type.
const FEW: u64 = 8;

/// Comfort noise: a static type whose clock is that of the codec it fills in for (RFC 3389 section 4).
pub const COMFORT_NOISE: u8 = 13;

/// Whose clock it is: payload types of the same static rate share one, every other type has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Static(u32),
    Dynamic(u8),
}

impl Class {
    fn of(payload_type: u8) -> Self {
        of_payload_type(payload_type).map_or(Self::Dynamic(payload_type), Self::Static)
    }
}

/// Jitter of one stream, also while its clock rate is still to be found: by the clock of each payload
/// type, as differences are of packets of the same clock.
#[derive(Debug)]
pub struct Jitter {
    now: Clock,
    others: Vec<Clock>,
    /// Packets of all clocks.
    packets: u64,
    budget: Budget,
}

/// The packets of one clock.
#[derive(Debug)]
struct Clock {
    class: Class,
    estimator: Estimator,
    /// The packet before: nanoseconds and timestamp.
    last: Option<(i64, u32)>,
    /// Units a nanosecond, 0 while unknown.
    per_ns: f64,
    rate: Option<Rate>,
    /// Until the rate is certain.
    learning: Option<Box<Learning>>,
    /// What passed from packet to packet: nanoseconds, and units of timestamps.
    passed: (i64, i64),
    /// Packets of all clocks when it began to be that of the stream, or when it ceased to be.
    since: u64,
    packets: u64,
}

/// Steps from packet to packet until the rate is certain.
#[derive(Debug)]
struct Learning {
    line: Line,
    steps: Vec<(i64, i32)>,
    /// Whether there were too many steps to keep: another rate then counts from where it was found.
    too_many: bool,
    /// Of how many packets the next estimate is asked for.
    ask_at: u64,
    budget: Budget,
}

impl Drop for Learning {
    fn drop(&mut self) {
        self.budget.give_back(self.steps.capacity() * 2);
    }
}

impl Learning {
    fn keep(&mut self, step: (i64, i32)) {
        if self.too_many {
            return;
        }
        if self.steps.len() == self.steps.capacity() {
            let more = self.steps.capacity().max(32);
            if self.steps.len() >= KEPT || !self.budget.take(more * 2) {
                self.too_many = true;
                self.budget.give_back(self.steps.capacity() * 2);
                self.steps = Vec::new();
                return;
            }
            self.steps.reserve_exact(more);
        }
        self.steps.push(step);
    }
}

impl Clock {
    fn new(class: Class, budget: &Budget) -> Self {
        let mut new = Self {
            class,
            estimator: Estimator::default(),
            last: None,
            per_ns: 0.0,
            rate: None,
            learning: None,
            passed: (0, 0),
            since: 0,
            packets: 0,
        };
        match class {
            Class::Static(hz) => new.set(Rate::Static(hz.into())),
            Class::Dynamic(_) => {
                new.learning = Some(Box::new(Learning {
                    line: Line::default(),
                    steps: Vec::new(),
                    too_many: false,
                    ask_at: ASK_EVERY,
                    budget: budget.clone(),
                }));
            }
        }
        new
    }

    fn set(&mut self, rate: Rate) {
        self.rate = Some(rate);
        self.per_ns = rate.hz() / SECOND;
    }

    #[inline]
    fn step(&mut self, ts_ns: i64, timestamp: u32) {
        let Some((ts_before, timestamp_before)) = self.last.replace((ts_ns, timestamp)) else { return };
        let ns = ts_ns.saturating_sub(ts_before);
        let units = timestamp.wrapping_sub(timestamp_before).cast_signed();
        self.passed = (self.passed.0.saturating_add(ns), self.passed.1.saturating_add(i64::from(units)));
        if self.per_ns > 0.0 {
            self.estimator.step(ns as f64 * self.per_ns - f64::from(units));
        }
        if self.learning.is_some() {
            self.learn(ns, units);
        }
    }

    fn learn(&mut self, ns: i64, units: i32) {
        let Some(learning) = &mut self.learning else { return };
        learning.line.step(ns, units);
        learning.keep((ns, units));
        let (count, firm) = (learning.line.count(), learning.line.seconds() >= FIRM_SECONDS);
        if count < learning.ask_at && !(firm && self.rate.is_some()) {
            return;
        }
        self.decide();
        let known = self.rate.is_some();
        match &mut self.learning {
            Some(learning) if !(firm && known) => learning.ask_at = if known { count * 2 } else { count + ASK_EVERY },
            learning => *learning = None,
        }
    }

    /// Takes what the packets say of the rate by now, which may be that what the first of them said was wrong.
    fn decide(&mut self) {
        let Some(learning) = &self.learning else { return };
        let rate = learning.line.estimate().map(|estimate| Rate::Estimated(estimate.hz, estimate.in_use));
        let same = match (self.rate, rate) {
            (Some(before), Some(now)) => (now.hz() / before.hz() - 1.0).abs() < SAME,
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        self.rate = rate;
        self.per_ns = rate.map_or(0.0, |rate| rate.hz() / SECOND);
        self.estimator = Estimator::default();
        if rate.is_some() {
            for &(ns, units) in &learning.steps {
                self.estimator.step(ns as f64 * self.per_ns - f64::from(units));
            }
        }
    }
}

impl Jitter {
    /// For a stream that begins with this payload type; `budget` is for the packets kept meanwhile.
    #[must_use]
    pub fn new(payload_type: u8, budget: &Budget) -> Self {
        let now = Clock::new(Class::of(payload_type), budget);
        Self { now, others: Vec::new(), packets: 0, budget: budget.clone() }
    }

    /// The stream goes on with this payload type, whose clock may be another one. Comfort noise has
    /// that of the type before.
    pub fn now_of(&mut self, payload_type: u8) {
        let class = Class::of(payload_type);
        if payload_type == COMFORT_NOISE || class == self.now.class {
            return;
        }
        self.now.packets += self.packets - self.now.since;
        self.now.since = self.packets;
        let known = self.others.iter().position(|other| other.class == class);
        let place = known.or_else(|| {
            let fewest = self.others.iter().enumerate().min_by_key(|(_, other)| other.packets);
            fewest.filter(|_| self.others.len() + 1 >= CLOCKS).map(|(at, _)| at)
        });
        let before = place.map(|at| self.others.swap_remove(at)).filter(|before| before.class == class);
        let mut next = before.unwrap_or_else(|| Clock::new(class, &self.budget));
        // Meanwhile timestamps may have gone on by another clock.
        if self.packets - next.since > FEW {
            next.last = None;
        }
        next.since = self.packets;
        self.others.push(std::mem::replace(&mut self.now, next));
    }

    /// Numbering began anew, and timestamps with it: nothing to compare the next one with.
    pub fn begin_anew(&mut self) {
        self.now.last = None;
        self.others.iter_mut().for_each(|other| other.last = None);
    }

    /// The next packet in order of arrival.
    #[inline]
    pub fn step(&mut self, ts_ns: i64, timestamp: u32) {
        self.packets += 1;
        self.now.step(ts_ns, timestamp);
    }

    /// Whether a packet fits the timeline of those before: its timestamp went on with time, within a
    /// tenth and half a second. Without a known rate it does not.
    #[must_use]
    pub fn continuous(&self, ts_ns: Option<i64>, timestamp: u32) -> bool {
        let Some(((ts_before, timestamp_before), ts_ns)) = self.now.last.zip(ts_ns) else { return false };
        if self.now.per_ns <= 0.0 {
            return false;
        }
        let ns = ts_ns.saturating_sub(ts_before) as f64;
        let told = f64::from(timestamp.wrapping_sub(timestamp_before).cast_signed()) / self.now.per_ns;
        (told - ns).abs() <= ns.abs() * 0.1 + SECOND / 2.0
    }

    /// The stream has ended: what is known of it by now has to do.
    pub fn finish(&mut self) {
        for clock in self.others.iter_mut().chain([&mut self.now]) {
            clock.decide();
        }
    }

    fn clock(&self, payload_type: u8) -> Option<&Clock> {
        let class = Class::of(payload_type);
        self.others.iter().chain([&self.now]).find(|clock| clock.class == class)
    }

    /// The clock rate of a payload type; `None` if it is not known.
    #[must_use]
    pub fn rate(&self, payload_type: u8) -> Option<Rate> {
        self.clock(payload_type)?.rate
    }

    /// The rate in Hz that the packets of a payload type had from the first to the last; `None` if less
    /// than a second passed.
    #[must_use]
    pub fn measured_hz(&self, payload_type: u8) -> Option<f64> {
        let (ns, units) = self.clock(payload_type)?.passed;
        let seconds = ns as f64 / SECOND;
        (seconds >= 1.0).then(|| units as f64 / seconds)
    }

    /// The estimator over the packets of a payload type's clock; without a rate there is none.
    #[must_use]
    pub fn estimator(&self, payload_type: u8) -> Option<&Estimator> {
        let clock = self.clock(payload_type)?;
        (clock.per_ns > 0.0 && clock.estimator.count > 0).then_some(&clock.estimator)
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
        assert_eq!(known.rate(0), Some(Rate::Static(8_000.0)));
        assert_eq!(learnt.rate(111), Some(Rate::Estimated(8_000.0, true)));
        assert_eq!(known.estimator(0), learnt.estimator(111));
        assert_eq!(known.estimator(0).unwrap().count, 399);
    }

    #[test]
    fn memory_that_was_taken_is_given_back() {
        let budget = Budget::of(2 * 64);
        let mut jitter = Jitter::new(96, &budget);
        // No time passes, so there is no rate; the third 32 packets find no room.
        for packet in 0..200 {
            jitter.step(0, packet);
        }
        assert!(jitter.now.learning.as_ref().unwrap().too_many && jitter.estimator(96).is_none());
        drop(jitter);
        assert!(budget.take(2 * 64));
    }

    /// Packets of 20 ms, of a type that says by how many units its timestamps go on.
    fn mixed(types: impl IntoIterator<Item = (u8, u32)>) -> Jitter {
        let mut types = types.into_iter().peekable();
        let mut jitter = Jitter::new(types.peek().unwrap().0, &Budget::unlimited());
        let mut timestamp = 0_u32;
        for (packet, (payload_type, units)) in types.enumerate() {
            jitter.now_of(payload_type);
            jitter.step(packet as i64 * 20_000_000, timestamp);
            timestamp = timestamp.wrapping_add(units);
        }
        jitter.finish();
        jitter
    }

    #[test]
    fn a_type_that_passes_for_a_moment_does_not_set_the_rate() {
        // One damaged type that has a rate of its own; ten packets of PCMU in front of Opus.
        let damaged = mixed((0..2_000).map(|packet| (if packet == 300 { 32 } else { 96 }, 960)));
        assert_eq!(damaged.rate(96), Some(Rate::Estimated(48_000.0, true)));
        let estimator = damaged.estimator(96).unwrap();
        assert!(estimator.max < 1e-6 && estimator.count == 1_998, "{estimator:?}");
        let begun = mixed((0..2_000).map(|packet| if packet < 10 { (0, 160) } else { (111, 960) }));
        assert_eq!(begun.rate(111), Some(Rate::Estimated(48_000.0, true)));
        assert!(begun.estimator(111).unwrap().max < 1e-6);
    }

    #[test]
    fn comfort_noise_has_the_clock_of_its_codec() {
        let found = mixed((0..2_000).map(|packet| (if (500..520).contains(&packet) { 13 } else { 97 }, 320)));
        assert_eq!(found.rate(97), Some(Rate::Estimated(16_000.0, true)));
        assert_eq!(found.estimator(97).unwrap().count, 1_999);
    }

    #[test]
    fn there_is_no_difference_across_a_change_of_rate() {
        // A second each of 8 and 48 kHz, in turns.
        let found = mixed((0..2_000).map(|packet| if packet / 50 % 2 == 0 { (0, 160) } else { (111, 960) }));
        for (payload_type, hz) in [(0, 8_000.0), (111, 48_000.0)] {
            assert_eq!(found.rate(payload_type).unwrap().hz(), hz);
            let estimator = found.estimator(payload_type).unwrap();
            assert!(estimator.max < 1e-6 && estimator.count == 20 * 49, "{estimator:?}");
            assert_eq!(found.measured_hz(payload_type).unwrap().round(), hz);
        }
    }

    #[test]
    fn of_many_clocks_those_with_the_most_packets_are_kept() {
        let found = mixed((0..4_000).map(|packet| (if packet % 10 == 9 { 96 + (packet % 31) as u8 } else { 0 }, 160)));
        assert!(found.others.len() < 8);
        assert_eq!(found.rate(0), Some(Rate::Static(8_000.0)));
        let estimator = found.estimator(0).unwrap();
        assert!(estimator.max < 1e-6 && estimator.count == 3_599, "{estimator:?}");
    }

    #[test]
    fn a_timeline_is_continued_or_not() {
        let mut jitter = Jitter::new(0, &Budget::unlimited());
        feed(&mut jitter, 10);
        let (ts, timestamp) = jitter.now.last.unwrap();
        assert!(jitter.continuous(Some(ts + 600_000_000_000), timestamp.wrapping_add(600 * 8_000)));
        assert!(!jitter.continuous(Some(ts + 600_000_000_000), timestamp.wrapping_add(300 * 8_000)));
        assert!(!jitter.continuous(Some(ts + 1_000_000), timestamp.wrapping_add(1 << 30)));
        assert!(!jitter.continuous(None, timestamp));
    }
}
