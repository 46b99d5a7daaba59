//! The settings of one channel, and what they ask of the programs.

use crate::aqm::Aqm;
use crate::aqm::codel::CodelSettings;
use crate::aqm::pi2::Pi2Settings;
use crate::aqm::pie::PieSettings;
use crate::aqm::step::StepSettings;
use crate::corrupt::Corrupt;
use crate::delay::Jitter;
use crate::duplicate::Duplicate;
use crate::loss::Chain;
use crate::police::PolicerSettings;
use crate::reorder::Reorder;
use crate::slot::Slots;
use crate::units::{BitsPerSec, Nanos, Probability};

/// Effects that any setting of an attachment has: what is in none is left out of the program.
pub mod features {
    /// Loss by a chain of states.
    pub const CHAIN: u32 = 1;
    /// Outages.
    pub const OUTAGES: u32 = 1 << 1;
    /// Copies.
    pub const DUPLICATE: u32 = 1 << 2;
    /// Corruption.
    pub const CORRUPT: u32 = 1 << 3;
    /// A bottleneck.
    pub const RATE: u32 = 1 << 4;
    /// Management of the queue before it.
    pub const AQM: u32 = 1 << 5;
    /// A limit of its packets.
    pub const BACKLOG: u32 = 1 << 6;
    /// A policer.
    pub const POLICER: u32 = 1 << 7;
    /// Jitter by a table of quantiles.
    pub const QUANTILES: u32 = 1 << 8;
    /// Jitter that is correlated in time.
    pub const PROCESS: u32 = 1 << 9;
    /// Reordering.
    pub const REORDER: u32 = 1 << 10;
    /// Slots.
    pub const SLOTS: u32 = 1 << 11;
    /// Randomness with the scope of a flow.
    pub const FLOWS: u32 = 1 << 12;
    /// Marks instead of drops.
    pub const ECN: u32 = 1 << 13;
    /// Rules.
    pub const RULES: u32 = 1 << 14;
    /// Settings that change at set times.
    pub const CHANGES: u32 = 1 << 15;
    /// Loss by a pattern that repeats.
    pub const PATTERN: u32 = 1 << 16;
    /// Settings that follow a trace over time.
    pub const STEPS: u32 = 1 << 17;
    /// A rate among them.
    pub const CAPACITY: u32 = 1 << 18;
    /// Settings that follow a trace by packet.
    pub const PACKETS: u32 = 1 << 19;
    /// Slots whose times are by a table of quantiles.
    pub const SLOT_TABLE: u32 = 1 << 20;
    /// All of them: what userspace decides with.
    pub const ALL: u32 = u32::MAX;
}

/// Groups of draws that settings ask for, see [`crate::rng::Source`].
pub mod groups {
    /// [`crate::rng::Draws`].
    pub const DRAWS: u32 = 1;
    /// [`crate::rng::Choices`].
    pub const CHOICES: u32 = 1 << 1;
    /// [`crate::rng::Details`].
    pub const DETAILS: u32 = 1 << 2;
}

/// Settings that are on or off.
pub mod flags {
    /// Packets that are lost, or dropped by the queue's management, are marked instead where they can be.
    pub const ECN: u32 = 1;
    /// Losses are behind the bottleneck.
    pub const LOSS_BEHIND: u32 = 1 << 1;
    /// What is on its way when the link goes down is lost.
    pub const IN_FLIGHT_LOST: u32 = 1 << 2;
    /// Each flow has draws, indices and order of its own.
    pub const FLOWS: u32 = 1 << 3;
    /// The rate follows the trace over time.
    pub const RATE_STEPS: u32 = 1 << 4;
    /// The base delay follows the trace over time.
    pub const DELAY_STEPS: u32 = 1 << 5;
    /// Losses follow the trace over time.
    pub const LOSS_STEPS: u32 = 1 << 6;
    /// The base delay follows the trace by packet.
    pub const DELAY_PACKETS: u32 = 1 << 7;
    /// Losses follow the trace by packet.
    pub const LOSS_PACKETS: u32 = 1 << 8;
    /// Any trace over time.
    pub const STEPS: u32 = RATE_STEPS | DELAY_STEPS | LOSS_STEPS;
    /// Any trace by packet.
    pub const PACKETS: u32 = DELAY_PACKETS | LOSS_PACKETS;
}

