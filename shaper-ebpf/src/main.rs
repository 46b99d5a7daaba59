//! The programs: thin shells around `shaper_common::pipeline::decide`.
//!
//! `link` decides the fate of each packet that arrives at a port of an impaired link; `probe` takes
//! packets as data, so that tests drive the same decision with arrivals of their choice; what leads the packets
//! of one interface there and back is in `divert`, what gives packets to `fq` in `edt`, what only benchmarks run in `bench`.
#![no_std]
#![no_main]

mod bench;
mod divert;
mod edt;
mod frame;
mod maps;

use aya_ebpf::bindings::{xdp_action, xdp_md};
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_spin_lock, bpf_spin_unlock, bpf_xdp_adjust_meta};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use shaper_common::fate::Cause;
use shaper_common::flow::Bucket;
use shaper_common::layout::{
    BYPASS, PORT_PROBES, Port, PortPlace, RawFate, Recording, Setup, XskMeta, features, packet_id, split_id,
};
use shaper_common::parse::{self, Kind};
use shaper_common::pipeline::{Memory, Packet, Settings, decide, recall, remember};
use shaper_common::rewrite;
use shaper_common::rules::{self, RuleKey};
use shaper_common::trace::{Packets, Steps};
use shaper_common::units::Nanos;

use crate::frame::{Frame, Probe};
use crate::maps::{
    BACKLOGS, DIRECTION_RULES, EDGE, EXCLUSIVE, FEATURES, FLOWS, MASKED, PACKET_HEADS, PACKETS, PORTS, QUANTILES, READ,
    RECORDS, RULES, Read, SCHEDULES, SETUPS, STATES, STEP_HEADS, STEPS, STRAIGHT, TIMELINES, XSKS,
};

/// Do not wake the reader for each record: it polls.
const NO_WAKEUP: u64 = aya_ebpf::bindings::BPF_RB_NO_WAKEUP as u64;
/// Bytes of metadata in front of a frame.
const META: usize = core::mem::size_of::<XskMeta>();

/// Decides, alone in its channel, for the packet that was read, and writes the fate there; and the record where there is
/// to be one. Zero when it has decided: not when the channel has no settings, for the program was attached before they
/// were written.
///
/// A program of its own, as [`read_by_rules`] is one.
///
/// # Safety
///
/// `read` is this CPU's [`READ`], or null.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn decide_packet(read: *mut Read) -> u32 {
    // SAFETY: the value is this CPU's own, and programs that use it do not interrupt each other.
    match unsafe { read.as_mut() }.and_then(decide_alone) {
        Some(()) => 0,
        None => 1,
    }
}

