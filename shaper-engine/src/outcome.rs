//! What is known of an attachment: while it stands, and in the end.

use hdrhistogram::Histogram;
use shaper_channel::Verdict;
use shaper_common::layout::{Counts, Record, Recording, State};
use shaper_delayline::Released;

use crate::account::Account;
use crate::spec::DirectionSpec;

/// Of how many decisions there is a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Decisions that were recorded.
    pub recorded: u64,
    /// Decisions that were not to be recorded.
    pub left_out: u64,
    /// Decisions that were to be recorded and are not: there was no room in the ring.
    pub lost: u64,
}

impl Recorded {
    /// What the channels of a direction have come to, of whose records so many were lost.
    pub(crate) fn of(recording: Recording, states: &[State], lost: u64) -> Self {
        let (mut decided, mut due) = (0u64, 0u64);
        for state in states {
            let dropped = state.counts.dropped().iter().map(|(_, count)| count).sum();
            decided += state.next_sequence;
            due += recording.due(state.next_sequence, dropped);
        }
        Self { recorded: due.saturating_sub(lost), left_out: decided.saturating_sub(due), lost }
    }

    /// The same where so many records were read in the end: what is due and was not is lost, however that came.
    pub(crate) const fn read(self, recorded: u64) -> Self {
        let due = self.recorded + self.lost;
        Self { recorded, lost: due.saturating_sub(recorded), ..self }
    }

    /// All decisions.
    #[must_use]
    pub const fn decided(&self) -> u64 {
        self.recorded + self.left_out + self.lost
    }

    /// Whether there is a record of each.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.left_out == 0 && self.lost == 0
    }
}

/// How a direction stands while packets flow.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where the packets are; it closes by what is on its way.
    pub account: Account,
    /// By rule: packets that went by it, and what became of them.
    pub by_rule: Vec<(u64, Counts)>,
    /// Packets that went on unimpaired, for the delay line did not come round: they are not in the account.
    pub let_pass: u64,
    /// What the records are of.
    pub recorded: Recorded,
    /// Releases from `fq` that were to be written down and found no room: the lateness is that of the others.
    pub releases_lost: u64,
    /// Actual minus intended release in nanoseconds.
    pub lateness: Histogram<u64>,
}

/// The evidence of one direction.
#[derive(Clone, Debug)]
pub struct DirectionOutcome {
    /// Its name and settings as they ran, the start included.
    pub spec: DirectionSpec,
    /// Where the packets are.
    pub account: Account,
    /// What the oracle found.
    pub oracle: Verdict,
    /// By rule: packets that went by it, and what became of them.
    pub by_rule: Vec<(u64, Counts)>,
    /// What the records are of.
    pub recorded: Recorded,
    /// Releases from `fq` that were to be written down and found no room: the lateness is that of the others.
    pub releases_lost: u64,
    /// Packets that went on unimpaired, for the delay line did not come round: they are not in the account.
    pub let_pass: u64,
    /// The records that were kept, in the order of the decisions.
    pub records: Vec<Record>,
    /// The releases that were kept, in the order they happened: of packets that came in, one each at most.
    pub releases: Vec<Released>,
    /// The releases of copies that were kept, in the order they happened.
    pub copies: Vec<Released>,
    /// Actual minus intended release in nanoseconds.
    pub lateness: Histogram<u64>,
}

/// The evidence of an attachment.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// By direction, in the order of the links: forward, backward.
    pub directions: Vec<DirectionOutcome>,
    /// Frames of the UMEM that are nowhere: other than zero is a defect.
    pub leaked_frames: u32,
    /// Times a fill ring could not be refilled because all frames were held.
    pub starved: u64,
}
