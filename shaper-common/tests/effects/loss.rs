//! Chains of losses against their mathematics: a million fates of fixed seeds, judged at 99.9 %.

use shaper_common::fate::{Cause, Fate};
use shaper_common::layout::{Params, State, features};
use shaper_common::loss::Chain;
use shaper_common::outage::{Schedule, Window};
use shaper_common::pipeline::{self, Packet, Settings};
use shaper_common::units::{Nanos, Probability};

const MILLION: usize = 1_000_000;
/// Two-sided 99.9 % quantile of the standard normal distribution.
const Z_999: f64 = 3.290_527;

/// The decision by itself, with nothing remembered beside the state.
fn decide(params: &Params, schedule: &Schedule, state: &mut State, packet: &Packet) -> Fate {
    pipeline::decide(features::ALL, &Settings { params, schedule, quantiles: None }, state, packet);
    state.work.fate.into()
}

fn probability(of: f64) -> Probability {
    Probability((of * 2f64.powi(32)).round() as u64)
}

/// A good state and a bad one, with the shares p/(p+r) of Gilbert-Elliott.
fn gilbert_elliott(p: f64, r: f64, bad: f64, good: f64) -> Chain {
    Chain {
        lose: [good, bad, 0.0, 0.0].map(probability),
        leave: [[p, p], [r, r], [0.0; 2], [0.0; 2]].map(|leave| leave.map(probability)),
        to: [[1, 0], [0, 0], [0, 0], [0, 0]],
        first: [r / (p + r), 1.0, 1.0].map(probability),
        ..Chain::default()
    }
}

/// netem's four states; the shares follow from the balance of flows.
fn four_states(p13: f64, p31: f64, p32: f64, p23: f64, p14: f64) -> (Chain, [f64; 4]) {
    let weights = [1.0, p13 / p31 * p32 / p23, p13 / p31, p14];
    let share = weights.map(|weight| weight / weights.iter().sum::<f64>());
    let chain = Chain {
        lose: [0.0, 0.0, 1.0, 1.0].map(probability),
        leave: [[p13, p13 + p14], [p23, p23], [p31, p31 + p32], [1.0, 1.0]].map(|leave| leave.map(probability)),
        to: [[2, 3], [2, 0], [0, 1], [0, 0]],
        first: [share[0], share[0] + share[1], share[0] + share[1] + share[2]].map(probability),
        ..Chain::default()
    };
    (chain, share)
}

/// Which of so many packets the link loses.
fn lost(seed: u64, chain: Chain, schedule: &Schedule, count: usize) -> Vec<bool> {
    let has_outages = u32::from(schedule.windows[0] != Window::NEVER);
    let params = Params { seed, stream: 3, chain, has_chain: 1, has_outages, ..Params::default() };
    let mut state = State::default();
    let packet = |index: usize| Packet { now: Nanos(1_000 * (index as u64 + 1)), len: 200, ..Packet::default() };
    (0..count).map(|index| decide(&params, schedule, &mut state, &packet(index)).cause == Cause::Loss).collect()
}

/// Lengths of runs of `what`, the first and the last left out, which may have been longer.
fn runs(of: &[bool], what: bool) -> Vec<u64> {
    let mut lengths: Vec<u64> = Vec::new();
    let mut length = 0;
    for one in of {
        if *one == what {
            length += 1;
        } else if length > 0 {
            lengths.push(length);
            length = 0;
        }
    }
    lengths.remove(0);
    lengths
}

/// The chi-square statistic's 99.9 % quantile (Wilson and Hilferty, 1931).
fn chi_square_999(freedom: f64) -> f64 {
    let z = 3.090_232;
    let cut = 2.0 / (9.0 * freedom);
    freedom * (1.0 - cut + z * cut.sqrt()).powi(3)
}

