//! Which pairs are packets seen twice, and which way they went.

use std::collections::BTreeMap;

use super::{
    super::{hash::HashedMap, point, survey::Pair},
    Point, Ways,
};

/// Delays differ by no more, either way.
const WIDTH: i64 = 2_000_000_000;
/// Pairs on either side that one is compared with.
const NEIGHBOURS: usize = 8;

/// The pairs that are not packets that only look alike.
pub(super) fn plausible(pairs: &[Pair]) -> Vec<Pair> {
    let dense = densest(pairs);
    if dense.len() == pairs.len() {
        return dense;
    }
    // Where a clock was set by more than delays are wide, each is among its neighbours still.
    let mut in_order = pairs.to_vec();
    in_order.sort_unstable_by_key(|pair| pair.index);
    let delta = |pair: &Pair| pair.b.saturating_sub(pair.a);
    let mut steady: Vec<Pair> = Vec::new();
    for (at, pair) in in_order.iter().enumerate() {
        let near = |other: &&Pair| delta(other).abs_diff(delta(pair)) <= WIDTH.unsigned_abs();
        let before = in_order.get(at.saturating_sub(NEIGHBOURS)..at).unwrap_or_default();
        let behind = in_order.get(at + 1..(at + 1 + NEIGHBOURS).min(in_order.len())).unwrap_or_default();
        if [before, behind].iter().any(|side| side.iter().filter(near).count() * 2 > NEIGHBOURS) {
            steady.push(*pair);
        }
    }
    steady.sort_unstable_by_key(|pair| (pair.a, pair.b));
    if steady.len() > dense.len() + dense.len() / 50 { steady } else { dense }
}

/// The pairs whose apparent delays lie closest together: others are packets that look alike.
fn densest(pairs: &[Pair]) -> Vec<Pair> {
    let span = match (pairs.first(), pairs.last()) {
        (Some(first), Some(last)) => last.a.saturating_sub(first.a),
        _ => return Vec::new(),
    };
    // Two seconds of delay either way, and 200 ppm of drift.
    let width = WIDTH + span / 5_000;
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
pub(super) fn directions(pairs: &[Pair]) -> (Vec<Point>, Vec<Point>, Ways) {
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
    let later: BTreeMap<u64, i64> = paths
        .iter()
        .filter(|(key, path)| path.back != **key)
        .filter_map(|(&key, path)| Some((key, apart(&path.points, &paths.get(&path.back)?.points)?)))
        .collect();
    for (key, path) in &mut paths {
        path.forward = match later.get(key) {
            Some(&later) if later != 0 => Some(later > 0),
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

/// The ways of paths that hop counts tell, or else the captures' flags.
pub(super) fn marked(pairs: &[Pair]) -> Ways {
    let mut sums: HashedMap<(i64, i64)> = HashedMap::default();
    for pair in pairs {
        for path in [pair.flow.path(), pair.other_path] {
            let (hops, flags) = sums.entry(path).or_default();
            *hops += i64::from(pair.hops.signum());
            *flags += i64::from(pair.sent.signum());
        }
    }
    let way = |(path, (hops, flags)): (u64, (i64, i64))| match if hops == 0 { flags } else { hops } {
        0 => None,
        sum => Some((path, if sum > 0 { point::Point::A } else { point::Point::B })),
    };
    sums.into_iter().filter_map(way).collect()
}

/// By how much the apparent delays of a path exceed those of its way back about the same time: the
/// median, which a clock that was set does not move.
fn apart(points: &[Point], back: &[Point]) -> Option<i64> {
    let mut near = 0;
    let mut differences: Vec<i64> = Vec::with_capacity(points.len());
    for &(t, d) in points {
        let distance = |at: usize| back.get(at).map(|point| point.0.abs_diff(t));
        while distance(near + 1).is_some_and(|next| distance(near).is_none_or(|now| next <= now)) {
            near += 1;
        }
        differences.push(d.saturating_sub(back.get(near)?.1));
    }
    differences.sort_unstable();
    differences.get(differences.len() / 2).copied()
}
