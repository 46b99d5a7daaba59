//! The decision as the kernel runs it against the decision as userspace runs it, bit for bit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shaper_bpf::{Exclusion, Object, VERIFIED_INSTRUCTIONS_BUDGET as BUDGET};
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, Probe, State, packet_id};
use shaper_common::loss::Chain;
use shaper_common::outage::{Schedule, Window};
use shaper_common::pipeline::{Packet, decide};
use shaper_common::units::{BitsPerSec, Nanos, Probability};

const RECORD_RING: u32 = 1 << 16;

fn probability() -> impl Strategy<Value = Probability> + Clone {
    prop_oneof![Just(0), Just(1 << 32), 0..=1u64 << 32, 0..1u64 << 28].prop_map(Probability)
}

/// Any chain, also one that nobody would write.
fn chain() -> impl Strategy<Value = Chain> {
    let state = (probability(), [probability(), probability()], [0..4u32, 0..4u32]);
    ([state.clone(), state.clone(), state.clone(), state], [probability(), probability(), probability()]).prop_map(
        |(states, first)| Chain {
            lose: states.map(|(lose, ..)| lose),
            leave: states.map(|(_, leave, _)| leave),
            to: states.map(|(.., to)| to),
            first,
        },
    )
}

fn settings() -> impl Strategy<Value = Params> {
    let link = (
        any::<u64>(),
        prop_oneof![Just(0), 0..1u64 << 29, 0..=1u64 << 32],
        0..200_000_000u64,
        0..300_000_000u64,
        0..3u32,
        0..2u32,
    );
    let bottleneck = (
        prop_oneof![Just(0u64), 1_000..1_000_000u64, 1_000_000..10_000_000_000u64],
        0..100_000_000u64,
        0..64u32,
        any::<u32>(),
        0..2u32,
    );
    let pattern = (any::<u64>(), prop_oneof![Just(0), 1..=64u32, 65..1_000u32, any::<u32>()]);
    (link, bottleneck, chain(), 0..2u32, pattern).prop_map(
        |(link, (rate, queue, overhead, stream, has_outages), chain, has_chain, (pattern, period))| {
            let (seed, loss, delay, jitter, jitter_kind, order) = link;
            Params {
                seed,
                start: Nanos(1_000_000_000),
                loss: Probability(loss),
                delay: Nanos(delay),
                jitter: Nanos(jitter),
                rate: BitsPerSec(rate),
                queue: Nanos(queue),
                overhead,
                jitter_kind,
                order,
                stream,
                rule: 0,
                has_outages,
                chain,
                has_chain,
                pattern,
                period,
            }
        },
    )
}

fn arrivals(count: usize) -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((0..5_000_000u64, 60..1515u32), count)
}

fn schedule() -> impl Strategy<Value = Box<Schedule>> {
    prop::collection::vec((1..50_000_000u64, 1..50_000_000u64), 0..200).prop_map(|gaps| {
        let mut schedule = Box::new(Schedule::EMPTY);
        let mut time = 0;
        for (window, (gap, length)) in schedule.windows.iter_mut().zip(gaps) {
            *window = Window { start: Nanos(time + gap), end: Nanos(time + gap + length) };
            time += gap + length;
        }
        schedule
    })
}

#[test]
fn kernel_and_userspace_decide_alike_behind_the_lock() {
    decides_alike(Exclusion::Lock);
}

#[test]
fn kernel_and_userspace_decide_alike_without_a_lock() {
    decides_alike(Exclusion::Device);
}

fn decides_alike(exclusion: Exclusion) {
    const PROFILES: u32 = 200;
    const PACKETS: usize = 600;
    let mut object = Object::load(RECORD_RING, exclusion).unwrap();
    let config = Config { cases: PROFILES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mut compared = 0u32;
    let mut causes = std::collections::BTreeSet::new();
    let kernel = std::cell::RefCell::new((&mut object, &mut compared, &mut causes));
    runner
        .run(&(settings(), schedule(), arrivals(PACKETS)), |(params, schedule, arrivals)| {
            let (object, compared, causes) = &mut *kernel.borrow_mut();
            object.set_direction(3, &params, &schedule).unwrap();
            let mut state = State::default();
            let mut now = 1_000_000_000;
            for (gap, len) in arrivals {
                now += gap;
                let sequence = state.next_index;
                let expected = decide(&params, &schedule, &mut state, &Packet { now: Nanos(now), len, flow_hash: 9 });
                let got = object
                    .probe(&Probe { now: Nanos(now), len, flow_hash: 9, direction: 3, ..Probe::default() })
                    .unwrap();
                prop_assert_eq!(got.now, expected.release);
                prop_assert_eq!(got.cause, expected.cause as u32);
                prop_assert_eq!(got.index, packet_id(3, sequence));
                **compared += 1;
                causes.insert(expected.cause);
            }
            prop_assert_eq!(object.state(3).unwrap(), state);
            Ok(())
        })
        .unwrap();
    assert!(compared >= 100_000, "only {compared} fates compared");
    let decided = [Cause::None, Cause::Outage, Cause::Loss, Cause::Queue];
    assert!(causes.iter().eq(&decided), "the settings led to {causes:?} alone");
}

#[test]
fn the_verifier_accepts_every_program_within_its_budget() {
    for exclusion in [Exclusion::Lock, Exclusion::Device] {
        let mut object = Object::load(RECORD_RING, exclusion).unwrap();
        for size in object.sizes().unwrap() {
            let verified = size.verified_instructions.expect("kernels before 5.16 do not tell");
            println!("{:?}, {exclusion:?}: {verified} instructions verified", size.program);
            assert!(verified <= BUDGET, "{:?}: {verified} instructions verified, {BUDGET} allowed", size.program);
        }
    }
}
