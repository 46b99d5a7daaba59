//! The part of a trace that the decision looks at.

use std::sync::Arc;

use shaper_common::pipeline::{Packet, Settings};
use shaper_common::trace::{
    Entry, MOST_STEPS, PACKETS, PacketHead, PacketPlaces, Packets, STEPS, Step, StepHead, StepPlaces, Steps,
};
use shaper_common::units::Nanos;

use crate::spec::ChannelSpec;
use crate::trace::{PacketTrace, StepTrace, Trace};

/// The trace that a channel follows, as far as the decision looks at it.
#[derive(Clone, Debug)]
pub enum Followed {
    /// No trace.
    None,
    /// A trace over time.
    Steps(StepWindow),
    /// A trace by packet.
    Packets(PacketWindow),
}

impl Followed {
    /// The trace's beginning.
    #[must_use]
    pub fn new(spec: &ChannelSpec) -> Self {
        match &spec.trace {
            None => Self::None,
            Some(Trace::Steps(trace)) => Self::Steps(StepWindow::new(trace.clone())),
            Some(Trace::Packets(trace)) => Self::Packets(PacketWindow::new(trace.clone())),
        }
    }

    /// What decides for a packet that arrives, or that finds this index in the trace, with the part of it that is needed.
    /// Times and indices rise.
    pub fn settings<'a>(&'a mut self, spec: &'a ChannelSpec, packet: &Packet, index: u64) -> Settings<'a> {
        let settings = spec.settings(packet.now);
        match self {
            Self::None => settings,
            Self::Steps(window) => {
                window.advance(packet.now.saturating_sub(spec.params.start));
                Settings { steps: Some(window.steps()), ..settings }
            }
            Self::Packets(window) => {
                window.advance(index);
                Settings { packets: Some(window.packets()), ..settings }
            }
        }
    }
}

/// The part of a trace over time that the decision looks at: all of it where it fits.
#[derive(Clone, Debug)]
pub struct StepWindow {
    trace: Arc<StepTrace>,
    head: StepHead,
    places: Box<StepPlaces>,
}

impl StepWindow {
    /// Steps stay for so long after their end: a decision may be made a little after one of a later packet.
    pub const BEHIND: Nanos = Nanos(100_000_000);

    /// The trace's beginning.
    #[must_use]
    pub fn new(trace: Arc<StepTrace>) -> Self {
        let mut places = boxed(Step::default());
        let whole = trace.fits();
        for (place, step) in places.iter_mut().take(STEPS - 1).zip(trace.steps()) {
            *place = *step;
        }
        let head = StepHead {
            until: (trace.steps().len() as u64).min(MOST_STEPS),
            repeat: if whole { trace.repeat } else { Nanos::ZERO },
            total: if whole { trace.total } else { 0 },
            known: StepHead::NEVER,
            shift: trace.shift,
            ..StepHead::default()
        };
        let mut window = Self { trace, head, places };
        window.reach();
        window
    }

    /// What the decision looks at.
    #[must_use]
    pub fn steps(&self) -> Steps<'_> {
        Steps { head: &self.head, places: &self.places }
    }

    /// Whether more is to come.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        !self.trace.fits()
    }

    /// Gives up the steps that ended [`BEHIND`](Self::BEHIND) this time and longer ago, and says how many places are
    /// free.
    pub fn pass(&mut self, since_start: Nanos) -> u64 {
        let passed = since_start.saturating_sub(Self::BEHIND);
        if self.is_streamed() {
            while self.head.until - self.head.from > 1
                && self.places.get((self.head.from + 1) as usize % STEPS).is_some_and(|next| next.at <= passed)
            {
                self.head.from += 1;
            }
        }
        MOST_STEPS - (self.head.until - self.head.from)
    }

    /// Lays down what comes next in all free places, behind what is known, and returns the number behind the last.
    pub fn lay(&mut self) -> u64 {
        let mut number = self.head.until;
        while self.is_streamed()
            && number - self.head.from < MOST_STEPS
            && let Some(step) = self.trace.unrolled(number)
            && let Some(place) = self.places.get_mut(number as usize % STEPS)
        {
            *place = step;
            number += 1;
        }
        number
    }

    /// Makes known what was laid down: that it is there, and only then how far it reaches, for whoever reads meanwhile.
    pub fn publish(&mut self, until: u64) {
        self.head.until = until;
    }

    /// Makes known how far it reaches.
    pub fn reach(&mut self) {
        if self.is_streamed() {
            self.head.known = self.trace.unrolled(self.head.until).map_or(StepHead::NEVER, |next| next.at);
        }
    }

    /// Brings it to a time at once.
    pub fn advance(&mut self, since_start: Nanos) {
        while self.is_streamed() && self.pass(since_start) > 0 {
            let until = self.lay();
            let is_new = until > self.head.until;
            self.publish(until);
            self.reach();
            if !is_new || self.head.known > since_start {
                break;
            }
        }
    }
}

/// The part of a trace by packet that the decision looks at: all of it where it fits.
#[derive(Clone, Debug)]
pub struct PacketWindow {
    trace: Arc<PacketTrace>,
    head: PacketHead,
    places: Box<PacketPlaces>,
}

impl PacketWindow {
    /// The trace's beginning.
    #[must_use]
    pub fn new(trace: Arc<PacketTrace>) -> Self {
        let mut places = boxed(Entry::default());
        for (place, entry) in places.iter_mut().zip(trace.entries()) {
            *place = *entry;
        }
        let count = trace.entries().len() as u64;
        let head = PacketHead {
            from: 0,
            until: count.min(PACKETS as u64),
            period: if trace.repeats && trace.fits() { count } else { 0 },
            last: if trace.repeats { u64::MAX } else { count - 1 },
        };
        Self { trace, head, places }
    }

