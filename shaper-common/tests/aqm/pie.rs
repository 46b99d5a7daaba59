//! PIE against RFC 8033, with a timer and on a real queue.

use std::collections::VecDeque;

use proptest::prelude::*;
use shaper_common::aqm::control::{Gains, ONE};
use shaper_common::aqm::pie::{self, Pie, PieSettings};
use shaper_common::aqm::{Action, Ecn};
use shaper_common::rng::Source;
use shaper_common::units::{Nanos, Probability};

use crate::load::{Arrival, FULL, MEAN, MILLI, SECOND, assert_same_mean, differences, on_off, poisson, share};

/// Where what is short is a time.
fn acts(settings: &PieSettings, state: &mut Pie, now: Nanos, free_at: Nanos, ecn: Ecn, draw: u32) -> Action {
    let is_short = free_at.saturating_sub(now) <= settings.short;
    pie::acts(settings, state, now, free_at, is_short, ecn, draw)
}

/// A queue and the link that empties it, in nanoseconds.
#[derive(Default)]
pub(crate) struct Fifo {
    per_byte: f64,
    now: f64,
    /// How long each packet still needs.
    queue: VecDeque<f64>,
    /// And all of them.
    backlog: f64,
}

impl Fifo {
    pub(crate) fn new(per_byte: u64) -> Self {
        Self { per_byte: per_byte as f64, ..Self::default() }
    }

    /// Lets the link work until a moment.
    pub(crate) fn run_until(&mut self, now: f64) {
        let mut left = now - self.now;
        self.now = now;
        while let Some(service) = self.queue.front_mut() {
            let done = service.min(left);
            *service -= done;
            left -= done;
            self.backlog -= done;
            if *service > 0.0 {
                return;
            }
            self.queue.pop_front();
        }
    }

    pub(crate) fn enqueue(&mut self, len: u32) {
        let service = f64::from(len) * self.per_byte;
        self.queue.push_back(service);
        self.backlog += service;
    }

    /// In seconds.
    pub(crate) fn delay(&self) -> f64 {
        self.backlog / 1e9
    }
}

const QDELAY_REF: f64 = 0.015;
const T_UPDATE: f64 = 0.015;
const MAX_BURST: f64 = 0.15;

/// The RFC's `PIE`.
#[derive(Default)]
struct Reference {
    drop_prob: f64,
    qdelay_old: f64,
    burst_allowance: f64,
    accu_prob: f64,
    derandomise: bool,
}

impl Reference {
    fn calculate_drop_prob(&mut self, current_qdelay: f64) {
        let mut p = 0.125 * (current_qdelay - QDELAY_REF) + 1.25 * (current_qdelay - self.qdelay_old);
        p /= match self.drop_prob {
            p if p < 0.000_001 => 2_048.0,
            p if p < 0.000_01 => 512.0,
            p if p < 0.000_1 => 128.0,
            p if p < 0.001 => 32.0,
            p if p < 0.01 => 8.0,
            p if p < 0.1 => 2.0,
            _ => 1.0,
        };
        if self.drop_prob >= 0.1 && p > 0.02 {
            p = 0.02;
        }
        self.drop_prob += p;
        if current_qdelay == 0.0 && self.qdelay_old == 0.0 {
            self.drop_prob *= 1.0 - 1.0 / 64.0;
        }
        self.drop_prob = self.drop_prob.clamp(0.0, 1.0);
        self.qdelay_old = current_qdelay;
        self.burst_allowance = (self.burst_allowance - T_UPDATE).max(0.0);
        // Ten times 15 ms are 150 ms, which floating point does not quite say.
        if self.burst_allowance < 1e-9 {
            self.burst_allowance = 0.0;
        }
    }

    fn drops(&mut self, current_qdelay: f64, short: f64, u: f64) -> bool {
        if self.drop_prob == 0.0 && current_qdelay < QDELAY_REF / 2.0 && self.qdelay_old < QDELAY_REF / 2.0 {
            self.burst_allowance = MAX_BURST;
        }
        if self.burst_allowance > 0.0
            || (self.qdelay_old < QDELAY_REF / 2.0 && self.drop_prob < 0.2)
            || current_qdelay <= short
        {
            return false;
        }
        if !self.derandomise {
            return u < self.drop_prob;
        }
        if self.drop_prob == 0.0 {
            self.accu_prob = 0.0;
        }
        self.accu_prob += self.drop_prob;
        if self.accu_prob >= 8.5 || (self.accu_prob >= 0.85 && u < self.drop_prob) {
            self.accu_prob = 0.0;
            return true;
        }
        false
    }
}

