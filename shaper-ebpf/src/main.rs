//! The XDP programs: thin shells around `shaper_common::pipeline::decide`.
//!
//! `link` decides the fate of each packet that arrives at a port of an impaired link; `probe` takes
//! packets as data, so that tests drive the same decision with arrivals of their choice; what only
//! benchmarks run is in `bench`.
#![no_std]
#![no_main]

mod bench;
mod frame;
mod maps;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_spin_lock, bpf_spin_unlock, bpf_xdp_adjust_meta};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use shaper_common::fate::{Cause, Fate};
use shaper_common::layout::{BYPASS, PORT_PROBES, Port, PortPlace, Record, XskMeta, packet_id};
use shaper_common::parse::{self, Kind};
use shaper_common::pipeline::{Packet, decide};
use shaper_common::units::Nanos;

use crate::frame::{Frame, Probe};
use crate::maps::{EDGE, EXCLUSIVE, PARAMS, PORTS, RECORDS, SCHEDULES, STATES, STRAIGHT, XSKS};

/// Do not wake the reader for each record: it polls.
const NO_WAKEUP: u64 = aya_ebpf::bindings::BPF_RB_NO_WAKEUP as u64;
/// Bytes of metadata in front of a frame.
const META: usize = core::mem::size_of::<XskMeta>();

/// A decision together with the index it was made for.
struct Decided {
    fate: Fate,
    id: u64,
}

/// Decides, alone in its direction, and writes the record.
///
/// `None` when the direction has no settings: the program was attached before they were written.
#[inline(always)]
fn decide_alone(direction: u32, packet: &Packet, l4_checksum: u16, record: bool) -> Option<Decided> {
    let params = PARAMS.get(direction)?;
    let schedule = SCHEDULES.get(direction)?;
    let shared = STATES.get_ptr_mut(direction)?;
    // SAFETY: `shared` points at a map value, which outlives the program; the lock is in that value.
    let lock = unsafe { &raw mut (*shared).lock };
    let exclusive = EXCLUSIVE.load() != 0;
    if !exclusive {
        // SAFETY: no other lock is held, and nothing below until the unlock calls a helper.
        unsafe { bpf_spin_lock(lock) };
    }
    // SAFETY: the lock, or the device, makes this the only reference to the state.
    let state = unsafe { &mut (*shared).state };
    let sequence = state.next_index;
    let before = state.carried;
    let fate = decide(params, schedule, state, packet);
    if !exclusive {
        // SAFETY: the same lock as above, held until here.
        unsafe { bpf_spin_unlock(lock) };
    }

    if record {
        match RECORDS.reserve(0) {
            Some(mut entry) => {
                entry.write(Record {
                    sequence,
                    arrival: packet.now,
                    release: fate.release,
                    before,
                    len: packet.len,
                    flow_hash: packet.flow_hash,
                    rule: params.rule,
                    direction: direction as u16,
                    l4_checksum,
                    cause: fate.cause as u8,
                    _reserved: [0; 7],
                });
                entry.submit(NO_WAKEUP);
            }
            None => count(direction, |edge| edge.records_lost += 1),
        }
    }
    Some(Decided { fate, id: packet_id(direction, sequence) })
}

/// Brings this CPU's counts of a direction up to date.
#[inline(always)]
fn count(direction: u32, add: impl Fn(&mut shaper_common::layout::EdgeCounts)) {
    if let Some(edge) = EDGE.get_ptr_mut(direction) {
        // SAFETY: the value is this CPU's own, and XDP programs do not interrupt each other.
        add(unsafe { &mut *edge });
    }
}

/// Where the loss of a packet on its way to the delay line is counted: control packets are not in the account.
#[inline(always)]
fn unless_control<'a>(meta: &XskMeta, control: &'a mut u64, other: &'a mut u64) -> &'a mut u64 {
    if meta.id & BYPASS != 0 { control } else { other }
}

