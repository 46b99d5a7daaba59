//! Intervals of a model's parameters.

use super::counters::{Pairs, transitions};
use super::hidden::Seen;
use super::{GMIN, LossKind, LossModel, Parameter};
use crate::stats::{Interval, wilson};

/// z of a two-sided 95 % interval, and half its square: by so much the log-likelihood falls to the bounds of one.
const Z95: f64 = 1.959_963_984_540_054;
const FALL: f64 = Z95 * Z95 / 2.0;
/// The step of differences, in logits.
const STEP: f64 = 0.02;
/// A probability this near to an end lies there.
const END: f64 = 1e-7;

/// The parameters of a model that was fitted on all of the series, with their 95 % intervals.
///
/// Proportions have Wilson's; a ratio of correlated losses has it for as many packets as say as much as independent ones,
/// `n (1 - rho) / (1 + rho)` with the correlation `rho = 1 - p - r` of the simple Gilbert model. A mean burst is `1/r`, and
/// has the interval of `r`. Those of hidden states are by the curvature of the log-likelihood in logits (observed
/// information; Efron and Hinkley, Biometrika 65, 1978); one that lies at 0 or 1 reaches as far as the likelihood, the
/// others held, stays above that of a 95 % interval (Wilks, 1938).
pub(super) fn parameters(kind: LossKind, model: &LossModel, seen: &[Seen], pairs: &Pairs) -> Vec<Parameter> {
    let all = model.parameters();
    let with = |intervals: &[Option<Interval>]| -> Vec<Parameter> {
        let each = all.iter().zip(intervals.iter().copied().chain(std::iter::repeat(None)));
        each.map(|((name, value), interval)| Parameter { name, value: *value, interval }).collect()
    };
    let p = wilson(pairs.n01, pairs.n00 + pairs.n01);
    let r = wilson(pairs.n10, pairs.n10 + pairs.n11);
    match kind {
        LossKind::None => Vec::new(),
        LossKind::Independent => with(&[wilson(pairs.lost, pairs.known)]),
        LossKind::Bursts => {
            let ratio = pairs.lost as f64 / pairs.known.max(1) as f64;
            let stays = |from: u64, of: u64| from as f64 / of.max(1) as f64;
            let rho = 1.0 - stays(pairs.n01, pairs.n00 + pairs.n01) - stays(pairs.n10, pairs.n10 + pairs.n11);
            let worth = pairs.known as f64 * (1.0 - rho) / (1.0 + rho).max(f64::MIN_POSITIVE);
            let ratio = wilson((ratio * worth).round() as u64, worth.round() as u64);
            let longest = |low: f64| if low > 0.0 { 1.0 / low } else { f64::MAX };
            let burst = r.map(|r| Interval { low: 1.0 / r.high.max(f64::MIN_POSITIVE), high: longest(r.low) });
            with(&[ratio, burst])
        }
        LossKind::SimpleGilbert => with(&[p, r]),
        LossKind::FourStateCounters => {
            let counts = transitions(seen.iter().flatten().copied(), GMIN);
            let gap = counts.c11 + counts.c13 + counts.c14;
            let burst = counts.c31 + counts.c32 + counts.c33;
            with(&[
                wilson(counts.c13, gap),
                wilson(counts.c31, burst),
                wilson(counts.c32, burst),
                wilson(counts.c23, counts.c22 + counts.c23),
                wilson(counts.c14, gap),
            ])
        }
        // The good state of Gilbert's loses nothing by definition.
        LossKind::Gilbert => with(&by_curvature(model, seen, 3)),
        LossKind::GilbertElliott => with(&by_curvature(model, seen, 4)),
        LossKind::FourState => with(&by_curvature(model, seen, 5)),
    }
}

/// The intervals of the first `free` probabilities.
fn by_curvature(model: &LossModel, seen: &[Seen], free: usize) -> Vec<Option<Interval>> {
    let values: Vec<f64> = model.parameters().into_iter().map(|(_, value)| value).collect();
    let whole = 0..seen.len();
    let whole = std::slice::from_ref(&whole);
    let log = |values: &[f64]| model.with(values).chain().log_likelihood(seen, whole);
    let inner: Vec<usize> =
        (0..free).filter(|number| values.get(*number).is_some_and(|value| (END..1.0 - END).contains(value))).collect();
    let moved = |by: &[(usize, f64)]| {
        let mut values = values.clone();
        for (number, by) in by {
            if let Some(value) = values.get_mut(*number) {
                *value = logistic(logit(*value) + by);
            }
        }
        log(&values)
    };
    let here = log(&values);
    let side = inner.len();
    let mut information = vec![vec![0.0; side]; side];
    for (row, one) in inner.iter().enumerate() {
        for (column, other) in inner.iter().enumerate().take(row + 1) {
            let second = if row == column {
                moved(&[(*one, STEP)]) - 2.0 * here + moved(&[(*one, -STEP)])
            } else {
                let corner = |up: f64, right: f64| moved(&[(*one, up * STEP), (*other, right * STEP)]);
                (corner(1.0, 1.0) - corner(1.0, -1.0) - corner(-1.0, 1.0) + corner(-1.0, -1.0)) / 4.0
            };
            information[row][column] = -second / (STEP * STEP);
            information[column][row] = information[row][column];
        }
    }
    let variances = inverse_diagonal(information);
    (0..free)
        .map(|number| {
            let value = *values.get(number)?;
            match inner.iter().position(|inner| *inner == number) {
                Some(place) => {
                    let variance = variances.as_ref()?.get(place).copied().filter(|variance| *variance > 0.0)?;
                    let half = Z95 * variance.sqrt();
                    let bound = |by: f64| logistic(logit(value) + by);
                    Some(Interval { low: bound(-half), high: bound(half) })
                }
                None => Some(at_an_end(number, &values, here, &log)),
            }
        })
        .collect()
}

