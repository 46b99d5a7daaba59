//! Traces against what they say: a million fates, and a queue that is simulated from the rates alone.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;

use shaper_channel::{Channel, ChannelSpec, PacketTrace, Row, StepTrace, Trace};
use shaper_common::chance::Chance;
use shaper_common::duplicate::Duplicate;
use shaper_common::fate::{Cause, Fate};
use shaper_common::layout::{Params, flags};
use shaper_common::pipeline::Packet;
use shaper_common::trace::{Entry, PACKETS, STEPS};
use shaper_common::units::{BitsPerSec, Nanos, Probability};

const START: u64 = 5_000_000_000;
const MILLI: u64 = 1_000_000;

fn over_time(rows: &[Row], repeat: Nanos, params: Params) -> ChannelSpec {
    let trace = Arc::new(StepTrace::new(rows, repeat).unwrap());
    let params = Params { start: Nanos(START), seed: 11, ..params }.sparing();
    ChannelSpec { trace: Some(Trace::Steps(trace)), ..ChannelSpec::plain(params) }
}

/// A capacity without limits of its queue.
fn served(rows: &[Row], repeat: Nanos) -> ChannelSpec {
    let params = Params { rate: BitsPerSec(1), queue: Nanos::MAX, queue_work: u64::MAX, ..Params::default() };
    over_time(rows, repeat, Params { flags: flags::RATE_STEPS, ..params })
}

fn packet(now: u64, len: u32) -> Packet {
    Packet { now: Nanos(START + now), len, ..Packet::default() }
}

/// When the packet leaves, since the start.
fn leaves(fate: Fate) -> u64 {
    assert_eq!(fate.cause, Cause::None);
    fate.release.0 - START
}

/// Random numbers: splitmix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn packets_leave_with_the_delivery_opportunities_of_single_milliseconds() {
    // 1500 bytes in each fourth millisecond, none in between.
    let row = |ms: u64| Row { at: Nanos(ms * MILLI), rate: if ms % 4 == 3 { 12e6 } else { 0.0 }, ..Row::default() };
    let rows: Vec<Row> = (0..400).map(row).collect();
    let mut channel = Channel::new(served(&rows, Nanos(400 * MILLI)));
    for number in 0..1_000_000 {
        // A burst of ten each 40 ms, as many as there are opportunities.
        let fate = channel.decide(&packet(number / 10 * 40 * MILLI, 1_500));
        assert_eq!(leaves(fate), (number + 1) * 4 * MILLI);
    }
}

/// A server that takes its rate from row to row, in floating point.
struct Server<'a> {
    rows: &'a [Row],
    repeat: f64,
    /// When it has served all that it took.
    free: f64,
}

impl Server<'_> {
    fn serve(&mut self, now: f64, bits: f64) -> f64 {
        let mut time = self.free.max(now);
        let mut left = bits;
        loop {
            let within = time % self.repeat;
            // The step that the time is in, and its end; rounding must not stand still at a bound.
            let at = self.rows.partition_point(|row| row.at.0 as f64 <= within + 1e-3) - 1;
            let end = self.rows.get(at + 1).map_or(self.repeat, |row| row.at.0 as f64);
            let length = end - within;
            let rate = self.rows[at].rate / 1e9;
            if rate * length >= left {
                time += left / rate;
                self.free = time;
                return time;
            }
            left -= rate * length;
            time += length;
        }
    }
}

#[test]
fn a_queue_behind_a_rate_that_changes_is_served_as_the_rates_say() {
    let mut seed = 1;
    let mut at = 0;
    let rows: Vec<Row> = (0..500)
        .map(|_| {
            let row = Row {
                at: Nanos(at),
                rate: [0.0, 1e5, 3e6, 2.5e7, 9.9e8][random(&mut seed) as usize % 5],
                ..Row::default()
            };
            at += 1_000 + random(&mut seed) % (20 * MILLI);
            row
        })
        .collect();
    let mut server = Server { rows: &rows, repeat: at as f64, free: 0.0 };
    let mut channel = Channel::new(served(&rows, Nanos(at)));
    let mut now = 0;
    let mut waited = 0;
    for _ in 0..1_000_000 {
        now += random(&mut seed) % 120_000;
        let len = 60 + random(&mut seed) as u32 % 1_455;
        let expected = server.serve(now as f64, f64::from(len) * 8.0);
        let got = leaves(channel.decide(&packet(now, len)));
        // A unit of work is an eighth of a bit here, at 100 kbit/s 1.25 us.
        assert!((got as f64 - expected).abs() < 2_600.0, "{now}: {got} instead of {expected}");
        waited += u64::from(got > now + 10 * MILLI);
    }
    assert!((100_000..900_000).contains(&waited), "{waited} packets waited");
}

