//! Coupled PI2 against RFC 9332 appendix A, with a timer and on a real queue.

use proptest::prelude::*;
use shaper_common::aqm::control::{Gains, ONE};
use shaper_common::aqm::pi2::{self, Pi2, Pi2Settings};
use shaper_common::aqm::{Action, Ecn};
use shaper_common::rng::Source;
use shaper_common::units::{Nanos, Probability};

use crate::load::{Arrival, MILLI, SECOND, Z_999, differences, on_off, poisson};
use crate::pie::Fifo;

/// Where what is short is a time.
fn acts(settings: &Pi2Settings, state: &mut Pi2, now: Nanos, free_at: Nanos, ecn: Ecn, draw: u32) -> Action {
    let is_short = free_at.saturating_sub(now) <= settings.short;
    pi2::acts(settings, state, now, free_at, is_short, ecn, draw)
}

const TARGET: f64 = 0.015;
const T_UPDATE: f64 = 0.015;
const RTT_MAX: f64 = 0.1;
const K: f64 = 2.0;

/// The base controller of the RFC.
#[derive(Default)]
struct Reference {
    base: f64,
    prevq: f64,
}

impl Reference {
    fn update(&mut self, curq: f64) {
        let alpha = 0.1 * T_UPDATE / RTT_MAX.powi(2);
        let beta = 0.3 / RTT_MAX;
        self.base = (self.base + alpha * (curq - TARGET) + beta * (curq - self.prevq)).clamp(0.0, 1.0 / K);
        self.prevq = curq;
    }

    fn action(&self, ecn: Ecn, u: f64) -> Action {
        let (classic, scalable) = (self.base.powi(2), self.base * K);
        let is_overloaded = scalable >= 1.0;
        match ecn {
            Ecn::Ect1 | Ecn::Ce if is_overloaded && u < classic => Action::Drop,
            Ecn::Ect1 | Ecn::Ce if u < scalable => Action::Mark,
            Ecn::Ect0 if u < classic && !is_overloaded => Action::Mark,
            Ecn::NotEct | Ecn::Ect0 if u < classic => Action::Drop,
            _ => Action::Pass,
        }
    }
}

fn draw(index: usize) -> u32 {
    Source::of_link(3, 0xd1, index as u64).draws().jitter
}

/// A third of each.
fn kind(index: usize) -> Ecn {
    [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1][Source::of_link(5, 0xd2, index as u64).draws().first as usize % 3]
}

fn referred(per_byte: u64, arrivals: &[Arrival]) -> (Vec<Action>, Vec<f64>) {
    let mut controller = Reference::default();
    let mut fifo = Fifo::new(per_byte);
    let mut timer = arrivals[0].at as f64 + T_UPDATE * 1e9;
    let decide = |(index, arrival): (usize, &Arrival)| {
        while timer <= arrival.at as f64 {
            fifo.run_until(timer);
            controller.update(fifo.delay());
            timer += T_UPDATE * 1e9;
        }
        fifo.run_until(arrival.at as f64);
        let u = f64::from(draw(index)) / 2f64.powi(32);
        let action = if fifo.delay() > 0.0 { controller.action(kind(index), u) } else { Action::Pass };
        if action != Action::Drop {
            fifo.enqueue(arrival.len);
        }
        (action, controller.base)
    };
    arrivals.iter().enumerate().map(decide).unzip()
}

fn decided(per_byte: u64, arrivals: &[Arrival]) -> (Vec<Action>, Vec<f64>) {
    let settings = Pi2Settings::default();
    let mut state = Pi2::default();
    let mut free_at = 0;
    let decide = |(index, arrival): (usize, &Arrival)| {
        let action = acts(&settings, &mut state, Nanos(arrival.at), Nanos(free_at), kind(index), draw(index));
        if action != Action::Drop {
            free_at = free_at.max(arrival.at) + u64::from(arrival.len) * per_byte;
        }
        (action, state.probability as f64 / ONE as f64)
    };
    arrivals.iter().enumerate().map(decide).unzip()
}

