//! Reordering as RFC 4737 defines it, over one flow's packets received without duplicates.

use std::collections::VecDeque;

use serde::Serialize;

use crate::stats::{Budget, Distribution, Summary};

/// Arrivals with a new largest sequence number that are remembered: extents beyond are counted
/// as "at least".
const REMEMBERED: usize = 1024;
/// As many are remembered where memory is short.
const FEW: usize = 16;
/// Words of eight bytes that one takes.
const RECORD: usize = 3;
/// Arrivals looked back on for n-reordering.
const LOOK_BACK: usize = 3;

/// Reordering figures.
#[derive(Clone, Debug, Serialize)]
pub struct Reordering {
    /// Reordered packets (RFC 4737 section 3.3: s < NextExp).
    pub reordered: u64,
    /// Reordered over received without duplicates; `None` without packets.
    pub ratio: Option<f64>,
    /// Reordering extent in packets (section 4.2): arrivals since the earliest with a larger
    /// sequence number. Extents over 1024 (16 in captures of very many flows) count as what is
    /// remembered.
    pub extent: Option<Summary>,
    /// Late time offset in nanoseconds (section 4.3), since that same arrival.
    pub late_ns: Option<Summary>,
    /// Packets that are 3-reordered (section 5.4), which makes TCP take them for lost.
    pub three_reordered: u64,
    /// Lengths of runs in order between reordered packets (section 4.5).
    pub free_runs: Option<Summary>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    sequence: u64,
    position: u64,
    ts: i64,
}

/// Follows one flow's arrivals.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    /// Arrivals that raised the largest sequence number, both ascending.
    records: VecDeque<Record>,
    recent: [u64; LOOK_BACK],
    position: u64,
    run: u64,
    budget: Budget,
    pub(super) tally: Tally,
}

/// Sums that flows of one direction can share.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    received: u64,
    pub(super) reordered: u64,
    three: u64,
    extent: Distribution,
    late: Distribution,
    runs: Distribution,
}

/// What one arrival turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Extent and late time of a reordered one.
    pub(super) extent: Option<(i64, i64)>,
    three: bool,
    /// Length of the run in order that it ended.
    run: Option<i64>,
}

impl Tally {
    pub(super) fn new(capacity: usize, budget: &Budget) -> Self {
        Self {
            received: 0,
            reordered: 0,
            three: 0,
            extent: Distribution::within(capacity, budget),
            late: Distribution::within(capacity, budget),
            runs: Distribution::within(capacity, budget),
        }
    }

    pub(super) fn add(&mut self, arrival: Arrival) {
        self.received += 1;
        self.three += u64::from(arrival.three);
        if let Some((extent, late)) = arrival.extent {
            self.reordered += 1;
            self.extent.push(extent);
            self.late.push(late);
        }
        if let Some(run) = arrival.run {
            self.runs.push(run);
        }
    }

    pub(super) fn report(&mut self) -> Reordering {
        Reordering {
            reordered: self.reordered,
            ratio: (self.received > 0).then(|| self.reordered as f64 / self.received as f64),
            extent: self.extent.summary(),
            late_ns: self.late.summary(),
            three_reordered: self.three,
            free_runs: self.runs.summary(),
        }
    }
}

impl Tracker {
    pub(super) fn new(capacity: usize, budget: &Budget) -> Self {
        Self {
            records: VecDeque::new(),
            recent: [0; LOOK_BACK],
            position: 0,
            run: 0,
            budget: budget.clone(),
            tally: Tally::new(capacity, budget),
        }
    }

    /// Makes room for more arrivals, if the budget has some or few are remembered so far.
    #[cold]
    fn grow(&mut self) -> bool {
        let more = self.records.len().max(4);
        let may = self.budget.take(more * RECORD) || self.records.len() < FEW;
        if may {
            self.records.reserve_exact(more);
        }
        may
    }

