//! Where the packets of a running attachment are.

use std::ops::Range;

use hdrhistogram::Histogram;
use shaper_common::layout::{Counts, DIRECTIONS};
use shaper_net::rtnl::LinkStats;

use super::{Engine, Straight};
use crate::account::{Account, Led, SentStraight, Sources};
use crate::error::Error;
use crate::hold::Left;
use crate::outcome::{Recorded, Snapshot};

impl Engine {
    /// How each direction stands while packets flow: what is on its way is what came and is nowhere else yet.
    /// [`stop`](Self::stop) counts it.
    ///
    /// # Errors
    ///
    /// When a map or a counter cannot be read.
    pub fn snapshot(&self) -> Result<Vec<Snapshot>, Error> {
        // What left is read before what came, so that nothing has left that has not come.
        let left: Vec<_> = (0..self.directions.len()).map(|direction| self.hold.left(direction)).collect();
        let snapshots = (0u32..).zip(left).map(|(direction, left)| {
            // Control packets leave at once; the few that are in the delay line just now are taken for gone.
            let control_sent = self.object.edge_counts(direction)?.bypassed.min(left.released);
            let sources = self.sources(direction, left, control_sent, 0)?;
            let mut account = Account::of(&sources);
            account.held = 0;
            account.held = u64::try_from(account.difference()).unwrap_or(0);
            Ok(Snapshot {
                account,
                by_rule: by_rule(&sources),
                let_pass: sources.edge.let_pass,
                recorded: self.recorded(&sources),
                releases_lost: sources.edge.releases_lost,
                lateness: self.lateness(direction)?,
            })
        });
        snapshots.collect()
    }

    pub(super) fn lateness(&self, direction: u32) -> Result<Histogram<u64>, Error> {
        self.hold.lateness(direction as usize).ok_or(Error::NoDirection { direction })
    }

    /// What the programs, the devices and what holds packets have counted of a direction, beside what has `left`.
    pub(super) fn sources(
        &self,
        direction: u32,
        left: Left,
        control_sent: u64,
        control_refused: u64,
    ) -> Result<Sources, Error> {
        // What left before what came, here too.
        let lost = self.hold.lost(direction as usize)?;
        let edge = self.object.edge_counts(direction)?;
        let states = std::iter::once(direction).chain(self.channels_of_rules(direction));
        let states = states.map(|channel| self.object.state(channel)).collect::<Result<_, _>>()?;
        let straight = match self.straight.get(direction as usize) {
            Some(Some(Straight { output, before })) => Some(sent_since(before, &self.rtnl.stats(*output)?)),
            _ => None,
        };
        let led = match &self.diverted {
            Some(diverted) => diverted.lost(direction)?.map(|lost| Led { lost, returned: edge.returned }),
            None => None,
        };
        // Where `fq` holds packets, the programs see both kinds leave.
        let control_sent = control_sent + edge.control_returned;
        Ok(Sources { states, edge, straight, led, left, lost, control_sent, control_refused })
    }

    pub(super) fn recorded(&self, sources: &Sources) -> Recorded {
        Recorded::of(self.options.recording, &sources.states, sources.edge.records_lost)
    }

    fn channels_of_rules(&self, direction: u32) -> Range<u32> {
        let first = self.rule_channels.get(direction as usize).copied().unwrap_or(DIRECTIONS);
        let rules = self.directions.get(direction as usize).map_or(0, |spec| spec.rules.channels.len());
        first..first + rules as u32
    }
}

/// By rule: packets that went by it, and what became of them.
pub(super) fn by_rule(sources: &Sources) -> Vec<(u64, Counts)> {
    // The first one is the direction's own.
    sources.states.iter().skip(1).map(|state| (state.next_sequence, state.counts)).collect()
}

/// What a device sent and dropped between two readings.
fn sent_since(before: &LinkStats, now: &LinkStats) -> SentStraight {
    SentStraight {
        sent: now.tx_packets.saturating_sub(before.tx_packets),
        dropped: now.tx_dropped.saturating_sub(before.tx_dropped),
    }
}
