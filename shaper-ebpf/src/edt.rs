//! The TC programs of engine `edt`: at the far end of the pair that `divert` leads packets into, they decide when each is
//! to depart, and that device's `fq` holds it until then.
//!
//! Packets come out of the pair as `turn_round` sees them, cut up and with their checksums filled in, and leave by the same
//! device: `schedule` decides there, in front of `fq`. What that lets go comes back out of the near end, where `released`
//! writes it down and sends it on.

use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::{
    bpf_clone_redirect, bpf_ktime_get_ns, bpf_redirect, bpf_set_hash, bpf_set_hash_invalid, bpf_skb_pull_data,
    bpf_skb_vlan_pop, bpf_skb_vlan_push,
};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use shaper_common::layout::{BYPASS, DIRECTIONS, Port, Ticket, XskMeta, split_id};
use shaper_common::units::Nanos;

use crate::divert::{came_back, send_on};
use crate::maps::{DIRECTION_RULES, RELEASES, STATES};
use crate::{NO_WAKEUP, Next, count, judge, port};

/// On to `fq`.
const GO_ON: i32 = TC_ACT_UNSPEC;
/// The priority by which a copy is known, until it is in front of `fq`.
const IS_COPY: u32 = u32::MAX;

/// What arrives at the far end leaves by it.
#[classifier]
#[inline(always)]
pub(crate) fn turn_round(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own; the helper has no preconditions.
    unsafe {
        arrives(skb);
        bpf_redirect((*skb).ifindex, 0) as i32
    }
}

/// Readies a packet for [`schedule`]: what others wrote there on its way is not to be taken for ours.
///
/// # Safety
///
/// `skb` is the program's own context.
#[inline(always)]
pub(crate) unsafe fn arrives(skb: *mut __sk_buff) {
    // SAFETY: the caller's.
    unsafe { ((*skb).mark, (*skb).priority, (*skb).tc_index) = (0, 0, 0) };
}

/// Decides for what leaves by the far end, and writes down when it is to.
#[classifier]
#[inline(always)]
pub(crate) fn schedule(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own.
    if unsafe { (*skb).priority } == IS_COPY {
        // Decided with the packet itself. On the way here its time was taken away again.
        // SAFETY: as above.
        unsafe { ((*skb).priority, (*skb).tstamp) = (0, (*skb).cb[0] as u64 | ((*skb).cb[1] as u64) << 32) };
        return GO_ON;
    }
    if !put_tag_into_frame(&ctx) || !put_into_one_piece(&ctx) {
        // SAFETY: as above.
        if let Some(port) = port(unsafe { (*skb).ifindex }) {
            count(port.direction, |edge| edge.unscheduled += 1);
        }
        return TC_ACT_SHOT;
    }
    // SAFETY: as above.
    let Some(port) = port(unsafe { (*skb).ifindex }) else { return GO_ON };
    match judge(&ctx, port) {
        Next::Pass => GO_ON,
        Next::Drop => TC_ACT_SHOT,
        Next::Hold(port, meta) => hold(&ctx, port, &meta),
    }
}

/// Puts a tag that stands beside the frame into it, where it is looked for: one more goes to its place, and is taken off.
#[inline(always)]
fn put_tag_into_frame(ctx: &TcContext) -> bool {
    /// 802.1Q, big endian.
    const PROTOCOL: u16 = 0x8100_u16.to_be();
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own; the helpers have no preconditions.
    unsafe { (*skb).vlan_present == 0 || (bpf_skb_vlan_push(skb, PROTOCOL, 0) == 0 && bpf_skb_vlan_pop(skb) == 0) }
}

/// Puts what lies in fragments behind the headers, as the device would that the packet leaves by.
#[inline(always)]
fn put_into_one_piece(ctx: &TcContext) -> bool {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own; the helper has no preconditions, and no reference to the packet is held.
    unsafe {
        let len = (*skb).len;
        len as usize <= ctx.data_end() - ctx.data() || bpf_skb_pull_data(skb, len) == 0
    }
}

