//! Chances: their share is kept whatever the correlation, and that is what was asked for at every distance.

use shaper_common::chance::Chance;
use shaper_common::duplicate::Duplicate;
use shaper_common::layout::Params;
use shaper_common::units::Probability;

use crate::link::{Link, MILLI, MILLION, probability, steady};
use crate::statistics::{Z_999, assert_geometric, assert_share, runs};

/// Seed, share and correlation.
const CASES: [(u64, f64, f64); 5] = [(1, 0.05, 0.0), (2, 0.05, 0.25), (3, 0.01, 0.9), (5, 0.5, 0.5), (7, 0.4, -0.3)];

/// A chance with this share of yes and this correlation between neighbours.
fn chance(share: f64, correlation: f64) -> Chance {
    let (after_no, after_yes) = (share * (1.0 - correlation), share + correlation * (1.0 - share));
    Chance::new(probability(share), probability(after_no), probability(after_yes))
}

fn copied(seed: u64, chance: Chance) -> Params {
    Params { seed, stream: 3, duplicate: Duplicate { chance, copies: 1, ..Duplicate::default() }, ..Params::default() }
}

/// Which of so many packets have a copy.
fn answers(params: Params, count: usize) -> Vec<bool> {
    let mut link = Link::new(params);
    steady(MILLI, count).map(|packet| link.decide(&packet).copies == 1).collect()
}

#[test]
fn the_share_is_kept_whatever_the_correlation() {
    for (seed, share, correlation) in CASES {
        let answers = answers(copied(seed, chance(share, correlation)), MILLION);
        // The sum of all correlations, c^k on both sides.
        let inflation = (1.0 + correlation) / (1.0 - correlation);
        let hits = answers.iter().filter(|yes| **yes).count();
        assert_share(hits, answers.len(), share, inflation, &format!("share {share}, correlation {correlation}"));
    }
}

#[test]
fn runs_of_yes_and_of_no_are_geometric() {
    for (seed, share, correlation) in CASES {
        let answers = answers(copied(seed + 100, chance(share, correlation)), MILLION);
        let what = format!("share {share}, correlation {correlation}");
        let (after_no, after_yes) = (share * (1.0 - correlation), share + correlation * (1.0 - share));
        assert_geometric(&runs(&answers, true), 1.0 - after_yes, &format!("{what}: yes"));
        assert_geometric(&runs(&answers, false), after_no, &format!("{what}: no"));
    }
}

/// Every k-th answer is a chain too, whose correlation is c^k: of the answers behind a yes, and of those behind a no, each
/// is yes on its own.
#[test]
fn the_correlation_over_k_packets_is_its_kth_power() {
    for (seed, share, correlation) in CASES {
        let answers = answers(copied(seed + 200, chance(share, correlation)), MILLION);
        for lag in 1..=5 {
            let every: Vec<bool> = answers.iter().copied().step_by(lag).collect();
            let (mut behind, mut yes) = ([0f64; 2], [0f64; 2]);
            for pair in every.windows(2) {
                behind[usize::from(pair[0])] += 1.0;
                yes[usize::from(pair[0])] += f64::from(u8::from(pair[1]));
            }
            let of = [0, 1].map(|last| yes[last] / behind[last]);
            let variance: f64 = [0, 1].map(|last| of[last] * (1.0 - of[last]) / behind[last]).iter().sum();
            let (seen, expected) = (of[1] - of[0], correlation.powi(lag as i32));
            let bound = Z_999 * variance.sqrt();
            let what = format!("share {share}, correlation {correlation}, lag {lag}");
            assert!((seen - expected).abs() < bound, "{what}: {seen}, {expected} expected, {bound:e} allowed");
        }
    }
}

#[test]
fn the_first_answer_is_one_of_many() {
    let chance = chance(0.2, 0.9);
    let first = (0..20_000).filter(|seed| answers(copied(*seed, chance), 1)[0]).count();
    assert_share(first, 20_000, 0.2, 1.0, "first packets");
}

#[test]
fn never_and_always_are_exact() {
    for (probability, copies) in [(Probability::NEVER, false), (Probability::ALWAYS, true)] {
        let answers = answers(copied(7, Chance::independent(probability)), MILLION / 10);
        assert!(answers.iter().all(|yes| *yes == copies));
    }
}

#[test]
fn what_is_lost_does_not_shift_later_answers() {
    let params = copied(7, chance(0.3, 0.6));
    let whole = answers(params, 100_000);
    let lossy = answers(Params { loss: probability(0.5), ..params }, 100_000);
    assert!(whole.iter().zip(&lossy).all(|(whole, lossy)| *whole || !lossy), "a copy that was not chosen");
    // Half of the copied ones, each on its own.
    let chosen = whole.iter().filter(|yes| **yes).count();
    assert_share(lossy.iter().filter(|yes| **yes).count(), chosen, 0.5, 1.0, "copies of what is not lost");
}
