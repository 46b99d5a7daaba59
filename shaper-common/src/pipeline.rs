//! The decision: every effect in its fixed order.
//!
//! outage -> loss -> duplicates -> corruption -> policer -> rate and queue -> loss behind them -> delay and jitter,
//! or overtaking -> slots -> order -> on its way when the link goes down.
//!
//! What is chosen by chance is chosen for every packet, also for one that an earlier effect drops: so the same seed
//! chooses the same packets.

use core::hint::black_box;

use crate::aqm::{Action, Aqm, Ecn, codel, pi2, pie, step};
use crate::backlog::Backlog;
use crate::capacity::{self, Room, Wanted};
use crate::corrupt;
use crate::delay::{self, Jitter};
use crate::duplicate::MOST_COPIES;
use crate::fate::Cause;
use crate::flow::Bucket;
use crate::layout::{Params, RawFate, State, Work, features, flags, groups};
use crate::order::{self, Order};
use crate::outage::Schedule;
use crate::quantile::Quantiles;
use crate::rng::Source;
use crate::trace::{Packets, Steps};
use crate::units::Nanos;
use crate::{loss, police, process, rate, reorder, slot};

/// What the decision knows of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Arrival: the stamp of the XDP or TC hook, CLOCK_MONOTONIC.
    pub now: Nanos,
    /// Bytes, layer 2 header included, frame check sequence not.
    pub len: u32,
    /// Hash of the flow, see [`crate::parse`].
    pub flow_hash: u32,
    /// See [`crate::parse::Parts::network`].
    pub network: u16,
    /// See [`crate::parse::Parts::transport`].
    pub transport: u16,
    /// See [`crate::parse::Parts::payload`].
    pub payload: u16,
    /// See [`crate::parse::Parts::ecn`].
    pub ecn: u16,
}

/// What decides: the settings of a channel and what belongs to them.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The settings.
    pub params: &'a Params,
    /// The outages, where the settings have any.
    pub schedule: Option<&'a Schedule>,
    /// The quantiles of the delay, where its distribution is a table.
    pub quantiles: Option<&'a Quantiles>,
    /// The quantiles of the time between slots, where that is by a table.
    pub slot_table: Option<&'a Quantiles>,
    /// The trace over time, where the settings follow one.
    pub steps: Option<Steps<'a>>,
    /// The trace by packet, where they follow one.
    pub packets: Option<Packets<'a>>,
}

impl<'a> Settings<'a> {
    /// Settings that need no other tables and follow no traces.
    #[must_use]
    pub const fn plain(params: &'a Params, schedule: &'a Schedule) -> Self {
        Self { params, schedule: Some(schedule), quantiles: None, slot_table: None, steps: None, packets: None }
    }
}

/// What a channel remembers beside its state, where its settings ask for it: too much for a record.
#[derive(Debug, Default)]
pub struct Memory<'a> {
    /// The bucket of the packet's flow.
    pub bucket: Option<&'a mut Bucket>,
    /// The packets in the bottleneck.
    pub backlog: Option<&'a mut Backlog>,
}

/// Brings into the state what the channel remembers for this packet: what follows is decided by the state alone.
#[inline(always)]
pub fn recall(has: u32, params: &Params, memory: &mut Memory<'_>, state: &mut State, packet: &Packet) {
    if has & features::BACKLOG != 0
        && params.queue_packets != 0
        && let Some(backlog) = &memory.backlog
    {
        state.carried.backlog = backlog.waiting(packet.now);
    }
    if has & features::FLOWS != 0
        && params.flags & flags::FLOWS != 0
        && let Some(bucket) = &mut memory.bucket
    {
        let found = bucket.find(packet.flow_hash, packet.now);
        state.counts.flows_evicted += found.evicted;
        state.carried.flow = bucket.get(found.place);
        state.work.place = found.place;
    }
}

/// Remembers what the decision left.
#[inline(always)]
pub fn remember(has: u32, params: &Params, memory: &mut Memory<'_>, state: &mut State) {
    let state = stage(state);
    if has & features::BACKLOG != 0
        && params.queue_packets != 0
        && let Some(backlog) = &mut memory.backlog
    {
        // Copies are through together: the last one's time is that of all.
        let mut packet = 0;
        let most = if has & features::DUPLICATE != 0 { MOST_COPIES + 1 } else { 1 };
        while packet < most {
            if packet < state.work.fate.served {
                backlog.take(state.carried.bottleneck.free_at);
            }
            packet += 1;
        }
    }
    if has & features::FLOWS != 0
        && params.flags & flags::FLOWS != 0
        && let Some(bucket) = &mut memory.bucket
    {
        bucket.put(state.work.place, &state.carried.flow);
    }
}

