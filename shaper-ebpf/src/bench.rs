//! What only benchmarks run: the decision without the hold, what is compared with, and a source of frames.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use shaper_common::layout::{OUTPUT_FORWARD, OUTPUT_GENERATE};
use shaper_common::units::Nanos;

use crate::maps::{DEVICES, PACE};
use crate::{Next, judge, port};

/// The cost of running a program at all.
#[xdp]
#[inline(always)]
pub(crate) fn empty(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// The clock alone.
#[xdp]
#[inline(always)]
pub(crate) fn clock(_ctx: XdpContext) -> u32 {
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    // Both are final; which one it is hangs on the clock, so that the reading is not left out.
    if now == 0 { xdp_action::XDP_ABORTED } else { xdp_action::XDP_DROP }
}

/// All that `link` does up to the metadata, which a repeated run would pile up in front of its one frame.
#[xdp]
#[inline(always)]
pub(crate) fn decision(ctx: XdpContext) -> u32 {
    let Some(port) = port(ctx.ingress_ifindex() as u32) else { return xdp_action::XDP_PASS };
    match judge(&ctx, port) {
        Next::Pass => xdp_action::XDP_PASS,
        Next::Drop => xdp_action::XDP_DROP,
        // The answer hangs on the release time, so that it is not left out.
        Next::Hold(_, meta) if meta.release == Nanos::ZERO => xdp_action::XDP_ABORTED,
        Next::Hold(..) => xdp_action::XDP_TX,
    }
}

/// A link that impairs nothing: straight on to the other port.
#[xdp]
#[inline(always)]
pub(crate) fn forward(_ctx: XdpContext) -> u32 {
    DEVICES.redirect(OUTPUT_FORWARD, 0).unwrap_or(xdp_action::XDP_ABORTED)
}

/// Sends live frames of a test run on their way when they are due, and drops them before.
#[xdp]
#[inline(always)]
pub(crate) fn generate(_ctx: XdpContext) -> u32 {
    let Some(pace) = PACE.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: one test run at a time uses the map, so that this is the only reference.
    let pace = unsafe { &mut *pace };
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if now < pace.due.0 || now >= pace.end.0 {
        return xdp_action::XDP_DROP;
    }
    let next = pace.due.0 + pace.gap.0;
    let least = now.saturating_sub(pace.catch_up.0);
    pace.due = Nanos(if next > least { next } else { least });
    match DEVICES.redirect(OUTPUT_GENERATE, 0) {
        Ok(action) => {
            pace.sent += 1;
            action
        }
        Err(action) => action,
    }
}
