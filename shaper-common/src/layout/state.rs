//! The state of one channel: what a decision meets, works with and leaves.

use crate::aqm::codel::Codel;
use crate::aqm::pi2::Pi2;
use crate::aqm::pie::Pie;
use crate::capacity::Wanted;
use crate::corrupt::Damage;
use crate::fate::{Cause, Fate};
use crate::flow::Flow;
use crate::police::Policer;
use crate::rate::{Bottleneck, Service};
use crate::rng::{Choices, Details, Draws};
use crate::slot::Slot;
use crate::trace::{Entry, Found};
use crate::units::Nanos;

/// What a channel carries over from packet to packet and what decides later fates.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// What each flow carries, where it does; of the packet's flow then.
    pub flow: Flow,
    /// The bottleneck.
    pub bottleneck: Bottleneck,
    /// The policer.
    pub policer: Policer,
    /// CoDel.
    pub codel: Codel,
    /// PIE.
    pub pie: Pie,
    /// PI2.
    pub pi2: Pi2,
    /// The slot that packets leave in.
    pub slot: Slot,
    /// Packets in the bottleneck, as the last packet met them; counted where they have a limit.
    pub backlog: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

/// Counts of one channel, all brought up to date with the decision.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets given to the delay line.
    pub forwarded: u64,
    /// Bytes of those packets.
    pub forwarded_bytes: u64,
    /// Copies of them.
    pub copies: u64,
    /// Packets that went on changed.
    pub corrupted: u64,
    /// Packets that went on marked.
    pub marked: u64,
    /// Packets that went on without the delay.
    pub reordered: u64,
    /// Dropped because the link was down.
    pub outage: u64,
    /// Dropped by the loss model.
    pub loss: u64,
    /// Dropped at the tail of the queue.
    pub queue: u64,
    /// Dropped by the queue's management.
    pub aqm: u64,
    /// Dropped by the policer.
    pub policer: u64,
    /// Dropped because the link went down while they were on their way.
    pub in_flight: u64,
    /// Dropped because the trace that they follow was not there in time.
    pub unknown: u64,
    /// Flows put out of the table for others.
    pub flows_evicted: u64,
}

impl Counts {
    /// Packets dropped by the decision, by cause.
    #[must_use]
    pub const fn dropped(&self) -> [(Cause, u64); 7] {
        [
            (Cause::Outage, self.outage),
            (Cause::Loss, self.loss),
            (Cause::Queue, self.queue),
            (Cause::Aqm, self.aqm),
            (Cause::Policer, self.policer),
            (Cause::InFlight, self.in_flight),
            (Cause::Trace, self.unknown),
        ]
    }
}

/// What a decision works with, stage by stage. It lies in the state, where the verifier keeps no account of values: so the
/// ways through one stage come together again before the next. Of no meaning between decisions.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The fate as far as it is decided.
    pub fate: RawFate,
    /// When the packet is through what it has passed so far.
    pub time: Nanos,
    /// Its service by the bottleneck.
    pub service: Service,
    /// Draws, see [`crate::rng`].
    pub draws: Draws,
    /// More of them.
    pub choices: Choices,
    /// More of them.
    pub details: Details,
    /// One where the packet is lost by the loss model.
    pub is_lost: u32,
    /// One where it has copies.
    pub is_copied: u32,
    /// One where it is changed.
    pub is_hit: u32,
    /// One where it leaves without the delay.
    pub is_ahead: u32,
    /// Where its flow stands in its bucket.
    pub place: u32,
    /// One where it cannot be decided, since the trace is not there.
    pub is_unknown: u32,
    /// Where in the trace over time its arrival is.
    pub found: Found,
    /// What the trace by packet says of it.
    pub entry: Entry,
    /// Its base delay.
    pub base: Nanos,
    /// One where so little waits that the queue is none to be managed.
    pub is_short: u32,
    /// Explicit padding.
    pub _reserved: u32,
    /// What it needs of a bottleneck whose rate follows a trace.
    pub wanted: Wanted,
}

/// The state of one direction: written by one decision at a time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The number the next packet takes, in the order of decisions: also how many packets have come in.
    pub next_sequence: u64,
    /// What later fates depend on.
    pub carried: Carried,
    /// What happened so far.
    pub counts: Counts,
    /// What the last decision worked with, its fate among it.
    pub work: Work,
    /// Where looking for an outage begins, see [`crate::outage::Schedule::is_down`]: no fate depends on it.
    pub next_window: u32,
    /// Explicit padding.
    pub _reserved: u32,
    /// The step of a trace over time that the last packet came in, where looking for the next one's begins: no fate
    /// depends on it.
    pub step: u64,
    /// The one that the last service ended in, likewise.
    pub service_step: u64,
}

/// A direction's state as it lies in its map: behind the lock word, which is taken where devices do not keep
/// decisions apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// The kernel's `struct bpf_spin_lock`.
    pub lock: u32,
    /// Explicit padding.
    pub _reserved: u32,
    /// The state.
    pub state: State,
}

/// A [`Fate`] as numbers: in maps and records any bit pattern may stand.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawFate {
    /// See [`Fate::release`].
    pub release: Nanos,
    /// See [`Fate::spacing`].
    pub spacing: Nanos,
    /// See [`Fate::damage`].
    pub damage: Damage,
    /// See [`Fate::copies`].
    pub copies: u32,
    /// See [`Fate::served`].
    pub served: u32,
    /// See [`Fate::marked`].
    pub marked: u32,
    /// A [`Cause`].
    pub cause: u32,
}

impl RawFate {
    /// All zero, which the compiler must not know: it would call a function that clears memory, and there is no call under
    /// a lock before Linux 6.7.
    #[inline(always)]
    #[must_use]
    pub fn begin() -> Self {
        let zero = core::hint::black_box(0u64);
        let (long, short) = (Nanos(zero), zero as u32);
        Self {
            release: long,
            spacing: long,
            damage: Damage { flips: short, at: short as u16, repair: core::hint::black_box(0) },
            copies: short,
            served: short,
            marked: short,
            cause: short,
        }
    }
}

impl From<RawFate> for Fate {
    fn from(raw: RawFate) -> Self {
        Self {
            release: raw.release,
            spacing: raw.spacing,
            damage: raw.damage,
            copies: raw.copies,
            served: raw.served,
            marked: raw.marked != 0,
            // The decision writes none but these.
            cause: Cause::from_raw(raw.cause).unwrap_or_default(),
        }
    }
}