/// Decides the fate of the next packet of a channel and brings the channel's state up to date; the fate stands in its
/// work.
///
/// `has` are the [`features`] that may be in the settings; [`features::ALL`] for any.
///
/// Pure: the same settings, state and packet give the same fate and the same new state, in the kernel and in userspace.
#[inline(always)]
pub fn decide(has: u32, settings: &Settings<'_>, state: &mut State, packet: &Packet) {
    let Settings { params, .. } = *settings;
    draw(has, params, state, packet);
    if has & (features::STEPS | features::PACKETS) != 0 && params.flags & (flags::STEPS | flags::PACKETS) != 0 {
        follow(has, settings, stage(state), packet);
    }
    choose(has, settings, stage(state));
    if has & (features::STEPS | features::PACKETS) != 0 && stage(state).work.is_unknown != 0 {
        return drop_for(state, Cause::Trace);
    }
    if !is_up(has, settings, stage(state), packet) {
        return drop_for(state, Cause::Outage);
    }
    if !survives(has, params, stage(state), packet) {
        return drop_for(state, Cause::Loss);
    }
    if has & features::POLICER != 0 && !conforms(params, stage(state), packet) {
        return drop_for(state, Cause::Policer);
    }
    if has & features::RATE != 0 && params.rate.0 != 0 {
        if !has_room(has, settings, stage(state), packet) {
            let is_unknown = has & features::CAPACITY != 0 && state.work.is_unknown != 0;
            return drop_for(state, if is_unknown { Cause::Trace } else { Cause::Queue });
        }
        if has & features::AQM != 0 && params.aqm != 0 {
            weigh(has, settings, stage(state), packet);
            if !passes_aqm(params, stage(state), packet) {
                return drop_for(state, Cause::Aqm);
            }
        }
        serve(has, settings, stage(state), packet);
        if has & features::CAPACITY != 0 && stage(state).work.is_unknown != 0 {
            return drop_for(state, Cause::Trace);
        }
    }
    let state = stage(state);
    if state.work.is_lost != 0 {
        return drop_for(state, Cause::Loss);
    }
    if has & features::DUPLICATE != 0 {
        space(params, state);
    }
    if has & features::CORRUPT != 0 {
        hit(params, stage(state), packet);
    }
    if has & features::PROCESS != 0 {
        correlate(params, stage(state), packet);
    }
    release(has, settings, stage(state), packet);
    if has & features::OUTAGES != 0 && !arrives(settings, stage(state)) {
        return drop_for(state, Cause::InFlight);
    }
    let State { work: Work { fate, is_ahead, .. }, counts, .. } = stage(state);
    counts.forwarded += 1;
    counts.forwarded_bytes += packet.len as u64;
    if has & features::DUPLICATE != 0 {
        counts.copies += fate.copies as u64;
    }
    if has & features::CORRUPT != 0 {
        counts.corrupted += !fate.damage.is_none() as u64;
    }
    if has & features::REORDER != 0 {
        counts.reordered += *is_ahead as u64;
    }
    if has & features::ECN != 0 {
        counts.marked += fate.marked as u64;
    }
}

/// Between two stages: the compiler takes what they share from the state again.
#[inline(always)]
fn stage(state: &mut State) -> &mut State {
    black_box(state)
}

#[inline(always)]
fn drop_for(state: &mut State, cause: Cause) {
    let State { work: Work { fate, .. }, counts, .. } = state;
    *match cause {
        Cause::Outage => &mut counts.outage,
        Cause::Loss => &mut counts.loss,
        Cause::Queue => &mut counts.queue,
        Cause::Aqm => &mut counts.aqm,
        Cause::Policer => &mut counts.policer,
        Cause::Trace => &mut counts.unknown,
        _ => &mut counts.in_flight,
    } += 1;
    // What the bottleneck served stays so.
    *fate = RawFate { served: fate.served, cause: cause as u32, ..RawFate::begin() };
}

/// The packet's draws. What draws nothing need not wait for the generator: no draw shifts another.
#[inline(always)]
fn draw(has: u32, params: &Params, state: &mut State, packet: &Packet) {
    state.next_sequence = state.next_sequence.wrapping_add(1);
    let index = state.carried.flow.next_index;
    let mut source = Source::of_link(params.seed, params.stream, index);
    if has & features::FLOWS != 0 && params.flags & flags::FLOWS != 0 {
        source = Source::of_flow(params.seed, params.stream, packet.flow_hash, index);
    }
    let work = &mut state.work;
    work.time = packet.now;
    work.fate = RawFate::begin();
    (work.is_copied, work.is_hit, work.is_ahead, work.is_unknown) = (0, 0, 0, 0);
    if params.spared & groups::DRAWS == 0 {
        work.draws = source.draws();
    }
    if has & (features::DUPLICATE | features::CORRUPT | features::REORDER | features::SLOTS) != 0
        && params.spared & groups::CHOICES == 0
    {
        work.choices = source.choices();
    }
    if has & (features::CORRUPT | features::AQM) != 0 && params.spared & groups::DETAILS == 0 {
        work.details = source.details();
    }
}