#[test]
fn what_waits_is_limited_by_work_or_time() {
    // A megabyte a second, after a second of nothing.
    let rows = [Row::default(), Row { at: Nanos(1_000 * MILLI), rate: 8e6, ..Row::default() }];
    let spec = served(&rows, Nanos::ZERO);
    let Some(Trace::Steps(trace)) = &spec.trace else { panic!() };
    let of_work = Params { queue_work: trace.work_of(10_000), ..spec.params };
    let of_time = Params { queue: Nanos(1_005 * MILLI), ..spec.params };
    for (params, kept) in [(of_work, 10), (of_time, 5)] {
        let mut channel = Channel::new(ChannelSpec { params, ..spec.clone() });
        let fates: Vec<Cause> = (0..20).map(|_| channel.decide(&packet(0, 1_000)).cause).collect();
        assert_eq!(fates.iter().filter(|cause| **cause == Cause::None).count(), kept);
        assert!(fates[kept..].iter().all(|cause| *cause == Cause::Queue));
    }
}

#[test]
fn copies_are_served_behind_their_packet_at_the_rate_that_is_then() {
    let rows = [Row { rate: 8e6, ..Row::default() }, Row { at: Nanos(2 * MILLI), rate: 4e6, ..Row::default() }];
    let duplicate = Duplicate { chance: Chance::independent(Probability(1 << 32)), copies: 3, ..Duplicate::default() };
    let spec = served(&rows, Nanos::ZERO);
    let mut channel = Channel::new(ChannelSpec { params: Params { duplicate, ..spec.params }.sparing(), ..spec });
    // 1000 bytes: one by 1 ms, one by 2 ms, and two at half the rate.
    let fate = channel.decide(&packet(0, 1_000));
    assert_eq!((leaves(fate), fate.copies, fate.spacing.0), (MILLI, 3, 5 * MILLI / 3));
    assert_eq!(leaves(channel.decide(&packet(0, 1_000))), 8 * MILLI);
}

#[test]
fn before_the_start_there_is_no_bottleneck_and_none_overtakes_at_it() {
    let rows = [Row { rate: 0.0, ..Row::default() }, Row { at: Nanos(2 * MILLI), rate: 8e6, ..Row::default() }];
    let spec = served(&rows, Nanos::ZERO);
    let mut channel =
        Channel::new(ChannelSpec { params: Params { start: Nanos(START + 10 * MILLI), ..spec.params }, ..spec });
    let through: Vec<u64> = (0..20).map(|ms| leaves(channel.decide(&packet(ms * MILLI, 1_000)))).collect();
    // At once until then; behind it nothing for two milliseconds, and then one packet a millisecond.
    let expected = (0..10).map(|ms| ms * MILLI).chain((0..10).map(|ms| (13 + ms) * MILLI));
    assert!(through.iter().copied().eq(expected), "{through:?}");
}

