//! Relating two clocks from packets seen at both points.
//!
//! Offset: theta = (min d_forward - min d_backward) / 2 of the apparent delays, true within
//! +-(min d_forward + min d_backward) / 2 while no clock is set; a constant asymmetry of the path cannot be
//! seen. What is stated is the furthest that any of up to 32 windows leaves possible, which holds where a clock
//! was set by so little that one offset seems to explain all.
//! Skew: the lower convex hull of the apparent delays (Moon, Skelly and Towsley, INFOCOM 1999),
//! cross-checked with the Theil-Sen slope of window minima, in each direction there is. A bound
//! below zero says that no constant offset explains the delays: then there is skew, or the clock was
//! set; then each piece between has an offset of its own.
//!
//! Which way packets went is told, in this order, by the packets back between the same addresses,
//! by hop counts, by the direction flags of the captures, and by apparent delays between those of
//! two known directions. What none of these tells stays without a direction.

use serde::Serialize;

use self::{
    level::Level,
    steps::Event,
    ways::{directions, plausible},
};
use super::{feed::Correction, hash::HashedMap, point, survey::Pair};

mod level;
mod steps;
mod ways;

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
    /// Both points are in one file, which one host wrote: offset 0.
    OneFile,
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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClockFound {
    /// Nanoseconds the second clock is ahead, until the first step; `None` if it cannot be known.
    pub offset_ns: Option<i64>,
    /// The true offset lies within plus or minus this, at all times.
    pub offset_bound_ns: Option<i64>,
    /// Parts per million the second clock runs faster; `None` if it was not measured.
    pub skew_ppm: Option<f64>,
    /// How this was found.
    pub method: ClockMethod,
    /// When a clock was set; what is smaller than the bound is not seen.
    pub steps: Vec<ClockStep>,
}

/// A clock that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClockStep {
    /// First packet behind it, on the common clock.
    pub at_ns: i64,
    /// By how much the second clock was set forward against the first one, within twice
    /// [`offset_bound_ns`](ClockFound::offset_bound_ns).
    pub by_ns: i64,
}

impl ClockFound {
    pub(super) fn without_offset(method: ClockMethod) -> Self {
        Self { offset_ns: None, offset_bound_ns: None, skew_ppm: None, method, steps: Vec::new() }
    }

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
/// No crystal is this bad: 1000 ppm.
const IMPOSSIBLE_SKEW: f64 = 1e-3;

/// Apparent delay (second stamp minus first) at a time.
type Point = (i64, i64);

/// The sending points of paths, by the hash of the path.
pub(super) type Ways = HashedMap<point::Point>;

/// What packets themselves tell of their ways, for those on which no time passes between the points.
pub(super) fn marked(pairs: &[Pair]) -> Ways {
    ways::marked(pairs)
}

/// Relates the clocks; the correction is for the second capture. The ways are what is known of
/// directions, where the clocks are not known well enough to tell them packet by packet.
pub(super) fn estimate(pairs: &[Pair]) -> (Correction, ClockFound, Option<Ways>) {
    let pairs = plausible(pairs);
    let Some(origin) = pairs.first().map(|pair| pair.a) else {
        let found = ClockFound::without_offset(ClockMethod::NoPairs);
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
    if !agree && let Some((correction, found)) = pieces(&pairs, &ways, origin) {
        return (correction, found, None);
    }
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
        offset_bound_ns: if absolute { level.within([&forward, &backward], offset) } else { None },
        skew_ppm: (agree && !level.slopes.is_empty()).then_some(middle * 1e6),
        method,
        steps: Vec::new(),
    };
    let ways = Some(ways).filter(|_| !absolute);
    (Correction { offset, skew, origin: origin.saturating_add(offset), steps: Vec::new() }, found, ways)
}

/// An offset for each piece between two moments at which a clock was set, where such explain all.
fn pieces(pairs: &[Pair], ways: &Ways, origin: i64) -> Option<(Correction, ClockFound)> {
    let mut events: Vec<Event> = pairs
        .iter()
        .filter_map(|pair| {
            let way = ways.get(&pair.flow.path())?;
            let d = pair.b.saturating_sub(pair.a);
            Some(Event { t: pair.a, d, forward: *way == point::Point::A, index: pair.index })
        })
        .collect();
    events.sort_unstable_by_key(|event| event.index);
    let begins = steps::cuts(&events)?;
    let ends = begins.iter().skip(1).copied().chain([events.len()]);
    let pieces: Vec<&[Event]> = begins.iter().zip(ends).filter_map(|(&from, to)| events.get(from..to)).collect();
    // Skew is that of the longest piece; all must leave room for it.
    let span =
        |piece: &[Event]| piece.first().zip(piece.last()).map_or(0, |(first, last)| last.t.saturating_sub(first.t));
    let longest = pieces.iter().max_by_key(|piece| span(piece))?;
    let of = |piece: &[Event], forward: bool| -> Vec<Point> {
        let mut points: Vec<Point> =
            piece.iter().filter(|event| event.forward == forward).map(|event| (event.t, event.d)).collect();
        points.sort_unstable();
        points
    };
    let fewest = if span(longest) >= SHORTEST_FOR_SKEW { FEWEST_FOR_SKEW } else { usize::MAX };
    let level = Level::new(&of(longest, true), &of(longest, false), origin, fewest);
    let mut levels = Vec::new();
    for piece in &pieces {
        let (forward, backward) = (of(piece, true), of(piece, false));
        let level = Level::with(&forward, &backward, origin, level.skew);
        let (least, most) = (level.least()?, level.most()?);
        level.bound().filter(|&bound| bound >= 0)?;
        let offset = least.saturating_sub(least.saturating_sub(most) / 2);
        levels.push((piece.first()?, offset, level.within([&forward, &backward], offset)?));
    }
    let (_, offset, _) = *levels.first()?;
    let mut correction =
        Correction { offset, skew: level.skew, origin: origin.saturating_add(offset), steps: Vec::new() };
    let mut found = Vec::new();
    let mut before = offset;
    for (first, offset, _) in levels.iter().skip(1) {
        correction.steps.push((first.index, *offset));
        let arrived = first.t.saturating_add(first.d);
        found.push(ClockStep {
            at_ns: correction.with_offset(*offset).apply(arrived),
            by_ns: offset.saturating_sub(before),
        });
        before = *offset;
    }
    let found = ClockFound {
        offset_ns: Some(offset),
        offset_bound_ns: levels.iter().map(|level| level.2).max(),
        skew_ppm: (!level.slopes.is_empty()).then_some(level.skew * 1e6),
        method: ClockMethod::MinimumDelays,
        steps: found,
    };
    Some((correction, found))
}

/// Pairs, and nothing that tells their direction: stamps are brought together, no more.
fn unknown(pairs: &[Pair]) -> (Correction, ClockFound, Option<Ways>) {
    let mut deltas: Vec<i64> = pairs.iter().map(|pair| pair.b.saturating_sub(pair.a)).collect();
    deltas.sort_unstable();
    let offset = deltas.get(deltas.len() / 2).copied().unwrap_or(0);
    let found = ClockFound::without_offset(ClockMethod::NoDirection);
    (Correction { offset, ..Correction::default() }, found, Some(Ways::default()))
}
