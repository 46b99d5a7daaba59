//! What the eBPF programs and userspace share through maps, ring buffer and packet metadata.
//!
//! Every struct is `repr(C)` without padding that is not named, so that both sides see the same bytes.

use crate::aqm::Aqm;
use crate::aqm::codel::{Codel, CodelSettings};
use crate::aqm::pi2::{Pi2, Pi2Settings};
use crate::aqm::pie::{Pie, PieSettings};
use crate::aqm::step::StepSettings;
use crate::corrupt::{Corrupt, Damage};
use crate::delay::Jitter;
use crate::duplicate::Duplicate;
use crate::fate::{Cause, Fate};
use crate::flow::Flow;
use crate::loss::Chain;
use crate::pipeline::Packet;
use crate::police::{Policer, PolicerSettings};
use crate::rate::{Bottleneck, Service};
use crate::reorder::Reorder;
use crate::rng::{Choices, Details, Draws};
use crate::rules::Shapes;
use crate::slot::{Slot, Slots};
use crate::units::{BitsPerSec, Nanos, Probability};

/// How many link directions one loaded set of programs can serve.
pub const DIRECTIONS: u32 = 128;

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
    /// Settings of a trace over time.
    pub const TRACE: u32 = 1 << 16;
    /// Fates of a trace by packet.
    pub const PACKET_TRACE: u32 = 1 << 17;
    /// Loss by a pattern that repeats.
    pub const PATTERN: u32 = 1 << 18;
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
    /// Rate of the bottleneck; zero for none.
    pub rate: BitsPerSec,
    /// The most time a packet may need from its arrival until it is through the bottleneck.
    pub queue: Nanos,
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
    /// Base delay.
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
    }

    /// The same without the draws that none of the settings asks for: the last thing to be set.
    #[must_use]
    pub const fn sparing(self) -> Self {
        let mut draws = 0;
        if self.loss.0 != 0 || self.has_chain != 0 || self.jitter_kind != 0 {
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
            | if_any(self.flags & flags::FLOWS != 0, features::FLOWS)
            // Immediate marking marks in any case: that is all it does.
            | if_any(self.flags & flags::ECN != 0 || self.aqm == Aqm::Step as u32, features::ECN)
    }
}

/// Where in the maps that belongs to a channel lies which its settings ask for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Its outages.
    pub schedule: u32,
    /// The packets in its bottleneck.
    pub backlog: u32,
    /// The first of its buckets of flows.
    pub flows: u32,
    /// One less than their number, which is a power of two.
    pub flows_mask: u32,
    /// The quantiles of its jitter.
    pub quantiles: u32,
    /// When its settings change.
    pub timeline: u32,
    /// The settings from its first change on; zero where none changes.
    pub changes: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

/// What the programs look up for the packets of one direction: its rules.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectionRules {
    /// The masks of its matches.
    pub shapes: Shapes,
    /// The channel of its first rule.
    pub first: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

impl DirectionRules {
    /// All packets go by the direction's own settings.
    pub const NONE: Self = Self { shapes: Shapes::EMPTY, first: 0, _reserved: 0 };
}

/// What the programs look up for a channel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Its settings.
    pub params: Params,
    /// Where the rest lies.
    pub places: Places,
}

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
    /// Flows put out of the table for others.
    pub flows_evicted: u64,
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
    /// Explicit padding.
    pub _reserved: u32,
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

/// A packet described by data, and the answer written over it: what the probe entry takes and gives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// The packet in.
    pub packet: Packet,
    /// Its channel in.
    pub channel: u32,
    /// One where the answer is there.
    pub answered: u32,
    /// The packet's id out.
    pub id: u64,
    /// The fate out.
    pub fate: RawFate,
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

/// Counts that are kept beside the decision: one set a CPU, added up on reading.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeCounts {
    /// Control packets (ARP, neighbour discovery, IGMP, MLD) that passed unimpaired.
    pub bypassed: u64,
    /// Packets that no rule was asked about, since their headers are cut short or go on farther than they are followed.
    pub unread: u64,
    /// Decided as forwarded, then dropped: no room for metadata.
    pub metadata: u64,
    /// Decided as forwarded, then dropped: redirect refused.
    pub redirect: u64,
    /// Control packets dropped for either reason.
    pub control_dropped: u64,
    /// Records that found no room in the ring buffer.
    pub records_lost: u64,
}

