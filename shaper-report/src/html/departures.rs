//! What packets do to each other on the way: losses in a row, overtaking, and how many are under way at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::bins::{Merge, Stretches};

/// Lengths of runs that are counted one by one; longer ones go together.
pub(super) const LENGTHS: usize = 64;

/// Packets dropped in a row, in the order of arrival.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    /// Runs of 1, 2 and so on; the last of its length and more.
    by_length: [u64; LENGTHS],
    within: u64,
    longest: u64,
    dropped: u64,
}

impl Default for Runs {
    fn default() -> Self {
        Self { by_length: [0; LENGTHS], within: 0, longest: 0, dropped: 0 }
    }
}

impl Runs {
    /// One more dropped.
    pub(super) fn dropped(&mut self) {
        self.within += 1;
        self.dropped += 1;
        self.longest = self.longest.max(self.within);
    }

    /// One that was not, and ends a run.
    pub(super) fn ended(&mut self) {
        if let Some(place) = std::mem::take(&mut self.within).checked_sub(1) {
            self.by_length[(place as usize).min(LENGTHS - 1)] += 1;
        }
    }

    /// Runs of each length, and packets in them; the one at hand ends here.
    pub(super) fn counted(&self) -> ([u64; LENGTHS], u64) {
        let mut all = self.clone();
        all.ended();
        (all.by_length, all.dropped)
    }

    /// The longest.
    pub(super) const fn longest(&self) -> u64 {
        self.longest
    }
}

/// Packets under way in one stretch of time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    arrivals: u64,
    sum: u64,
    least: u64,
    most: u64,
}

impl Held {
    fn push(&mut self, held: u64) {
        self.merge(Self { arrivals: 1, sum: held, least: held, most: held });
    }

    /// Least, mean and most, at the arrivals; none without one.
    pub(super) fn figures(&self) -> Option<(f64, f64, f64)> {
        (self.arrivals > 0).then(|| (self.least as f64, self.sum as f64 / self.arrivals as f64, self.most as f64))
    }
}

impl Merge for Held {
    fn merge(&mut self, later: Self) {
        if later.arrivals > 0 {
            self.least = if self.arrivals == 0 { later.least } else { self.least.min(later.least) };
            self.most = self.most.max(later.most);
            self.arrivals += later.arrivals;
            self.sum += later.sum;
        }
    }
}

/// Packets that are followed at once: of more the next to leave is taken as gone.
const MOST_HELD: usize = 1 << 20;
/// Arrivals of a larger number that are remembered, for the extent.
const MOST_LATEST: usize = 1 << 16;
/// Extents by powers of two.
pub(super) const EXTENTS: usize = 20;

/// Packets between arrival and release, in the order of arrival; and the order in which they left.
#[derive(Clone, Debug, Default)]
pub(super) struct Departures {
    /// Release and number of those under way.
    held: BinaryHeap<Reverse<(u64, u64)>>,
    /// Numbers that were larger than all before, and the place at which each left.
    latest: VecDeque<(u64, u64)>,
    next: u64,
    found: Reordering,
    backlog: Stretches<Held>,
    beyond: u64,
}

impl Departures {
    /// The next packet came in, and is to leave at `release_ns`.
    pub(super) fn arrive(&mut self, at_ns: u64, release_ns: u64) {
        while self.held.peek().is_some_and(|Reverse((release, _))| *release <= at_ns) {
            self.leave();
        }
        if self.held.len() >= MOST_HELD {
            self.beyond += 1;
            self.leave();
        }
        self.held.push(Reverse((release_ns, self.next)));
        self.next += 1;
        self.backlog.at(at_ns).push(self.held.len() as u64);
    }

    fn leave(&mut self) {
        let Some(Reverse((_, number))) = self.held.pop() else { return };
        let place = self.found.left;
        self.found.left += 1;
        if self.latest.back().is_none_or(|(latest, _)| *latest < number) {
            if self.latest.len() >= MOST_LATEST {
                self.latest.pop_front();
            }
            self.latest.push_back((number, place));
            return;
        }
        let first = self.latest.partition_point(|(latest, _)| *latest < number);
        if let Some((_, since)) = self.latest.get(first) {
            let extent = place - since;
            self.found.reordered(extent);
        }
    }