#[inline(always)]
fn decide_alone(read: &mut Read) -> Option<()> {
    let (packet, channel) = (&read.packet, read.channel);
    let has = FEATURES.load();
    let mut setup = SETUPS.get(channel)?;
    if has & features::CHANGES != 0 && setup.places.changes != 0 && packet.now >= setup.params.start {
        let timeline = TIMELINES.get(setup.places.timeline)?;
        let passed = timeline.passed(packet.now.saturating_sub(setup.params.start));
        if passed != 0 {
            setup = SETUPS.get(setup.places.changes + passed - 1)?;
        }
    }
    let Setup { params, places } = setup;
    let shared = STATES.get_ptr_mut(channel)?;
    let mut schedule = None;
    if has & features::OUTAGES != 0 {
        schedule = Some(SCHEDULES.get(places.schedule)?);
    }
    let mut quantiles = None;
    if has & features::QUANTILES != 0 {
        quantiles = Some(QUANTILES.get(places.quantiles)?);
    }
    let mut slot_table = None;
    if has & features::SLOT_TABLE != 0 {
        slot_table = Some(QUANTILES.get(places.slot_table)?);
    }
    let mut steps = None;
    if has & features::STEPS != 0 {
        steps = Some(Steps { head: STEP_HEADS.get(places.steps)?, places: STEPS.get(places.steps)? });
    }
    let mut packets = None;
    if has & features::PACKETS != 0 {
        packets = Some(Packets { head: PACKET_HEADS.get(places.packets)?, places: PACKETS.get(places.packets)? });
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
    // is too much for the stack. Where the device keeps decisions apart, the packet's number is known beforehand; else
    // room is taken for each. The answer goes by way of a map value, of which the verifier keeps no account: so the ways
    // to it come together again.
    // SAFETY: `shared` points at a map value, which outlives the program; a number is read that others may write. And a
    // reference is good for reading and writing.
    let takes_room = unsafe {
        let sequence = (&raw const (*shared).state.next_sequence).read_volatile();
        // Both are asked, whichever is enough: the verifier of 6.1 remembers no ways that are as short as one would be.
        let is_due = Recording::may_be_due(read.recording, sequence);
        let takes_room = is_due | (EXCLUSIVE.load() == 0 && read.recording != 0);
        (&raw mut read.is_due).write_volatile(takes_room as u32);
        (&raw const read.is_due).read_volatile() != 0
    };
    let mut record = if takes_room { RECORDS.reserve(0) } else { None };
    // The verifier of 6.1 does not know that a record it has seen to be there is so when it looks again: it is told by a
    // number.
    let has_record = if record.is_some() { core::hint::black_box(1u64) } else { core::hint::black_box(0u64) };
    // SAFETY: `shared` points at a map value, which outlives the program; the lock is in that value.
    let lock = unsafe { &raw mut (*shared).lock };
    if EXCLUSIVE.load() == 0 {
        // SAFETY: no other lock is held, and nothing below until the unlock calls a helper.
        unsafe { bpf_spin_lock(lock) };
    }
    // SAFETY: the lock, or the device, makes this the only reference to the state.
    let state = unsafe { &mut (*shared).state };
    let sequence = state.next_sequence;
    read.id = packet_id(channel, sequence);
    recall(has, params, &mut memory, state, packet);
    if has_record != 0
        // SAFETY: it is one where there is a record.
        && let record = unsafe { record.as_mut().unwrap_unchecked() }
    {
        let entry = record.as_mut_ptr();
        // SAFETY: the ring gave room for a whole record, which is no part of the state: so there need be no call for
        // memories that may overlap, which before Linux 6.7 there cannot be under a lock.
        unsafe {
            (*entry).sequence = sequence;
            core::ptr::copy_nonoverlapping(&raw const state.carried, &raw mut (*entry).before, 1);
        }
    }
    decide(has, &Settings { params, schedule, quantiles, slot_table, steps, packets }, state, packet);
    remember(has, params, &mut memory, state);
    // SAFETY: what was read is no part of the state. Not by way of the stack, which is short.
    unsafe { core::ptr::copy_nonoverlapping(&raw const state.work.fate, &raw mut read.fate, 1) };
    // Asked for again, like the channel below: what lives on across the decision costs stack.
    if EXCLUSIVE.load() == 0 {
        // SAFETY: the same lock as above, held until here.
        unsafe { bpf_spin_unlock(lock) };
    }

    // SAFETY: a reference is good for reading and writing.
    let is_due = unsafe {
        let recording = (&raw const read.recording).read_volatile();
        let is_due = Recording::is_due(recording, split_id(read.id).1, read.fate.cause != Cause::None as u32);
        (&raw mut read.is_due).write_volatile(is_due as u32);
        (&raw const read.is_due).read_volatile() != 0
    };
    if has_record != 0
        // SAFETY: as above.
        && let mut record = unsafe { record.unwrap_unchecked() }
    {
        if !is_due {
            record.discard(NO_WAKEUP);
            return Some(());
        }
        // SAFETY: as above; with those two, these are all of its fields.
        let entry = unsafe { &mut *record.as_mut_ptr() };
        // Field by field: as a whole it would be copied by a function, whose stack no kernel has room for beside this one's.
        let Packet { now, len, flow_hash, network, transport, payload, ecn } = *packet;
        entry.packet = Packet { now, len, flow_hash, network, transport, payload, ecn };
        // SAFETY: what was read is no part of the record.
        unsafe { core::ptr::copy_nonoverlapping(&raw const read.fate, &raw mut entry.fate, 1) };
        entry.rule = params.rule;
        entry.direction = read.direction as u16;
        entry.l4_checksum = read.l4_checksum;
        // SAFETY: a reference is good for reading.
        entry.channel = unsafe { (&raw const read.channel).read_volatile() };
        entry._reserved = 0;
        record.submit(NO_WAKEUP);
    } else if is_due {
        count(read.direction, |edge| edge.records_lost += 1);
    }
    Some(())
}

/// Brings this CPU's counts of a direction up to date.
#[inline(always)]
fn count(direction: u32, add: impl Fn(&mut shaper_common::layout::EdgeCounts)) {
    if let Some(edge) = EDGE.get_ptr_mut(direction) {
        // SAFETY: the value is this CPU's own, and programs that use it do not interrupt each other.
        add(unsafe { &mut *edge });
    }
}

/// Where the loss of a packet on its way to the delay line is counted: control packets are not in the account.
#[inline(always)]
fn unless_control<'a>(meta: &XskMeta, control: &'a mut u64, other: &'a mut u64) -> &'a mut u64 {
    if meta.id & BYPASS != 0 { control } else { other }
}

/// Hands the frame on with its release time in front of it: to the delay line, by the socket of the queue that it came by,
/// or to the TC program that gives it to `fq`.
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
    if port.by_fq != 0 {
        return xdp_action::XDP_PASS;
    }
    // SAFETY: the context is the program's own.
    let queue = unsafe { (*ctx.ctx).rx_queue_index };
    match XSKS.redirect(port.socket + queue.min(port.queues.saturating_sub(1)), 0) {
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

/// Changes the packet as the fate of what was read says.
///
/// A program of its own, as [`read_by_rules`] is one.
///
/// # Safety
///
/// `read` is this CPU's [`READ`], or null.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn change_packet(ctx: *mut xdp_md, read: *const Read) -> u32 {
    let has = FEATURES.load();
    let ctx = XdpContext::new(ctx);
    // SAFETY: the value is this CPU's own, and programs that use it do not interrupt each other.
    let Some(Read { packet, parts, fate, .. }) = (unsafe { read.as_ref() }) else { return 1 };
    // A packet that cannot be changed has no such parts, and its fate says nothing of the kind.
    if has & features::ECN != 0 && fate.marked != 0 {
        let _ = rewrite::mark(&mut Frame::new(&ctx), parts);
    }
    if has & features::CORRUPT != 0 && !fate.damage.is_none() {
        let _ = rewrite::damage(&mut Frame::new(&ctx), packet.len, parts, &fate.damage);
    }
    0
}

/// What the device with this index is.
#[inline(always)]
fn port(ifindex: u32) -> Option<&'static Port> {
    let mut probe = 0;
    while probe < PORT_PROBES {
        // Userspace writes ports before it attaches; while packets flow it changes no more than one word of one.
        let place = PORTS.get(PortPlace::of(ifindex, probe))?;
        if place.ifindex == ifindex {
            return Some(&place.port);
        }
        probe += 1;
    }
    None
}