#[test]
fn delay_and_loss_are_those_of_the_arrival() {
    let row = |number: u64| Row {
        at: Nanos(number * MILLI),
        delay: Nanos(number * 1_000),
        loss: Probability(if number.is_multiple_of(2) { 1 << 30 } else { 0 }),
        ..Row::default()
    };
    // Longer than the ring.
    let count = STEPS as u64 + 5_000;
    let rows: Vec<Row> = (0..count).map(row).collect();
    let params = Params { flags: flags::DELAY_STEPS | flags::LOSS_STEPS, delay: Nanos(77), ..Params::default() };
    let mut channel = Channel::new(over_time(&rows, Nanos(count * MILLI), params));
    let (mut lost, mut offered) = (0u64, 0u64);
    for number in 0..1_000_000u64 {
        let now = number * 130_000;
        let fate = channel.decide(&packet(now, 200));
        let step = now / MILLI % count;
        if fate.cause == Cause::None {
            assert_eq!(leaves(fate), now + step * 1_000);
        }
        let loses = step.is_multiple_of(2);
        assert!(loses || fate.cause == Cause::None);
        offered += u64::from(loses);
        lost += u64::from(fate.cause == Cause::Loss);
    }
    // A quarter, within 3.29 standard deviations: 99.9 %.
    let expected = offered as f64 / 4.0;
    assert!((lost as f64 - expected).abs() < 3.29 * (expected * 0.75).sqrt(), "{lost} of {offered} lost");
}

#[test]
fn each_packet_follows_its_own_row() {
    let mut seed = 3;
    let entries: Vec<Entry> = (0..PACKETS + 70_000)
        .map(|_| Entry::new(Nanos(random(&mut seed) % 50_000), random(&mut seed).is_multiple_of(10)))
        .collect();
    for repeats in [false, true] {
        let trace = Arc::new(PacketTrace::new(entries.clone(), repeats, false).unwrap());
        let params = Params { flags: flags::DELAY_PACKETS | flags::LOSS_PACKETS, ..Params::default() }.sparing();
        let spec = ChannelSpec { trace: Some(Trace::Packets(trace)), ..ChannelSpec::plain(params) };
        let mut channel = Channel::new(spec);
        for number in 0..1_000_000usize {
            let row = if repeats { number % entries.len() } else { number.min(entries.len() - 1) };
            let now = number as u64 * 1_000;
            let fate = channel.decide(&packet(now, 200));
            if entries[row].is_lost() == 1 {
                assert_eq!(fate.cause, Cause::Loss);
            } else {
                assert_eq!(leaves(fate), now + entries[row].delay().0);
            }
        }
    }
}

#[test]
fn each_flow_follows_the_trace_from_its_beginning() {
    let entries: Vec<Entry> = (0..100).map(|number| Entry::new(Nanos(number), false)).collect();
    let trace = Arc::new(PacketTrace::new(entries, true, true).unwrap());
    let params = Params { flags: flags::DELAY_PACKETS | flags::FLOWS, ..Params::default() }.sparing();
    let spec = ChannelSpec { trace: Some(Trace::Packets(trace)), flows: 64, ..ChannelSpec::plain(params) };
    let mut channel = Channel::new(spec);
    let mut seen = [0u64; 3];
    let mut seed = 9;
    for number in 0..3_000 {
        let flow = random(&mut seed) as usize % 3;
        let fate = channel.decide(&Packet { flow_hash: 7 + flow as u32, ..packet(number * 1_000, 200) });
        assert_eq!(leaves(fate) - number * 1_000, seen[flow] % 100);
        seen[flow] += 1;
    }
}

#[test]
fn jitter_is_around_the_trace_s_delay_and_cut_at_zero() {
    let rows = [Row { delay: Nanos(30 * MILLI), ..Row::default() }, Row { at: Nanos(MILLI), ..Row::default() }];
    let params = Params { flags: flags::DELAY_STEPS, jitter: Nanos(MILLI), jitter_kind: 1, ..Params::default() };
    let mut channel = Channel::new(over_time(&rows, Nanos::ZERO, params));
    let delays: Vec<u64> =
        (0..2_000).map(|number| leaves(channel.decide(&packet(number * 1_000, 200))) - number * 1_000).collect();
    assert!(delays[..1_000].iter().all(|delay| delay.abs_diff(30 * MILLI) <= MILLI));
    let none = delays[1_000..].iter().filter(|delay| **delay == 0).count();
    // A half of them, within 99.9 %.
    assert!((448..=552).contains(&none), "{none} of 1000 cut");
    assert!(delays[1_000..].iter().all(|delay| *delay <= MILLI));
}