fn draw(seed: u64, index: usize) -> u32 {
    Source::of_link(seed, 0xd0, index as u64).draws().jitter
}

fn settings(per_byte: u64, derandomise: bool) -> PieSettings {
    let short = (2.0 * MEAN * per_byte as f64) as u64;
    PieSettings { short: Nanos(short), derandomise: u32::from(derandomise), ..PieSettings::default() }
}

/// Which packets the RFC drops, and its probability at each.
fn referred(per_byte: u64, derandomise: bool, arrivals: &[Arrival], seed: u64) -> (Vec<bool>, Vec<f64>) {
    let mut pie = Reference { derandomise, ..Reference::default() };
    let mut fifo = Fifo::new(per_byte);
    let short = settings(per_byte, derandomise).short.0 as f64 / 1e9;
    let mut timer = arrivals[0].at as f64 + T_UPDATE * 1e9;
    let decide = |(index, arrival): (usize, &Arrival)| {
        while timer <= arrival.at as f64 {
            fifo.run_until(timer);
            pie.calculate_drop_prob(fifo.delay());
            timer += T_UPDATE * 1e9;
        }
        fifo.run_until(arrival.at as f64);
        let u = f64::from(draw(seed, index)) / 2f64.powi(32);
        let drops = pie.drops(fifo.delay(), short, u);
        if !drops {
            fifo.enqueue(arrival.len);
        }
        (drops, pie.drop_prob)
    };
    arrivals.iter().enumerate().map(decide).unzip()
}

/// Which packets the function drops, and its probability at each.
fn decided(per_byte: u64, derandomise: bool, arrivals: &[Arrival], seed: u64) -> (Vec<bool>, Vec<f64>) {
    let settings = settings(per_byte, derandomise);
    let mut state = Pie::default();
    let mut free_at = 0;
    let decide = |(index, arrival): (usize, &Arrival)| {
        let (now, free) = (Nanos(arrival.at), Nanos(free_at));
        let drops = acts(&settings, &mut state, now, free, Ecn::NotEct, draw(seed, index)) == Action::Drop;
        if !drops {
            free_at = free_at.max(arrival.at) + u64::from(arrival.len) * per_byte;
        }
        (drops, state.probability as f64 / ONE as f64)
    };
    arrivals.iter().enumerate().map(decide).unzip()
}

/// What is offered to a link: just above its rate, twice, ten times, and with pauses that last at most eight updates.
fn loads(per_byte: u64, seed: u64, count: u64) -> Vec<(&'static str, Vec<Arrival>)> {
    let pauses = on_off(seed, 2.5, per_byte, count, 600 * MILLI, 50 * MILLI);
    vec![
        ("just above the rate", poisson(seed, 1.05, per_byte, count)),
        ("twice the rate", poisson(seed, 2.0, per_byte, count)),
        ("ten times the rate", poisson(seed, 10.0, per_byte, count)),
        ("pauses", pauses),
    ]
}

#[test]
fn with_the_same_draws_packets_are_dropped_as_by_the_rfc() {
    for (per_byte, derandomise) in [(1_000, false), (1_000, true), (80, false), (80, true)] {
        for (what, arrivals) in loads(per_byte, 7, 300_000) {
            let (dropped, probability) = referred(per_byte, derandomise, &arrivals, 3);
            let (decided, decided_probability) = decided(per_byte, derandomise, &arrivals, 3);
            let worst = probability
                .iter()
                .zip(&decided_probability)
                .map(|(left, right)| (left - right).abs())
                .fold(0.0, f64::max);
            let differ = differences(&dropped, &decided);
            assert!(differ == 0 && worst < 1e-6, "{what}, {per_byte} ns a byte: {differ} differ, {worst:e} at most");
            let drops = dropped.iter().filter(|drops| **drops).count();
            assert!(drops > 1_000, "{what}: {drops} dropped");
        }
    }
}

#[test]
fn with_other_draws_as_many_packets_are_dropped() {
    // Fewer drops take more packets to tell a hundredth.
    for (load, count) in [120_000, 20_000, 20_000, 20_000].into_iter().enumerate() {
        let shares = |seed: u64| {
            let (_, arrivals) = loads(1_000, seed, count).swap_remove(load);
            let settled = |drops: Vec<bool>| share(&drops[drops.len() / 4..]);
            let ours = settled(decided(1_000, false, &arrivals, 2 * seed).0);
            (ours, settled(referred(1_000, false, &arrivals, 2 * seed + 1).0))
        };
        let pairs: Vec<(f64, f64)> = (100..160).map(shares).collect();
        assert_same_mean(&pairs, loads(1_000, 7, 1)[load].0);
    }
}

