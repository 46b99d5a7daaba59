//! What skew and offset the apparent delays leave possible.

use std::collections::BTreeMap;

use super::Point;

/// Windows of which the smallest delays count.
const WINDOWS: usize = 32;

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