/// What an attached device is to the program: found by its interface index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// The direction whose packets arrive here.
    pub direction: u32,
    /// The place of this device's socket in the XSKMAP.
    pub socket: u32,
    /// One when each decision is to be recorded, zero for none.
    pub records: u32,
    /// One when nothing that arrives here is ever held: it goes straight on to the other port.
    pub straight: u32,
}

/// Places in the table of ports: a power of two, a few times [`DIRECTIONS`].
pub const PORT_PLACES: u32 = 1024;
/// How many places are looked at for a port.
pub const PORT_PROBES: u32 = 4;

/// A place in the table of ports.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortPlace {
    /// The device's interface index; zero where the place is free.
    pub ifindex: u32,
    /// What that device is.
    pub port: Port,
}

impl PortPlace {
    /// Where the port of a device may stand, the nearest place first: linear probing in an array, whose look-up the
    /// verifier inlines. A hash map's takes as long as parsing the packet.
    #[inline(always)]
    #[must_use]
    pub const fn of(ifindex: u32, probe: u32) -> u32 {
        ifindex.wrapping_add(probe) & (PORT_PLACES - 1)
    }
}

/// The metadata in front of a frame on its way to the delay line.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XskMeta {
    /// When the frame is to leave, CLOCK_MONOTONIC.
    pub release: Nanos,
    /// The packet's id, see [`packet_id`].
    pub id: u64,
    /// How far apart the copies leave, the first one that long behind the frame itself.
    pub spacing: Nanos,
    /// How many copies of the frame leave as well: at most [`XskMeta::MOST_COPIES`], and none of a control packet.
    pub copies: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

impl XskMeta {
    /// The most copies that are made of a frame.
    pub const MOST_COPIES: u32 = 15;
}

/// Kernel 6.1 takes no more than 32 bytes of metadata.
const _: () = assert!(core::mem::size_of::<XskMeta>() == 32);

/// How many devices the benchmark programs redirect to.
pub const OUTPUTS: u32 = 2;
/// The device that the benchmark program `forward` sends to.
pub const OUTPUT_FORWARD: u32 = 0;
/// The device that the benchmark program `generate` sends to.
pub const OUTPUT_GENERATE: u32 = 1;

/// How fast the benchmark program `generate` lets frames out, and what it let out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// When the next frame is due, CLOCK_MONOTONIC.
    pub due: Nanos,
    /// Time between two frames; zero for as fast as can be.
    pub gap: Nanos,
    /// How far it may fall behind its schedule and catch up; what is behind further is not sent.
    pub catch_up: Nanos,
    /// Nothing is sent from here on, CLOCK_MONOTONIC.
    pub end: Nanos,
    /// Frames let out.
    pub sent: u64,
}

/// The bit that marks the id of a control packet, which takes no index.
pub const BYPASS: u64 = 1 << 63;

/// The most channels of an attachment: one for each direction, and one for each rule.
pub const MOST_CHANNELS: u32 = 1 << 17;

/// The id of a packet: channel and number in one, unique within an attachment.
#[inline(always)]
#[must_use]
pub const fn packet_id(channel: u32, sequence: u64) -> u64 {
    (((channel & (MOST_CHANNELS - 1)) as u64) << 46) | (sequence & ((1 << 46) - 1))
}

/// The channel and number of an id.
#[must_use]
pub const fn split_id(id: u64) -> (u32, u64) {
    ((id >> 46) as u32 & (MOST_CHANNELS - 1), id & ((1 << 46) - 1))
}

/// The record of one decision: what went in, what came out, and the state it met.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The packet's number in its channel, which is the order of the decisions.
    pub sequence: u64,
    /// The packet; its arrival is the decision's clock.
    pub packet: Packet,
    /// What was decided.
    pub fate: RawFate,
    /// The carried state before this packet: makes each record checkable by itself.
    pub before: Carried,
    /// Number of the rule in its direction; zero for what none matches.
    pub rule: u32,
    /// Link direction.
    pub direction: u16,
    /// The layer-4 checksum as it stands in the packet, zero where there is none.
    pub l4_checksum: u16,
    /// The channel.
    pub channel: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

impl Record {
    /// The packet's id.
    #[must_use]
    pub const fn id(&self) -> u64 {
        packet_id(self.channel, self.sequence)
    }

    /// When it arrived, CLOCK_MONOTONIC.
    #[must_use]
    pub const fn arrival(&self) -> Nanos {
        self.packet.now
    }

    /// When it is to leave, zero for a dropped packet.
    #[must_use]
    pub const fn release(&self) -> Nanos {
        self.fate.release
    }

    /// Why the pipeline dropped it; `None` for a number that names no cause.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        Cause::from_raw(self.fate.cause)
    }
}
