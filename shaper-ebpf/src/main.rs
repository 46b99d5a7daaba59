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
use shaper_common::fate::Cause;
use shaper_common::flow::Bucket;
use shaper_common::layout::{BYPASS, PORT_PROBES, Port, PortPlace, RawFate, Setup, XskMeta, features, packet_id};
use shaper_common::parse::{self, Kind, Parts};
use shaper_common::pipeline::{Memory, Packet, Settings, decide, recall, remember};
use shaper_common::rewrite;
use shaper_common::units::Nanos;

use crate::frame::{Frame, Probe};
use crate::maps::{
    BACKLOGS, EDGE, EXCLUSIVE, FEATURES, FLOWS, PORTS, QUANTILES, READ, RECORDS, Read, SCHEDULES, SETUPS, STATES,
    STRAIGHT, XSKS,
};

/// Do not wake the reader for each record: it polls.
const NO_WAKEUP: u64 = aya_ebpf::bindings::BPF_RB_NO_WAKEUP as u64;
/// Bytes of metadata in front of a frame.
const META: usize = core::mem::size_of::<XskMeta>();

/// A decision together with the id of the packet that it was made for.
struct Decided {
    fate: RawFate,
    id: u64,
}

/// What is to be said of a packet in its record, beside the decision.
struct Told {
    direction: u16,
    l4_checksum: u16,
}

/// Decides, alone in its channel, and writes the record where there is to be one.
///
/// `None` when the channel has no settings: the program was attached before they were written.
#[inline(always)]
fn decide_alone(channel: u32, packet: &Packet, told: Option<&Told>) -> Option<Decided> {
    let has = FEATURES.load();
    let Setup { params, places } = SETUPS.get(channel)?;
    let schedule = SCHEDULES.get(places.schedule)?;
    let shared = STATES.get_ptr_mut(channel)?;
    let mut quantiles = None;
    if has & features::QUANTILES != 0 {
        quantiles = Some(QUANTILES.get(places.quantiles)?);
    }
    let mut memory = Memory::default();
    if has & features::BACKLOG != 0 {
        // SAFETY: the channel's own, and so under the lock like its state; the map outlives the program.
        memory.backlog = Some(unsafe { &mut *BACKLOGS.get_ptr_mut(places.backlog)? });
    }
    if has & features::FLOWS != 0 {
        let bucket = places.flows + Bucket::of(packet.flow_hash, places.flows_mask);
        // SAFETY: as above.
        memory.bucket = Some(unsafe { &mut *FLOWS.get_ptr_mut(bucket)? });
    }
    // Room for the record is taken beforehand, since under the lock nothing can be called, and what the decision meets
    // is too much for the stack.
    let mut record = None;
    if let Some(told) = told {
        record = RECORDS.reserve(0);
        if record.is_none() {
            count(told.direction.into(), |edge| edge.records_lost += 1);
        }
    }
    // SAFETY: `shared` points at a map value, which outlives the program; the lock is in that value.
    let lock = unsafe { &raw mut (*shared).lock };
    let exclusive = EXCLUSIVE.load() != 0;
    if !exclusive {
        // SAFETY: no other lock is held, and nothing below until the unlock calls a helper.
        unsafe { bpf_spin_lock(lock) };
    }
    // SAFETY: the lock, or the device, makes this the only reference to the state.
    let state = unsafe { &mut (*shared).state };
    let sequence = state.next_sequence;
    recall(has, params, &mut memory, state, packet);
    if let Some(record) = &mut record {
        // SAFETY: the ring gave room for a whole record.
        unsafe { (*record.as_mut_ptr()).before = state.carried };
    }
    decide(has, &Settings { params, schedule, quantiles }, state, packet);
    remember(has, params, &mut memory, state);
    let fate = state.work.fate;
    if !exclusive {
        // SAFETY: the same lock as above, held until here.
        unsafe { bpf_spin_unlock(lock) };
    }

    if let (Some(mut record), Some(told)) = (record, told) {
        // SAFETY: as above; with `before`, these are all of its fields.
        let entry = unsafe { &mut *record.as_mut_ptr() };
        entry.sequence = sequence;
        entry.packet = *packet;
        entry.fate = fate;
        entry.rule = params.rule;
        entry.direction = told.direction;
        entry.l4_checksum = told.l4_checksum;
        entry.channel = channel;
        entry._reserved = 0;
        record.submit(NO_WAKEUP);
    }
    Some(Decided { fate, id: packet_id(channel, sequence) })
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

/// Changes the packet as its fate says.
#[inline(always)]
fn change(ctx: &XdpContext, packet: &Packet, parts: &Parts, fate: &RawFate) {
    let has = FEATURES.load();
    // A packet that cannot be changed has no such parts, and its fate says nothing of the kind.
    if has & features::ECN != 0 && fate.marked != 0 {
        let _ = rewrite::mark(&mut Frame::new(ctx), parts);
    }
    if has & features::CORRUPT != 0 && !fate.damage.is_none() {
        let _ = rewrite::damage(&mut Frame::new(ctx), packet.len, parts, &fate.damage);
    }
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
        return Next::Hold(port, XskMeta { release: now, id: BYPASS, ..XskMeta::default() });
    }
    let Some(read) = READ.get_ptr_mut(0) else { return Next::Pass };
    // SAFETY: the value is this CPU's own, and XDP programs do not interrupt each other.
    let read = unsafe { &mut *read };
    *read = Read { packet: summary.packet(now, len), parts: summary.parts, l4_checksum: summary.l4_checksum };
    // Taken from memory again, where the verifier keeps no account of values: so all ways through the parser come
    // together here, and it need not walk through the decision for each.
    let Read { packet, parts, l4_checksum } = core::hint::black_box(&*read);
    let told = Told { direction: port.direction as u16, l4_checksum: *l4_checksum };
    match decide_alone(port.direction, packet, (port.records != 0).then_some(&told)) {
        Some(Decided { fate, id }) if fate.cause == Cause::None as u32 => {
            change(ctx, packet, parts, &fate);
            let (spacing, copies) = (fate.spacing, fate.copies);
            Next::Hold(port, XskMeta { release: fate.release, id, spacing, copies, _reserved: 0 })
        }
        Some(_) => Next::Drop,
        None => Next::Pass,
    }
}

/// A port of an impaired link.
#[xdp]
#[inline(always)]
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
#[inline(always)]
pub(crate) fn probe(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + core::mem::size_of::<Probe>() > end {
        return xdp_action::XDP_ABORTED;
    }
    let slot = start as *mut Probe;
    // SAFETY: the check above shows that a whole probe lies in the packet.
    let probe = unsafe { core::ptr::read_unaligned(slot) };
    let Some(decided) = decide_alone(probe.channel, &probe.packet, None) else {
        return xdp_action::XDP_ABORTED;
    };
    let answer = Probe { answered: 1, id: decided.id, fate: decided.fate, ..probe };
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