/// The settings of one channel, compiled to integers: of a link direction, or of a rule in one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// The seed of all draws.
    pub seed: u64,
    /// CLOCK_MONOTONIC time from which the outage schedule counts.
    pub start: Nanos,
    /// Probability of an i.i.d. loss, where there is no chain.
    pub loss: Probability,
    /// By which states packets are lost, where there is a chain.
    pub chain: Chain,
    /// Which packets of a period are lost, where that is [`crate::loss::PATTERN`] or less: the first one by the lowest
    /// bit.
    pub pattern: u64,
    /// Which packets have copies.
    pub duplicate: Duplicate,
    /// Which packets are changed on their way.
    pub corrupt: Corrupt,
    /// The rate above which packets are dropped, without a queue.
    pub policer: PolicerSettings,
    /// Rate of the bottleneck; zero for none. Its mean where it follows a trace.
    pub rate: BitsPerSec,
    /// The most time a packet may need from its arrival until it is through the bottleneck.
    pub queue: Nanos,
    /// Where the rate follows a trace: the most work that waits in the bottleneck, the packet's own with it.
    pub queue_work: u64,
    /// Where the rate follows a trace: the work of a full packet.
    pub full_work: u64,
    /// The time that a full packet takes at the bottleneck: a queue of no more than that is none to be managed.
    pub full_packet: Nanos,
    /// Where [`aqm`](Self::aqm) is CoDel.
    pub codel: CodelSettings,
    /// Where it is PIE.
    pub pie: PieSettings,
    /// Where it is PI2.
    pub pi2: Pi2Settings,
    /// Where it is immediate marking.
    pub step: StepSettings,
    /// Base delay. Where it follows a trace and the jitter is by a table: the one that the table is about.
    pub delay: Nanos,
    /// Half-width of uniform jitter, sigma of normal jitter.
    pub jitter: Nanos,
    /// The reciprocal of the time constant of correlated jitter, see [`crate::process::per_nano`]; zero where each packet
    /// draws on its own.
    pub per_nano: u64,
    /// Which packets leave without the delay.
    pub reorder: Reorder,
    /// When packets leave in bursts.
    pub slots: Slots,
    /// Bytes on the wire beside each packet's own.
    pub overhead: i32,
    /// Bytes that shorter packets are padded to.
    pub least: u32,
    /// Bytes of a packet that go into one cell; zero where the wire carries packets.
    pub cell: u32,
    /// Bytes of a cell beside those.
    pub cell_overhead: u32,
    /// The most packets in the bottleneck, [`crate::backlog::MOST_PACKETS`] at most; zero where their number has no
    /// limit.
    pub queue_packets: u32,
    /// A [`crate::delay::Jitter`].
    pub jitter_kind: u32,
    /// A [`crate::order::Order`].
    pub order: u32,
    /// Which independent stream of draws this channel takes.
    pub stream: u32,
    /// The number of the rule, for records.
    pub rule: u32,
    /// One when the outage schedule holds any window.
    pub has_outages: u32,
    /// One when packets are lost by the chain.
    pub has_chain: u32,
    /// Packets after which losses repeat; zero where they do not. Of a period longer than a pattern the last packet is
    /// lost.
    pub period: u32,
    /// An [`crate::aqm::Aqm`].
    pub aqm: u32,
    /// Explicit padding.
    pub _reserved: u32,
    /// [`flags`].
    pub flags: u32,
    /// The [`groups`] of draws that none of these settings asks for: they need not be made, see [`Params::sparing`].
    pub spared: u32,
}

impl Params {
    /// Whether any packet is ever held, or sent more than once: what has no delay and no bottleneck leaves when it comes.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.delay.0 != 0
            || self.jitter_kind != 0
            || self.rate.0 != 0
            || self.slots.any()
            || !self.duplicate.chance.is_never()
            || self.flags & (flags::DELAY_STEPS | flags::DELAY_PACKETS) != 0
    }

    /// The same without the draws that none of the settings asks for: the last thing to be set.
    #[must_use]
    pub const fn sparing(self) -> Self {
        let mut draws = 0;
        let loses = self.loss.0 != 0 || self.has_chain != 0 || self.flags & flags::LOSS_STEPS != 0;
        if loses || self.jitter_kind != 0 {
            draws |= groups::DRAWS;
        }
        let corrupts = !self.corrupt.chance.is_never();
        if !self.duplicate.chance.is_never() || corrupts || !self.reorder.chance.is_never() || self.slots.any() {
            draws |= groups::CHOICES;
        }
        if corrupts || self.aqm != 0 {
            draws |= groups::DETAILS;
        }
        Self { spared: !draws, ..self }
    }

    /// The [`features`] that these settings need.
    #[must_use]
    pub const fn features(&self) -> u32 {
        const fn if_any(any: bool, feature: u32) -> u32 {
            if any { feature } else { 0 }
        }
        if_any(self.has_chain != 0, features::CHAIN)
            | if_any(self.period != 0, features::PATTERN)
            | if_any(self.has_outages != 0, features::OUTAGES)
            | if_any(!self.duplicate.chance.is_never(), features::DUPLICATE)
            | if_any(!self.corrupt.chance.is_never(), features::CORRUPT)
            | if_any(self.rate.0 != 0, features::RATE)
            | if_any(self.queue_packets != 0, features::BACKLOG)
            | if_any(self.jitter_kind == Jitter::Table as u32, features::QUANTILES)
            | if_any(self.per_nano != 0, features::PROCESS)
            | if_any(self.policer.rate.0 != 0, features::POLICER)
            | if_any(self.aqm != 0, features::AQM)
            | if_any(!self.reorder.chance.is_never(), features::REORDER)
            | if_any(self.slots.any(), features::SLOTS)
            | if_any(self.slots.kind == Jitter::Table as u32, features::SLOT_TABLE)
            | if_any(self.flags & flags::FLOWS != 0, features::FLOWS)
            | if_any(self.flags & flags::STEPS != 0, features::STEPS)
            | if_any(self.flags & flags::RATE_STEPS != 0, features::CAPACITY)
            | if_any(self.flags & flags::PACKETS != 0, features::PACKETS)
            // Immediate marking marks in any case: that is all it does.
            | if_any(self.flags & flags::ECN != 0 || self.aqm == Aqm::Step as u32, features::ECN)
    }
}