/// How far from 0, or from 1, the likelihood stays above that of an interval's bound.
fn at_an_end(number: usize, values: &[f64], here: f64, log: &impl Fn(&[f64]) -> f64) -> Interval {
    let is_low = values.get(number).is_some_and(|value| *value < 0.5);
    let falls = |distance: f64| {
        let mut values = values.to_vec();
        if let Some(value) = values.get_mut(number) {
            *value = if is_low { distance } else { 1.0 - distance };
        }
        here - log(&values) > FALL
    };
    let (mut near, mut far) = (1e-12f64, 0.5f64);
    for _ in 0..30 {
        let middle = (near * far).sqrt();
        if falls(middle) {
            far = middle;
        } else {
            near = middle;
        }
    }
    if is_low { Interval { low: 0.0, high: far } } else { Interval { low: 1.0 - far, high: 1.0 } }
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The diagonal of the inverse of a symmetric matrix, by elimination; `None` where it is not positive definite.
fn inverse_diagonal(mut matrix: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let side = matrix.len();
    for (row, line) in matrix.iter_mut().enumerate() {
        line.extend((0..side).map(|column| f64::from(u8::from(row == column))));
    }
    for pivot in 0..side {
        let line = matrix.get(pivot)?.clone();
        let head = line.get(pivot).copied().filter(|head| head.is_finite() && *head > 0.0)?;
        let line: Vec<f64> = line.iter().map(|value| value / head).collect();
        for (row, other) in matrix.iter_mut().enumerate() {
            if row == pivot {
                other.clone_from(&line);
            } else {
                let factor = *other.get(pivot)?;
                other.iter_mut().zip(&line).for_each(|(value, of)| *value -= factor * of);
            }
        }
    }
    (0..side).map(|place| matrix.get(place)?.get(side + place).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_of_a_matrix_is_that_by_hand() {
        // [[4, 2], [2, 3]] has the determinant 8.
        let diagonal = inverse_diagonal(vec![vec![4.0, 2.0], vec![2.0, 3.0]]).unwrap();
        assert!((diagonal[0] - 3.0 / 8.0).abs() < 1e-12 && (diagonal[1] - 4.0 / 8.0).abs() < 1e-12);
        assert_eq!(inverse_diagonal(vec![vec![1.0, 2.0], vec![2.0, 1.0]]), None);
    }

    #[test]
    fn a_chain_that_is_not_hidden_has_by_curvature_what_its_counts_give() {
        // A simple Gilbert model, its losses certain: the curvature of a binomial in logits is n p (1-p).
        let mut draws = crate::fit::draws::Draws::new(3);
        let mut lost = false;
        let seen: Vec<Seen> = (0..20_000)
            .map(|_| {
                lost = if lost { draws.uniform() >= 0.4 } else { draws.uniform() < 0.05 };
                Some(lost)
            })
            .collect();
        let mut pairs = Pairs::default();
        pairs.add(&seen);
        let p = pairs.n01 as f64 / (pairs.n00 + pairs.n01) as f64;
        let r = pairs.n10 as f64 / (pairs.n10 + pairs.n11) as f64;
        let model = LossModel::GilbertElliott { p, r, bad: 1.0, good: 0.0 };
        let found = by_curvature(&model, &seen, 4);
        for (found, hits, trials) in
            [(found[0], pairs.n01, pairs.n00 + pairs.n01), (found[1], pairs.n10, pairs.n10 + pairs.n11)]
        {
            let (found, wilson) = (found.unwrap(), wilson(hits, trials).unwrap());
            let width = wilson.high - wilson.low;
            assert!((found.low - wilson.low).abs() < 0.05 * width, "{found:?} {wilson:?}");
            assert!((found.high - wilson.high).abs() < 0.05 * width, "{found:?} {wilson:?}");
        }
        let [bad, good] = [found[2].unwrap(), found[3].unwrap()];
        assert!(bad.high == 1.0 && bad.low > 0.95 && bad.low < 1.0, "{bad:?}");
        assert!(good.low == 0.0 && good.high < 0.005 && good.high > 0.0, "{good:?}");
    }
}
