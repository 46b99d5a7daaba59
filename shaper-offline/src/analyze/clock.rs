//! Relating two clocks from packets seen at both points.
//!
//! Offset: theta = (min d_forward - min d_backward) / 2 of the apparent delays, true within
//! +-(min d_forward + min d_backward) / 2; a constant asymmetry of the path cannot be seen.
//! Skew: the lower convex hull of the apparent delays (Moon, Skelly and Towsley, INFOCOM 1999),
//! cross-checked with the Theil-Sen slope of window minima, in each direction there is. A bound
//! below zero says that no constant offset explains the delays: then there is skew, or a step.
//!
//! Which way packets went is told, in this order, by the packets back between the same addresses,
//! by hop counts, by the direction flags of the captures, and by apparent delays between those of
//! two known directions. What none of these tells stays without a direction.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{feed::Correction, hash::HashedMap, point, survey::Pair};

/// What is known about the clocks of the two captures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clock {
    /// Both captures were stamped by one clock.
    Same,
    /// The second capture's clock is ahead by so many nanoseconds.
    Known(i64),
    /// Nothing: what the files say of their clocks holds, else it is found from the packets.
    Estimate,
}

/// How the clocks were related.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockMethod {
    /// The same host's clock, as the user said: offset 0.
    SameHost,
    /// The same host's clock, as both files say: offset 0.
    SameHostByFiles,
    /// As the user said.
    Given,
    /// Smallest delays of both directions.
    MinimumDelays,
    /// Traffic in one direction only: no offset, only variation of delay.
    OneDirection,
    /// Nothing tells which way the packets went that are in both captures.
    NoDirection,
    /// No skew that the estimators agree on leaves delays above zero: only variation of delay.
    EstimatorsDisagree,
    /// No packet was recognised at both points.
    NoPairs,
}

/// The clock of the second capture against that of the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClockFound {
    /// Nanoseconds the second clock is ahead; `None` if it cannot be known.
    pub offset_ns: Option<i64>,
    /// The true offset lies within plus or minus this.
    pub offset_bound_ns: Option<i64>,
    /// Parts per million the second clock runs faster; `None` if it was not measured.
    pub skew_ppm: Option<f64>,
    /// How this was found.
    pub method: ClockMethod,
}

impl ClockFound {
    /// Whether one-way delays mean anything.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.offset_ns.is_some()
    }
}

/// Shortest capture for which skew is looked for: below it drifts are smaller than jitter.
const SHORTEST_FOR_SKEW: i64 = 10_000_000_000;
const FEWEST_FOR_SKEW: usize = 50;
/// Fewest packets of a direction for which it is looked for where offsets alone explain nothing.
const FEWEST_FOR_NEEDED_SKEW: usize = 8;
const WINDOWS: usize = 32;
/// No crystal is this bad: 1000 ppm.
const IMPOSSIBLE_SKEW: f64 = 1e-3;

/// Apparent delay (second stamp minus first) at a time.
type Point = (i64, i64);

/// The sending points of paths, by the hash of the path.
pub(super) type Ways = HashedMap<point::Point>;

