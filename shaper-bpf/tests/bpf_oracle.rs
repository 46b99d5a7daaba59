//! The decision as the kernel runs it against the decision as userspace runs it, bit for bit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod random;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shaper_bpf::{Exclusion, Object, Room, VERIFIED_INSTRUCTIONS_BUDGET as BUDGET};
use shaper_channel::{Channel, ChannelSpec};
use shaper_common::fate::Cause;
use shaper_common::layout::{DIRECTIONS, Probe, features, flags, packet_id};
use shaper_common::pipeline::Packet;
use shaper_common::units::Nanos;

const RECORD_RING: u32 = 1 << 16;
/// Where the channel stands in its maps.
const CHANNEL: u32 = 3;
/// Room for any settings of one channel.
const ROOM: Room = Room {
    features: features::ALL,
    channels: DIRECTIONS,
    schedules: 2,
    backlogs: 2,
    buckets: 2 * random::MOST_BUCKETS,
    quantiles: 1 + 2 * random::MOST_CHANGES,
    timelines: 2,
    changes: random::MOST_CHANGES,
    rules: 1,
    steps: 2,
    packets: 2,
};

/// What a packet is beside its time.
#[derive(Clone, Copy, Debug)]
struct Shape {
    len: u32,
    flow_hash: u32,
    parts: [u16; 3],
    ecn: u16,
}

impl Shape {
    /// The packet.
    fn packet(self, now: Nanos) -> Packet {
        let [network, transport, payload] = self.parts;
        Packet { now, len: self.len, flow_hash: self.flow_hash, network, transport, payload, ecn: self.ecn }
    }
}

/// Packets, and the time from each to the next.
fn packets(count: usize) -> impl Strategy<Value = Vec<(u64, Shape)>> {
    let parts = prop_oneof![
        Just([0, 0, 0]),
        Just([14, 34, 42]),
        Just([18, 58, 66]),
        [0..200u16, 0..200u16, 0..200u16],
        [any::<u16>(), any::<u16>(), any::<u16>()],
    ];
    let flow = (0..48u32).prop_map(|flow| flow.wrapping_mul(0x9e37_79b9));
    let shape = (prop_oneof![60..1515u32, Just(14), Just(9_000)], flow, parts, 0..4u16)
        .prop_map(|(len, flow_hash, parts, ecn)| Shape { len, flow_hash, parts, ecn });
    prop::collection::vec((prop_oneof![0..5_000_000u64, 0..1_000u64], shape), count)
}

#[test]
fn kernel_and_userspace_decide_alike_behind_the_lock() {
    random::on_a_deep_stack(|| compare(Exclusion::Lock));
}

#[test]
fn kernel_and_userspace_decide_alike_without_a_lock() {
    random::on_a_deep_stack(|| compare(Exclusion::Device));
}

/// What may follow a trace.
const FOLLOWED: [u32; 5] =
    [flags::RATE_STEPS, flags::DELAY_STEPS, flags::LOSS_STEPS, flags::DELAY_PACKETS, flags::LOSS_PACKETS];

/// What came up in the fates compared.
#[derive(Default)]
struct Seen {
    fates: u32,
    causes: BTreeSet<Cause>,
    copies: u64,
    damaged: u64,
    marked: u64,
    reordered: u64,
    evicted: u64,
    /// Fates that follow a trace, by [`FOLLOWED`].
    followed: [u64; FOLLOWED.len()],
    /// Profiles with a trace that is longer than its ring.
    streamed: u64,
    /// Fates for which such a trace was not there: of a service that takes longer than what a ring holds.
    unknown: u64,
}

