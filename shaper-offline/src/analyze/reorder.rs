//! Reordering as RFC 4737 defines it, over one flow's packets received without duplicates.

use std::collections::VecDeque;

use serde::Serialize;

use super::density::{Counts, ReorderDensity, Ring};
use crate::stats::{Budget, Distribution, Summary};

/// Arrivals with a new largest sequence number that are remembered: extents beyond are counted
/// as "at least".
const REMEMBERED: usize = 1024;
/// As many are remembered where memory is short.
const FEW: usize = 16;
/// Words of eight bytes that one takes.
const RECORD: usize = 3;
/// Largest n of n-reordering that is told apart.
const LARGEST_N: usize = 16;

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
    /// Packets that are 3-reordered (section 5.3), which makes TCP take them for lost.
    pub three_reordered: u64,
    /// Packets that are n-reordered, for n from 1 to 16 (section 5.3): all n arrivals in front of
    /// them have larger sequence numbers. Ends where there are none.
    pub n_reordered: Vec<u64>,
    /// Lengths of runs in order: those that a reordered packet ends (section 4.6), and what is in
    /// order behind the last of them.
    pub free_runs: Option<Summary>,
    /// Packets by how far from their place they arrived (RFC 5236).
    pub density: ReorderDensity,
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
    ring: Ring,
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
    n_reordered: [u64; LARGEST_N],
    extent: Distribution,
    late: Distribution,
    runs: Distribution,
    density: Counts,
}

/// What one arrival turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Extent and late time of a reordered one.
    pub(super) extent: Option<(i64, i64)>,
    /// The largest n for which it is n-reordered.
    n: usize,
    /// Length of the run in order that it ended.
    run: Option<i64>,
    /// Displacement of an arrival before it that is now final.
    settled: Option<i16>,
}

impl Tally {
    pub(super) fn new(capacity: usize, budget: &Budget) -> Self {
        Self {
            received: 0,
            reordered: 0,
            n_reordered: [0; LARGEST_N],
            extent: Distribution::within(capacity, budget),
            late: Distribution::within(capacity, budget),
            runs: Distribution::within(capacity, budget),
            density: Counts::default(),
        }
    }

    #[inline(always)]
    pub(super) fn add(&mut self, arrival: &Arrival) {
        self.received += 1;
        if let Some(displaced) = arrival.settled {
            self.density.add(displaced);
        }
        if let Some(run) = arrival.run {
            // A copy, so that what is in order need be nowhere in memory.
            self.add_late(*arrival, run);
        }
    }

    #[inline(never)]
    fn add_late(&mut self, arrival: Arrival, run: i64) {
        if let Some((extent, late)) = arrival.extent {
            self.reordered += 1;
            self.extent.push(extent);
            self.late.push(late);
            for count in self.n_reordered.iter_mut().take(arrival.n) {
                *count += 1;
            }
        }
        self.runs.push(run);
    }

    pub(super) fn report(&mut self) -> Reordering {
        let mut n_reordered = self.n_reordered.to_vec();
        while n_reordered.pop_if(|count| *count == 0).is_some() {}
        Reordering {
            reordered: self.reordered,
            ratio: (self.received > 0).then(|| self.reordered as f64 / self.received as f64),
            extent: self.extent.summary(),
            late_ns: self.late.summary(),
            three_reordered: self.n_reordered.get(2).copied().unwrap_or(0),
            n_reordered,
            free_runs: self.runs.summary(),
            density: self.density.report(),
        }
    }
}

impl Tracker {
    pub(super) fn new(capacity: usize, budget: &Budget) -> Self {
        Self {
            records: VecDeque::new(),
            ring: Ring::new(),
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
    #[inline(always)]
    pub(super) fn arrive(&mut self, sequence: u32, ts: i64) -> Arrival {
        let position = self.position;
        let number = sequence;
        let sequence = u64::from(number);
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
            let larger = self.ring.backwards().take(LARGEST_N).take_while(|&other| u64::from(other) > sequence);
            arrival.n = larger.count();
            arrival.run = Some(self.run.cast_signed());
            self.run = 0;
        }
        arrival.settled = self.ring.arrive(number, arrival.extent.map(|(extent, _)| extent));
        self.tally.add(&arrival);
        arrival
    }

    /// The end: what is in order behind the last reordered packet is a run too, and all
    /// displacements are final. Both count in the shared sums as well.
    pub(super) fn finish(&mut self, shared: Option<&mut Tally>) {
        let run = (self.run > 0).then_some(self.run.cast_signed());
        self.run = 0;
        let rest: Vec<i16> = self.ring.rest().collect();
        for tally in [Some(&mut self.tally), shared].into_iter().flatten() {
            for &displaced in &rest {
                tally.density.add(displaced);
            }
            if let Some(run) = run {
                tally.runs.push(run);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(sequences: &[u32]) -> (Tracker, Vec<Arrival>) {
        let mut tracker = Tracker::new(10_000, &Budget::unlimited());
        let arrivals = sequences.iter().zip(0_i64..).map(|(&sequence, at)| tracker.arrive(sequence, at * 10)).collect();
        tracker.finish(None);
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
        // Seven in order, and two behind the late one.
        let runs = report.free_runs.unwrap();
        assert_eq!((runs.count, runs.min, runs.max), (2, 2, 7));
        assert_eq!(report.n_reordered, [1, 1, 1, 1], "the four in front of it are larger");
    }

    #[test]
    fn the_example_of_rfc_4737_section_7_3_comes_out() {
        // Received 1 2 3 7 8 9 10 4 5 6 11: 4, 5 and 6 are reordered, with extents 4, 5 and 6;
        // only 4 is more than 2-reordered, because 5 and 6 follow a smaller number.
        let (mut tracker, arrivals) = run(&[1, 2, 3, 7, 8, 9, 10, 4, 5, 6, 11]);
        let extents: Vec<_> = arrivals.iter().filter_map(|a| a.extent).map(|e| e.0).collect();
        assert_eq!(extents, [4, 5, 6]);
        let report = tracker.tally.report();
        assert_eq!((report.three_reordered, report.n_reordered), (1, vec![1, 1, 1, 1]));
        // Seven in order, 4, 5 and 6 end it and runs of none, and then 11.
        assert_eq!(report.free_runs.unwrap().count, 4);
    }

    #[test]
    fn loss_alone_is_no_reordering() {
        let (mut tracker, _) = run(&[0, 2, 3, 9, 10]);
        let report = tracker.tally.report();
        assert_eq!((report.reordered, report.extent), (0, None));
        assert_eq!(report.free_runs.unwrap().max, 5, "all of it is one run");
        assert_eq!(report.density.displacements.len(), 1);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition_read_literally(
            sequences in Just((0_u32..60).collect::<Vec<_>>()).prop_shuffle(),
            keep in 0_usize..60,
        ) {
            let sequences = &sequences[..keep];
            let (_, arrivals) = run(sequences);
            for (i, arrival) in arrivals.iter().enumerate() {
                let earlier = &sequences[..i];
                let first = earlier.iter().position(|&s| s > sequences[i]);
                let extent = first.map(|j| ((i - j) as i64, (i - j) as i64 * 10));
                prop_assert_eq!(arrival.extent, extent);
                let n = (1..=i.min(16)).take_while(|n| earlier[i - n..].iter().all(|&s| s > sequences[i])).count();
                prop_assert_eq!(arrival.n, n);
            }
        }
    }
}
