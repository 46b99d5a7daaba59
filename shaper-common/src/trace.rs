//! Traces: rate, delay and loss that follow what was measured, over time or packet by packet.
//!
//! A trace may be longer than a map's value, so that the decision looks at a ring: of the steps around now, or of the
//! entries around the next packet. Userspace lays down what comes next before it is needed. A decision that needs what
//! is not there says so instead of guessing.
//!
//! A rate that changes over time is a capacity: how much can have been served by each time. Work is what was served, in
//! bytes times `2^shift`. A packet is through when the capacity has grown by its bytes since its service began, over
//! however many steps that goes. As work is counted from the start, rounding does not add up.

use core::hint::black_box;

use crate::units::{Nanos, Probability};

/// Steps of a ring: a power of two, of which one place stays empty.
pub const STEPS: usize = 1 << 16;
/// The most steps in a ring.
pub const MOST_STEPS: u64 = STEPS as u64 - 1;
/// Packets of a ring, a power of two.
pub const PACKETS: usize = 1 << 18;
/// Rates are at most so much work a second: products of a rate's work and the nanoseconds of a second stay below 2^63.
pub const FASTEST: u64 = 1 << 33;

const SECOND: u64 = 1_000_000_000;
/// What takes longer than these 136 years is never served.
const MOST_SECONDS: u64 = 1 << 32;

/// What holds from a time on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// From when on, since the link's start.
    pub at: Nanos,
    /// How much can have been served by then.
    pub work: u64,
    /// How much is served in a second from then on, at most [`FASTEST`].
    pub rate: u64,
    /// The base delay.
    pub delay: Nanos,
    /// The probability of a loss.
    pub loss: Probability,
}

impl Step {
    /// How much can have been served so long after this step began.
    #[inline(always)]
    #[must_use]
    pub fn work_after(&self, time: Nanos) -> u64 {
        let (seconds, rest) = (time.0 / SECOND, time.0 % SECOND);
        self.work + seconds * self.rate + rest * self.rate / SECOND
    }

    /// When, at the earliest, so much more has been served; `None` for never.
    #[inline(always)]
    #[must_use]
    pub fn time_of(&self, more: u64) -> Option<Nanos> {
        let seconds = more.checked_div(self.rate)?;
        let rest = (more - seconds * self.rate) * SECOND + (self.rate - 1);
        if seconds >= MOST_SECONDS {
            return None;
        }
        Some(Nanos(self.at.0 + seconds * SECOND + rest.checked_div(self.rate)?))
    }
}

/// Which steps of a trace over time are in its ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepHead {
    /// The number of the first step that is there; step `n` lies at `n` modulo [`STEPS`].
    pub from: u64,
    /// The number behind the last one.
    pub until: u64,
    /// When the step behind the last one begins: what holds from then on is not known.
    pub known: Nanos,
    /// The time after which the steps begin anew, where all of them are here; zero where the last one stays.
    pub repeat: Nanos,
    /// How much can be served in that time.
    pub total: u64,
    /// Work of a byte, as the power of two.
    pub shift: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

/// The steps of a ring.
pub type StepPlaces = [Step; STEPS];

/// The steps of a trace over time that are around now.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a> {
    /// Which ones.
    pub head: &'a StepHead,
    /// Themselves.
    pub places: &'a StepPlaces,
}

/// Where in a trace a time is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How often the steps began anew.
    pub periods: u64,
    /// The time since they last did.
    pub within: Nanos,
    /// The number of its step.
    pub number: u64,
    /// Explicit padding.
    pub _reserved: u32,
    /// One where it is known.
    pub is_known: u32,
}

/// Which steps there are, at one moment.
struct Here {
    known: Nanos,
    from: u64,
    length: u64,
}

/// When so much has been served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// At this time since the start, at the earliest.
    At(Nanos),
    /// At no time.
    Never,
    /// The step is not there.
    Unknown,
}

impl StepHead {
    /// The time that no step is later than.
    pub const NEVER: Nanos = Nanos(i64::MAX as u64);
}

