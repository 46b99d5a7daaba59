//! Traces, whole.

use std::sync::Arc;

use shaper_common::trace::{Entry, FASTEST, MOST_STEPS, PACKETS, Step};
use shaper_common::units::{Nanos, Probability};

use crate::window::StepWindow;

const SECOND: u128 = 1_000_000_000;

/// What settings follow.
#[derive(Clone, Debug, PartialEq)]
pub enum Trace {
    /// Over time.
    Steps(Arc<StepTrace>),
    /// By packet.
    Packets(Arc<PacketTrace>),
}

impl Trace {
    /// The longest of its delays.
    #[must_use]
    pub fn longest_delay(&self) -> Nanos {
        let longest = match self {
            Self::Steps(trace) => trace.steps.iter().map(|step| step.delay).max(),
            Self::Packets(trace) => trace.entries.iter().map(|entry| entry.delay()).max(),
        };
        longest.unwrap_or(Nanos::ZERO)
    }
}

/// Settings from a time on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// Since the link's start.
    pub at: Nanos,
    /// Bits a second; zero for a standstill.
    pub rate: f64,
    /// Base delay.
    pub delay: Nanos,
    /// The probability of a loss.
    pub loss: Probability,
}

/// Why rows are no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There are none.
    Empty,
    /// The first is not at time 0, times do not rise, or it begins anew before the last.
    Times,
    /// A rate above [`StepTrace::FASTEST`].
    TooFast,
    /// A ring of rows that lasts less than [`StepTrace::SHORTEST_RING`]: they could not be laid down in time.
    TooDense,
    /// More packets than [`PacketTrace::MOST_FLOWS`], which each flow would have to look at from the first on.
    TooLong,
}

/// A trace over time.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTrace {
    steps: Vec<Step>,
    pub(crate) repeat: Nanos,
    /// The work of one time through.
    pub(crate) total: u64,
    /// Work of a byte, as the power of two.
    pub(crate) shift: u32,
}

impl StepTrace {
    /// The highest rate in bits a second: 68 Gbit/s, at which work is counted in whole bytes.
    pub const FASTEST: f64 = (FASTEST * 8) as f64;

    /// How long the rows of a ring last at least, where there are more than fit.
    pub const SHORTEST_RING: Nanos = Nanos(1_000_000_000);

