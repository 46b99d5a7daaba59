//! The maps and constants. Their names are how userspace finds them.

use aya_ebpf::Global;
use aya_ebpf::bindings::bpf_spin_lock;
use aya_ebpf::btf_maps::{Array, DevMap, PerCpuArray, RingBuf, XskMap};
use aya_ebpf::macros::btf_map;
use shaper_common::layout::{DIRECTIONS, EdgeCounts, OUTPUTS, PORT_PLACES, Pace, Params, PortPlace, Record, State};
use shaper_common::outage::Schedule;

/// Bytes of the record ring: userspace may raise it before loading.
const RECORD_RING: usize = 1 << 24;

/// A direction's state with its lock; `shaper_common::layout::Shared` is the same bytes for userspace.
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

/// The ports, see [`PortPlace::of`].
#[btf_map]
pub(crate) static PORTS: Array<PortPlace, { PORT_PLACES as usize }> = Array::new();

/// Settings by direction.
#[btf_map]
pub(crate) static PARAMS: Array<Params, { DIRECTIONS as usize }> = Array::new();

/// Outage schedules by direction.
#[btf_map]
pub(crate) static SCHEDULES: Array<Schedule, { DIRECTIONS as usize }> = Array::new();

/// State by direction.
#[btf_map]
pub(crate) static STATES: Array<Shared, { DIRECTIONS as usize }> = Array::new();

/// Counts beside the decision, by direction.
#[btf_map]
pub(crate) static EDGE: PerCpuArray<EdgeCounts, { DIRECTIONS as usize }> = PerCpuArray::new();

/// One record a decision.
#[btf_map]
pub(crate) static RECORDS: RingBuf<Record, RECORD_RING> = RingBuf::new();

/// The delay line's sockets.
#[btf_map]
pub(crate) static XSKS: XskMap<{ DIRECTIONS as usize }> = XskMap::new();

/// The other port of the link, by the place of the socket: where packets go straight on to.
#[btf_map]
pub(crate) static STRAIGHT: DevMap<{ DIRECTIONS as usize }> = DevMap::new();

/// Where benchmarks redirect to.
#[btf_map]
pub(crate) static DEVICES: DevMap<{ OUTPUTS as usize }> = DevMap::new();

/// How fast a benchmark generates.
#[btf_map]
pub(crate) static PACE: Array<Pace, 1> = Array::new();