/// The channel of the rule that the packet goes by.
#[inline(always)]
fn channel_of_rule(direction: u32, read: &Read) -> Option<u32> {
    if read.has_key == 0 {
        count(direction, |edge| edge.unread += 1);
        return None;
    }
    let rules = DIRECTION_RULES.get(direction)?;
    // SAFETY: the value is this CPU's own, and programs that use it do not interrupt each other.
    let masked = unsafe { &mut *MASKED.get_ptr_mut(0)? };
    // SAFETY: userspace writes rules before it attaches, and never while packets flow.
    let look_up = |key: &RuleKey| unsafe { RULES.get(key) }.copied();
    let rule = rules::classify(&read.key, direction, &rules.shapes, masked, look_up)?;
    Some(rules.first + rule)
}

/// Writes down what was read of the frame's headers, and when.
#[inline(always)]
fn note(read: &mut Read, summary: &parse::Summary, frame: &Frame) {
    // SAFETY: the helper has no preconditions.
    let now = Nanos(unsafe { bpf_ktime_get_ns() });
    read.packet = summary.packet(now, frame.len());
    read.parts = summary.parts;
    read.l4_checksum = summary.l4_checksum;
    read.is_control = (summary.kind == Kind::Control) as u16;
}

/// Reads a packet that goes by its direction's own settings, for there are no rules.
#[inline(always)]
fn read_plain(ctx: &XdpContext, read: &mut Read, direction: u32) {
    let frame = Frame::new(ctx);
    note(read, &parse::summary(&frame), &frame);
    read.bypasses = read.is_control as u32;
    read.channel = direction;
}