impl Steps<'_> {
    /// What the head says, each of it read once: userspace writes it at any time. Where steps end is written before how far
    /// they are known, so that is read behind it.
    #[inline(always)]
    fn here(&self) -> Here {
        let known = black_box(self.head.known);
        let from = black_box(self.head.from);
        let until = black_box(self.head.until);
        Here { known, from, length: until.wrapping_sub(from) }
    }

    /// How many steps have been given up meanwhile: what was found among those is none.
    #[inline(always)]
    fn given_up(&self, here: &Here) -> u64 {
        black_box(self.head.from).wrapping_sub(here.from)
    }

    /// How many of the first steps that are here have what rises along them below a bound: `below` has its highest bit set
    /// for those. Near `hint`, the number of the last of them the last time, it is known at once.
    #[inline(always)]
    fn count(&self, here: &Here, hint: u64, below: impl Fn(&Step) -> u64) -> u64 {
        let Here { from, length, .. } = *here;
        let known = hint.wrapping_sub(from).wrapping_add(1);
        if known != 0 && known <= length {
            let [last, next] = [hint, hint.wrapping_add(1)].map(|number| below(&self.step(number)) >> 63);
            if black_box(last & ((known == length) as u64 | (1 - next))) != 0 {
                return known;
            }
        }
        // By halving steps without a branch, as in the look-up of outages.
        let mut count = 0;
        let mut half = STEPS as u64 / 2;
        while half > 0 {
            let last = count + half - 1;
            let place = from.wrapping_add(last) as usize & (STEPS - 1);
            let Some(step) = self.places.get(black_box(place)) else { return 0 };
            let is_here = last.wrapping_sub(length);
            count += half * black_box((is_here & below(step)) >> 63);
            half /= 2;
        }
        count
    }

    /// The step with a number.
    #[inline(always)]
    #[must_use]
    pub fn step(&self, number: u64) -> Step {
        self.places.get(black_box(number as usize & (STEPS - 1))).copied().unwrap_or_default()
    }

    /// Where a time since the start is; it is found at once near the step with the number `hint`.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, since_start: Nanos, hint: u64) -> Found {
        let here = self.here();
        let periods = since_start.0.checked_div(self.head.repeat.0).unwrap_or(0);
        let within = Nanos(since_start.0 - periods * self.head.repeat.0);
        let passed = self.count(&here, hint, |step| step.at.0.wrapping_sub(within.0 + 1));
        let number = here.from.wrapping_add(passed).wrapping_sub(1);
        let is_known = (self.given_up(&here) < passed && within < here.known) as u32;
        Found { periods, within, number, _reserved: 0, is_known }
    }

    /// How much can have been served by a time.
    #[inline(always)]
    #[must_use]
    pub fn work_by(&self, found: &Found) -> u64 {
        let step = self.step(found.number);
        found.periods * self.head.total + step.work_after(found.within.saturating_sub(step.at))
    }

    /// When so much has been served, which is not nothing. It is found at once near the step with the number `hint`, which
    /// becomes that of the step in which it is served.
    #[inline(always)]
    #[must_use]
    pub fn time_of(&self, work: u64, hint: &mut u64) -> Served {
        let here = self.here();
        let (mut periods, mut rest) = (0, work);
        if self.head.repeat.0 != 0 {
            // What is served with a period's end belongs to that period.
            let Some(whole) = work.wrapping_sub(1).checked_div(self.head.total) else { return Served::Never };
            if whole >= StepHead::NEVER.0.checked_div(self.head.repeat.0).unwrap_or(0) {
                return Served::Never;
            }
            periods = whole;
            rest = work - whole * self.head.total;
        }
        let begun = self.count(&here, *hint, |step| step.work.wrapping_sub(rest));
        if begun == 0 {
            return Served::Unknown;
        }
        let next = here.from.wrapping_add(begun);
        *hint = next.wrapping_sub(1);
        let step = self.step(*hint);
        // Steps round their beginnings, so that rounding does not add up: what is served by the end of one is, whatever
        // its own rate says to the last part of a byte.
        let mut latest = if self.head.repeat.0 != 0 { self.head.repeat } else { Nanos::MAX };
        if begun < here.length {
            latest = self.step(next).at;
        }
        match step.time_of(rest.wrapping_sub(step.work)) {
            Some(time) if time > here.known => Served::Unknown,
            Some(time) if time > latest => Served::At(Nanos(periods * self.head.repeat.0 + latest.0)),
            Some(time) => Served::At(Nanos(periods * self.head.repeat.0 + time.0)),
            None if here.known >= StepHead::NEVER => Served::Never,
            None => Served::Unknown,
        }
    }
}

