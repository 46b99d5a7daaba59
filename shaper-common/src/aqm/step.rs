//! Immediate marking of L4S packets: a step, or a ramp, over the time in the queue (RFC 9332
//! appendix A, the native AQM of the low-latency queue).
//!
//! Scalable congestion controls (RFC 9331) smooth marks themselves, so the queue marks at once, by what a packet
//! meets, without a memory.
//!
//! DualPI2 as a whole, two queues with a scheduler between them, does not fit a decision at arrival: when a packet of
//! the classic queue will be served depends on the L4S packets that come after it and are served first, so its time in
//! the queue, its release and whether the queue is full are not known when it comes. What can be decided at arrival is
//! this marking, and the coupled single queue of [`super::pi2`].

use super::Ecn;
use crate::units::{Nanos, Probability};

/// Settings of the marking.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepSettings {
    /// Time in the queue beyond which packets are marked.
    pub threshold: Nanos,
    /// The further time over which the share of marked packets rises from none to all; zero for a step. Up to 4.29 s,
    /// what is more counts as that.
    pub range: Nanos,
}

impl Default for StepSettings {
    /// A step at 1 ms.
    fn default() -> Self {
        Self { threshold: Nanos(1_000_000), range: Nanos::ZERO }
    }
}

impl StepSettings {
    /// How likely a packet is marked that waits so long.
    #[inline(always)]
    #[must_use]
    pub fn probability(&self, sojourn: Nanos) -> Probability {
        let above = sojourn.saturating_sub(self.threshold).0;
        let range = if self.range.0 > u32::MAX as u64 { u32::MAX as u64 } else { self.range.0 };
        if above == 0 {
            Probability::NEVER
        } else if above >= range {
            Probability::ALWAYS
        } else {
            Probability((above << 32).checked_div(range).unwrap_or(0))
        }
    }
}

/// Whether a packet that waits for `sojourn` is marked.
///
/// Only ECT(1) is: classic transports take a mark for a loss, and what is CE is marked already. `is_short` says that
/// the queue held no more than one full packet: then nothing is marked, since at a low rate even one packet ahead takes
/// longer than the threshold.
#[inline(always)]
#[must_use]
pub fn marks(settings: &StepSettings, sojourn: Nanos, is_short: bool, ecn: Ecn, draw: u32) -> bool {
    matches!(ecn, Ecn::Ect1) && !is_short && settings.probability(sojourn).hits(draw)
}