/// What traces say of the packet.
#[inline(always)]
fn follow(has: u32, settings: &Settings<'_>, state: &mut State, packet: &Packet) {
    let Settings { params, steps, packets, .. } = *settings;
    let State { work, carried, step, .. } = state;
    work.base = params.delay;
    if has & features::STEPS != 0 && params.flags & flags::STEPS != 0 {
        let Some(steps) = steps else { return };
        work.found = steps.find(packet.now.saturating_sub(params.start), *step);
        *step = work.found.number;
        work.is_unknown = 1 - work.found.is_known;
        if params.flags & flags::DELAY_STEPS != 0 {
            work.base = steps.step(work.found.number).delay;
        }
    }
    if has & features::PACKETS != 0 && params.flags & flags::PACKETS != 0 {
        let Some(packets) = packets else { return };
        let entry = packets.entry(carried.flow.next_index);
        work.is_unknown |= entry.is_none() as u32;
        work.entry = entry.unwrap_or_default();
        if params.flags & flags::DELAY_PACKETS != 0 {
            work.base = work.entry.delay();
        }
    }
}

/// What is chosen by chance, by the packet's index, or by a trace.
#[inline(always)]
fn choose(has: u32, settings: &Settings<'_>, state: &mut State) {
    let Settings { params, steps, .. } = *settings;
    let State { work, carried, .. } = state;
    let flow = &mut carried.flow;
    let index = flow.next_index;
    flow.next_index = index.wrapping_add(1);
    work.is_lost = loss::is_lost(has, params, &mut flow.loss, index, &work.draws);
    if has & features::STEPS != 0
        && params.flags & flags::LOSS_STEPS != 0
        && let Some(steps) = steps
    {
        work.is_lost = steps.step(work.found.number).loss.counts(work.draws.loss);
    }
    if has & features::PACKETS != 0 && params.flags & flags::LOSS_PACKETS != 0 {
        work.is_lost = work.entry.is_lost();
    }
    let [copied, hit, ahead] = &mut flow.chances;
    if has & features::DUPLICATE != 0 && !params.duplicate.chance.is_never() {
        work.is_copied = params.duplicate.chance.hits(copied, work.choices.duplicate);
    }
    if has & features::CORRUPT != 0 && !params.corrupt.chance.is_never() {
        work.is_hit = params.corrupt.chance.hits(hit, work.choices.corrupt);
    }
    if has & features::REORDER != 0 && !params.reorder.chance.is_never() {
        work.is_ahead = params.reorder.chance.hits(ahead, work.choices.reorder);
    }
}

/// Whether the link is up.
#[inline(always)]
fn is_up(has: u32, settings: &Settings<'_>, state: &mut State, packet: &Packet) -> bool {
    let Settings { params, schedule, .. } = *settings;
    if has & features::OUTAGES == 0 || params.has_outages == 0 || packet.now < params.start {
        return true;
    }
    let Some(schedule) = schedule else { return true };
    !schedule.is_down(packet.now.saturating_sub(params.start), &mut state.next_window)
}

/// Whether the packet is not lost before the bottleneck; what is lost may be marked instead.
#[inline(always)]
fn survives(has: u32, params: &Params, state: &mut State, packet: &Packet) -> bool {
    let work = &mut state.work;
    if work.is_lost == 0 {
        return true;
    }
    if has & features::ECN != 0 && params.flags & flags::ECN != 0 && packet.ecn != 0 {
        work.fate.marked = 1;
        work.is_lost = 0;
        return true;
    }
    params.flags & flags::LOSS_BEHIND != 0
}

/// Whether the policer lets the packet pass.
#[inline(always)]
fn conforms(params: &Params, state: &mut State, packet: &Packet) -> bool {
    // No frame, in cells or not, comes near to 32 bits.
    let bytes = rate::wire_bytes(params, packet.len) as u32;
    police::conforms(&params.policer, &mut state.carried.policer, packet.now, bytes)
}

/// What a packet needs of a bottleneck whose rate follows a trace.
#[inline(always)]
fn wanted(params: &Params, packet: &Packet, bytes: u64) -> Wanted {
    let Params { start, queue, queue_work, .. } = *params;
    Wanted { now: packet.now, start, bytes, queue, queue_work }
}

