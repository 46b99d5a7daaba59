//! Loss: chains and patterns, bursts that are cut, loss behind the bottleneck, and marks instead of losses.

use shaper_common::delay::Jitter;
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, flags};
use shaper_common::loss::Chain;
use shaper_common::pipeline::Packet;
use shaper_common::police::PolicerSettings;
use shaper_common::units::{BitsPerSec, Nanos};

use crate::link::{Link, MILLI, MILLION, irregular, packet, probability, steady};
use crate::statistics::{Z_999, assert_counts, assert_geometric, assert_share, histogram, runs};

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

fn chained(seed: u64, chain: Chain) -> Params {
    Params { seed, stream: 3, chain, has_chain: 1, ..Params::default() }
}

/// Which of so many packets the link loses, one each microsecond.
fn lost_by(mut link: Link, count: usize) -> Vec<bool> {
    (1..=count as u64).map(|index| link.decide(&packet(1_000 * index, 200)).cause == Cause::Loss).collect()
}

/// Which of so many packets are lost by a chain.
fn lost(seed: u64, chain: Chain, count: usize) -> Vec<bool> {
    lost_by(Link::new(chained(seed, chain)), count)
}

#[test]
fn the_simple_gilbert_model_has_its_ratio_and_geometric_bursts_and_gaps() {
    for (seed, p, r) in [(1, 0.01, 0.3), (7, 0.0025, 0.1), (11, 0.2, 0.5), (13, 0.05, 0.95)] {
        let lost = lost(seed, gilbert_elliott(p, r, 1.0, 0.0), MILLION);
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
        let lost = lost(seed, gilbert_elliott(p, r, 1.0, 0.0), MILLION);
        let inflation = (1.0 + rho) / (1.0 - rho);
        assert_share(lost.iter().filter(|lost| **lost).count(), MILLION, ratio, inflation, "ratio");
        // Of those behind a lost one, so many are lost: ratio + rho (1 - ratio), each on its own.
        let behind = lost.windows(2).filter(|pair| pair[0]).count();
        let both = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
        assert_share(both, behind, ratio + rho * (1.0 - ratio), 1.0, "neighbours");
    }
}

/// The shares of run lengths of losses, from one on, and of all those longer than the last; a chain that goes from state to
/// state by `step` and loses with `lose` in each. What a run begins with follows a packet that came through.
fn run_lengths<const N: usize>(step: [[f64; N]; N], lose: [f64; N], longest: usize) -> Vec<f64> {
    let next = |from: [f64; N]| -> [f64; N] {
        std::array::from_fn(|to| from.iter().zip(step).map(|(share, row)| share * row[to]).sum())
    };
    let mut share = [1.0 / N as f64; N];
    for _ in 0..100_000 {
        share = next(share);
    }
    let through = std::array::from_fn(|state| share[state] * (1.0 - lose[state]));
    let goes_on = |from| {
        let next = next(from);
        std::array::from_fn(|state| next[state] * lose[state])
    };
    let mut lost: [f64; N] = goes_on(through);
    let all: f64 = lost.iter().sum();
    let mut shares = Vec::new();
    for _ in 0..longest {
        let before: f64 = lost.iter().sum();
        lost = goes_on(lost);
        shares.push((before - lost.iter().sum::<f64>()) / all);
    }
    shares.push(lost.iter().sum::<f64>() / all);
    shares
}

/// Holds the lengths of runs of losses against those shares, of every so manieth run: those between let the chain forget.
fn assert_run_lengths(lost: &[bool], every: usize, shares: &[f64], what: &str) {
    let mut seen = vec![0; shares.len()];
    for length in runs(lost, true).into_iter().step_by(every) {
        seen[(length as usize - 1).min(shares.len() - 1)] += 1;
    }
    assert_counts(&seen, shares, what);
}

#[test]
fn gilbert_elliott_loses_in_both_states() {
    let (p, r, bad, good) = (0.02, 0.08, 0.7, 0.01);
    let lost = lost(7, gilbert_elliott(p, r, bad, good), MILLION);
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
    let shares = run_lengths([[1.0 - p, p], [r, 1.0 - r]], [good, bad], 7);
    assert_run_lengths(&lost, 20, &shares, "lengths of bursts");
}

