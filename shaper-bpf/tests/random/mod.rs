//! Settings of all kinds, also such as nobody would write.

use std::sync::Arc;

use proptest::prelude::*;
use shaper_channel::{Changes, ChannelSpec, PacketTrace, Row, StepTrace, Tables, Trace};
use shaper_common::aqm::codel::CodelSettings;
use shaper_common::aqm::control::Gains;
use shaper_common::aqm::pi2::Pi2Settings;
use shaper_common::aqm::pie::PieSettings;
use shaper_common::aqm::step::StepSettings;
use shaper_common::chance::Chance;
use shaper_common::corrupt::{ANYWHERE, Corrupt};
use shaper_common::duplicate::Duplicate;
use shaper_common::layout::{Params, flags};
use shaper_common::loss::Chain;
use shaper_common::outage::{Schedule, Window};
use shaper_common::police::PolicerSettings;
use shaper_common::quantile::{KNOTS, Knot, Quantiles};
use shaper_common::reorder::Reorder;
use shaper_common::slot::Slots;
use shaper_common::trace::{Entry, PACKETS, STEPS};
use shaper_common::units::{BitsPerSec, Nanos, Probability};

/// When packets begin to come, and outages to count.
pub(crate) const START: u64 = 1_000_000_000;
/// More changes than a channel has.
pub(crate) const MOST_CHANGES: u32 = 4;
/// The most buckets of flows.
pub(crate) const MOST_BUCKETS: u32 = 4;

fn probability() -> impl Strategy<Value = Probability> + Clone {
    prop_oneof![Just(0), Just(1 << 32), 0..=1u64 << 32, 0..1u64 << 28].prop_map(Probability)
}

/// A chance that two in three settings do not have at all.
fn chance() -> impl Strategy<Value = Chance> {
    let any = (probability(), probability(), probability());
    let any = any.prop_map(|(first, after_no, after_yes)| Chance::new(first, after_no, after_yes));
    prop_oneof![2 => Just(Chance::default()), 1 => any]
}

fn chain() -> impl Strategy<Value = Chain> {
    let state = (probability(), [probability(), probability()], [0..4u32, 0..4u32]);
    let states = [state.clone(), state.clone(), state.clone(), state];
    let longest = prop_oneof![Just(0), 1..5u32];
    (states, [probability(), probability(), probability()], longest).prop_map(|(states, first, longest)| Chain {
        lose: states.map(|(lose, ..)| lose),
        leave: states.map(|(_, leave, _)| leave),
        to: states.map(|(.., to)| to),
        first,
        longest,
        ..Chain::default()
    })
}

fn losses() -> impl Strategy<Value = Params> {
    let pattern = (any::<u64>(), prop_oneof![3 => Just(0), 1 => 1..=64u32, 1 => 65..1_000u32, 1 => any::<u32>()]);
    let loss = prop_oneof![Just(0), 0..1u64 << 29, 0..=1u64 << 32];
    (loss, chain(), prop_oneof![2 => Just(0), 1 => Just(1u32)], pattern).prop_map(
        |(loss, chain, has_chain, (pattern, period))| Params {
            loss: Probability(loss),
            chain,
            has_chain,
            pattern,
            period,
            ..Params::default()
        },
    )
}

fn delays() -> impl Strategy<Value = Params> {
    let reorder = (chance(), 0..6u32).prop_map(|(chance, gap)| Reorder { chance, gap, ..Reorder::default() });
    let slots = (0..20_000_000u64, 0..30_000_000u64, 0..4u32, 0..4u32, 0..4_000u32).prop_map(
        |(gap, spread, kind, packets, bytes)| Slots {
            gap: Nanos(gap),
            spread: Nanos(spread),
            kind,
            packets,
            bytes,
            ..Slots::default()
        },
    );
    let slots = prop_oneof![2 => Just(Slots::default()), 1 => slots];
    let per_nano = prop_oneof![2 => Just(0), 1 => any::<u64>(), 1 => 1..1u64 << 40];
    (0..200_000_000u64, 0..300_000_000u64, 0..4u32, per_nano, 0..2u32, reorder, slots).prop_map(
        |(delay, jitter, jitter_kind, per_nano, order, reorder, slots)| Params {
            delay: Nanos(delay),
            jitter: Nanos(jitter),
            jitter_kind,
            per_nano,
            order,
            reorder,
            slots,
            ..Params::default()
        },
    )
}