/// Whether the queue has room for the packet.
#[inline(always)]
fn has_room(has: u32, settings: &Settings<'_>, state: &mut State, packet: &Packet) -> bool {
    let Settings { params, steps, .. } = *settings;
    let State { work, carried, .. } = state;
    let bytes = rate::wire_bytes(params, packet.len);
    let is_full = has & features::BACKLOG != 0 && params.queue_packets != 0 && carried.backlog >= params.queue_packets;
    if has & features::CAPACITY != 0
        && params.flags & flags::RATE_STEPS != 0
        && let Some(steps) = steps
    {
        let asks_begin = has & features::AQM != 0 && params.aqm != 0;
        work.wanted = wanted(params, packet, bytes);
        let State { work, carried, service_step, .. } = stage(state);
        let (service, room) =
            capacity::service_by(&steps, &work.found, &carried.bottleneck, &work.wanted, asks_begin, service_step);
        work.service = service;
        work.is_unknown = (room == Room::Unknown && !is_full) as u32;
        return room == Room::Enough && !is_full;
    }
    work.service = rate::service_at(params.rate, bytes, &carried.bottleneck, packet.now);
    !is_full && work.service.after.free_at.saturating_sub(packet.now) <= params.queue
}

/// Whether the queue is none to be managed.
#[inline(always)]
fn weigh(has: u32, settings: &Settings<'_>, state: &mut State, packet: &Packet) {
    let Settings { params, steps, .. } = *settings;
    let State { work, carried, .. } = state;
    let ahead = carried.bottleneck.free_at.saturating_sub(packet.now);
    let is_pie = params.aqm == Aqm::Pie as u32;
    let is_pi2 = params.aqm == Aqm::Pi2 as u32;
    if has & features::CAPACITY != 0
        && params.flags & flags::RATE_STEPS != 0
        && let Some(steps) = steps
    {
        // How long a full packet takes is not known beforehand; how much work it is, is.
        let full = params.full_work << (is_pie || is_pi2) as u32;
        work.is_short = (capacity::waiting(&steps, &work.found, &carried.bottleneck, packet.now) <= full) as u32;
        return;
    }
    let short = if is_pie {
        params.pie.short
    } else if is_pi2 {
        params.pi2.short
    } else {
        params.full_packet
    };
    work.is_short = (ahead <= short) as u32;
}

/// Whether the queue's management lets the packet pass, marked or not.
#[inline(always)]
fn passes_aqm(params: &Params, state: &mut State, packet: &Packet) -> bool {
    let State { work, carried, .. } = state;
    let (now, free_at, draw) = (packet.now, carried.bottleneck.free_at, work.details.queue);
    let ecn = Ecn::of(packet.ecn as u8);
    let may_mark = params.flags & flags::ECN != 0;
    let answers = if may_mark { ecn } else { Ecn::NotEct };
    let sojourn = work.service.begins.saturating_sub(now);
    let is_short = work.is_short != 0;
    let action = if params.aqm == Aqm::Codel as u32 {
        if !codel::acts(&params.codel, &mut carried.codel, work.service.begins, sojourn, is_short) {
            Action::Pass
        } else if answers.is_capable() {
            Action::Mark
        } else {
            Action::Drop
        }
    } else if params.aqm == Aqm::Pie as u32 {
        pie::acts(&params.pie, &mut carried.pie, now, free_at, is_short, answers, draw)
    } else if params.aqm == Aqm::Pi2 as u32 {
        pi2::acts(&params.pi2, &mut carried.pi2, now, free_at, is_short, answers, draw)
    } else if step::marks(&params.step, sojourn, is_short, ecn, draw) {
        Action::Mark
    } else {
        Action::Pass
    };
    if action == Action::Mark {
        work.fate.marked = 1;
    }
    action != Action::Drop
}

/// Lets the bottleneck serve the packet, and its copies behind it as far as there is room.
#[inline(always)]
fn serve(has: u32, settings: &Settings<'_>, state: &mut State, packet: &Packet) {
    let Settings { params, steps, .. } = *settings;
    let State { work, carried, service_step, .. } = state;
    work.time = work.service.after.free_at;
    work.fate.served = 1;
    if has & features::DUPLICATE != 0 && work.is_copied != 0 {
        let mut wanted = params.duplicate.copies;
        if has & features::BACKLOG != 0 && params.queue_packets != 0 {
            let room = params.queue_packets.saturating_sub(carried.backlog).saturating_sub(1);
            wanted = if wanted < room { wanted } else { room };
        }
        let copies = if has & features::CAPACITY != 0
            && params.flags & flags::RATE_STEPS != 0
            && let Some(steps) = steps
        {
            let room = capacity::repeat(&steps, &work.found, &mut work.service, &work.wanted, wanted, service_step);
            work.is_unknown = (room == Room::Unknown) as u32;
            if room == Room::Enough { wanted } else { 0 }
        } else {
            work.service.repeat(params.rate, wanted, packet.now.saturating_add(params.queue))
        };
        work.fate.copies = copies;
        work.fate.served = 1 + copies;
        work.fate.spacing = work.service.each.free_at;
    }
    carried.bottleneck = work.service.after;
}