#[test]
fn four_states_keep_the_balance_of_their_flows() {
    let (chain, share) = four_states(0.01, 0.5, 0.1, 0.3, 0.005);
    let lost = lost(7, chain, MILLION);
    let count = lost.iter().filter(|lost| **lost).count();
    // Bursts are left after 1 / (p31 + p32) packets in the mean: twice that is more than any memory.
    assert_share(count, MILLION, share[2] + share[3], 2.0 / 0.6, "ratio");
    let [p13, p31, p32, p23, p14] = [0.01, 0.5, 0.1, 0.3, 0.005];
    let step = [
        [1.0 - p13 - p14, 0.0, p13, p14],
        [0.0, 1.0 - p23, p23, 0.0],
        [p31, p32, 1.0 - p31 - p32, 0.0],
        [1.0, 0.0, 0.0, 0.0],
    ];
    assert_run_lengths(&lost, 3, &run_lengths(step, [0.0, 0.0, 1.0, 1.0], 6), "lengths of bursts");
}

#[test]
fn the_first_packet_is_one_of_many() {
    let chain = gilbert_elliott(0.01, 0.1, 1.0, 0.0);
    let first = (0..20_000).filter(|seed| lost(*seed, chain, 1)[0]).count();
    assert_share(first, 20_000, 1.0 / 11.0, 1.0, "first packets");
}

/// A packet that the outage takes has the index that it would have had, and the chain its step.
#[test]
fn an_outage_does_not_shift_later_losses() {
    let chain = gilbert_elliott(0.05, 0.2, 1.0, 0.0);
    let with = lost_by(Link::with_outages(chained(7, chain), &[(100_000, 300_000)]), 2_000);
    let without = lost(7, chain, 2_000);
    assert!(with[99..299].iter().all(|lost| !lost), "the outage is the cause there");
    assert_eq!((&with[..99], &with[300..]), (&without[..99], &without[300..]));
    assert!(without[100..299].iter().any(|lost| *lost));
}