/// Holds lengths against a geometric distribution that ends with probability `end` after each packet.
fn assert_geometric(lengths: &[u64], end: f64, what: &str) {
    let n = lengths.len() as f64;
    // Cells of one length each, as long as five are expected; all longer ones are the last.
    let cells = (1..).take_while(|length| n * end * (1.0 - end).powi(length - 1) >= 5.0).count();
    assert!(cells >= 3, "{what}: {n} runs make {cells} cells");
    let mut statistic = 0.0;
    for cell in 1..=cells as u64 {
        let seen = lengths.iter().filter(|length| **length == cell).count() as f64;
        let expected = n * end * (1.0 - end).powi(cell as i32 - 1);
        statistic += (seen - expected).powi(2) / expected;
    }
    let longer = lengths.iter().filter(|length| **length > cells as u64).count() as f64;
    let expected = n * (1.0 - end).powi(cells as i32);
    let mut freedom = cells as f64;
    if expected >= 5.0 {
        statistic += (longer - expected).powi(2) / expected;
    } else {
        freedom -= 1.0;
    }
    let limit = chi_square_999(freedom.max(1.0));
    assert!(statistic < limit, "{what}: chi-square {statistic:.1} of {n} runs, {limit:.1} allowed");
}

/// Holds a share of packets against its probability, where the variance is so many times that of independent ones.
fn assert_share(hits: usize, of: usize, share: f64, inflation: f64, what: &str) {
    let n = of as f64;
    let bound = Z_999 * (n * share * (1.0 - share) * inflation).sqrt() + 0.5;
    let off = (hits as f64 - n * share).abs();
    assert!(off <= bound, "{what}: {hits} of {of}, expected {share}, off by {off:.0}, allowed {bound:.0}");
}

#[test]
fn the_simple_gilbert_model_has_its_ratio_and_geometric_bursts_and_gaps() {
    for (seed, p, r) in [(1, 0.01, 0.3), (7, 0.0025, 0.1), (11, 0.2, 0.5), (13, 0.05, 0.95)] {
        let lost = lost(seed, gilbert_elliott(p, r, 1.0, 0.0), &Schedule::EMPTY, MILLION);
        let rho: f64 = 1.0 - p - r;
        let what = format!("p {p}, r {r}");
        let count = lost.iter().filter(|lost| **lost).count();
        assert_share(count, MILLION, p / (p + r), (1.0 + rho) / (1.0 - rho), &what);
        assert_geometric(&runs(&lost, true), r, &format!("{what}: bursts"));
        let gaps = runs(&lost, false);
        let mean = gaps.iter().sum::<u64>() as f64 / gaps.len() as f64;
        let bound = Z_999 * ((1.0 - p) / p.powi(2) / gaps.len() as f64).sqrt();
        assert!((mean - 1.0 / p).abs() < bound, "{what}: gaps of {mean} packets, 1 / {p} expected");
    }
}

#[test]
fn neighbours_have_the_stated_correlation_and_the_ratio_is_kept() {
    for (seed, ratio, rho) in [(2, 0.05, 0.25), (3, 0.01, 0.9), (5, 0.5, 0.5)] {
        let (p, r) = (ratio * (1.0 - rho), (1.0 - ratio) * (1.0 - rho));
        let lost = lost(seed, gilbert_elliott(p, r, 1.0, 0.0), &Schedule::EMPTY, MILLION);
        let inflation = (1.0 + rho) / (1.0 - rho);
        assert_share(lost.iter().filter(|lost| **lost).count(), MILLION, ratio, inflation, "ratio");
        // Of those behind a lost one, so many are lost: ratio + rho (1 - ratio), each on its own.
        let behind = lost.windows(2).filter(|pair| pair[0]).count();
        let both = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
        assert_share(both, behind, ratio + rho * (1.0 - ratio), 1.0, "neighbours");
    }
}

