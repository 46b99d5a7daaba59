//! The TC programs: they lead packets to the delay line, and on from there.
//!
//! Where packets come by, `divert_forward` or `divert_backward` sends them into a veth pair of ours, whose far end is a port
//! of the XDP program; the pair has no offloads, so that what was one super-packet is decided packet by packet. From the
//! delay line packets come back out of the pair, where `come_back` marks them and sends them on. Where that is the
//! interface that they were taken from, the programs there see the mark and let them pass.
//!
//! Whenever the delay line has not come round for [`STALE`], packets go on as if there were none. Where `fq` holds packets
//! there is none, and the far end is that of `edt`.

use aya_ebpf::bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_redirect};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use shaper_common::layout::{Diversion, STALE};

use crate::count;
use crate::maps::{DIVERSIONS, HEARTBEAT};

/// On to whatever is attached behind.
const GO_ON: i32 = TC_ACT_UNSPEC;
/// The numbers of the directions.
const FORWARD: u32 = 0;
const BACKWARD: u32 = 1;

/// Leads a packet away, unless it has been.
#[inline(always)]
fn divert(ctx: &TcContext, direction: u32) -> i32 {
    let Some(diversion) = DIVERSIONS.get(direction) else { return GO_ON };
    if diversion.into == 0 {
        return GO_ON;
    }
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own.
    if diversion.mark != 0 && unsafe { (*skb).tc_index } == diversion.mark {
        // SAFETY: as above. Whatever else the packet meets is not to take it for returned.
        unsafe { (*skb).tc_index = 0 };
        return GO_ON;
    }
    if diversion.bridged == Diversion::BEHIND_PORTS || is_stale() {
        count(direction, |edge| edge.let_pass += 1);
        return if diversion.bridged != 0 { redirect_on(diversion) } else { GO_ON };
    }
    count(direction, |edge| edge.diverted += 1);
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_redirect(diversion.into, 0) as i32 }
}

/// Whether the delay line does not come round.
#[inline(always)]
pub(crate) fn is_stale() -> bool {
    let Some(beat) = HEARTBEAT.get(0) else { return false };
    // SAFETY: userspace writes the beat while packets flow; the helper has no preconditions.
    let (beat, now) = unsafe { (core::ptr::read_volatile(beat), bpf_ktime_get_ns()) };
    now.saturating_sub(beat) > STALE.0
}

/// To where packets of a direction go on.
#[inline(always)]
fn redirect_on(diversion: &Diversion) -> i32 {
    let flags = if diversion.arrive != 0 { BPF_F_INGRESS as u64 } else { 0 };
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_redirect(diversion.on, flags) as i32 }
}

/// The direction of a packet that comes out of the near end of a pair, and where it goes on.
#[inline(always)]
pub(crate) fn came_back(ctx: &TcContext) -> Option<(u32, &'static Diversion)> {
    // SAFETY: the context is the program's own.
    let here = unsafe { (*ctx.skb.skb).ifindex };
    let (forward, backward) = (DIVERSIONS.get(FORWARD)?, DIVERSIONS.get(BACKWARD)?);
    if forward.into == here {
        Some((FORWARD, forward))
    } else if backward.into == here {
        Some((BACKWARD, backward))
    } else {
        None
    }
}

/// Marks a packet that came back, and sends it on.
#[inline(always)]
pub(crate) fn send_on(ctx: &TcContext, direction: u32, diversion: &Diversion) -> i32 {
    // SAFETY: the context is the program's own.
    unsafe { (*ctx.skb.skb).tc_index = diversion.mark };
    count(direction, |edge| edge.returned += 1);
    redirect_on(diversion)
}

/// Packets of the first direction.
#[classifier]
#[inline(always)]
pub(crate) fn divert_forward(ctx: TcContext) -> i32 {
    divert(&ctx, FORWARD)
}

/// Packets of the second direction.
#[classifier]
#[inline(always)]
pub(crate) fn divert_backward(ctx: TcContext) -> i32 {
    divert(&ctx, BACKWARD)
}

/// What the delay line sends, as it comes out of the near end of a pair.
#[classifier]
#[inline(always)]
pub(crate) fn come_back(ctx: TcContext) -> i32 {
    match came_back(&ctx) {
        Some((direction, diversion)) => send_on(&ctx, direction, diversion),
        None => TC_ACT_SHOT,
    }
}