    /// What comes of it when all have left.
    pub(super) fn reordering(&self) -> Reordering {
        let mut all = self.clone();
        while !all.held.is_empty() {
            all.leave();
        }
        all.found
    }

    /// Packets under way over time.
    pub(super) const fn backlog(&self) -> &Stretches<Held> {
        &self.backlog
    }

    /// Packets that came while too many were followed.
    pub(super) const fn beyond(&self) -> u64 {
        self.beyond
    }
}

/// Packets that left after a later one (RFC 4737, section 3.3), by their extent (section 4.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reordering {
    pub(super) left: u64,
    pub(super) reordered: u64,
    pub(super) largest: u64,
    /// Extents from 1, from 2, from 4 and so on.
    pub(super) by_extent: [u64; EXTENTS],
}

impl Reordering {
    /// One of those that left.
    pub(super) fn reordered(&mut self, extent: u64) {
        self.reordered += 1;
        self.largest = self.largest.max(extent);
        self.by_extent[(extent.max(1).ilog2() as usize).min(EXTENTS - 1)] += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_end_with_a_packet_that_came_through_or_with_the_run() {
        let mut runs = Runs::default();
        for fate in "x.xx.xxx.x.xx".chars() {
            if fate == 'x' { runs.dropped() } else { runs.ended() }
        }
        let (by_length, dropped) = runs.counted();
        assert_eq!((by_length[..4].to_vec(), dropped, runs.longest()), (vec![2, 2, 1, 0], 9, 3));
        (0..1_000).for_each(|_| runs.dropped());
        assert_eq!(runs.counted().0[LENGTHS - 1], 1);
    }

    #[test]
    fn the_example_of_rfc_4737_section_7_1_comes_out() {
        // Sent 1 to 10, received 1 2 3 5 6 7 8 4 9 10: packet 4 is reordered, extent 4.
        let order = [1u64, 2, 3, 5, 6, 7, 8, 4, 9, 10];
        let mut departures = Departures::default();
        for number in 1..=10u64 {
            let place = order.iter().position(|of| *of == number).unwrap() as u64;
            departures.arrive(number, 100 + place);
        }
        let found = departures.reordering();
        assert_eq!((found.left, found.reordered, found.largest, found.by_extent[2]), (10, 1, 4, 1));
    }

    #[test]
    fn the_backlog_is_what_has_come_and_not_left() {
        let mut departures = Departures::default();
        // One a microsecond, each there for ten: ten at most.
        (0..1_000u64).for_each(|at| departures.arrive(1_000 * at, 1_000 * at + 10_000));
        let most = departures.backlog().all().iter().filter_map(Held::figures).map(|held| held.2).fold(0.0, f64::max);
        assert_eq!(most, 10.0);
    }

    proptest! {
        #[test]
        fn extents_agree_with_the_definition_read_literally(delays in prop::collection::vec(0u64..50, 1..80)) {
            let mut departures = Departures::default();
            for (at, delay) in (0u64..).zip(&delays) {
                departures.arrive(at, at + delay);
            }
            let mut arrived: Vec<(u64, u64)> = (0u64..).zip(&delays).map(|(at, delay)| (at + delay, at)).collect();
            arrived.sort_unstable();
            let (mut reordered, mut largest) = (0, 0);
            for (i, (_, number)) in arrived.iter().enumerate() {
                if let Some(j) = arrived[..i].iter().position(|(_, earlier)| earlier > number) {
                    reordered += 1;
                    largest = largest.max((i - j) as u64);
                }
            }
            let found = departures.reordering();
            prop_assert_eq!((found.left, found.reordered, found.largest), (delays.len() as u64, reordered, largest));
            prop_assert_eq!(found.by_extent.iter().sum::<u64>(), reordered);
        }
    }
}
