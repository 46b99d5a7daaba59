//! Traces that are longer than their rings, brought on while the kernel follows them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shaper_bpf::{Exclusion, Object, Room};
use shaper_channel::{Channel, ChannelSpec, PacketTrace, Row, StepTrace, Trace};
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, Probe, RawFate, flags};
use shaper_common::pipeline::Packet;
use shaper_common::trace::{Entry, PACKETS, STEPS};
use shaper_common::units::{BitsPerSec, Nanos, Probability};

const CHANNEL: u32 = 0;
const START: u64 = 1_000_000_000;

fn kernel(spec: &ChannelSpec) -> Object {
    let mut object = Object::load(1 << 12, Exclusion::Device, &Room::of([spec])).unwrap();
    object.set_channel(CHANNEL, spec).unwrap();
    assert!(object.feeder().unwrap().is_needed());
    object
}

fn decided(object: &mut Object, packet: Packet) -> RawFate {
    object.probe(&Probe { packet, channel: CHANNEL, ..Probe::default() }).unwrap().fate
}

#[test]
fn a_trace_over_time_is_followed_around_its_ring_and_anew() {
    // Twice around the ring, and then from the beginning.
    let count = 2 * STEPS as u64 + 1_000;
    let row = |number: u64| Row {
        at: Nanos(number * 1_000_000),
        rate: [0.0, 24e6, 3e6][number as usize % 3],
        delay: Nanos(number),
        loss: Probability((number % 10) << 28),
    };
    let rows: Vec<Row> = (0..count).map(row).collect();
    let trace = Trace::Steps(Arc::new(StepTrace::new(&rows, Nanos(count * 1_000_000)).unwrap()));
    let params = Params {
        seed: 5,
        start: Nanos(START),
        rate: BitsPerSec(9_000_000),
        queue: Nanos(40_000_000),
        queue_work: u64::MAX,
        flags: flags::STEPS,
        ..Params::default()
    };
    let spec = ChannelSpec { trace: Some(trace), ..ChannelSpec::plain(params.sparing()) };
    let mut object = kernel(&spec);
    let mut channel = Channel::new(spec);
    let mut causes = std::collections::BTreeMap::new();
    for number in 0..150_000u64 {
        let now = number * 2_711_317;
        if number % 100 == 0 {
            object.feeder().unwrap().feed(Nanos(now)).unwrap();
        }
        let packet = Packet { now: Nanos(START + now), len: 300 + number as u32 % 1_000, ..Packet::default() };
        let fate = channel.decide(&packet);
        *causes.entry(fate.cause).or_insert(0u32) += 1;
        assert_eq!(decided(&mut object, packet), channel.state().work.fate, "packet {number}");
    }
    assert!(
        causes.keys().copied().eq([Cause::None, Cause::Loss]) && causes.values().all(|count| *count > 1_000),
        "{causes:?}"
    );
}

#[test]
fn a_trace_by_packet_is_followed_around_its_ring_and_to_its_end() {
    let count = PACKETS as u64 + 20_000;
    let entries = (0..count).map(|number| Entry::new(Nanos(number), number % 7 == 0)).collect();
    let trace = Trace::Packets(Arc::new(PacketTrace::new(entries, false, false).unwrap()));
    let params = Params { flags: flags::PACKETS, ..Params::default() };
    let spec = ChannelSpec { trace: Some(trace), ..ChannelSpec::plain(params.sparing()) };
    let mut object = kernel(&spec);
    for number in 0..count + 1_000 {
        if number % 1_000 == 0 {
            object.feeder().unwrap().feed(Nanos::ZERO).unwrap();
        }
        let packet = Packet { now: Nanos(START + number), len: 300, ..Packet::default() };
        let fate = decided(&mut object, packet);
        let row = number.min(count - 1);
        let lost = row % 7 == 0;
        let expected = (if lost { Cause::Loss as u32 } else { 0 }, if lost { 0 } else { packet.now.0 + row });
        assert_eq!((fate.cause, fate.release.0), expected, "packet {number}");
    }
}

