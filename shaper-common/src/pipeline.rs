//! The decision: every effect in its fixed order.
//!
//! outage -> loss -> rate and queue -> delay and jitter -> order.
//!
//! A chain of losses advances with every packet, also one that an outage takes.

use crate::fate::{Cause, Fate};
use crate::layout::{Params, State};
use crate::outage::Schedule;
use crate::rng::Draws;
use crate::units::{Nanos, Probability};
use crate::{delay, loss, order, rate};

/// What the decision knows of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Arrival: the stamp of the XDP or TC hook, CLOCK_MONOTONIC.
    pub now: Nanos,
    /// Bytes, layer 2 header included, frame check sequence not.
    pub len: u32,
    /// Hash of the flow, see [`crate::parse`].
    pub flow_hash: u32,
}

/// Decides the fate of the next packet of a direction and brings the direction's state up to date.
///
/// Pure: the same settings, schedule, state and packet give the same fate and the same new state, in
/// the kernel and in userspace.
#[inline(always)]
#[must_use]
pub fn decide(params: &Params, schedule: &Schedule, state: &mut State, packet: &Packet) -> Fate {
    let index = state.next_index;
    state.next_index = index.wrapping_add(1);
    // What draws nothing need not wait for the generator: no draw shifts another.
    let draws = match (params.loss, params.has_chain, params.jitter_kind) {
        (Probability(0), 0, 0) => Draws::NONE,
        _ => Draws::of(params.seed, params.stream, index),
    };
    let is_lost = loss::is_lost(params, &mut state.carried.loss_state, index, &draws);
    if params.has_outages != 0
        && packet.now >= params.start
        && schedule.is_down(packet.now.saturating_sub(params.start), &mut state.next_window)
    {
        state.counts.outage += 1;
        return Fate::drop(Cause::Outage);
    }
    if is_lost {
        state.counts.loss += 1;
        return Fate::drop(Cause::Loss);
    }
    let Some(through) = rate::serve(params, &mut state.carried.bottleneck, packet.now, packet.len) else {
        state.counts.queue += 1;
        return Fate::drop(Cause::Queue);
    };
    let delayed = through.saturating_add(delay::delay(params, draws.jitter));
    let release = order::arrange(params.order, &mut state.carried.last_release, delayed);
    state.counts.forwarded += 1;
    state.counts.forwarded_bytes += packet.len as u64;
    Fate::forward(release)
}