    /// A trace of these rows, which begins anew after `repeat` where that is not zero.
    ///
    /// # Errors
    /// See [`Unfit`].
    pub fn new(rows: &[Row], repeat: Nanos) -> Result<Self, Unfit> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Err(Unfit::Empty) };
        let rises = rows.iter().zip(rows.iter().skip(1)).all(|(row, next)| row.at < next.at);
        if first.at != Nanos::ZERO || !rises || (repeat != Nanos::ZERO && repeat <= last.at) {
            return Err(Unfit::Times);
        }
        let fastest = rows.iter().map(|row| row.rate).fold(0.0, f64::max);
        if fastest > Self::FASTEST {
            return Err(Unfit::TooFast);
        }
        // As fine as the highest rate allows.
        let shift = (0..=30).rev().find(|shift| work_rate(fastest, *shift) <= FASTEST).unwrap_or(0);
        let mut steps = Vec::with_capacity(rows.len());
        // In parts of work, so that rounding does not add up.
        let mut served = 0;
        let work = |served: u128| u64::try_from(served / SECOND).unwrap_or(u64::MAX);
        let ends = rows.iter().skip(1).map(|next| next.at).chain([repeat]);
        for (row, end) in rows.iter().zip(ends) {
            let Row { at, rate, delay, loss } = *row;
            let rate = work_rate(rate, shift);
            steps.push(Step { at, work: work(served), rate, delay, loss });
            served += u128::from(rate) * u128::from(end.saturating_sub(at).0);
        }
        let trace = Self { steps, repeat, total: work(served), shift };
        if !trace.fits() && trace.shortest_ring() < Self::SHORTEST_RING {
            return Err(Unfit::TooDense);
        }
        Ok(trace)
    }

    /// How long as many rows as a ring holds last at least, also where it begins anew.
    fn shortest_ring(&self) -> Nanos {
        let count = self.steps.len() as u64;
        let lengths = (0..count).filter_map(|first| {
            let (first, behind) = (self.unrolled(first)?, self.unrolled(first + MOST_STEPS)?);
            Some(behind.at.saturating_sub(first.at))
        });
        lengths.min().unwrap_or(Nanos::MAX)
    }

    /// How far ahead at least a ring reaches that is brought on; `None` where all of it fits.
    #[must_use]
    pub fn reach(&self) -> Option<Nanos> {
        // A quarter may have passed already.
        (!self.fits()).then(|| Nanos(self.shortest_ring().0 / 4 * 3).saturating_sub(StepWindow::BEHIND))
    }

    /// Its rows.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The work of so many bytes.
    #[must_use]
    pub fn work_of(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(1 << self.shift)
    }

    /// The longest time that so much work takes, whenever it begins; what never ends is left out.
    #[must_use]
    pub fn longest_service(&self, work: u64) -> Nanos {
        let work = work.max(1);
        // It is longest from the beginning of a step on, or where it just reaches beyond one's beginning.
        let firsts = if self.repeat == Nanos::ZERO { 0 } else { self.steps.len() };
        let bounds = (0..).map_while(|number| self.unrolled(number)).take(self.steps.len() + firsts);
        bounds
            .flat_map(|step| {
                let begun_here = self.served_at(step.work.saturating_add(work)).map(|end| end.saturating_sub(step.at));
                let begins = step.work.saturating_sub(work).saturating_add(1);
                let ends_beyond = self.served_at(begins).zip(self.served_at(begins.saturating_add(work)));
                [begun_here, ends_beyond.map(|(begin, end)| end.saturating_sub(begin))]
            })
            .flatten()
            .max()
            .unwrap_or(Nanos::ZERO)
    }

    /// When so much has been served, which is not nothing; `None` for never.
    fn served_at(&self, work: u64) -> Option<Nanos> {
        let (mut periods, mut rest) = (0, work);
        if self.repeat != Nanos::ZERO {
            periods = (work - 1).checked_div(self.total)?;
            rest = work - periods * self.total;
        }
        let begun = self.steps.partition_point(|step| step.work < rest);
        let step = self.steps.get(begun.checked_sub(1)?)?;
        let time = step.time_of(rest - step.work)?;
        Some(Nanos(time.0.saturating_add(periods.saturating_mul(self.repeat.0))))
    }

    /// Whether it fits its ring as a whole.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.steps.len() as u64 <= MOST_STEPS
    }

    /// The step with this number when it begins anew again and again; `None` behind the last one of a trace that does
    /// not.
    pub(crate) fn unrolled(&self, number: u64) -> Option<Step> {
        let count = self.steps.len() as u64;
        let (periods, within) = (number.checked_div(count)?, number.checked_rem(count)?);
        if periods > 0 && self.repeat == Nanos::ZERO {
            return None;
        }
        let step = *self.steps.get(usize::try_from(within).ok()?)?;
        let at = Nanos(step.at.0.saturating_add(periods.saturating_mul(self.repeat.0)));
        Some(Step { at, work: step.work.wrapping_add(periods.wrapping_mul(self.total)), ..step })
    }
}

/// Work a second at so many bits a second.
fn work_rate(bits: f64, shift: u32) -> u64 {
    (bits / 8.0 * f64::from(shift).exp2()).round() as u64
}

/// A trace by packet.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketTrace {
    entries: Vec<Entry>,
    pub(crate) repeats: bool,
}

impl PacketTrace {
    /// The most packets of a trace that each flow follows by itself.
    pub const MOST_FLOWS: usize = PACKETS;

    /// A trace of these entries, which begins anew or whose last one stays.
    ///
    /// # Errors
    /// See [`Unfit`].
    pub fn new(entries: Vec<Entry>, repeats: bool, by_flow: bool) -> Result<Self, Unfit> {
        match entries.len() {
            0 => Err(Unfit::Empty),
            length if by_flow && length > Self::MOST_FLOWS => Err(Unfit::TooLong),
            _ => Ok(Self { entries, repeats }),
        }
    }