/// How far the copies are apart.
#[inline(always)]
fn space(params: &Params, state: &mut State) {
    let Work { fate, is_copied, .. } = &mut state.work;
    if *is_copied == 0 {
        return;
    }
    if params.rate.0 == 0 {
        fate.copies = params.duplicate.copies;
    }
    fate.spacing = if fate.copies == 0 { Nanos::ZERO } else { fate.spacing.saturating_add(params.duplicate.spacing) };
}

/// What is changed in the packet.
#[inline(always)]
fn hit(params: &Params, state: &mut State, packet: &Packet) {
    let work = &mut state.work;
    if work.is_hit != 0 {
        work.fate.damage = corrupt::damage(&params.corrupt, packet, work.details.place, work.details.what);
    }
}

/// Puts the draw of a process in the place of the packet's own.
#[inline(always)]
fn correlate(params: &Params, state: &mut State, packet: &Packet) {
    if params.per_nano != 0 {
        let State { work, carried, .. } = state;
        let draws = &mut work.draws;
        draws.jitter = process::advance(&mut carried.flow.process, params.per_nano, packet.now, draws.jitter);
    }
}

/// The delay that the packet's draw stands for.
#[inline(always)]
fn delay(has: u32, params: &Params, quantiles: Option<&Quantiles>, work: &Work) -> Nanos {
    let draw = work.draws.jitter;
    let follows = has & (features::STEPS | features::PACKETS) != 0
        && params.flags & (flags::DELAY_STEPS | flags::DELAY_PACKETS) != 0;
    let base = if follows { work.base } else { params.delay };
    if has & features::QUANTILES != 0
        && params.jitter_kind == Jitter::Table as u32
        && let Some(quantiles) = quantiles
    {
        let drawn = quantiles.delay(draw);
        // The table is about the settings' own delay.
        return if follows { drawn.saturating_add(base).saturating_sub(params.delay) } else { drawn };
    }
    delay::delay(params, base, draw)
}

/// When the packet leaves.
#[inline(always)]
fn release(has: u32, settings: &Settings<'_>, state: &mut State, packet: &Packet) {
    let Settings { params, quantiles, slot_table, .. } = *settings;
    let State { work, carried, .. } = state;
    let is_ahead = has & features::REORDER != 0
        && !params.reorder.chance.is_never()
        && reorder::overtakes(&params.reorder, work.is_ahead != 0, &mut carried.flow.since_reordered);
    work.is_ahead = is_ahead as u32;
    if !is_ahead {
        work.time = work.time.saturating_add(delay(has, params, quantiles, work));
    }
    let State { work, carried, .. } = stage(state);
    if has & features::SLOTS != 0 && params.slots.any() {
        let by_table = has & features::SLOT_TABLE != 0 && params.slots.kind == Jitter::Table as u32;
        let table = if by_table { slot_table } else { None };
        work.time = slot::wait(&params.slots, table, &mut carried.slot, work.time, packet.len, work.choices.slot);
    }
    let State { work, carried, .. } = stage(state);
    let flow = &mut carried.flow;
    work.fate.release = order::arrange(params.order, &mut flow.last_release, work.time);
    if has & features::DUPLICATE != 0 && params.order == Order::Keep as u32 {
        let last = Nanos(work.fate.spacing.0 * work.fate.copies as u64).saturating_add(work.fate.release);
        flow.last_release = flow.last_release.later_of(last);
    }
}

/// Whether the packet is not on its way when the link goes down, or arrives all the same.
#[inline(always)]
fn arrives(settings: &Settings<'_>, state: &mut State) -> bool {
    let Settings { params, schedule, .. } = *settings;
    let State { work, next_window, .. } = state;
    if params.flags & flags::IN_FLIGHT_LOST == 0 || params.has_outages == 0 || work.fate.release < params.start {
        return true;
    }
    let Some(schedule) = schedule else { return true };
    !schedule.goes_down_by(work.fate.release.saturating_sub(params.start), *next_window)
}