/// What becomes of one packet: its base delay in nanoseconds, and in the highest bit whether it is lost.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry(pub u64);

impl Entry {
    const LOST: u64 = 1 << 63;

    /// An entry.
    #[must_use]
    pub const fn new(delay: Nanos, is_lost: bool) -> Self {
        Self(delay.0 & !Self::LOST | if is_lost { Self::LOST } else { 0 })
    }

    /// The base delay.
    #[inline(always)]
    #[must_use]
    pub const fn delay(self) -> Nanos {
        Nanos(self.0 & !Self::LOST)
    }

    /// One for a packet that is lost.
    #[inline(always)]
    #[must_use]
    pub const fn is_lost(self) -> u32 {
        (self.0 >> 63) as u32
    }
}

/// Which entries of a trace by packet are in its ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHead {
    /// The number of the first entry that is there; entry `n` lies at `n` modulo [`PACKETS`].
    pub from: u64,
    /// The number behind the last one.
    pub until: u64,
    /// The number of packets after which entries begin anew, where all of them are there; zero where they do not.
    pub period: u64,
    /// The entry that stays for what comes behind it.
    pub last: u64,
}

/// The entries of a ring.
pub type PacketPlaces = [Entry; PACKETS];

/// The entries of a trace by packet that are around the next one.
#[derive(Clone, Copy, Debug)]
pub struct Packets<'a> {
    /// Which ones.
    pub head: &'a PacketHead,
    /// Themselves.
    pub places: &'a PacketPlaces,
}

impl PacketHead {
    /// No entries at all.
    pub const EMPTY: Self = Self { from: 0, until: 0, period: 0, last: u64::MAX };
}

