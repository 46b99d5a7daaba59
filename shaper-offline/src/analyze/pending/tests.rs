use super::*;
use proptest::prelude::*;

#[test]
fn equal_keys_pair_oldest_first_and_say_so() {
    let mut pending = Pending::new();
    pending.push(open(7, 0));
    pending.push(open(7, 0));
    let first = pending.candidate(7, 0).unwrap();
    assert!(first.ambiguous);
    assert_eq!(pending.slot(first.slot).unwrap().number, 0);
    pending.settle(first.slot, State::Matched, 5, ());
    let second = pending.candidate(7, 0).unwrap();
    assert!(!second.ambiguous);
    assert_eq!(pending.slot(second.slot).unwrap().number, 1);
    pending.settle(second.slot, State::Matched, 6, ());
    assert_eq!(pending.candidate(7, 0), None);
    assert_eq!([pending.pop().unwrap().delay, pending.pop().unwrap().delay], [5, 6]);
}

#[test]
fn the_ip_identification_tells_equals_apart() {
    let mut pending = Pending::new();
    for identification in 1..=4 {
        pending.push(open(7, identification));
    }
    for identification in [3, 4, 1, 2] {
        let found = pending.candidate(7, identification).unwrap();
        assert!(!found.ambiguous);
        assert_eq!(pending.get(found.slot).unwrap().identification, identification);
        pending.settle(found.slot, State::Matched, 1, ());
    }
    assert_eq!(pending.candidate(7, 1), None);
}

fn open(key: u64, identification: u16) -> Open<()> {
    Open { key, identification, ..Open::default() }
}

#[derive(Debug, Clone)]
enum Step {
    Push(u64),
    Match(u64, u16),
    Pop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few keys, and such that many share a bucket.
    let key = (0_u64..6).prop_map(|key| key << 40 | key);
    let step = prop_oneof![
        3 => key.clone().prop_map(Step::Push),
        2 => (key, 0_u16..4).prop_map(|(key, identification)| Step::Match(key, identification)),
        2 => Just(Step::Pop),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn behaves_as_a_plain_list(steps in steps(), asked_from in 0_usize..400) {
        let mut pending = Pending::new();
        let mut plain: VecDeque<(u64, u64, bool)> = VecDeque::new();
        let mut number = 0;
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(key) => {
                    prop_assert_eq!(pending.push(open(key, number as u16 % 4)), number);
                    plain.push_back((number, key, true));
                    number += 1;
                    // One that is settled from the start must not disturb.
                    if number % 5 == 0 {
                        pending.push_settled(open(key, 0), State::Matched, 1, ());
                        plain.push_back((number, key, false));
                        number += 1;
                    }
                }
                Step::Match(key, identification) => {
                    let alike: Vec<_> =
                        plain.iter().filter(|e| e.1 == key && e.2).map(|e| e.0).collect();
                    // The oldest, and so many after it.
                    let same = alike.iter().take(1 + LOOK).find(|&&number| {
                        identification != 0 && number as u16 % 4 == identification
                    });
                    let want = same.or(alike.first()).copied();
                    let got = pending.candidate(key, identification);
                    let found = got.and_then(|c| pending.slot(c.slot)).map(|slot| slot.number);
                    prop_assert_eq!(found, want);
                    if let (Some(candidate), Some(number)) = (got, want) {
                        prop_assert_eq!(candidate.ambiguous, alike.len() > 1 && same.is_none());
                        pending.settle(candidate.slot, State::Matched, 1, ());
                        for e in plain.iter_mut().filter(|e| e.0 == number) {
                            e.2 = false;
                        }
                    }
                }
                Step::Pop => {
                    let want = plain.pop_front().map(|e| e.2);
                    let got = pending.pop().map(|e| e.state == State::Open);
                    prop_assert_eq!(got, want);
                }
            }
            prop_assert_eq!(pending.len(), plain.len());
            for e in &plain {
                prop_assert_eq!(pending.waiting(e.0).is_some(), e.2);
                // What is kept from the first question on is what the lines say.
                if at >= asked_from {
                    let settled = plain.iter().any(|other| other.1 == e.1 && !other.2);
                    prop_assert_eq!(pending.has_match(e.1, 0), settled);
                }
            }
            if at >= asked_from {
                prop_assert!(!pending.has_match(u64::MAX, i64::MAX));
            }
        }
    }

    #[test]
    fn many_keys_survive_growth(count in 1_u64..5_000) {
        let mut pending = Pending::new();
        let spread = |key: u64| key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..count).for_each(|key| {
            pending.push(open(spread(key), 0));
        });
        for key in 0..count {
            let found = pending.candidate(spread(key), 0).and_then(|c| pending.slot(c.slot));
            prop_assert_eq!(found.map(|slot| slot.number), Some(key));
        }
    }
}
