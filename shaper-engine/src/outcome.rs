//! What is known of an attachment: while it stands, and in the end.

use hdrhistogram::Histogram;
use shaper_channel::Verdict;
use shaper_common::layout::{Counts, Record};
use shaper_delayline::Released;

use crate::account::Account;
use crate::spec::DirectionSpec;

/// How a direction stands while packets flow.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where the packets are; it closes by what is on its way.
    pub account: Account,
    /// By rule: packets that went by it, and what became of them.
    pub by_rule: Vec<(u64, Counts)>,
    /// Packets that went on unimpaired, for the delay line did not come round: they are not in the account.
    pub let_pass: u64,
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
    /// Packets whose record found no room in the ring.
    pub records_lost: u64,
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