impl Packets<'_> {
    /// The entry of the packet with this index; `None` where it is not there.
    #[inline(always)]
    #[must_use]
    pub fn entry(&self, index: u64) -> Option<Entry> {
        let within = index.checked_rem(self.head.period).unwrap_or(index);
        let number = if within < self.head.last { within } else { self.head.last };
        // Read once: userspace writes them at any time.
        let [from, until] = [self.head.from, self.head.until].map(black_box);
        let is_here = number.wrapping_sub(from) < until.wrapping_sub(from);
        let entry = self.places.get(black_box(number as usize & (PACKETS - 1)))?;
        is_here.then_some(*entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    struct Ring {
        head: StepHead,
        places: Box<StepPlaces>,
    }

    impl Ring {
        /// Steps of these lengths and rates, the first one with this number.
        fn new(first: u64, pieces: &[(u64, u64)], repeats: bool) -> (Self, Vec<Step>) {
            let mut places = vec![Step::default(); STEPS];
            let mut head = StepHead { from: first, until: first, known: StepHead::NEVER, ..StepHead::default() };
            let (mut steps, mut next) = (Vec::new(), Step::default());
            for (length, rate) in pieces {
                next.rate = *rate;
                places[head.until as usize % STEPS] = next;
                head.until += 1;
                steps.push(next);
                next.work = next.work_after(Nanos(*length));
                next.at.0 += length;
            }
            if repeats {
                (head.repeat, head.total) = (next.at, next.work);
            }
            (Self { head, places: places.try_into().unwrap() }, steps)
        }

        fn steps(&self) -> Steps<'_> {
            Steps { head: &self.head, places: &self.places }
        }
    }

    fn pieces() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let rate = prop_oneof![Just(0), Just(1), 1..1_000u64, 0..=FASTEST];
        let length = prop_oneof![1..10u64, 1..10_000_000u64, 1..40_000_000_000u64];
        prop::collection::vec((length, rate), 1..60)
    }

    proptest! {
        #[test]
        fn a_time_is_in_the_last_step_that_has_begun(
            pieces in pieces(), first: u32, share in 0.0..3.0f64, repeats: bool, hint in 0..64u64,
        ) {
            let (ring, steps) = Ring::new(first.into(), &pieces, repeats);
            let hint = u64::from(first).wrapping_add(hint).wrapping_sub(2);
            let length: u64 = pieces.iter().map(|(length, _)| length).sum();
            let now = (length as f64 * share) as u64;
            let within = if repeats { now % length } else { now };
            let found = ring.steps().find(Nanos(now), hint);
            let scanned = steps.iter().rfind(|step| step.at.0 <= within).unwrap();
            prop_assert_eq!(ring.steps().step(found.number), *scanned);
            prop_assert_eq!((found.within.0, found.is_known), (within, 1));
        }

        // The inverse is exact: at that time so much can have been served, and not a nanosecond earlier.
        #[test]
        fn what_is_served_at_a_time_is_not_served_before(
            pieces in pieces(), first: u32, share in 0.0..3.0f64, more in 1..1u64 << 40, repeats: bool, hint in 0..64u64,
        ) {
            let (ring, _) = Ring::new(first.into(), &pieces, repeats);
            let hint = u64::from(first).wrapping_add(hint).wrapping_sub(2);
            let length: u64 = pieces.iter().map(|(length, _)| length).sum();
            let by = |time: u64| ring.steps().work_by(&ring.steps().find(Nanos(time), hint));
            let wanted = by((length as f64 * share) as u64) + more;
            match ring.steps().time_of(wanted, &mut hint.clone()) {
                Served::At(time) => {
                    prop_assert!(by(time.0) >= wanted);
                    prop_assert!(by(time.0 - 1) < wanted);
                }
                Served::Never => {
                    let (serves, time) = if repeats {
                        (ring.head.total, length as f64)
                    } else {
                        (pieces.last().unwrap().1, 1e9)
                    };
                    prop_assert!(serves == 0 || wanted as f64 / serves as f64 * time > 4e18);
                }
                Served::Unknown => prop_assert!(false),
            }
        }
    }

    #[test]
    fn behind_what_is_known_nothing_is_guessed() {
        let (mut ring, _) = Ring::new(3, &[(1_000, 1_000_000_000), (1_000, 0), (1_000, 1_000_000_000)], false);
        ring.head.known = Nanos(3_000);
        assert_eq!(ring.steps().time_of(1_000, &mut 0), Served::At(Nanos(1_000)));
        assert_eq!(ring.steps().time_of(1_001, &mut 0), Served::At(Nanos(2_001)));
        assert_eq!(ring.steps().time_of(2_000, &mut 0), Served::At(Nanos(3_000)));
        assert_eq!(ring.steps().time_of(2_001, &mut 0), Served::Unknown);
        let is_known = |ring: &Ring, time| ring.steps().find(Nanos(time), 0).is_known;
        assert_eq!((is_known(&ring, 2_999), is_known(&ring, 3_000)), (1, 0));
        // A step that has gone.
        ring.head.from += 1;
        assert_eq!((is_known(&ring, 999), is_known(&ring, 1_000)), (0, 1));
        assert_eq!(ring.steps().time_of(1, &mut 0), Served::Unknown);
    }

    #[test]
    fn entries_are_by_packet_and_begin_anew_or_stay() {
        let mut places = vec![Entry::default(); PACKETS];
        for (place, entry) in places.iter_mut().take(3).enumerate() {
            *entry = Entry::new(Nanos(10 + place as u64), place == 1);
        }
        let places: Box<PacketPlaces> = places.try_into().unwrap();
        let entry = |head: &PacketHead, index| Packets { head, places: &places }.entry(index);
        let delays = |head: &PacketHead, indices: &[u64]| -> Vec<Option<u64>> {
            indices.iter().map(|index| entry(head, *index).map(|entry| entry.delay().0)).collect()
        };
        let mut head = PacketHead { until: 3, ..PacketHead::EMPTY };
        assert_eq!(delays(&head, &[0, 2, 3]), [Some(10), Some(12), None]);
        head.last = 2;
        assert_eq!(delays(&head, &[0, 2, 3, u64::MAX]), [Some(10), Some(12), Some(12), Some(12)]);
        (head.last, head.period) = (u64::MAX, 3);
        assert_eq!(delays(&head, &[0, 2, 3, 3_000_001]), [Some(10), Some(12), Some(10), Some(11)]);
        assert_eq!([0, 1, 2].map(|index| entry(&head, index).unwrap().is_lost()), [0, 1, 0]);
        head.from = 1;
        assert_eq!(delays(&head, &[0, 1]), [None, Some(11)]);
    }
}