#[test]
fn a_trace_that_nobody_brings_on_is_found_missing_and_counted() {
    let row = |number: u64| Row { at: Nanos(number * 1_000_000), rate: 8e6, ..Row::default() };
    let rows: Vec<Row> = (0..2 * STEPS as u64).map(row).collect();
    let trace = Trace::Steps(Arc::new(StepTrace::new(&rows, Nanos::ZERO).unwrap()));
    let params = Params {
        start: Nanos(START),
        rate: BitsPerSec(8_000_000),
        queue: Nanos(10_000_000),
        queue_work: u64::MAX,
        flags: flags::RATE_STEPS,
        ..Params::default()
    };
    let spec = ChannelSpec { trace: Some(trace), ..ChannelSpec::plain(params.sparing()) };
    let mut object = kernel(&spec);
    let known = (STEPS as u64 - 1) * 1_000_000;
    let packet = |now: u64| Packet { now: Nanos(START + now), len: 1_000, ..Packet::default() };
    // The last packet whose service is known to its end, one that is served beyond it, and one that comes behind it.
    let fates = [known - 1_000_000, known - 500_000, known + 1].map(|now| decided(&mut object, packet(now)).cause);
    assert_eq!(fates, [Cause::None, Cause::Trace, Cause::Trace].map(|cause| cause as u32));
    assert_eq!(object.state(CHANNEL).unwrap().counts.unknown, 2);
    object.feeder().unwrap().feed(Nanos(known)).unwrap();
    assert_eq!(decided(&mut object, packet(known + 2)).cause, Cause::None as u32);
}

#[test]
fn decisions_while_a_trace_is_brought_on_are_by_the_right_row_or_by_none() {
    const FOR: Duration = Duration::from_secs(3);
    let count = 200_000u64;
    let row = |number: u64| Row { at: Nanos(number * 1_000_000), delay: Nanos(number * 1_000), ..Row::default() };
    let rows: Vec<Row> = (0..count).map(row).collect();
    let trace = Trace::Steps(Arc::new(StepTrace::new(&rows, Nanos(count * 1_000_000)).unwrap()));
    let params = Params { flags: flags::DELAY_STEPS, ..Params::default() };
    let spec = ChannelSpec { trace: Some(trace), ..ChannelSpec::plain(params.sparing()) };
    let mut object = kernel(&spec);
    let mut feeder = object.take_feeder().unwrap();
    let (now, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let (decided, unknown, feeds) = std::thread::scope(|scope| {
        let feeds = scope.spawn(|| {
            let mut feeds = 0;
            while !done.load(Ordering::Acquire) {
                // A little more than a quarter of the ring, so that each time there is something to do.
                feeds += 1;
                let at = feeds * 17_000 * 1_000_000;
                now.store(at, Ordering::Release);
                feeder.feed(Nanos(at)).unwrap();
            }
            feeds
        });
        let begun = Instant::now();
        let (mut fates, mut unknown) = (0u64, 0u64);
        while begun.elapsed() < FOR {
            let at = now.load(Ordering::Acquire);
            let fate = decided(&mut object, Packet { now: Nanos(at), len: 100, ..Packet::default() });
            fates += 1;
            if fate.cause == Cause::Trace as u32 {
                unknown += 1;
            } else {
                assert_eq!(fate.release.0 - at, at / 1_000_000 % count * 1_000, "at {at}");
            }
        }
        done.store(true, Ordering::Release);
        (fates, unknown, feeds.join().unwrap())
    });
    assert!(decided > 10_000 && feeds > 10, "{decided} decisions, {feeds} times fed");
    // Only those of a time that had long gone when its turn came.
    assert!(unknown < decided / 1_000, "{unknown} of {decided}");
}