/// Reads a packet, with the key by which a rule is found, and finds the channel that it goes by: zero when there is one.
///
/// A program of its own, whose ways through the headers the verifier walks through once and whose stack is given back.
/// What it reads it is given to write into: looked up in each program, that takes as long as a part of the decision.
///
/// # Safety
///
/// `read` is this CPU's [`READ`], or null.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn read_by_rules(ctx: *mut xdp_md, read: *mut Read, direction: u32) -> u32 {
    // SAFETY: the value is this CPU's own, and programs that use it do not interrupt each other.
    let Some(read) = (unsafe { read.as_mut() }) else { return 1 };
    let ctx = XdpContext::new(ctx);
    let frame = Frame::new(&ctx);
    let (summary, has_key) = rules::read_into(&frame, &mut read.key);
    read.has_key = has_key as u32;
    note(read, &summary, &frame);
    let read = core::hint::black_box(read);
    let rule = channel_of_rule(direction, read);
    read.bypasses = (read.is_control != 0 && rule.is_none()) as u32;
    read.channel = rule.unwrap_or(direction);
    0
}

/// Decides what is to become of the frame: all of `link` but the act itself.
#[inline(always)]
fn judge(ctx: &XdpContext, port: &'static Port) -> Next {
    let Some(read) = READ.get_ptr_mut(0) else { return Next::Pass };
    // SAFETY: the value is this CPU's own, and programs that use it do not interrupt each other.
    unsafe { ((*read).direction, (*read).recording) = (port.direction, port.records) };
    if FEATURES.load() & features::RULES == 0 {
        // Not by a subprogram: calling one takes some 10 ns, and there is stack enough.
        // SAFETY: as above; no reference to it outlives a call.
        read_plain(ctx, unsafe { &mut *read }, port.direction);
        // SAFETY: as above.
    } else if unsafe { read_by_rules(ctx.ctx, read, port.direction) } != 0 {
        return Next::Pass;
    }
    let read = core::hint::black_box(read);
    // SAFETY: as above.
    let (bypasses, now) = unsafe { ((*read).bypasses, (*read).packet.now) };
    if bypasses != 0 {
        count(port.direction, |edge| edge.bypassed += 1);
        return Next::Hold(port, XskMeta { release: now, id: BYPASS, ..XskMeta::default() });
    }
    // SAFETY: as above.
    if unsafe { decide_packet(read) } != 0 {
        return Next::Pass;
    }
    // SAFETY: as above.
    if unsafe { (*read).fate.cause } != Cause::None as u32 {
        return Next::Drop;
    }
    if FEATURES.load() & (features::ECN | features::CORRUPT) != 0
        // SAFETY: as above.
        && unsafe { change_packet(ctx.ctx, read) } != 0
    {
        return Next::Pass;
    }
    // SAFETY: as above.
    let Read { fate: RawFate { release, spacing, copies, .. }, id, .. } = unsafe { &*read };
    Next::Hold(port, XskMeta { release: *release, id: *id, spacing: *spacing, copies: *copies, _reserved: 0 })
}

/// A port of an impaired link.
#[xdp]
#[inline(always)]
pub(crate) fn link(ctx: XdpContext) -> u32 {
    let Some(port) = port(ctx.ingress_ifindex() as u32) else { return xdp_action::XDP_PASS };
    if port.fails_open != 0 && divert::is_stale() {
        return xdp_action::XDP_PASS;
    }
    match judge(&ctx, port) {
        Next::Pass => xdp_action::XDP_PASS,
        Next::Drop => xdp_action::XDP_DROP,
        Next::Hold(port, meta) if port.straight != 0 => go_on(port, &meta),
        Next::Hold(port, meta) => hold(&ctx, port, meta),
    }
}

/// Lets everything in: a veth takes redirected frames only where its peer has a program.
#[xdp]
#[inline(always)]
pub(crate) fn pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
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
    let Some(read) = READ.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: the value is this CPU's own, and programs that use it do not interrupt each other.
    unsafe { ((*read).packet, (*read).channel, (*read).recording) = (probe.packet, probe.channel, 0) };
    // SAFETY: as above; no reference to it outlives a call.
    if unsafe { decide_packet(read) } != 0 {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: as above.
    let Read { id, fate, .. } = unsafe { &*read };
    let answer = Probe { answered: 1, id: *id, fate: *fate, ..probe };
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + core::mem::size_of::<Probe>() > end {
        return xdp_action::XDP_ABORTED;
    }
    let slot = start as *mut Probe;
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