/// Hands the frame to the delay line with its release time in front of it.
#[inline(always)]
fn hold(ctx: &XdpContext, port: &Port, meta: XskMeta) -> u32 {
    // SAFETY: the context is the program's own.
    let adjusted = unsafe { bpf_xdp_adjust_meta(ctx.ctx, -(META as i32)) };
    let start = ctx.metadata();
    if adjusted != 0 || start + META > ctx.metadata_end() {
        count(port.direction, |edge| *unless_control(&meta, &mut edge.control_dropped, &mut edge.metadata) += 1);
        return xdp_action::XDP_DROP;
    }
    // SAFETY: the check above shows room for the metadata; packet memory may be unaligned.
    unsafe { core::ptr::write_unaligned(start as *mut XskMeta, meta) };
    match XSKS.redirect(port.socket, 0) {
        Ok(action) => action,
        Err(_) => {
            count(port.direction, |edge| *unless_control(&meta, &mut edge.control_dropped, &mut edge.redirect) += 1);
            xdp_action::XDP_DROP
        }
    }
}

/// Sends the frame on to the other port at once.
#[inline(always)]
fn go_on(port: &Port, meta: &XskMeta) -> u32 {
    match STRAIGHT.redirect(port.socket, 0) {
        Ok(action) => action,
        Err(_) => {
            count(port.direction, |edge| *unless_control(meta, &mut edge.control_dropped, &mut edge.redirect) += 1);
            xdp_action::XDP_DROP
        }
    }
}

/// What is to become of a frame.
enum Next {
    /// None of our business.
    Pass,
    /// Dropped by the pipeline.
    Drop,
    /// To the delay line, with this in front of it; or straight on, where the port holds nothing.
    Hold(&'static Port, XskMeta),
}

/// What the device with this index is.
#[inline(always)]
fn port(ifindex: u32) -> Option<&'static Port> {
    let mut probe = 0;
    while probe < PORT_PROBES {
        // Userspace writes ports before it attaches, and never while packets flow.
        let place = PORTS.get(PortPlace::of(ifindex, probe))?;
        if place.ifindex == ifindex {
            return Some(&place.port);
        }
        probe += 1;
    }
    None
}

/// Decides what is to become of the frame: all of `link` but the act itself.
#[inline(always)]
fn judge(ctx: &XdpContext) -> Next {
    // SAFETY: the helper has no preconditions.
    let now = Nanos(unsafe { bpf_ktime_get_ns() });
    let frame = Frame::new(ctx);
    // Taken before the frame is parsed, so that no packet pointer lives on into the decision: the verifier would
    // walk through the decision once for each way through the parser.
    let len = core::hint::black_box(frame.len());
    let ifindex = ctx.ingress_ifindex() as u32;
    let Some(port) = port(ifindex) else { return Next::Pass };
    let summary = parse::summary(&frame);
    if summary.kind == Kind::Control {
        count(port.direction, |edge| edge.bypassed += 1);
        return Next::Hold(port, XskMeta { release: now, id: BYPASS });
    }
    let packet = Packet { now, len, flow_hash: summary.flow_hash };
    match decide_alone(port.direction, &packet, summary.l4_checksum, port.records != 0) {
        Some(Decided { fate: Fate { release, cause: Cause::None }, id }) => Next::Hold(port, XskMeta { release, id }),
        Some(_) => Next::Drop,
        None => Next::Pass,
    }
}

/// A port of an impaired link.
#[xdp]
pub(crate) fn link(ctx: XdpContext) -> u32 {
    match judge(&ctx) {
        Next::Pass => xdp_action::XDP_PASS,
        Next::Drop => xdp_action::XDP_DROP,
        Next::Hold(port, meta) if port.straight != 0 => go_on(port, &meta),
        Next::Hold(port, meta) => hold(&ctx, port, meta),
    }
}

/// Decides for the packet described by the frame's bytes and writes the fate over them.
#[xdp]
pub(crate) fn probe(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + core::mem::size_of::<Probe>() > end {
        return xdp_action::XDP_ABORTED;
    }
    let slot = start as *mut Probe;
    // SAFETY: the check above shows that a whole probe lies in the packet.
    let probe = unsafe { core::ptr::read_unaligned(slot) };
    let packet = Packet { now: probe.now, len: probe.len, flow_hash: probe.flow_hash };
    let Some(decided) = decide_alone(probe.direction, &packet, 0, false) else {
        return xdp_action::XDP_ABORTED;
    };
    let answer = Probe { now: decided.fate.release, index: decided.id, cause: decided.fate.cause as u32, ..probe };
    // SAFETY: the same slot, still within the packet.
    unsafe { core::ptr::write_unaligned(slot, answer) };
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that can come here.
    loop {}
}

/// Programs under this licence may call GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
