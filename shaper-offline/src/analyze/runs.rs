//! Loss patterns: runs of consecutive losses (RFC 3357 "loss period") and the distance between
//! losses ("loss distance").

use serde::Serialize;

use crate::stats::{Budget, Distribution, Summary};

/// A loss this close behind another is noticeable (delta of RFC 3357 section 6.1): more than one in
/// a hundred.
const NOTICEABLE: i64 = 99;

/// Loss patterns in the order of sending.
#[derive(Clone, Debug, Serialize)]
pub struct LossRuns {
    /// Runs of consecutive losses (RFC 3357 section 5.2, loss periods).
    pub count: u64,
    /// Lengths of the runs in packets (section 6.3).
    pub length: Option<Summary>,
    /// Packets between a loss and the one before (section 5.1); 1 for neighbours.
    pub distance: Option<Summary>,
    /// Losses no more than 99 packets behind another one, over all losses (section 6.1); `None` without
    /// any.
    pub noticeable_ratio: Option<f64>,
}

#[derive(Clone, Debug)]
pub(super) struct Runs {
    current: i64,
    since_loss: Option<i64>,
    losses: u64,
    noticeable: u64,
    lengths: Distribution,
    distances: Distribution,
}

impl Runs {
    pub(super) fn new(capacity: usize, budget: &Budget) -> Self {
        Self {
            current: 0,
            since_loss: None,
            losses: 0,
            noticeable: 0,
            lengths: Distribution::within(capacity, budget),
            distances: Distribution::within(capacity, budget),
        }
    }

    #[inline]
    pub(super) fn delivered(&mut self) {
        if let Some(since) = &mut self.since_loss {
            *since += 1;
        }
        if self.current > 0 {
            self.lengths.push(self.current);
            self.current = 0;
        }
    }

    /// A packet of which nobody knows whether it arrived: neither a run nor a distance goes over it.
    pub(super) fn unknown(&mut self) {
        self.since_loss = None;
        if self.current > 0 {
            self.lengths.push(self.current);
            self.current = 0;
        }
    }

    pub(super) fn lost(&mut self) {
        if let Some(since) = self.since_loss {
            self.distances.push(since + 1);
            self.noticeable += u64::from(since < NOTICEABLE);
        }
        self.losses += 1;
        self.since_loss = Some(0);
        self.current += 1;
    }

    pub(super) fn report(&mut self) -> LossRuns {
        if self.current > 0 {
            self.lengths.push(self.current);
            self.current = 0;
        }
        LossRuns {
            count: self.lengths.count(),
            length: self.lengths.summary(),
            distance: self.distances.summary(),
            noticeable_ratio: (self.losses > 0).then(|| self.noticeable as f64 / self.losses as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_distances_follow_rfc_3357() {
        let mut runs = Runs::new(100, &Budget::unlimited());
        // x: lost. Section 5.3's definitions on: . x x . . x . x x x
        for lost in [0, 1, 1, 0, 0, 1, 0, 1, 1, 1] {
            if lost == 1 { runs.lost() } else { runs.delivered() }
        }
        let report = runs.report();
        assert_eq!(report.count, 3);
        let length = report.length.unwrap();
        assert_eq!((length.min, length.max), (1, 3));
        assert!((length.mean - 2.0).abs() < 1e-12);
        // Distances: 1, 3, 2, 1, 1.
        let distance = report.distance.unwrap();
        assert_eq!((distance.count, distance.min, distance.max), (5, 1, 3));
        assert!((distance.mean - 1.6).abs() < 1e-12);
        assert!((report.noticeable_ratio.unwrap() - 5.0 / 6.0).abs() < 1e-12, "the first has none before it");
    }

    #[test]
    fn losses_further_apart_than_a_hundredth_are_not_noticeable() {
        let mut runs = Runs::new(100, &Budget::unlimited());
        // Numbers 0, 99, 199 and 399 of 400: only the second is close enough.
        for number in 0..400 {
            if [0, 99, 199, 399].contains(&number) { runs.lost() } else { runs.delivered() }
        }
        assert!((runs.report().noticeable_ratio.unwrap() - 0.25).abs() < 1e-12);
        assert_eq!(Runs::new(1, &Budget::unlimited()).report().noticeable_ratio, None);
    }
}