/// Puts packets through the kernel's channel and through its own, and compares fates, ids and the state that is left.
fn agree(
    object: &mut Object,
    spec: &ChannelSpec,
    packets: &[(u64, Shape)],
    seen: &mut Seen,
) -> Result<(), TestCaseError> {
    object.set_channel(CHANNEL, spec).unwrap();
    let mut channel = Channel::new(spec.clone());
    let mut now = random::START;
    for (gap, shape) in packets {
        now += gap;
        let packet = shape.packet(Nanos(now));
        let sequence = channel.state().next_sequence;
        let cause = channel.decide(&packet).cause;
        object.feeder().unwrap().feed(Nanos(now - random::START)).unwrap();
        let got = object.probe(&Probe { packet, channel: CHANNEL, ..Probe::default() }).unwrap();
        prop_assert_eq!(got.answered, 1);
        prop_assert_eq!(got.fate, channel.state().work.fate);
        prop_assert_eq!(got.id, packet_id(CHANNEL, sequence));
        seen.fates += 1;
        seen.causes.insert(cause);
        seen.unknown += u64::from(cause == Cause::Trace);
    }
    let (kernel, own) = (object.state(CHANNEL).unwrap(), channel.state());
    prop_assert_eq!((kernel.next_sequence, kernel.carried), (own.next_sequence, own.carried));
    prop_assert_eq!(kernel.counts, own.counts);
    let counts = own.counts;
    seen.copies += counts.copies;
    seen.damaged += counts.corrupted;
    seen.marked += counts.marked;
    seen.reordered += counts.reordered;
    seen.evicted += counts.flows_evicted;
    for (flag, count) in FOLLOWED.iter().zip(&mut seen.followed) {
        *count += if spec.params.flags & flag != 0 { packets.len() as u64 } else { 0 };
    }
    seen.streamed += u64::from(object.feeder().unwrap().is_needed());
    Ok(())
}

fn compare(exclusion: Exclusion) {
    const PROFILES: u32 = 250;
    const PACKETS: usize = 600;
    let mut object = Object::load(RECORD_RING, exclusion, &ROOM).unwrap();
    let config = Config { cases: PROFILES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mut seen = Seen::default();
    let kernel = std::cell::RefCell::new((&mut object, &mut seen));
    runner
        .run(&(random::spec(true), packets(PACKETS)), |(spec, packets)| {
            let (object, seen) = &mut *kernel.borrow_mut();
            agree(object, &spec, &packets, seen)
        })
        .unwrap();
    assert!(seen.fates >= 100_000, "only {} fates compared", seen.fates);
    let decided = [Cause::None, Cause::Outage, Cause::Loss, Cause::Queue, Cause::Aqm, Cause::Policer, Cause::InFlight];
    seen.causes.remove(&Cause::Trace);
    assert!(seen.causes.iter().eq(&decided), "the settings led to {:?} alone", seen.causes);
    assert!(seen.followed.iter().all(|fates| *fates > 5_000), "fates that follow traces: {:?}", seen.followed);
    assert!(seen.streamed > 10, "only {} traces are longer than their ring", seen.streamed);
    assert!(seen.unknown < u64::from(seen.fates / 50), "{} fates found no trace", seen.unknown);
    for (what, count) in [
        ("copies", seen.copies),
        ("damaged", seen.damaged),
        ("marked", seen.marked),
        ("reordered", seen.reordered),
        ("evicted", seen.evicted),
    ] {
        assert!(count > 100, "only {count} {what}");
    }
}

#[test]
fn the_verifier_accepts_every_program_within_its_budget() {
    // Without rules packets are read by other means, in a frame of their own.
    let kinds = [Exclusion::Lock, Exclusion::Device].map(|exclusion| [(exclusion, 0), (exclusion, features::RULES)]);
    for (exclusion, without) in kinds.into_iter().flatten() {
        let room = Room { features: ROOM.features & !without, ..ROOM };
        let mut object = Object::load(RECORD_RING, exclusion, &room).unwrap();
        for size in object.sizes().unwrap() {
            let verified = size.verified_instructions.expect("kernels before 5.16 do not tell");
            println!("{:?}, {exclusion:?}: {verified} instructions verified", size.program);
            assert!(verified <= BUDGET, "{:?}: {verified} instructions verified, {BUDGET} allowed", size.program);
        }
    }
}