    /// Its entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether it fits its ring as a whole.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.entries.len() <= PACKETS
    }

    /// The entry with this number when it begins anew again and again; `None` behind the last one of a trace that does
    /// not.
    pub(crate) fn unrolled(&self, number: u64) -> Option<Entry> {
        let count = self.entries.len() as u64;
        if number >= count && !self.repeats {
            return None;
        }
        self.entries.get(usize::try_from(number.checked_rem(count)?).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_no_trace_are_refused() {
        let second = Nanos(1_000_000_000);
        let dense: Vec<Row> = (0..70_000).map(|number| Row { at: Nanos(number), ..Row::default() }).collect();
        let late = |number: u64| Row { at: Nanos(3_999_000_000 + number), ..Row::default() };
        let seam: Vec<Row> = (0..40_000)
            .map(|number| Row { at: Nanos(number), ..Row::default() })
            .chain((0..40_000).map(late))
            .collect();
        let row = |at, rate| Row { at, rate, ..Row::default() };
        for (rows, repeat, unfit) in [
            (vec![], Nanos::ZERO, Unfit::Empty),
            (vec![row(Nanos(1), 1.0)], Nanos::ZERO, Unfit::Times),
            (vec![row(Nanos(0), 1.0), row(Nanos(0), 1.0)], Nanos::ZERO, Unfit::Times),
            (vec![row(Nanos(0), 1.0), row(second, 1.0)], second, Unfit::Times),
            (vec![row(Nanos(0), 70e9)], Nanos::ZERO, Unfit::TooFast),
            (dense.clone(), Nanos::ZERO, Unfit::TooDense),
            // A thousand of them, a pause, and the first ones again.
            (seam, Nanos(4_000_000_000), Unfit::TooDense),
        ] {
            assert_eq!(StepTrace::new(&rows, repeat), Err(unfit));
        }
        assert_eq!(PacketTrace::new(vec![], false, false), Err(Unfit::Empty));
        let long = vec![Entry::default(); PACKETS + 1];
        assert!(PacketTrace::new(long.clone(), true, false).is_ok_and(|trace| !trace.fits()));
        assert_eq!(PacketTrace::new(long, true, true), Err(Unfit::TooLong));
    }

    #[test]
    fn work_is_as_fine_as_the_highest_rate_allows() {
        for (rate, work_of_byte) in [(68.7e9, 1), (10e9, 4), (1e6, 1 << 16), (8.0, 1 << 30)] {
            let trace = StepTrace::new(&[Row { rate, ..Row::default() }], Nanos::ZERO).unwrap();
            assert_eq!(trace.work_of(1), work_of_byte, "{rate}");
            assert!(trace.steps[0].rate <= FASTEST);
        }
    }

    #[test]
    fn the_longest_service_is_that_across_the_longest_standstill() {
        let row = |at: u64, rate| Row { at: Nanos(at * 1_000_000), rate, ..Row::default() };
        let rows = [row(0, 8e6), row(10, 0.0), row(50, 8e6), row(60, 16e6)];
        for (repeat, bytes, longest) in [
            // 1000 bytes a millisecond: what begins a nanosecond before the standstill is through after it.
            (Nanos::ZERO, 1_000, 41_000_000),
            (Nanos(100_000_000), 1_000, 41_000_000),
            // All of the first ten milliseconds and of the ten behind the standstill, and 5,000 bytes of the next.
            (Nanos::ZERO, 25_000, 62_500_000),
            // From behind one standstill, over the next, until it is faster again; and over two.
            (Nanos(100_000_000), 91_000, 95_500_000),
            (Nanos(100_000_000), 101_000, 141_000_000),
        ] {
            let trace = StepTrace::new(&rows, repeat).unwrap();
            let got = trace.longest_service(trace.work_of(bytes)).0;
            assert!(got.abs_diff(longest) < 1_000, "{bytes} bytes: {got} instead of {longest}");
        }
    }
}
