//! Estimates of each kind of model.

use std::ops::Range;

use super::counters::{Pairs, Transitions, transitions};
use super::hidden::{Hidden, Seen};
use super::model::{LossModel, four, two};
use super::{GMIN, LossKind};
use crate::fit::draws::Draws;

/// Packets that the first rounds from each start look at, and how many rounds.
const GLANCE: usize = 20_000;
const FIRST_ROUNDS: usize = 15;
/// Packets that estimation walks over at most; of longer series the first ones of each stretch.
const WALKED: usize = 1 << 20;
/// Random starts beside those that the counts give.
const RANDOM: usize = 3;

/// The estimate of a kind on these stretches. Where it is to be `judged` on others, what was not seen is unlikely
/// instead of impossible: half an event is added to each count (Krichevsky and Trofimov, 1981).
pub(super) fn model(kind: LossKind, seen: &[Seen], stretches: &[Range<usize>], judged: bool) -> LossModel {
    let mut pairs = Pairs::default();
    for stretch in stretches.iter().filter_map(|stretch| seen.get(stretch.clone())) {
        pairs.add(stretch);
    }
    let half = if judged { 0.5 } else { 0.0 };
    let share = |events: u64, of: u64| (events as f64 + half) / (of as f64 + 2.0 * half).max(f64::MIN_POSITIVE);
    let gilbert = || (share(pairs.n01, pairs.n00 + pairs.n01), share(pairs.n10, pairs.n10 + pairs.n11));
    match kind {
        LossKind::None => LossModel::None,
        LossKind::Independent => LossModel::Independent { ratio: share(pairs.lost, pairs.known) },
        LossKind::Bursts => {
            // Bursts are as many as their ends.
            let (_, r) = gilbert();
            let (ratio, burst) = (share(pairs.lost, pairs.known), 1.0 / r);
            LossModel::Bursts { ratio, burst: burst.max(ratio / (1.0 - ratio)).max(1.0) }
        }
        LossKind::SimpleGilbert => {
            let (p, r) = gilbert();
            LossModel::GilbertElliott { p, r, bad: 1.0, good: 0.0 }
        }
        LossKind::Gilbert => of_two(estimated_two(seen, stretches, &pairs, true)),
        LossKind::GilbertElliott => of_two(estimated_two(seen, stretches, &pairs, false)),
        LossKind::FourStateCounters => of_counters(&counted(seen, stretches), half),
        LossKind::FourState => {
            let LossModel::FourState { p13, p31, p32, p23, p14 } = of_counters(&counted(seen, stretches), 0.5) else {
                return LossModel::None;
            };
            let walked = shortened(stretches, WALKED);
            let chain = four([p13, p31, p32, p23, p14]).estimated(seen, &walked, None);
            let [one, two, three, _] = chain.step;
            LossModel::FourState { p13: one[2], p31: three[0], p32: three[1], p23: two[2], p14: one[3] }
        }
    }
}

/// The transitions of RFC 3611 over the stretches. What nobody knows is left out, as if it had not been sent.
fn counted(seen: &[Seen], stretches: &[Range<usize>]) -> Transitions {
    let of = |stretch: &Range<usize>| {
        let seen = seen.get(stretch.clone()).unwrap_or_default();
        transitions(seen.iter().flatten().copied(), GMIN)
    };
    stretches.iter().map(of).fold(Transitions::default(), Transitions::plus)
}

/// netem's parameters by the counters: p13 and p14 are c13 and c14 over c11 + c13 + c14, p23 is c23 over c22 + c23, p31
/// and p32 are c31 and c32 over c31 + c32 + c33.
fn of_counters(counts: &Transitions, half: f64) -> LossModel {
    let share = |events: u64, of: u64| {
        let of = of as f64 + 3.0 * half;
        if of > 0.0 { (events as f64 + half) / of } else { 0.0 }
    };
    let gap = counts.c11 + counts.c13 + counts.c14;
    let burst = counts.c31 + counts.c32 + counts.c33;
    // Without a burst in which something was received RFC 3611 takes p23 for 1.
    let p23 = if counts.c22 + counts.c23 == 0 { 1.0 } else { share(counts.c23, counts.c22 + counts.c23) };
    let (p31, p32) = if burst == 0 { (1.0, 0.0) } else { (share(counts.c31, burst), share(counts.c32, burst)) };
    LossModel::FourState { p13: share(counts.c13, gap), p31, p32, p23, p14: share(counts.c14, gap) }
}

