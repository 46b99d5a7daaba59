//! The TC programs: they lead the packets of one interface to the delay line and back.
//!
//! At the interface `divert_egress` and `divert_ingress` send each packet into a veth pair of ours, whose far end is a port
//! of the XDP program; the pair has no offloads, so that what was one super-packet is decided packet by packet. From the
//! delay line packets come back out of the pair, where `come_back` marks them and sends them on to the interface, on the
//! way that they were on; there the first two see the mark and let them pass.
//!
//! Whenever the delay line has not come round for [`STALE`], packets pass as if nothing were attached.

use aya_ebpf::bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_redirect};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use shaper_common::layout::{Diversion, EGRESS, INGRESS, RETURNED, STALE};

use crate::count;
use crate::maps::{DIVERSIONS, HEARTBEAT};

/// On to whatever is attached behind.
const GO_ON: i32 = TC_ACT_UNSPEC;

/// Leads a packet of the interface away, unless it has been.
#[inline(always)]
fn divert(ctx: &TcContext, direction: u32) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own.
    if unsafe { (*skb).tc_index } == RETURNED {
        // SAFETY: as above. Whatever else the packet meets is not to take it for returned.
        unsafe { (*skb).tc_index = 0 };
        return GO_ON;
    }
    let (Some(Diversion { into, .. }), Some(beat)) = (DIVERSIONS.get(direction), HEARTBEAT.get(0)) else {
        return GO_ON;
    };
    if *into == 0 {
        return GO_ON;
    }
    // SAFETY: userspace writes the beat while packets flow; the helper has no preconditions.
    let (beat, now) = unsafe { (core::ptr::read_volatile(beat), bpf_ktime_get_ns()) };
    if now.saturating_sub(beat) > STALE.0 {
        count(direction, |edge| edge.let_pass += 1);
        return GO_ON;
    }
    count(direction, |edge| edge.diverted += 1);
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_redirect(*into, 0) as i32 }
}

/// What leaves at the interface.
#[classifier]
#[inline(always)]
pub(crate) fn divert_egress(ctx: TcContext) -> i32 {
    divert(&ctx, EGRESS)
}

/// What arrives at the interface.
#[classifier]
#[inline(always)]
pub(crate) fn divert_ingress(ctx: TcContext) -> i32 {
    divert(&ctx, INGRESS)
}

/// What comes out of the near end of a pair.
#[classifier]
#[inline(always)]
pub(crate) fn come_back(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own.
    let here = unsafe { (*skb).ifindex };
    let (Some(egress), Some(ingress)) = (DIVERSIONS.get(EGRESS), DIVERSIONS.get(INGRESS)) else {
        return TC_ACT_SHOT as i32;
    };
    let (direction, interface, flags) = if egress.into == here {
        (EGRESS, egress.interface, 0)
    } else if ingress.into == here {
        (INGRESS, ingress.interface, BPF_F_INGRESS as u64)
    } else {
        return TC_ACT_SHOT as i32;
    };
    // SAFETY: as above.
    unsafe { (*skb).tc_index = RETURNED };
    count(direction, |edge| edge.returned += 1);
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_redirect(interface, flags) as i32 }
}
