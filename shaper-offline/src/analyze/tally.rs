//! Counts and samples of one flow, or of one direction.

use super::{
    key::Tier,
    reorder::{Reordering, Tally as Reorder},
    result::Figures,
    runs::Runs,
};
use crate::stats::{Budget, Distribution, wilson};

#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) matched: u64,
    pub(super) lost: u64,
    pub(super) unmatched: u64,
    pub(super) edge: u64,
    pub(super) corrupted: u64,
    pub(super) duplicated: u64,
    /// Packets of which further copies arrived.
    pub(super) replicated: u64,
    pub(super) ambiguous: u64,
    pub(super) resegmented: u64,
    pub(super) arrivals_only: u64,
    pub(super) tiers: [u64; Tier::COUNT],
    pub(super) delay: Distribution,
    pub(super) ipdv: Distribution,
    pub(super) runs: Runs,
}

impl Tally {
    pub(super) fn new(capacity: usize, budget: &Budget) -> Self {
        Self {
            matched: 0,
            lost: 0,
            unmatched: 0,
            edge: 0,
            corrupted: 0,
            duplicated: 0,
            replicated: 0,
            ambiguous: 0,
            resegmented: 0,
            arrivals_only: 0,
            tiers: [0; Tier::COUNT],
            delay: Distribution::within(capacity, budget),
            ipdv: Distribution::within(capacity, budget),
            runs: Runs::new(capacity, budget),
        }
    }

    /// A packet that arrived intact; `before` is the delay of the packet before, if that arrived.
    #[inline]
    pub(super) fn matched(&mut self, delay: i64, before: Option<i64>) {
        self.matched += 1;
        self.delay.push(delay);
        if let Some(before) = before {
            self.ipdv.push(delay.saturating_sub(before));
        }
        self.runs.delivered();
    }

    /// Figures, with `shift` added to every delay; no delays but their variation when the clocks
    /// are not known against each other.
    pub(super) fn figures(&mut self, reorder: &mut Reorder, shift: i64, absolute: bool) -> Figures {
        let relative = self.delay.summary();
        let delay_ns = relative.filter(|_| absolute).map(|summary| summary.shifted(shift));
        let with_lost = self.delay.summary_with_lost(self.lost);
        let counted = self.matched + self.corrupted + self.lost;
        let reordering: Reordering = reorder.report();
        let arrived = self.matched + self.corrupted;
        let of_arrived = |packets: u64| (arrived > 0).then(|| packets as f64 / arrived as f64);
        Figures {
            sent: counted + self.unmatched + self.edge,
            matched: self.matched,
            lost: self.lost,
            unmatched: self.unmatched,
            duplicated: self.duplicated,
            corrupted: self.corrupted,
            reordered: reordering.reordered,
            edge: self.edge,
            ambiguous: self.ambiguous,
            resegmented: self.resegmented,
            arrivals_only: self.arrivals_only,
            duplication_fraction: of_arrived(self.duplicated),
            replicated_packet_rate: of_arrived(self.replicated),
            loss_ratio: (counted > 0).then(|| self.lost as f64 / counted as f64),
            loss_interval: wilson(self.lost, counted),
            delay_ns,
            delay_all_ns: with_lost.filter(|_| absolute).map(|summary| summary.shifted(shift)),
            ipdv_ns: self.ipdv.summary(),
            pdv_ns: relative.map(|summary| summary.shifted(summary.min.saturating_neg())),
            reordering,
            loss_runs: self.runs.report(),
            tiers: self.tiers.into(),
        }
    }
}