#[test]
fn patterns_repeat_by_index() {
    let decided =
        |period, pattern: u64| lost_by(Link::new(Params { seed: 7, period, pattern, ..Params::default() }), 1_000);
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

/// The probability that ends a burst cut at `longest` so that its mean is `mean`: `1 + (1-r) + ... + (1-r)^(longest-1)`
/// falls as `r` rises.
fn end_of_cut(mean: f64, longest: u32) -> f64 {
    let (mut low, mut high) = (0f64, 1f64);
    for _ in 0..60 {
        let r = f64::midpoint(low, high);
        let cut: f64 = (0..longest).map(|k| (1.0 - r).powi(k as i32)).sum();
        if cut > mean {
            low = r;
        } else {
            high = r;
        }
    }
    high
}

#[test]
fn cut_bursts_keep_ratio_and_mean_and_their_lengths_are_truncated_geometric() {
    for (seed, ratio, mean, longest) in [(1, 0.05, 3.0, 10), (2, 0.05, 3.0, 4), (3, 0.4, 2.5, 3), (5, 0.01, 1.0, 1)] {
        let what = format!("{ratio} burst {mean} max {longest}");
        let r = end_of_cut(mean, longest);
        let p = ratio / ((1.0 - ratio) * mean);
        let lost = lost(seed, Chain { longest, ..gilbert_elliott(p, r, 1.0, 0.0) }, MILLION);
        // Each length with the share that ends there; all that would be longer end at the longest.
        let longer = |than: u32| (1.0 - r).powi(than as i32);
        let shares: Vec<f64> =
            (1..=longest).map(|k| if k < longest { r * longer(k - 1) } else { longer(k - 1) }).collect();
        let bursts = runs(&lost, true);
        assert!(bursts.iter().all(|length| *length <= longest.into()), "{what}: a longer burst");
        let mut seen = histogram(bursts.iter().copied());
        seen.resize(longest as usize + 1, 0);
        if longest > 1 {
            assert_counts(&seen[1..], &shares, &format!("{what}: bursts"));
        }
        assert_geometric(&runs(&lost, false), p, &format!("{what}: gaps"));
        let square: f64 = shares.iter().zip(1..).map(|(share, k)| share * f64::from(k * k)).sum();
        let variance = square - mean * mean;
        let n = bursts.len() as f64;
        let seen = bursts.iter().sum::<u64>() as f64 / n;
        assert!((seen - mean).abs() <= Z_999 * (variance / n).sqrt() + 1e-9, "{what}: bursts of {seen} packets");
        // The variance of the losses of alternating runs (Cox, "Renewal theory", 1962).
        let spread = (1.0 - ratio).powi(2) * variance + ratio.powi(2) * (1.0 - p) / p.powi(2);
        let inflation = spread / (mean + 1.0 / p) / (ratio * (1.0 - ratio));
        assert_share(lost.iter().filter(|lost| **lost).count(), MILLION, ratio, inflation, &what);
    }
}

/// What is lost behind the bottleneck takes its time, before it does not.
#[test]
fn loss_behind_the_bottleneck_takes_its_time() {
    let whole = Params {
        seed: 7,
        rate: BitsPerSec(10_000_019),
        queue: Nanos(6 * MILLI),
        delay: Nanos(5 * MILLI),
        jitter: Nanos(3 * MILLI),
        jitter_kind: Jitter::Uniform as u32,
        policer: PolicerSettings { rate: BitsPerSec(9_500_000), burst: Nanos(30 * MILLI) },
        ..Params::default()
    };
    let lossy = Params { loss: probability(0.2), ..whole };
    let mut links = [whole, lossy, Params { flags: flags::LOSS_BEHIND, ..lossy }].map(Link::new);
    let (mut behind_lost, mut differ) = (0, 0);
    for packet in irregular(1, 650_000, 200_000) {
        let [whole, before, behind] = links.each_mut().map(|link| link.decide(&packet));
        // Which packets are lost does not hang on where; the queue of all packets may drop one first.
        if before.cause == Cause::Loss && whole.cause == Cause::None {
            assert_eq!((behind.cause, behind.served, behind.release), (Cause::Loss, 1, Nanos::ZERO));
            behind_lost += 1;
        } else {
            assert_eq!(behind, whole);
        }
        assert_eq!(before.served, u32::from(before.cause == Cause::None));
        differ += u32::from(before.cause == Cause::None && before.release != behind.release);
    }
    let [whole, _, behind] = &links;
    assert_eq!(whole.bottleneck(), behind.bottleneck());
    assert_eq!((whole.counts().queue, whole.counts().policer), (behind.counts().queue, behind.counts().policer));
    assert!(whole.counts().queue > 1_000 && whole.counts().policer > 1_000 && behind_lost > 10_000 && differ > 10_000);
}

/// Marked is exactly what would have been lost and can be marked; what cannot is lost all the same.
#[test]
fn marks_take_the_place_of_losses() {
    let models = [
        Params { seed: 7, loss: probability(0.1), ..Params::default() },
        chained(11, gilbert_elliott(0.05, 0.2, 1.0, 0.0)),
        Params { seed: 13, period: 10, pattern: 0b10_0001_0100, ..Params::default() },
        Params { seed: 17, loss: probability(0.1), flags: flags::LOSS_BEHIND, ..Params::default() },
    ];
    for (number, model) in models.into_iter().enumerate() {
        let (mut dropping, mut marking) =
            (Link::new(model), Link::new(Params { flags: model.flags | flags::ECN, ..model }));
        let mut lost = [0; 4];
        for (packet, codepoint) in steady(MILLI, 100_000).zip([0, 1, 3, 2].into_iter().cycle()) {
            let packet = Packet { ecn: codepoint, ..packet };
            let (dropped, marked) = (dropping.decide(&packet), marking.decide(&packet));
            assert!(!dropped.marked);
            let is_lost = dropped.cause == Cause::Loss;
            lost[usize::from(codepoint)] += u64::from(is_lost);
            assert_eq!(marked.marked, is_lost && codepoint != 0);
            assert_eq!(marked.cause == Cause::Loss, is_lost && codepoint == 0);
            assert!(marked.cause != Cause::None || marked.release == packet.now);
        }
        assert!(lost.iter().all(|lost| *lost > 1_000), "model {number}: {lost:?}");
        assert_eq!((marking.counts().loss, marking.counts().marked), (lost[0], lost[1..].iter().sum()));
        assert_eq!(dropping.counts().marked, 0);
    }
}
