//! What the eBPF programs and userspace share through maps, ring buffer and packet metadata.
//!
//! Every struct is `repr(C)` without padding that is not named, so that both sides see the same bytes.

mod params;
mod record;
mod recording;
mod state;
mod ticket;

use crate::rules::Shapes;
use crate::units::Nanos;

pub use params::{Params, features, flags, groups};
pub use record::{BYPASS, MOST_CHANNELS, Probe, Record, packet_id, split_id};
pub use recording::{NoRecording, Recording};
pub use state::{Carried, Counts, RawFate, Shared, State, Work};
pub use ticket::{Release, Ticket};

/// How many link directions one loaded set of programs can serve.
pub const DIRECTIONS: u32 = 128;

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
    /// Its trace over time.
    pub steps: u32,
    /// Its trace by packet.
    pub packets: u32,
    /// The quantiles of the times between its slots.
    pub slot_table: u32,
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
    /// Records that were due and found no room in the ring buffer.
    pub records_lost: u64,
    /// Packets that were led to the delay line by TC programs, super-packets as one.
    pub diverted: u64,
    /// Packets that came back from the delay line, or out of `fq`, and were sent on by those.
    pub returned: u64,
    /// Packets that passed or were sent on unimpaired, for the delay line did not come round.
    pub let_pass: u64,
    /// Control packets among those that came out of `fq`.
    pub control_returned: u64,
    /// Copies that `fq` was to be given.
    pub copies: u64,
    /// Those that could not be made.
    pub copies_dropped: u64,
    /// Releases from `fq` that found no room in the ring buffer.
    pub releases_lost: u64,
}

impl EdgeCounts {
    /// Both together.
    #[must_use]
    pub const fn and(&self, other: &Self) -> Self {
        Self {
            bypassed: self.bypassed + other.bypassed,
            unread: self.unread + other.unread,
            metadata: self.metadata + other.metadata,
            redirect: self.redirect + other.redirect,
            control_dropped: self.control_dropped + other.control_dropped,
            records_lost: self.records_lost + other.records_lost,
            diverted: self.diverted + other.diverted,
            returned: self.returned + other.returned,
            let_pass: self.let_pass + other.let_pass,
            control_returned: self.control_returned + other.control_returned,
            copies: self.copies + other.copies,
            copies_dropped: self.copies_dropped + other.copies_dropped,
            releases_lost: self.releases_lost + other.releases_lost,
        }
    }
}

/// How the packets of a direction are led through the delay line by TC programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diversion {
    /// The device that they are sent into, at whose other end the delay line is; zero for none.
    pub into: u32,
    /// The device that they go on at.
    pub on: u32,
    /// One where they go on as if they arrived there, zero where they leave.
    pub arrive: u32,
    /// What a packet that has been through carries in its `tc_index`, where it comes by our programs once more: those of
    /// no other attachment have the same. Nobody else has used that field since Linux 6.3. Zero for none.
    pub mark: u32,
    /// One on a bridge, where packets get nowhere without us: past a delay line that does not come round they are sent on.
    /// Zero where they are on their way already, and are let pass then. [`Diversion::BEHIND_PORTS`] on a bridge at whose
    /// ports XDP takes packets: those that come by are the ones that it let pass, and are sent on.
    pub bridged: u32,
    /// One where releases from `fq` are written down.
    pub releases: u32,
}

impl Diversion {
    /// See [`Diversion::bridged`].
    pub const BEHIND_PORTS: u32 = 2;
}

/// How long ago the delay line may have come round for an interface's packets to be led to it.
pub const STALE: Nanos = Nanos(200_000_000);

/// What an attached device is to the program: found by its interface index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// The direction whose packets arrive here.
    pub direction: u32,
    /// The place of this device's socket in the XSKMAP.
    pub socket: u32,
    /// Which decisions are recorded, see [`Recording::raw`].
    pub records: u32,
    /// One when nothing that arrives here is ever held: it goes straight on to the other port.
    pub straight: u32,
    /// One where `fq` holds packets, and no delay line.
    pub by_fq: u32,
    /// One where packets that `fq` holds may overtake each other.
    pub scatter: u32,
    /// How many sockets the device has: one a queue, from the place of the first one on.
    pub queues: u32,
    /// One where packets are let pass while the delay line does not come round.
    pub fails_open: u32,
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