#[test]
fn gilbert_elliott_loses_in_both_states() {
    let (p, r, bad, good) = (0.02, 0.08, 0.7, 0.01);
    let lost = lost(7, gilbert_elliott(p, r, bad, good), &Schedule::EMPTY, MILLION);
    let ratio = (r * good + p * bad) / (p + r);
    // Correlation at distance k is that of the state times the share of the variance that the state explains.
    let rho: f64 = 1.0 - p - r;
    let explained = (bad - good).powi(2) * (p * r) / (p + r).powi(2) / (ratio * (1.0 - ratio));
    let inflation = 1.0 + 2.0 * explained * rho / (1.0 - rho);
    assert_share(lost.iter().filter(|lost| **lost).count(), MILLION, ratio, inflation, "ratio");
    let behind = lost.windows(2).filter(|pair| pair[0]).count();
    let both = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
    // Pairs overlap, so that neighbouring ones hang together too: twice the width covers it.
    assert_share(both, behind, ratio + explained * rho * (1.0 - ratio), 2.0 * inflation, "neighbours");
}

#[test]
fn four_states_keep_the_balance_of_their_flows() {
    let (chain, share) = four_states(0.01, 0.5, 0.1, 0.3, 0.005);
    let lost = lost(7, chain, &Schedule::EMPTY, MILLION);
    let count = lost.iter().filter(|lost| **lost).count();
    // Bursts are left after 1 / (p31 + p32) packets in the mean: twice that is more than any memory.
    assert_share(count, MILLION, share[2] + share[3], 2.0 / 0.6, "ratio");
    // A single loss ends at once, a burst with p31 + p32: their mixture, by how often each begins.
    let (single, burst) = (share[0] * 0.005, share[0] * 0.01 + share[1] * 0.3);
    let lengths = runs(&lost, true);
    let mean = lengths.iter().sum::<u64>() as f64 / lengths.len() as f64;
    let expected = (single + burst / 0.6) / (single + burst);
    let bound = Z_999 * (2.0 / lengths.len() as f64).sqrt();
    assert!((mean - expected).abs() < bound, "bursts of {mean} packets, {expected} expected");
}

#[test]
fn the_first_packet_is_one_of_many() {
    let chain = gilbert_elliott(0.01, 0.1, 1.0, 0.0);
    let first = (0..20_000).filter(|seed| lost(*seed, chain, &Schedule::EMPTY, 1)[0]).count();
    assert_share(first, 20_000, 1.0 / 11.0, 1.0, "first packets");
}

/// A packet that the outage takes has the index that it would have had, and the chain its step.
#[test]
fn an_outage_does_not_shift_later_losses() {
    let chain = gilbert_elliott(0.05, 0.2, 1.0, 0.0);
    let mut schedule = Schedule::EMPTY;
    schedule.windows[0] = Window { start: Nanos(100_000), end: Nanos(300_000) };
    let (with, without) = (lost(7, chain, &schedule, 2_000), lost(7, chain, &Schedule::EMPTY, 2_000));
    assert!(with[99..299].iter().all(|lost| !lost), "the outage is the cause there");
    assert_eq!((&with[..99], &with[300..]), (&without[..99], &without[300..]));
    assert!(without[100..299].iter().any(|lost| *lost));
}

#[test]
fn patterns_repeat_by_index() {
    let decided = |period, pattern: u64| {
        let params = Params { seed: 7, period, pattern, ..Params::default() };
        let mut state = State::default();
        let packet = Packet { now: Nanos(1), len: 200, ..Packet::default() };
        let lost = (0..1_000).map(|_| decide(&params, &Schedule::EMPTY, &mut state, &packet).cause == Cause::Loss);
        lost.collect::<Vec<_>>()
    };
    for (index, lost) in decided(5, 0b10110).into_iter().enumerate() {
        assert_eq!(lost, [false, true, true, false, true][index % 5], "packet {index}");
    }
    for (index, lost) in decided(64, 1 << 63).into_iter().enumerate() {
        assert_eq!(lost, index % 64 == 63, "packet {index}");
    }
    // Beyond a pattern it is the last of the period, whatever the bits say.
    for (index, lost) in decided(100, u64::MAX).into_iter().enumerate() {
        assert_eq!(lost, index % 100 == 99, "packet {index}");
    }
}