#[test]
fn a_long_silence_ends_as_by_all_its_updates() {
    // Probabilities of both after twice the rate for five seconds, and then nothing for so long.
    for pause in [10, 100, 200, 400, 800, 1_600, 3_200, 6_400] {
        let mut arrivals = poisson(7, 2.0, 1_000, 10_000);
        let last = arrivals[arrivals.len() - 1].at;
        arrivals.push(Arrival { at: last + pause * MILLI, len: FULL });
        let (_, theirs) = referred(1_000, false, &arrivals, 3);
        let (_, ours) = decided(1_000, false, &arrivals, 3);
        let (before, theirs, ours) = (theirs[theirs.len() - 2], theirs[theirs.len() - 1], ours[ours.len() - 1]);
        assert!(before > 0.3, "{before}");
        let bound = if pause <= 100 { 1e-6 } else { 0.02 };
        assert!((theirs - ours).abs() < bound, "after {pause} ms: {ours}, by the RFC {theirs}");
    }
}

#[test]
fn from_any_probability_the_longest_silence_leads_to_none() {
    let settings = PieSettings::default();
    let mut state = Pie { probability: ONE, next_update: Nanos(SECOND), ..Pie::default() };
    let _ = acts(&settings, &mut state, Nanos(SECOND + 256 * 15 * MILLI), Nanos::ZERO, Ecn::NotEct, 0);
    assert_eq!((state.probability, state.burst_allowance), (0, settings.max_burst));
    assert_eq!(state.next_update, Nanos(SECOND + 257 * 15 * MILLI));
}

#[test]
fn marks_stand_for_drops_up_to_their_threshold() {
    let settings = PieSettings { ecn_threshold: Probability((1 << 32) / 10), ..PieSettings::default() };
    let at = |probability: f64, ecn| {
        let mut state = Pie {
            probability: (probability * ONE as f64) as u64,
            delay_old: Nanos(15 * MILLI),
            next_update: Nanos(2 * SECOND),
            ..Pie::default()
        };
        acts(&settings, &mut state, Nanos(SECOND), Nanos(SECOND + 15 * MILLI), ecn, 0)
    };
    for ecn in [Ecn::Ect0, Ecn::Ect1, Ecn::Ce] {
        assert_eq!((at(0.09, ecn), at(0.11, ecn)), (Action::Mark, Action::Drop));
    }
    assert_eq!((at(0.09, Ecn::NotEct), at(0.0, Ecn::NotEct)), (Action::Drop, Action::Pass));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_settings_state_and_times_give_an_answer(
        (target, update, alpha, beta) in any::<(u64, u64, u32, u32)>(),
        (max_burst, short, ecn_threshold, derandomise) in any::<(u64, u64, u64, u32)>(),
        (probability, delay_old, next_update, burst_allowance, expected) in any::<(u64, u64, u64, u64, u64)>(),
        packets in prop::collection::vec(any::<(u64, u64, u32)>(), 1..50),
    ) {
        let settings = PieSettings {
            gains: Gains { target: Nanos(target), update: Nanos(update), alpha, beta },
            max_burst: Nanos(max_burst),
            short: Nanos(short),
            ecn_threshold: Probability(ecn_threshold),
            derandomise,
            _reserved: 0,
        };
        let mut state = Pie {
            probability,
            delay_old: Nanos(delay_old),
            next_update: Nanos(next_update),
            burst_allowance: Nanos(burst_allowance),
            expected,
        };
        for (now, free_at, draw) in packets {
            let _ = acts(&settings, &mut state, Nanos(now), Nanos(free_at), Ecn::NotEct, draw);
            prop_assert!(state.probability <= ONE.max(probability));
        }
    }

    #[test]
    fn at_times_in_order_the_probability_stays_one_and_the_next_update_ahead(
        packets in prop::collection::vec((0u64..4 * SECOND, 0u64..2 * SECOND, any::<u32>()), 1..300),
    ) {
        let settings = settings(1_000, true);
        let mut state = Pie::default();
        let mut now = SECOND;
        for (gap, backlog, draw) in packets {
            now += gap;
            let _ = acts(&settings, &mut state, Nanos(now), Nanos(now + backlog), Ecn::Ect0, draw);
            prop_assert!(state.probability <= ONE && state.expected < ONE / 2 * 19);
            let next = state.next_update.0;
            prop_assert!(next > now && next <= now + 15 * MILLI && state.burst_allowance <= settings.max_burst);
        }
    }
}
