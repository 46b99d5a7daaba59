//! The maps and constants. Their names are how userspace finds them.

use aya_ebpf::Global;
use aya_ebpf::bindings::bpf_spin_lock;
use aya_ebpf::btf_maps::{Array, DevMap, HashMap, PerCpuArray, RingBuf, XskMap};
use aya_ebpf::macros::btf_map;
use shaper_common::backlog::Backlog;
use shaper_common::flow::Bucket;
use shaper_common::layout::{
    DIRECTIONS, DirectionRules, Diversion, EdgeCounts, OUTPUTS, PORT_PLACES, Pace, PortPlace, RawFate, Record, Release,
    Setup, State,
};
use shaper_common::outage::Schedule;
use shaper_common::parse::Parts;
use shaper_common::pipeline::Packet;
use shaper_common::quantile::Quantiles;
use shaper_common::rules::{Key, RuleKey};
use shaper_common::timeline::Timeline;
use shaper_common::trace::{PacketHead, PacketPlaces, StepHead, StepPlaces};

/// Bytes of the record ring: userspace may raise it before loading.
const RECORD_RING: usize = 1 << 24;

/// A channel's state with its lock; `shaper_common::layout::Shared` is the same bytes for userspace.
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) lock: bpf_spin_lock,
    pub(crate) _reserved: u32,
    pub(crate) state: State,
}

/// One where the devices themselves keep two decisions of a direction apart, see `shaper_bpf::Exclusion`. Set before
/// loading, so that the verifier leaves out what is not taken.
#[unsafe(no_mangle)]
pub(crate) static EXCLUSIVE: Global<u32> = Global::new(0);

/// The effects that any setting has, [`shaper_common::layout::features`]. Set before loading: the verifier leaves out
/// the others.
#[unsafe(no_mangle)]
pub(crate) static FEATURES: Global<u32> = Global::new(0);

/// The ports, see [`PortPlace::of`].
#[btf_map]
pub(crate) static PORTS: Array<PortPlace, { PORT_PLACES as usize }> = Array::new();

/// Settings by channel: the first ones are those of the directions. Userspace sizes this map and those below before
/// loading.
#[btf_map]
pub(crate) static SETUPS: Array<Setup, { DIRECTIONS as usize }> = Array::new();

/// State by channel.
#[btf_map]
pub(crate) static STATES: Array<Shared, { DIRECTIONS as usize }> = Array::new();

/// Outage schedules, where the settings say.
#[btf_map]
pub(crate) static SCHEDULES: Array<Schedule, { DIRECTIONS as usize }> = Array::new();

/// When settings change, where they say so.
#[btf_map]
pub(crate) static TIMELINES: Array<Timeline, 1> = Array::new();

/// The rules of each direction: masks, and which channel is that of the first one.
#[btf_map]
pub(crate) static DIRECTION_RULES: Array<DirectionRules, { DIRECTIONS as usize }> = Array::new();

/// The number of the rule, by masked key.
#[btf_map]
pub(crate) static RULES: HashMap<RuleKey, u32, 1> = HashMap::new();

/// Packets in bottlenecks, where the settings say.
#[btf_map]
pub(crate) static BACKLOGS: Array<Backlog, 1> = Array::new();

/// Quantiles of delays, where the settings say.
#[btf_map]
pub(crate) static QUANTILES: Array<Quantiles, 1> = Array::new();

/// Which steps of traces over time are at hand, where the settings say.
#[btf_map]
pub(crate) static STEP_HEADS: Array<StepHead, 1> = Array::new();

/// Those steps.
#[btf_map]
pub(crate) static STEPS: Array<StepPlaces, 1> = Array::new();

/// Which entries of traces by packet are at hand, where the settings say.
#[btf_map]
pub(crate) static PACKET_HEADS: Array<PacketHead, 1> = Array::new();

/// Those entries.
#[btf_map]
pub(crate) static PACKETS: Array<PacketPlaces, 1> = Array::new();

/// Flows, where the settings say.
#[btf_map]
pub(crate) static FLOWS: Array<Bucket, 1> = Array::new();

/// What was read from the packet at hand.
pub(crate) struct Read {
    pub(crate) packet: Packet,
    pub(crate) parts: Parts,
    pub(crate) l4_checksum: u16,
    /// One for a control packet.
    pub(crate) is_control: u16,
    /// One where there is a key.
    pub(crate) has_key: u32,
    /// One for a control packet that no rule asks for.
    pub(crate) bypasses: u32,
    /// The direction that it comes in at.
    pub(crate) direction: u32,
    /// What was decided for it.
    pub(crate) fate: RawFate,
    /// And its id.
    pub(crate) id: u64,
    /// The channel that it goes by.
    pub(crate) channel: u32,
    /// Which decisions are recorded there, see `Recording`.
    pub(crate) recording: u32,
    /// One where its decision is to be recorded, or may be.
    pub(crate) is_due: u32,
    pub(crate) key: Key,
}

/// The packet at hand.
#[btf_map]
pub(crate) static READ: PerCpuArray<Read, 1> = PerCpuArray::new();

/// Its key under the mask that is looked up. Not part of [`Read`], which is handed to subprograms: on Linux 6.1 what one
/// is handed is no key to look up by.
#[btf_map]
pub(crate) static MASKED: PerCpuArray<RuleKey, 1> = PerCpuArray::new();

/// Counts beside the decision, by direction.
#[btf_map]
pub(crate) static EDGE: PerCpuArray<EdgeCounts, { DIRECTIONS as usize }> = PerCpuArray::new();

/// One record a decision.
#[btf_map]
pub(crate) static RECORDS: RingBuf<Record, RECORD_RING> = RingBuf::new();

/// One release a packet that `fq` held, and one a copy: userspace gives it room where that is wanted.
#[btf_map]
pub(crate) static RELEASES: RingBuf<Release, 4096> = RingBuf::new();

/// The delay line's sockets.
#[btf_map]
pub(crate) static XSKS: XskMap<{ DIRECTIONS as usize }> = XskMap::new();

/// The other port of the link, by the place of the socket: where packets go straight on to.
#[btf_map]
pub(crate) static STRAIGHT: DevMap<{ DIRECTIONS as usize }> = DevMap::new();

/// Where the packets of both directions are led.
#[btf_map]
pub(crate) static DIVERSIONS: Array<Diversion, 2> = Array::new();

/// When the delay line last came round, CLOCK_MONOTONIC.
#[btf_map]
pub(crate) static HEARTBEAT: Array<u64, 1> = Array::new();

/// Where benchmarks redirect to.
#[btf_map]
pub(crate) static DEVICES: DevMap<{ OUTPUTS as usize }> = DevMap::new();

/// How fast a benchmark generates.
#[btf_map]
pub(crate) static PACE: Array<Pace, 1> = Array::new();
