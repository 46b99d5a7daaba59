//! The wheel against a binary heap.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const FRAMES: u32 = 64;

#[derive(Debug, Clone)]
enum Step {
    /// Insert with a release time this far from now; negative is the past.
    Insert(i64),
    /// Insert with the release time of the insertion before.
    InsertEqual,
    /// Let time pass and take all that is due.
    Pass(u64),
    /// Let time pass and take at most so many.
    Take(u64, u8),
    /// Let time run exactly to the next deadline and take all that is due.
    PassToDeadline,
    WorkAhead(u32),
}

fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..5_000,
        4 => 0u64..5_000_000,
        4 => 0u64..200_000_000,
        2 => 0u64..20_000_000_000,
        1 => 0u64..200_000_000_000,
        1 => 0u64..20_000_000_000_000,
        // Exactly on and beside the edges of windows and spans.
        2 => (0u64..4, 0u64..3).prop_map(|(count, beside)| (count << 25) + beside),
        1 => (0u64..4, 0u64..3).prop_map(|(count, beside)| (count << 34) + beside),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => span().prop_map(|ahead| Step::Insert(ahead as i64)),
        1 => span().prop_map(|ago| Step::Insert(-(ago as i64))),
        3 => Just(Step::InsertEqual),
        4 => span().prop_map(Step::Pass),
        2 => (span(), 0u8..4).prop_map(|(time, count)| Step::Take(time, count)),
        4 => Just(Step::PassToDeadline),
        2 => (0u32..8).prop_map(Step::WorkAhead),
    ]
}

/// The oracle: a heap ordered by release time, then by insertion.
#[derive(Default)]
struct Oracle {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    inserted: u64,
}

impl Oracle {
    fn pop_due(&mut self, now: u64) -> Option<Due> {
        let Reverse((release, _, frame)) = *self.heap.peek()?;
        (release <= now).then(|| {
            self.heap.pop();
            Due { frame, release: Nanos(release) }
        })
    }
}

fn agree(start: u64, first_sequence: u32, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut now = start;
    let mut wheel = Wheel::new(FRAMES, Nanos(now));
    wheel.sequence = first_sequence;
    let mut oracle = Oracle::default();
    let mut free: Vec<u32> = (0..FRAMES).collect();
    let mut last_release = start;
    for step in steps {
        let mut take = 0;
        match step {
            Step::Insert(offset) => last_release = now.saturating_add_signed(offset),
            Step::InsertEqual => {}
            Step::Pass(time) => (now, take) = (now + time, usize::MAX),
            Step::Take(time, count) => (now, take) = (now + time, count.into()),
            Step::PassToDeadline => {
                take = usize::MAX;
                let deadline = wheel.next_deadline().map(|deadline| deadline.0);
                let earliest = oracle.heap.peek().map(|Reverse((release, ..))| *release);
                prop_assert_eq!(deadline.is_some(), earliest.is_some());
                if let (Some(deadline), Some(earliest)) = (deadline, earliest) {
                    prop_assert!(deadline <= earliest, "deadline {} after release {}", deadline, earliest);
                    now = now.max(deadline);
                }
            }
            Step::WorkAhead(frames) => wheel.work_ahead(frames),
        }
        if matches!(step, Step::Insert(_) | Step::InsertEqual)
            && let Some(frame) = free.pop()
        {
            wheel.insert(frame, Nanos(last_release));
            oracle.heap.push(Reverse((last_release, oracle.inserted, frame)));
            oracle.inserted += 1;
        }
        for _ in 0..take {
            let expected = oracle.pop_due(now);
            prop_assert_eq!(wheel.pop_due(Nanos(now)), expected);
            let Some(due) = expected else { break };
            free.push(due.frame);
        }
        prop_assert_eq!(wheel.held() as usize, oracle.heap.len());
    }
    // Following the deadlines alone empties the wheel, in bounded steps.
    for _ in 0..4 * FRAMES * SPANS as u32 {
        let Some(deadline) = wheel.next_deadline() else { break };
        now = now.max(deadline.0);
        while let Some(expected) = oracle.pop_due(now) {
            prop_assert_eq!(wheel.pop_due(Nanos(now)), Some(expected));
        }
        prop_assert_eq!(wheel.pop_due(Nanos(now)), None);
    }
    prop_assert_eq!(wheel.held(), 0);
    prop_assert!(oracle.heap.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]
    #[test]
    fn frames_leave_in_exact_order_and_never_early(
        start in prop_oneof![Just(0u64), 0u64..1 << 40, Just((1u64 << 34) - 1)],
        first_sequence in prop_oneof![Just(0u32), Just(u32::MAX - 3)],
        steps in prop::collection::vec(step(), 0..120),
    ) {
        agree(start, first_sequence, steps)?;
    }
}

#[test]
fn a_nanosecond_before_its_release_a_frame_is_still_held() {
    for ahead in [0, 1, 1023, 1024, 1 << 25, (1 << 25) + 1, 20_000_000, 1 << 34, 1 << 45] {
        let start = 123_456_789_012;
        let mut wheel = Wheel::new(1, Nanos(start));
        wheel.insert(0, Nanos(start + ahead));
        assert_eq!(wheel.pop_due(Nanos(start + ahead - 1)), None, "{ahead} ns ahead");
        assert!(wheel.pop_due(Nanos(start + ahead)).is_some(), "{ahead} ns ahead");
    }
}

#[test]
fn a_deadline_within_the_window_is_exact_to_a_tick() {
    let start = 5 << 25;
    let mut wheel = Wheel::new(1, Nanos(start));
    wheel.insert(0, Nanos(start + 1_000_000));
    let deadline = wheel.next_deadline().unwrap().0;
    assert!(deadline <= start + 1_000_000 && deadline > start + 1_000_000 - 1024);
}

#[test]
fn the_last_instant_of_the_clock_is_a_release_time() {
    let mut wheel = Wheel::new(1, Nanos(1));
    wheel.insert(0, Nanos::MAX);
    assert_eq!(wheel.pop_due(Nanos(1 << 50)), None);
    assert!(wheel.next_deadline().is_some());
}