/// Relates the clocks; the correction is for the second capture. The ways are what is known of
/// directions, where the clocks are not known well enough to tell them packet by packet.
pub(super) fn estimate(pairs: &[Pair]) -> (Correction, ClockFound, Option<Ways>) {
    let pairs = densest(pairs);
    let Some(origin) = pairs.first().map(|pair| pair.a) else {
        let found = ClockFound { offset_ns: None, offset_bound_ns: None, skew_ppm: None, method: ClockMethod::NoPairs };
        return (Correction::default(), found, None);
    };
    let (forward, backward, ways) = directions(&pairs);
    if ways.is_empty() {
        return unknown(&pairs);
    }
    let span = pairs.last().map_or(0, |pair| pair.a.saturating_sub(origin));
    let fewest = if span >= SHORTEST_FOR_SKEW { FEWEST_FOR_SKEW } else { usize::MAX };
    let mut level = Level::new(&forward, &backward, origin, fewest);
    if level.bound().is_some_and(|bound| bound < 0) {
        level = Level::new(&forward, &backward, origin, FEWEST_FOR_NEEDED_SKEW);
    }
    let (middle, least, most, bound) = (level.skew, level.least(), level.most(), level.bound());
    // How far the slopes may differ: the error over the whole span stays within the bound that
    // is stated anyway, or within a quarter of the median variation where there is none.
    let tolerance = bound.unwrap_or_else(|| {
        let mut sorted = if level.forward.is_empty() { level.backward.clone() } else { level.forward.clone() };
        sorted.sort_unstable();
        let at = |n: usize| sorted.get(n).copied().unwrap_or(0);
        at(sorted.len() / 2).saturating_sub(at(0)) / 4
    });
    let agree = bound.is_none_or(|bound| bound >= 0)
        && level.spread() * span as f64 <= tolerance.max(0) as f64
        && middle.abs() < IMPOSSIBLE_SKEW;
    let skew = if agree { middle } else { 0.0 };
    let (least, most) =
        if agree { (least, most) } else { (forward.iter().map(|p| p.1).min(), backward.iter().map(|p| p.1).max()) };
    let offset = match (least, most) {
        (Some(least), Some(most)) => least.saturating_sub(least.saturating_sub(most) / 2),
        (Some(least), None) => least,
        (None, Some(most)) => most,
        (None, None) => 0,
    };
    let method = if !agree {
        ClockMethod::EstimatorsDisagree
    } else if bound.is_none() {
        ClockMethod::OneDirection
    } else {
        ClockMethod::MinimumDelays
    };
    let absolute = method == ClockMethod::MinimumDelays;
    let found = ClockFound {
        offset_ns: absolute.then_some(offset),
        offset_bound_ns: bound.filter(|_| absolute),
        skew_ppm: (agree && !level.slopes.is_empty()).then_some(middle * 1e6),
        method,
    };
    let ways = Some(ways).filter(|_| !absolute);
    (Correction { offset, skew, origin: origin.saturating_add(offset) }, found, ways)
}

/// Apparent delays with the drift taken out that the estimators find.
struct Level {
    /// What each estimator finds in each direction, ascending.
    slopes: Vec<f64>,
    /// Their median; 0 without any.
    skew: f64,
    forward: Vec<i64>,
    backward: Vec<i64>,
}

impl Level {
    /// Directions of fewer packets than `fewest` are not asked for their skew.
    fn new(forward: &[Point], backward: &[Point], origin: i64, fewest: usize) -> Self {
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
        let level = |points: &[Point]| -> Vec<i64> {
            let drift = |t: i64| (skew * t.saturating_sub(origin) as f64).round() as i64;
            points.iter().map(|&(t, d)| d.saturating_sub(drift(t))).collect()
        };
        Self { forward: level(forward), backward: level(backward), slopes, skew }
    }

    fn least(&self) -> Option<i64> {
        self.forward.iter().min().copied()
    }

    fn most(&self) -> Option<i64> {
        self.backward.iter().max().copied()
    }

    /// Half the smallest round trip; below zero no constant offset explains the delays.
    fn bound(&self) -> Option<i64> {
        Some(self.least()?.saturating_sub(self.most()?).div_euclid(2))
    }

    /// How far the estimates lie apart.
    fn spread(&self) -> f64 {
        self.slopes.first().zip(self.slopes.last()).map_or(0.0, |(low, high)| high - low)
    }
}

/// Pairs, and nothing that tells their direction: stamps are brought together, no more.
fn unknown(pairs: &[Pair]) -> (Correction, ClockFound, Option<Ways>) {
    let mut deltas: Vec<i64> = pairs.iter().map(|pair| pair.b.saturating_sub(pair.a)).collect();
    deltas.sort_unstable();
    let offset = deltas.get(deltas.len() / 2).copied().unwrap_or(0);
    let found = ClockFound { offset_ns: None, offset_bound_ns: None, skew_ppm: None, method: ClockMethod::NoDirection };
    (Correction { offset, ..Correction::default() }, found, Some(Ways::default()))
}

