//! Draws: those of one packet, of neighbouring ones, of link and flow do not depend on each other.

use shaper_common::chance::Chance;
use shaper_common::corrupt::{ANYWHERE, Corrupt};
use shaper_common::duplicate::Duplicate;
use shaper_common::fate::Cause;
use shaper_common::layout::Params;
use shaper_common::reorder::Reorder;
use shaper_common::rng::Source;
use shaper_common::units::Nanos;

use crate::link::{Link, MILLI, MILLION, probability, steady};
use crate::statistics::{Z_999, assert_independent};

const COUNT: usize = MILLION / 5;

/// By purpose, the draws of packets from a source, as uniform numbers around zero.
fn purposes(source: impl Fn(u64) -> Source) -> Vec<Vec<f64>> {
    let mut of = vec![Vec::new(); 11];
    for index in 0..COUNT as u64 {
        let source = source(index);
        let (draws, choices, details) = (source.draws(), source.choices(), source.details());
        let all = [
            [draws.loss, draws.jitter, draws.step, draws.first].as_slice(),
            &[choices.duplicate, choices.corrupt, choices.reorder, choices.slot],
            &[details.place, details.what, details.queue],
        ]
        .concat();
        for (of, draw) in of.iter_mut().zip(all) {
            of.push((f64::from(draw) + 0.5) / 2f64.powi(32) - 0.5);
        }
    }
    of
}

/// The variance of a uniform on [-1/2, 1/2] is 1/12.
fn correlation(left: &[f64], right: &[f64]) -> f64 {
    let products: f64 = left.iter().zip(right).map(|(left, right)| left * right).sum();
    12.0 * products / left.len().min(right.len()) as f64
}

/// The bound for each of so many correlations, so that all together pass at 99.9 %: `2 exp(-z^2/2) / (z sqrt(2 pi))` is a
/// bound for the two tails beyond `z` (Mills).
fn bound(of: usize) -> f64 {
    let tails = |z: f64| 2.0 * (-0.5 * z * z).exp() / (z * (2.0 * std::f64::consts::PI).sqrt());
    let z = (0..).map(|step| Z_999 + 0.01 * f64::from(step)).find(|z| tails(*z) * of as f64 <= 0.001);
    z.unwrap() / (COUNT as f64).sqrt()
}

#[test]
fn no_purpose_is_correlated_with_another_nor_with_a_neighbours() {
    let link = purposes(|index| Source::of_link(7, 3, index));
    let flow = purposes(|index| Source::of_flow(7, 3, 0x1234_5678, index));
    for (draws, what) in [(&link, "link"), (&flow, "flow")] {
        let bound = bound(11 * 10 / 2 + 2 * 11 * 11);
        for (one, left) in draws.iter().enumerate() {
            for (other, right) in draws.iter().enumerate() {
                for lag in 0..3 {
                    let seen = correlation(left, &right[lag..]);
                    let is_same = one == other && lag == 0;
                    assert!(is_same || seen.abs() < bound, "{what}: {one} and {other}, lag {lag}: {seen:e}");
                }
            }
        }
    }
}

#[test]
fn the_draws_of_link_and_flows_are_not_correlated() {
    let sources: [fn(u64) -> Source; 5] = [
        |index| Source::of_link(7, 3, index),
        |index| Source::of_flow(7, 3, 0, index),
        |index| Source::of_flow(7, 3, 1, index),
        |index| Source::of_flow(7, 4, 0, index),
        // The upper half of an index is where a flow's hash is.
        |index| Source::of_link(7, 3, (1 << 32) | index),
    ];
    let of = sources.map(purposes);
    let bound = bound(11 * 10);
    for (one, left) in of.iter().enumerate() {
        for (other, right) in of.iter().enumerate().skip(one + 1) {
            for (purpose, (left, right)) in left.iter().zip(right).enumerate() {
                let seen = correlation(left, right);
                assert!(seen.abs() < bound, "sources {one} and {other}, purpose {purpose}: {seen:e}");
            }
        }
    }
}

/// Correlated chances hang on their own past alone: seen so far apart that this is forgotten, all are independent.
#[test]
fn loss_copies_damage_and_overtaking_are_chosen_independently() {
    let chance = Chance::new(probability(0.4), probability(0.2), probability(0.7));
    let params = Params {
        seed: 7,
        delay: Nanos(MILLI),
        duplicate: Duplicate { chance, copies: 1, ..Duplicate::default() },
        corrupt: Corrupt { chance, at: ANYWHERE, bits: 1, ..Corrupt::default() },
        reorder: Reorder { chance, ..Reorder::default() },
        ..Params::default()
    };
    let mut link = Link::new(params);
    // Told by another link, for what is lost has no other fate.
    let mut lossy = Link::new(Params { seed: 7, loss: probability(0.3), ..Params::default() });
    // What is chosen in one way against each combination of the others.
    let mut tables = [[[0; 2]; 8]; 4];
    for (index, packet) in steady(MILLI, MILLION / 2).enumerate() {
        let fate = link.decide(&packet);
        let lost = lossy.decide(&packet).cause == Cause::Loss;
        if index % 20 == 0 {
            let chosen = [fate.copies != 0, !fate.damage.is_none(), fate.release == packet.now, lost].map(usize::from);
            for (one, table) in tables.iter_mut().enumerate() {
                let [second, third, fourth] = [1, 2, 3].map(|further| chosen[(one + further) % 4]);
                table[second + 2 * third + 4 * fourth][chosen[one]] += 1;
            }
        }
    }
    for (table, what) in tables.iter().zip(["copies", "damage", "overtaking", "loss"]) {
        assert_independent(table, what);
    }
}
