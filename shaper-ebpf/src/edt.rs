//! The TC programs of engine `edt`, where `fq` holds packets: at the far end of the pair that `divert` leads them into.
//!
//! There the XDP program decides, as for the delay line, and lets packets in with their release time in front. `turn_round`
//! sends them out again by the same device, and writes into the socket buffer what is to be known of them; `schedule` gives
//! them their departure time in front of `fq`. What that lets go comes back out of the near end, where `released` writes it
//! down and sends it on.

use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::{
    bpf_clone_redirect, bpf_csum_level, bpf_ktime_get_ns, bpf_redirect, bpf_set_hash, bpf_set_hash_invalid,
};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use shaper_common::layout::{BYPASS, DIRECTIONS, Port, Ticket, XskMeta, split_id};
use shaper_common::units::Nanos;

use crate::divert::{came_back, send_on};
use crate::maps::{DIRECTION_RULES, RELEASES, STATES};
use crate::{META, NO_WAKEUP, count, port};

/// On to `fq`.
const GO_ON: i32 = TC_ACT_UNSPEC;
/// BPF_CSUM_LEVEL_RESET of include/uapi/linux/bpf.h.
const CSUM_LEVEL_RESET: u64 = 3;

/// What XDP let in at the far end leaves by it.
#[classifier]
#[inline(always)]
pub(crate) fn turn_round(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own.
    let (Some(port), Some(meta)) = (port(unsafe { (*skb).ifindex }), meta(&ctx)) else {
        // Let in before the settings were there: it goes on like a control packet.
        return leave(skb, Ticket::CONTROL, Nanos::ZERO);
    };
    // What a device knew of its checksum need not hold any more.
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_csum_level(skb, CSUM_LEVEL_RESET) };
    if meta.id & BYPASS != 0 {
        return leave(skb, Ticket::CONTROL, Nanos::ZERO);
    }
    hold(skb, port, &meta)
}

/// What XDP wrote in front of the frame.
#[inline(always)]
fn meta(ctx: &TcContext) -> Option<XskMeta> {
    // SAFETY: the context is the program's own.
    let (start, end) = unsafe { ((*ctx.skb.skb).data_meta as usize, (*ctx.skb.skb).data as usize) };
    if start + META > end {
        return None;
    }
    // SAFETY: the check above shows room for the metadata; packet memory may be unaligned.
    Some(unsafe { core::ptr::read_unaligned(start as *const XskMeta) })
}

/// Sends the packet on its way to `fq`, and its copies behind it: the last of them is what came in itself.
#[inline(always)]
fn hold(skb: *mut __sk_buff, port: &Port, meta: &XskMeta) -> i32 {
    let (channel, sequence) = split_id(meta.id);
    let rule = if channel < DIRECTIONS { 0 } else { rule_of(port.direction, channel) };
    let scatter = port.scatter != 0;
    let mut release = meta.release;
    let mut copy = 0;
    while copy < XskMeta::MOST_COPIES && copy < meta.copies {
        carry(skb, Ticket::new(release, sequence, copy, rule, scatter), release);
        // SAFETY: the context is the program's own; the helper has no preconditions.
        let cloned = unsafe { bpf_clone_redirect(skb, (*skb).ifindex, 0) };
        count(port.direction, |edge| {
            edge.copies += 1;
            // What `fq` does not take is in its own counts.
            edge.copies_dropped += (cloned < 0) as u64;
        });
        release = Nanos(release.0.wrapping_add(meta.spacing.0));
        copy += 1;
    }
    leave(skb, Ticket::new(release, sequence, copy, rule, scatter), release)
}

/// The number that a rule's channel has in its direction.
#[inline(always)]
fn rule_of(direction: u32, channel: u32) -> u32 {
    DIRECTION_RULES.get(direction).map_or(0, |rules| channel.wrapping_sub(rules.first).wrapping_add(1))
}

/// Writes into the socket buffer what its packet is to carry, and when it is to leave.
#[inline(always)]
fn carry(skb: *mut __sk_buff, ticket: Ticket, release: Nanos) {
    // SAFETY: the caller's context is the program's own; the helper has no preconditions.
    unsafe {
        ((*skb).mark, (*skb).tc_index) = (ticket.mark, ticket.tc_index);
        // On the way out a time would be taken away again.
        ((*skb).cb[0], (*skb).cb[1]) = (release.0 as u32, (release.0 >> 32) as u32);
        bpf_set_hash(skb, ticket.hash);
    }
}

/// Out by the device that it came in at.
#[inline(always)]
fn leave(skb: *mut __sk_buff, ticket: Ticket, release: Nanos) -> i32 {
    carry(skb, ticket, release);
    // SAFETY: as above; the helper has no preconditions.
    unsafe { bpf_redirect((*skb).ifindex, 0) as i32 }
}

/// Gives what leaves by the far end its departure time.
#[classifier]
#[inline(always)]
pub(crate) fn schedule(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own.
    unsafe { (*skb).tstamp = (*skb).cb[0] as u64 | ((*skb).cb[1] as u64) << 32 };
    GO_ON
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
        // Nor is its departure to be taken for when it was received.
        ((*skb).mark, (*skb).tstamp) = (0, 0);
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