/// The pairs whose apparent delays lie closest together: others are packets that look alike.
fn densest(pairs: &[Pair]) -> Vec<Pair> {
    let span = match (pairs.first(), pairs.last()) {
        (Some(first), Some(last)) => last.a.saturating_sub(first.a),
        _ => return Vec::new(),
    };
    // Two seconds of delay either way, and 200 ppm of drift.
    let width = 2_000_000_000 + span / 5_000;
    let mut deltas: Vec<i64> = pairs.iter().map(|pair| pair.b.saturating_sub(pair.a)).collect();
    deltas.sort_unstable();
    let (mut best, mut low, mut from) = (0, 0, 0);
    for (at, delta) in deltas.iter().enumerate() {
        while deltas.get(from).is_some_and(|first| delta.saturating_sub(*first) > width) {
            from += 1;
        }
        if at + 1 - from > best {
            best = at + 1 - from;
            low = deltas.get(from).copied().unwrap_or(0);
        }
    }
    let inside = low..=low.saturating_add(width);
    pairs.iter().filter(|pair| inside.contains(&pair.b.saturating_sub(pair.a))).copied().collect()
}

/// Apparent delays by direction, and the ways of the paths that have one. A path and its way back
/// differ by the round trip, the larger apparent delay being forward; else hop counts tell, else
/// the captures' flags, else the middle between those known.
fn directions(pairs: &[Pair]) -> (Vec<Point>, Vec<Point>, Ways) {
    struct PathPoints {
        back: u64,
        points: Vec<Point>,
        hops: i64,
        /// More packets that left the first host or came to the second than the other way round.
        flags: i64,
        /// The same path as the second point sees it, under translation.
        there: u64,
        forward: Option<bool>,
        middle: i64,
    }
    let mut paths: BTreeMap<u64, PathPoints> = BTreeMap::new();
    for pair in pairs {
        let path = paths.entry(pair.flow.path()).or_insert_with(|| PathPoints {
            back: pair.flow.path_back(),
            points: Vec::new(),
            hops: 0,
            flags: 0,
            there: pair.other_path,
            forward: None,
            middle: 0,
        });
        path.points.push((pair.a, pair.b.saturating_sub(pair.a)));
        path.hops += i64::from(pair.hops.signum());
        path.flags += i64::from(pair.sent.signum());
    }
    for path in paths.values_mut() {
        let mut deltas: Vec<i64> = path.points.iter().map(|point| point.1).collect();
        deltas.sort_unstable();
        path.middle = deltas.get(deltas.len() / 2).copied().unwrap_or(0);
    }
    let middles: BTreeMap<u64, i64> = paths.iter().map(|(&key, path)| (key, path.middle)).collect();
    for (key, path) in &mut paths {
        let back = middles.get(&path.back).filter(|_| path.back != *key);
        path.forward = match back {
            Some(&back) if back != path.middle => Some(path.middle > back),
            _ if path.hops != 0 => Some(path.hops > 0),
            _ if path.flags != 0 => Some(path.flags > 0),
            _ => None,
        };
    }
    let known =
        |forward: bool| paths.values().filter(move |path| path.forward == Some(forward)).map(|path| path.middle);
    let threshold = match (known(true).min(), known(false).max()) {
        (Some(least), Some(most)) => Some(i64::midpoint(least, most)),
        _ => None,
    };
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let mut ways = Ways::default();
    for (key, path) in paths {
        let to_second = path.forward.or(threshold.map(|threshold| path.middle >= threshold));
        let (to, way) = match to_second {
            Some(true) => (&mut forward, point::Point::A),
            Some(false) => (&mut backward, point::Point::B),
            None => continue,
        };
        to.extend(path.points);
        ways.insert(key, way);
        ways.insert(path.there, way);
    }
    forward.sort_unstable();
    backward.sort_unstable();
    (forward, backward, ways)
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