fn bottlenecks() -> impl Strategy<Value = Params> {
    let rate = || prop_oneof![Just(0u64), 1_000..1_000_000u64, 1_000_000..10_000_000_000u64];
    let cells = prop_oneof![2 => Just((0, 0)), 1 => (1..100u32, 0..20u32)];
    let wire = (-60..64i32, 0..100u32, cells, prop_oneof![Just(0), 1..12u32]);
    let managed = (0..5u32, 0..20_000_000u64, 1_000_000..40_000_000u64, any::<[u16; 2]>(), 0..1u64 << 32);
    (rate(), 0..100_000_000u64, wire, rate(), 0..50_000_000u64, managed).prop_map(
        |(rate, queue, wire, policer, burst, (aqm, target, update, [alpha, beta], loss))| {
            let (overhead, least, (cell, cell_overhead), queue_packets) = wire;
            let gains = Gains { target: Nanos(target), update: Nanos(update), alpha: alpha.into(), beta: beta.into() };
            Params {
                rate: BitsPerSec(rate),
                queue: Nanos(queue),
                overhead,
                least,
                cell,
                cell_overhead,
                queue_packets,
                policer: PolicerSettings { rate: BitsPerSec(policer), burst: Nanos(burst) },
                full_packet: Nanos(queue / 16),
                aqm,
                codel: CodelSettings { target: Nanos(target), interval: Nanos(20 * target) },
                pie: PieSettings {
                    gains,
                    short: Nanos(target / 2),
                    max_burst: Nanos(burst),
                    ecn_threshold: Probability(loss),
                    derandomise: aqm & 1,
                    ..PieSettings::default()
                },
                pi2: Pi2Settings { gains, short: Nanos(target / 4), coupling: aqm, ..Pi2Settings::default() },
                step: StepSettings { threshold: Nanos(target), range: Nanos(burst / 8) },
                ..Params::default()
            }
        },
    )
}

fn changes() -> impl Strategy<Value = Params> {
    let duplicate = (chance(), 0..10_000_000u64, 1..16u32).prop_map(|(chance, spacing, copies)| Duplicate {
        chance,
        spacing: Nanos(spacing),
        copies,
        ..Duplicate::default()
    });
    let at = prop_oneof![Just(ANYWHERE), 0..1_600u32];
    let corrupt =
        (chance(), 0..4u32, at, 0..9u32, 1..5u32, 0..2u32).prop_map(|(chance, part, at, bits, bytes, repair)| {
            Corrupt { chance, part, at, bits, bytes, repair, ..Corrupt::default() }
        });
    (duplicate, corrupt).prop_map(|(duplicate, corrupt)| Params { duplicate, corrupt, ..Params::default() })
}

fn schedule() -> impl Strategy<Value = Arc<Schedule>> {
    // Some go on for half a minute: a slow machine takes its time until the first packet.
    let lasts = || prop_oneof![3 => 1..50_000_000u64, 1 => 1..500_000_000u64];
    prop::collection::vec((lasts(), lasts()), 1..200).prop_map(|gaps| {
        let mut schedule = Box::new(Schedule::EMPTY);
        let mut time = 0;
        for (window, (gap, length)) in schedule.windows.iter_mut().zip(gaps) {
            *window = Window { start: Nanos(time + gap), end: Nanos(time + gap + length) };
            time += gap + length;
        }
        schedule.into()
    })
}

/// A table of quantiles with knots, in order.
fn quantiles() -> impl Strategy<Value = Arc<Quantiles>> {
    (prop::collection::vec(0..200_000_000u64, 8), prop::collection::vec(0u64..1 << 33, 0..KNOTS)).prop_map(
        |(mut values, mut places)| {
            values.sort_unstable();
            places.sort_unstable();
            let mut quantiles = Box::new(Quantiles::constant(Nanos(values[4])));
            for (place, (lower, upper)) in quantiles.lower.iter_mut().zip(&mut quantiles.upper).enumerate() {
                let step = place / 260;
                (*lower, *upper) = (values[step], values[7 - step]);
            }
            quantiles.knot_count = places.len() as u64;
            for (knot, at) in quantiles.knots.iter_mut().zip(places) {
                *knot = Knot { at: at & !1, value: values[(at % 8) as usize] };
            }
            quantiles.into()
        },
    )
}

/// One table for delays and for slots.
fn both(quantiles: Arc<Quantiles>) -> Tables {
    Tables { delay: Some(Arc::clone(&quantiles)), slot: Some(quantiles) }
}

/// Settings with all effects in any company; those of flows and outages are the channel's.
fn params() -> impl Strategy<Value = Params> {
    let flag = |flag: u32| prop_oneof![Just(0), Just(flag)];
    let flags = (flag(flags::ECN), flag(flags::LOSS_BEHIND), flag(flags::IN_FLIGHT_LOST))
        .prop_map(|(ecn, behind, in_flight)| ecn | behind | in_flight);
    (losses(), delays(), bottlenecks(), changes(), flags).prop_map(|(losses, delays, bottlenecks, changes, flags)| {
        Params {
            loss: losses.loss,
            chain: losses.chain,
            has_chain: losses.has_chain,
            pattern: losses.pattern,
            period: losses.period,
            delay: delays.delay,
            jitter: delays.jitter,
            jitter_kind: delays.jitter_kind,
            per_nano: delays.per_nano,
            order: delays.order,
            reorder: delays.reorder,
            slots: delays.slots,
            duplicate: changes.duplicate,
            corrupt: changes.corrupt,
            flags,
            ..bottlenecks
        }
    })
}

