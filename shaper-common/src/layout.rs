//! What the eBPF programs and userspace share through maps, ring buffer and packet metadata.
//!
//! Every struct is `repr(C)` without padding that is not named, so that both sides see the same bytes.

use crate::fate::Cause;
use crate::loss::Chain;
use crate::rate::Bottleneck;
use crate::units::{BitsPerSec, Nanos, Probability};

/// How many link directions one loaded set of programs can serve.
pub const DIRECTIONS: u32 = 128;

/// The settings of one link direction, compiled to integers.
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
    /// Base delay.
    pub delay: Nanos,
    /// Half-width of uniform jitter, sigma of normal jitter.
    pub jitter: Nanos,
    /// Rate of the bottleneck; zero for none.
    pub rate: BitsPerSec,
    /// The most time a packet may need from its arrival until it is through the bottleneck.
    pub queue: Nanos,
    /// Bytes on the wire beside each packet's own.
    pub overhead: u32,
    /// A [`crate::delay::Jitter`].
    pub jitter_kind: u32,
    /// A [`crate::order::Order`].
    pub order: u32,
    /// Which independent stream of draws this direction takes.
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
}

impl Params {
    /// Whether any packet is ever held: what has no delay and no bottleneck leaves when it comes.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.delay.0 != 0 || self.jitter_kind != 0 || self.rate.0 != 0
    }
}

/// What a direction carries over from packet to packet and what decides later fates.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// The latest release time given so far.
    pub last_release: Nanos,
    /// The bottleneck.
    pub bottleneck: Bottleneck,
    /// The state that the chain of losses is in and one more; zero before the first packet.
    pub loss_state: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

/// Counts of one direction, all brought up to date with the decision.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets given to the delay line.
    pub forwarded: u64,
    /// Bytes of those packets.
    pub forwarded_bytes: u64,
    /// Dropped because the link was down.
    pub outage: u64,
    /// Dropped by the loss model.
    pub loss: u64,
    /// Dropped at the tail of the queue.
    pub queue: u64,
}

/// The state of one direction: written by one decision at a time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The index the next packet takes: also how many packets have come in.
    pub next_index: u64,
    /// What later fates depend on.
    pub carried: Carried,
    /// What happened so far.
    pub counts: Counts,
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
    /// Arrival in; intended release out.
    pub now: Nanos,
    /// The packet's id out.
    pub index: u64,
    /// Length in.
    pub len: u32,
    /// Flow hash in.
    pub flow_hash: u32,
    /// Direction in.
    pub direction: u32,
    /// Cause out.
    pub cause: u32,
}

/// Counts that are kept beside the decision: one set a CPU, added up on reading.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeCounts {
    /// Control packets (ARP, neighbour discovery, IGMP, MLD) that passed unimpaired.
    pub bypassed: u64,
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
}

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

/// The id of a packet: direction and index in one number, unique within an attachment.
#[inline(always)]
#[must_use]
pub const fn packet_id(direction: u32, sequence: u64) -> u64 {
    (((direction as u64) & 0x7fff) << 48) | (sequence & 0xffff_ffff_ffff)
}

/// The direction and index of an id.
#[must_use]
pub const fn split_id(id: u64) -> (u32, u64) {
    (((id >> 48) & 0x7fff) as u32, id & 0xffff_ffff_ffff)
}

/// The record of one decision: what went in, what came out, and the state it met.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Packet index, which is the order of the decisions.
    pub sequence: u64,
    /// The decision's clock, CLOCK_MONOTONIC.
    pub arrival: Nanos,
    /// Intended release, zero for a dropped packet.
    pub release: Nanos,
    /// The carried state before this packet: makes each record checkable by itself.
    pub before: Carried,
    /// Length on the wire without frame check sequence.
    pub len: u32,
    /// Hash of the flow, see [`crate::parse`].
    pub flow_hash: u32,
    /// Number of the rule.
    pub rule: u32,
    /// Link direction.
    pub direction: u16,
    /// The layer-4 checksum as it stands in the packet, zero where there is none.
    pub l4_checksum: u16,
    /// A [`Cause`].
    pub cause: u8,
    /// Explicit padding.
    pub _reserved: [u8; 7],
}

impl Record {
    /// Bytes of a record in the ring buffer.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// Reads a record from the bytes of the ring buffer; `None` when there are too few.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let u64_at = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let u32_at = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let u16_at = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Self {
            sequence: u64_at(0)?,
            arrival: Nanos(u64_at(8)?),
            release: Nanos(u64_at(16)?),
            before: Carried {
                last_release: Nanos(u64_at(24)?),
                bottleneck: Bottleneck { free_at: Nanos(u64_at(32)?), remainder: u64_at(40)? },
                loss_state: u32_at(48)?,
                _reserved: u32_at(52)?,
            },
            len: u32_at(56)?,
            flow_hash: u32_at(60)?,
            rule: u32_at(64)?,
            direction: u16_at(68)?,
            l4_checksum: u16_at(70)?,
            cause: *bytes.get(72)?,
            _reserved: *bytes.get(73..)?.first_chunk()?,
        })
    }

    /// The packet's id.
    #[must_use]
    pub const fn id(&self) -> u64 {
        packet_id(self.direction as u32, self.sequence)
    }

    /// Why the pipeline dropped it; `None` for a number that names no cause.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        Cause::from_raw(self.cause)
    }
}
