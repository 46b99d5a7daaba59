//! What skew and offset the apparent delays leave possible.

use std::collections::BTreeMap;

use super::Point;

/// Windows of which the smallest delays count.
const WINDOWS: usize = 32;
/// Packets of each direction that a window has at least, where it bounds the offset.
const FEWEST: usize = 8;

/// Apparent delays with the drift taken out that the estimators find.
pub(super) struct Level {
    /// What each estimator finds in each direction, ascending.
    pub(super) slopes: Vec<f64>,
    /// Their median; 0 without any.
    pub(super) skew: f64,
    pub(super) forward: Vec<i64>,
    pub(super) backward: Vec<i64>,
}

impl Level {
    /// Directions of fewer packets than `fewest` are not asked for their skew.
    pub(super) fn new(forward: &[Point], backward: &[Point], origin: i64, fewest: usize) -> Self {
        let mut slopes = Vec::new();
        for (points, sign) in [(forward, 1.0), (backward, -1.0)] {
            if points.len() < fewest {
                continue;
            }
            // Backward the apparent delay is largest, not smallest, when the true one is least.
            let upright: Vec<Point> =
                points.iter().map(|&(t, d)| (t, if sign > 0.0 { d } else { d.saturating_neg() })).collect();
            slopes.extend([hull_slope(&upright), window_slope(&upright)].map(|s| s * sign));
        }
        slopes.sort_unstable_by(f64::total_cmp);
        let skew = median(&slopes).unwrap_or(0.0);
        Self { slopes, ..Self::with(forward, backward, origin, skew) }
    }

    /// With a drift that is known.
    pub(super) fn with(forward: &[Point], backward: &[Point], origin: i64, skew: f64) -> Self {
        let level = |points: &[Point]| -> Vec<i64> {
            let drift = |t: i64| (skew * t.saturating_sub(origin) as f64).round() as i64;
            points.iter().map(|&(t, d)| d.saturating_sub(drift(t))).collect()
        };
        Self { forward: level(forward), backward: level(backward), slopes: Vec::new(), skew }
    }

    pub(super) fn least(&self) -> Option<i64> {
        self.forward.iter().min().copied()
    }

    pub(super) fn most(&self) -> Option<i64> {
        self.backward.iter().max().copied()
    }

    /// Half the smallest round trip; below zero no constant offset explains the delays.
    pub(super) fn bound(&self) -> Option<i64> {
        Some(self.least()?.saturating_sub(self.most()?).div_euclid(2))
    }

    /// How far the offset may be from `offset` at any time; the points are those that this was made of. In each
    /// of up to 32 windows it lies below all that went forward and above all that went back. Over the whole
    /// that may leave less room than there is, where the clock was set by less than the round trip.
    pub(super) fn within(&self, [forward, backward]: [&[Point]; 2], offset: i64) -> Option<i64> {
        let fewest = FEWEST.max(forward.len().min(backward.len()) / WINDOWS);
        let timed = |points: &[Point], levels: &[i64], way: usize| -> Vec<(i64, usize, i64)> {
            points.iter().zip(levels).map(|(point, &level)| (point.0, way, level)).collect()
        };
        let mut all = timed(forward, &self.forward, 0);
        all.extend(timed(backward, &self.backward, 1));
        all.sort_unstable();
        let mut bound = self.bound()?;
        // Windows from the first on, and from the last back: neither end is left out.
        let ordered: [&mut dyn Iterator<Item = _>; 2] = [&mut all.iter(), &mut all.iter().rev()];
        for all in ordered {
            // How many there are in a window, and how far off the offset the closest of them is.
            let (mut counts, mut closest) = ([0; 2], [i64::MAX; 2]);
            for &(_, way, level) in all {
                let off = if way == 0 { level.saturating_sub(offset) } else { offset.saturating_sub(level) };
                if let (Some(count), Some(closest)) = (counts.get_mut(way), closest.get_mut(way)) {
                    *count += 1;
                    *closest = off.min(*closest);
                }
                if counts.iter().all(|count| *count >= fewest) {
                    bound = closest.into_iter().fold(bound, i64::max);
                    (counts, closest) = ([0; 2], [i64::MAX; 2]);
                }
            }
        }
        Some(bound)
    }

    /// How far the estimates lie apart.
    pub(super) fn spread(&self) -> f64 {
        self.slopes.first().zip(self.slopes.last()).map_or(0.0, |(low, high)| high - low)
    }
}

/// Slope of the lower convex hull's edge over the mean time; points in order of time.
fn hull_slope(points: &[Point]) -> f64 {
    let mut hull: Vec<Point> = Vec::new();
    for &point in points {
        while let [.., before, last] = *hull {
            let apart = |one: i64, other: i64| i128::from(one) - i128::from(other);
            let turn = apart(last.0, before.0)
                .saturating_mul(apart(point.1, before.1))
                .saturating_sub(apart(last.1, before.1).saturating_mul(apart(point.0, before.0)));
            if turn > 0 {
                break;
            }
            hull.pop();
        }
        hull.push(point);
    }
    let sum: i128 = points.iter().map(|point| i128::from(point.0)).sum();
    let mean = sum / (points.len().max(1) as i128);
    let edge = hull
        .array_windows::<2>()
        .find(|[from, to]| from.0 < to.0 && (i128::from(from.0)..=i128::from(to.0)).contains(&mean));
    edge.map_or(0.0, |[from, to]| slope(*from, *to))
}

/// Theil-Sen slope over the smallest delay of each of 32 windows.
fn window_slope(points: &[Point]) -> f64 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    let width = (last.0.saturating_sub(first.0) / WINDOWS as i64).max(1);
    let mut least: BTreeMap<i64, Point> = BTreeMap::new();
    for &point in points {
        let slot = least.entry(point.0.saturating_sub(first.0) / width).or_insert(point);
        if point.1 < slot.1 {
            *slot = point;
        }
    }
    let minima: Vec<Point> = least.into_values().collect();
    let mut slopes = Vec::new();
    for (at, one) in minima.iter().enumerate() {
        for other in minima.iter().skip(at + 1) {
            if other.0 > one.0 {
                slopes.push(slope(*one, *other));
            }
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    median(&slopes).unwrap_or(0.0)
}

/// Of a line through two points, the first before the second.
fn slope(from: Point, to: Point) -> f64 {
    to.1.saturating_sub(from.1) as f64 / to.0.saturating_sub(from.0) as f64
}

fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}