#[test]
fn with_the_same_draws_packets_fare_as_by_the_rfc() {
    for per_byte in [1_000, 80] {
        for (load, on, off) in [(1.05, 0, 0), (1.15, 0, 0), (2.0, 0, 0), (1.4, 600, 50)] {
            let arrivals = if on == 0 {
                poisson(7, load, per_byte, 200_000)
            } else {
                on_off(7, load, per_byte, 200_000, on * MILLI, off * MILLI)
            };
            let (theirs, base) = referred(per_byte, &arrivals);
            let (ours, our_base) = decided(per_byte, &arrivals);
            let worst = base.iter().zip(&our_base).map(|(left, right)| (left - right).abs()).fold(0.0, f64::max);
            let differ = differences(&theirs, &ours);
            assert!(
                differ == 0 && worst < 1e-6,
                "{load} times, {per_byte} ns a byte: {differ} differ, {worst:e} at most"
            );
            for action in [Action::Mark, Action::Drop] {
                assert!(ours.iter().filter(|own| **own == action).count() > 1_000, "{load} times: {action:?}");
            }
        }
    }
}

#[test]
fn classic_packets_are_dropped_by_the_square_and_scalable_ones_marked_by_twice_the_base() {
    let settings = Pi2Settings::default();
    let n = 200_000u64;
    for base in [0.001, 0.1, 0.3, 0.45] {
        let state = Pi2 {
            probability: (base * ONE as f64) as u64,
            delay_old: Nanos(15 * MILLI),
            next_update: Nanos(2 * SECOND),
        };
        let share = |ecn, action, expected: f64| {
            let hits = (0..n)
                .filter(|index| {
                    let draw = Source::of_link(9, 1, *index).draws().step;
                    acts(&settings, &mut state.clone(), Nanos(SECOND), Nanos(SECOND + 15 * MILLI), ecn, draw) == action
                })
                .count() as f64;
            let bound = Z_999 * (n as f64 * expected * (1.0 - expected)).sqrt() + 0.5;
            assert!((hits - n as f64 * expected).abs() <= bound, "{ecn:?} at {base}: {hits} of {n}");
        };
        share(Ecn::NotEct, Action::Drop, base * base);
        share(Ecn::Ect0, Action::Mark, base * base);
        share(Ecn::Ect1, Action::Mark, 2.0 * base);
        share(Ecn::Ce, Action::Mark, 2.0 * base);
    }
}

#[test]
fn under_overload_both_kinds_are_dropped_alike() {
    let settings = Pi2Settings::default();
    let state = Pi2 { probability: ONE / 2, delay_old: Nanos(15 * MILLI), next_update: Nanos(2 * SECOND) };
    let act = |ecn, draw| acts(&settings, &mut state.clone(), Nanos(SECOND), Nanos(SECOND + 15 * MILLI), ecn, draw);
    assert_eq!((state.classic(), state.scalable(&settings)), (Probability(1 << 30), Probability::ALWAYS));
    for ecn in [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce] {
        assert_eq!(act(ecn, (1 << 30) - 1), Action::Drop);
        assert_eq!(act(ecn, 1 << 30), if ecn.is_l4s() { Action::Mark } else { Action::Pass });
    }
}

#[test]
fn from_its_bound_the_longest_silence_leads_to_none() {
    let settings = Pi2Settings::default();
    let mut state = Pi2 { probability: ONE / 2, delay_old: Nanos::ZERO, next_update: Nanos(SECOND) };
    let _ = acts(&settings, &mut state, Nanos(SECOND + 256 * 15 * MILLI), Nanos::ZERO, Ecn::NotEct, 0);
    assert_eq!((state.probability, state.next_update), (0, Nanos(SECOND + 257 * 15 * MILLI)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_settings_state_and_times_give_an_answer(
        (target, update, alpha, beta, short, coupling) in any::<(u64, u64, u32, u32, u64, u32)>(),
        (probability, delay_old, next_update) in any::<(u64, u64, u64)>(),
        packets in prop::collection::vec(any::<(u64, u64, u8, u32)>(), 1..50),
    ) {
        let settings = Pi2Settings {
            gains: Gains { target: Nanos(target), update: Nanos(update), alpha, beta },
            short: Nanos(short),
            coupling,
            _reserved: 0,
        };
        let mut state = Pi2 { probability, delay_old: Nanos(delay_old), next_update: Nanos(next_update) };
        for (now, free_at, field, draw) in packets {
            let _ = acts(&settings, &mut state, Nanos(now), Nanos(free_at), Ecn::of(field), draw);
            prop_assert!(state.probability <= ONE.max(probability));
            prop_assert!(state.classic() <= Probability::ALWAYS && state.scalable(&settings) <= Probability::ALWAYS);
        }
    }
}