/// A trace over time, by packet, or none; one in four of them is longer than its ring.
fn trace() -> impl Strategy<Value = Option<Trace>> {
    let rate = prop_oneof![Just(0.0), 1e3..1e6f64, 1e6..1e10];
    let row = (1_000..100_000_000u64, rate, 0..200_000_000u64, 0..1u64 << 31);
    let rows = prop::collection::vec(row, 1..40);
    let over_time = (rows, prop_oneof![3 => Just(1), 1 => Just(STEPS)], prop_oneof![Just(0), 1..50_000_000u64]);
    let over_time = over_time.prop_map(|(rows, least, repeat)| {
        let mut at = Nanos::ZERO;
        let rows: Vec<Row> = (rows.iter().cycle().take(least.max(rows.len())))
            .map(|(length, rate, delay, loss)| {
                let row = Row { at, rate: *rate, delay: Nanos(*delay), loss: Probability(*loss) };
                at = at.saturating_add(Nanos(*length));
                row
            })
            .collect();
        let repeat = if repeat == 0 { Nanos::ZERO } else { at.saturating_add(Nanos(repeat)) };
        StepTrace::new(&rows, repeat).ok().map(|trace| Trace::Steps(trace.into()))
    });
    let entries = prop::collection::vec((0..200_000_000u64, 0..4u32), 1..40);
    let by_packet = (entries, prop_oneof![3 => Just(1), 1 => Just(PACKETS + 1)], any::<bool>());
    let by_packet = by_packet.prop_map(|(entries, least, repeats)| {
        let entries = entries.iter().cycle().take(least.max(entries.len()));
        let entries = entries.map(|(delay, lost)| Entry::new(Nanos(*delay), *lost == 0)).collect();
        Some(Trace::Packets(PacketTrace::new(entries, repeats, false).unwrap().into()))
    });
    prop_oneof![2 => Just(None), 1 => over_time, 1 => by_packet]
}

/// Settings that follow some of what the trace says.
fn following(params: Params, trace: &Option<Trace>, which: u32) -> Params {
    let all = match trace {
        None => 0,
        Some(Trace::Steps(_)) => flags::STEPS,
        Some(Trace::Packets(_)) => flags::PACKETS,
    };
    let mut params = Params { flags: params.flags | (all & which), ..params };
    if params.flags & flags::RATE_STEPS != 0 {
        params.rate = BitsPerSec(params.rate.0.max(1));
        params.full_work = params.rate.0.wrapping_mul(params.full_packet.0);
        // A time, work, or both limit the queue.
        params.queue_work = if which & 1 != 0 { u64::MAX } else { params.rate.0.wrapping_mul(params.queue.0) };
        params.queue = if which & 3 == 2 { Nanos::MAX } else { params.queue };
    }
    params
}

/// The settings of a channel, with all effects in any company, and how they change; some of them follow a trace
/// where that is asked for.
pub(crate) fn spec(traced: bool) -> impl Strategy<Value = ChannelSpec> {
    let channel = (any::<u64>(), any::<u32>(), prop_oneof![Just(0), Just(flags::FLOWS)]);
    let buckets = prop_oneof![Just(1), Just(2), Just(MOST_BUCKETS)];
    let changed = prop::collection::vec((1..300_000_000u64, params(), quantiles()), 0..MOST_CHANGES as usize);
    let repeat = prop_oneof![Just(0), 1..2_000_000_000u64];
    let outages = prop::option::of(schedule());
    let trace = (if traced { trace().boxed() } else { Just(None).boxed() }, any::<u32>());
    (params(), channel, outages, quantiles(), buckets, changed, repeat, trace).prop_map(
        |(base, (seed, stream, flows), schedule, quantiles, buckets, changed, repeat, (trace, which))| {
            // Flows look at a trace from its beginning on, which one that is longer than its ring leaves behind.
            let flows = if matches!(&trace, Some(Trace::Packets(trace)) if !trace.fits()) { 0 } else { flows };
            let of_channel = |params: Params| {
                let has_outages = u32::from(schedule.is_some());
                let flags = params.flags | flows;
                let params = Params { seed, stream, start: Nanos(START), has_outages, flags, ..params };
                following(params, &trace, which).sparing()
            };
            let mut at = 0;
            let changes = changed.into_iter().map(|(gap, params, quantiles)| {
                at += gap;
                (Nanos(at), of_channel(params), both(quantiles))
            });
            let changes: Vec<_> = changes.collect();
            let changes = (!changes.is_empty()).then(|| Changes::new(changes, Nanos(repeat)).unwrap());
            ChannelSpec {
                params: of_channel(base),
                schedule,
                tables: both(quantiles),
                flows: buckets * 8,
                changes,
                trace,
            }
        },
    )
}

/// Runs what holds settings of all kinds and the tables beside them, by value as an unoptimised build has them.
pub(crate) fn on_a_deep_stack(work: impl FnOnce() + Send + 'static) {
    const STACK: usize = 1 << 26;
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
}