/// Gives the packet to `fq`, and its copies.
#[inline(always)]
fn hold(ctx: &TcContext, port: &Port, meta: &XskMeta) -> i32 {
    let skb = ctx.skb.skb;
    if meta.id & BYPASS != 0 {
        carry(ctx, Ticket::CONTROL);
        return GO_ON;
    }
    let (channel, sequence) = split_id(meta.id);
    let rule = if channel < DIRECTIONS { 0 } else { rule_of(port.direction, channel) };
    let scatter = port.scatter != 0;
    let mut copy = 1;
    while copy <= XskMeta::MOST_COPIES && copy <= meta.copies {
        let release = Nanos(meta.release.0.wrapping_add(meta.spacing.0.wrapping_mul(copy as u64)));
        carry(ctx, Ticket::new(release, sequence, copy, rule, scatter));
        // SAFETY: as above; the helper has no preconditions, and no reference to the packet is held.
        let cloned = unsafe {
            ((*skb).priority, (*skb).cb[0], (*skb).cb[1]) = (IS_COPY, release.0 as u32, (release.0 >> 32) as u32);
            bpf_clone_redirect(skb, (*skb).ifindex, 0)
        };
        count(port.direction, |edge| {
            edge.copies += 1;
            // What `fq` does not take is in its own counts.
            edge.copies_dropped += (cloned < 0) as u64;
        });
        copy += 1;
    }
    carry(ctx, Ticket::new(meta.release, sequence, 0, rule, scatter));
    // SAFETY: as above.
    unsafe { ((*skb).priority, (*skb).tstamp) = (0, meta.release.0) };
    GO_ON
}

/// The number that a rule's channel has in its direction.
#[inline(always)]
fn rule_of(direction: u32, channel: u32) -> u32 {
    DIRECTION_RULES.get(direction).map_or(0, |rules| channel.wrapping_sub(rules.first).wrapping_add(1))
}

/// Writes into the socket buffer what its packet is to carry.
#[inline(always)]
fn carry(ctx: &TcContext, ticket: Ticket) {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own; the helper has no preconditions.
    unsafe {
        ((*skb).mark, (*skb).tc_index) = (ticket.mark, ticket.tc_index);
        bpf_set_hash(skb, ticket.hash);
    }
}

/// What `fq` let go, as it comes out of the near end.
#[classifier]
#[inline(always)]
pub(crate) fn released(ctx: TcContext) -> i32 {
    let Some((direction, diversion)) = came_back(&ctx) else { return TC_ACT_SHOT };
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own; the helpers have no preconditions.
    let (now, ticket) = unsafe {
        let ticket = Ticket { mark: (*skb).mark, hash: (*skb).hash, tc_index: (*skb).tc_index };
        (*skb).mark = 0;
        bpf_set_hash_invalid(skb);
        (Nanos(bpf_ktime_get_ns()), ticket)
    };
    if ticket.is_control() {
        count(direction, |edge| edge.control_returned += 1);
    } else if diversion.releases != 0 {
        write_down(&ticket, now, direction);
    }
    send_on(&ctx, direction, diversion)
}

/// Hands a release to userspace.
#[inline(always)]
fn write_down(ticket: &Ticket, now: Nanos, direction: u32) {
    let channel = match (ticket.rule(), DIRECTION_RULES.get(direction)) {
        (0, _) | (_, None) => direction,
        (rule, Some(rules)) => rules.first.wrapping_add(rule - 1),
    };
    let Some(shared) = STATES.get_ptr(channel) else { return };
    // SAFETY: the map outlives the program. It is read beside the lock: the number only grows, and is past this packet's.
    let next = unsafe { core::ptr::read_volatile(&raw const (*shared).state.next_sequence) };
    match RELEASES.reserve(0) {
        Some(mut entry) => {
            entry.write(ticket.release(now, direction, channel, next));
            entry.submit(NO_WAKEUP);
        }
        None => count(direction, |edge| edge.releases_lost += 1),
    }
}