    /// Takes the next arrival: its sequence number as sent (from 0) and when it arrived.
    #[inline]
    pub(super) fn arrive(&mut self, sequence: u64, ts: i64) -> Arrival {
        let position = self.position;
        self.position += 1;
        let mut arrival = Arrival::default();
        let next_expected = self.records.back().map_or(0, |record| record.sequence + 1);
        if sequence >= next_expected {
            self.run += 1;
            if self.records.len() >= REMEMBERED || self.records.len() == self.records.capacity() && !self.grow() {
                self.records.pop_front();
            }
            self.records.push_back(Record { sequence, position, ts });
        } else {
            // The earliest arrival with a larger number always raised the maximum.
            let at = self.records.partition_point(|record| record.sequence < sequence);
            if let Some(record) = self.records.get(at) {
                let extent = (position - record.position).cast_signed();
                arrival.extent = Some((extent, ts.saturating_sub(record.ts)));
            }
            arrival.three = position >= LOOK_BACK as u64 && self.recent.iter().all(|&s| s > sequence);
            arrival.run = Some(self.run.cast_signed());
            self.run = 0;
        }
        if let Some(slot) = self.recent.get_mut(position as usize % LOOK_BACK) {
            *slot = sequence;
        }
        self.tally.add(arrival);
        arrival
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(sequences: &[u64]) -> (Tracker, Vec<Arrival>) {
        let mut tracker = Tracker::new(10_000, &Budget::unlimited());
        let arrivals = sequences.iter().zip(0_i64..).map(|(&sequence, at)| tracker.arrive(sequence, at * 10)).collect();
        (tracker, arrivals)
    }

    #[test]
    fn the_example_of_rfc_4737_section_7_1_comes_out() {
        // Sent 1 to 10, received 1 2 3 5 6 7 8 4 9 10: packet 4 is reordered, extent 4.
        let (mut tracker, arrivals) = run(&[1, 2, 3, 5, 6, 7, 8, 4, 9, 10]);
        assert_eq!(arrivals[7].extent, Some((4, 40)));
        let report = tracker.tally.report();
        assert_eq!((report.reordered, report.three_reordered), (1, 1));
        assert!((report.ratio.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(report.free_runs.unwrap().max, 7);
    }

    #[test]
    fn the_example_of_rfc_4737_section_7_3_comes_out() {
        // Received 1 2 3 7 8 9 10 4 5 6 11: 4, 5 and 6 are reordered, with extents 4, 5 and 6;
        // only 4 is more than 2-reordered, because 5 and 6 follow a smaller number.
        let (mut tracker, arrivals) = run(&[1, 2, 3, 7, 8, 9, 10, 4, 5, 6, 11]);
        let extents: Vec<_> = arrivals.iter().filter_map(|a| a.extent).map(|e| e.0).collect();
        assert_eq!(extents, [4, 5, 6]);
        assert_eq!(tracker.tally.report().three_reordered, 1);
    }

    #[test]
    fn loss_alone_is_no_reordering() {
        let (mut tracker, _) = run(&[0, 2, 3, 9, 10]);
        let report = tracker.tally.report();
        assert_eq!((report.reordered, report.extent), (0, None));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition_read_literally(
            sequences in Just((0_u64..60).collect::<Vec<_>>()).prop_shuffle(),
            keep in 0_usize..60,
        ) {
            let sequences = &sequences[..keep];
            let (_, arrivals) = run(sequences);
            for (i, arrival) in arrivals.iter().enumerate() {
                let earlier = &sequences[..i];
                let first = earlier.iter().position(|&s| s > sequences[i]);
                let extent = first.map(|j| ((i - j) as i64, (i - j) as i64 * 10));
                prop_assert_eq!(arrival.extent, extent);
                let three = i >= 3 && earlier[i - 3..].iter().all(|&s| s > sequences[i]);
                prop_assert_eq!(arrival.three, three);
            }
        }
    }
}