    /// What the decision looks at.
    #[must_use]
    pub fn packets(&self) -> Packets<'_> {
        Packets { head: &self.head, places: &self.places }
    }

    /// Whether more is to come.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        !self.trace.fits()
    }

    /// Gives up the entries before the packet with this index, and says how many places are free.
    pub fn pass(&mut self, next_index: u64) -> u64 {
        if self.is_streamed() {
            // The last one stays for all that come behind it.
            self.head.from = next_index.min(self.head.last).max(self.head.from);
            self.head.until = self.head.until.max(self.head.from);
        }
        PACKETS as u64 - (self.head.until - self.head.from)
    }

    /// Lays down what comes next in all free places, and returns the number behind the last.
    pub fn lay(&mut self) -> u64 {
        let mut number = self.head.until;
        while self.is_streamed()
            && number - self.head.from < PACKETS as u64
            && let Some(entry) = self.trace.unrolled(number)
            && let Some(place) = self.places.get_mut(number as usize % PACKETS)
        {
            *place = entry;
            number += 1;
        }
        number
    }

    /// Makes known what was laid down.
    pub fn publish(&mut self, until: u64) {
        self.head.until = until;
    }

    /// Brings it to a packet at once.
    pub fn advance(&mut self, next_index: u64) {
        if self.is_streamed() && self.pass(next_index) > 0 {
            let until = self.lay();
            self.publish(until);
        }
    }
}

/// An array that is too large for the stack.
fn boxed<T: Clone, const N: usize>(value: T) -> Box<[T; N]> {
    match vec![value; N].try_into() {
        Ok(places) => places,
        Err(_) => unreachable!("a vector of N values is one of N"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Row;
    use shaper_common::trace::Served;
    use shaper_common::units::Probability;

    fn rows(count: u64) -> Vec<Row> {
        let row = |number: u64| Row {
            at: Nanos(number * 1_000_000),
            rate: if number.is_multiple_of(3) { 12e6 } else { 0.0 },
            delay: Nanos(number),
            loss: Probability(number),
        };
        (0..count).map(row).collect()
    }

    /// A trace too long for its ring is the same, step by step and service by service, as one that fits, however it is
    /// brought on.
    #[test]
    fn a_streamed_trace_is_the_same_as_one_that_fits() {
        let count = 3 * STEPS as u64 / 2;
        let length = Nanos(count * 1_000_000);
        for repeat in [Nanos::ZERO, length] {
            let trace = Arc::new(StepTrace::new(&rows(count), repeat).unwrap());
            let mut window = StepWindow::new(Arc::clone(&trace));
            assert!(window.is_streamed());
            for number in (0..3 * count).step_by(701) {
                let now = Nanos(number * 1_000_000 + 17);
                window.advance(now);
                let steps = window.steps();
                let found = steps.find(now, 0);
                assert_eq!(found.is_known, 1);
                let step = steps.step(found.number);
                let (own, periods) =
                    if repeat == Nanos::ZERO { (number.min(count - 1), 0) } else { (number % count, number / count) };
                assert_eq!((step.delay.0, step.at.0), (own, (periods * count + own) * 1_000_000));
                // 12 Mbit/s in every third millisecond: 1500 bytes, which take one of those whole.
                let work = steps.work_by(&found) + trace.work_of(1_500);
                let expected = (number / 3 + 1) * 3_000_000 + if number.is_multiple_of(3) { 17 } else { 1_000_000 };
                if repeat != Nanos::ZERO || expected < length.0 {
                    assert_eq!(steps.time_of(work, &mut 0), Served::At(Nanos(expected)), "{number}");
                }
            }
            assert_eq!(
                window.steps().time_of(u64::MAX >> 1, &mut 0),
                if repeat == Nanos::ZERO { Served::Never } else { Served::Unknown }
            );
        }
    }

    #[test]
    fn packets_follow_a_streamed_trace_to_its_end_and_beyond() {
        let count = PACKETS as u64 + 1_000;
        let entries: Vec<Entry> = (0..count).map(|number| Entry::new(Nanos(number), number % 2 == 1)).collect();
        for repeats in [false, true] {
            let mut window = PacketWindow::new(PacketTrace::new(entries.clone(), repeats, false).unwrap().into());
            assert!(window.is_streamed());
            for index in (0..3 * count).step_by(997) {
                window.advance(index);
                let own = if repeats { index % count } else { index.min(count - 1) };
                assert_eq!(window.packets().entry(index), Some(Entry::new(Nanos(own), own % 2 == 1)), "{index}");
            }
            assert_eq!(window.packets().entry(100 * count).is_none(), repeats);
        }
    }

    #[test]
    fn a_window_comes_along_over_any_gap() {
        let trace = Arc::new(StepTrace::new(&rows(4 * STEPS as u64), Nanos(4 * STEPS as u64 * 1_000_000)).unwrap());
        let mut window = StepWindow::new(trace);
        let far = Nanos(11 * STEPS as u64 * 1_000_000 + 5);
        window.advance(far);
        assert_eq!(window.steps().find(far, 0).is_known, 1);
        let entries = (0..300_000).map(|number| Entry::new(Nanos(number), false)).collect();
        let mut window = PacketWindow::new(PacketTrace::new(entries, true, false).unwrap().into());
        window.advance(1_000_007);
        assert_eq!(window.packets().entry(1_000_007).map(Entry::delay), Some(Nanos(100_007)));
    }
}