fn of_two(chain: Hidden<2>) -> LossModel {
    let Hidden { step: [[_, p], [r, _]], lose: [good, bad] } = chain;
    if good <= bad {
        LossModel::GilbertElliott { p, r, bad, good }
    } else {
        LossModel::GilbertElliott { p: r, r: p, bad: good, good: bad }
    }
}

/// Two states from several starts: some rounds from each on the first packets, then from the likeliest to the end.
fn estimated_two(seen: &[Seen], stretches: &[Range<usize>], pairs: &Pairs, clean: bool) -> Hidden<2> {
    let ratio = (pairs.lost as f64 / pairs.known.max(1) as f64).clamp(1e-6, 0.99);
    let r = (pairs.n10 as f64 / (pairs.n10 + pairs.n11).max(1) as f64).clamp(0.001, 0.99);
    let p = (pairs.n01 as f64 / (pairs.n00 + pairs.n01).max(1) as f64).clamp(1e-6, 0.99);
    let mut draws = Draws::new(1);
    // The simple Gilbert model; bad times that lose a part, short, long and longer.
    let mut starts = vec![(p, r, 0.95, ratio / 10.0), (p / 2.0, r / 2.0, 0.6, ratio / 4.0)];
    starts.extend([(ratio / 20.0, 0.05, 0.4, ratio / 4.0), (ratio / 200.0, 0.005, 0.4, ratio / 4.0)]);
    for _ in 0..RANDOM {
        let mut log = |from: f64, to: f64| from * (to / from).powf(draws.uniform());
        starts.push((log(1e-4, 0.1), log(1e-3, 0.5), log(0.2, 0.99), ratio * log(0.01, 0.9)));
    }
    let glance = shortened(stretches, GLANCE);
    let walked = shortened(stretches, WALKED);
    let first = |(p, r, bad, good): (f64, f64, f64, f64)| {
        two(p, r, bad, if clean { 0.0 } else { good }).estimated(seen, &glance, Some(FIRST_ROUNDS))
    };
    let log = |chain: &Hidden<2>| chain.log_likelihood_of(seen, &walked);
    let best = starts.into_iter().map(first).map(|chain| (log(&chain), chain));
    let best = best.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map_or_else(|| two(p, r, 0.95, 0.0), |(_, chain)| chain).estimated(seen, &walked, None)
}

/// The beginnings of the stretches, so that they hold no more than so many packets.
fn shortened(stretches: &[Range<usize>], most: usize) -> Vec<Range<usize>> {
    let all: usize = stretches.iter().map(Range::len).sum();
    if all <= most {
        return stretches.to_vec();
    }
    let each = (most / stretches.len().max(1)).max(1);
    stretches.iter().map(|stretch| stretch.start..stretch.end.min(stretch.start + each)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_states_are_the_published_ratios_of_the_counters() {
        let counts = Transitions { c11: 90, c13: 4, c14: 6, c22: 6, c23: 2, c31: 4, c32: 2, c33: 14 };
        let expected = LossModel::FourState { p13: 0.04, p31: 0.2, p32: 0.1, p23: 0.25, p14: 0.06 };
        assert_eq!(of_counters(&counts, 0.0), expected);
    }

    #[test]
    fn transitions_of_neighbours_give_the_simple_gilbert_model() {
        let seen: Vec<Seen> = "0001100100".bytes().map(|byte| Some(byte == b'1')).collect();
        // Of 7 received with a successor: 2 lost next; of 3 lost: 2 received next.
        let model = |kind| model(kind, &seen, std::slice::from_ref(&(0..10)), false);
        let gilbert = LossModel::GilbertElliott { p: 2.0 / 6.0, r: 2.0 / 3.0, bad: 1.0, good: 0.0 };
        assert_eq!(model(LossKind::SimpleGilbert), gilbert);
        assert_eq!(model(LossKind::Bursts), LossModel::Bursts { ratio: 0.3, burst: 1.5 });
        assert_eq!(model(LossKind::Independent), LossModel::Independent { ratio: 0.3 });
    }
}
