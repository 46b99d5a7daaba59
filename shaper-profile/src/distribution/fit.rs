//! From a shape to the table of quantiles that the decision reads.

use shaper_common::quantile::{FIRST_KNOT_OCTAVE, KNOTS, Knot, Quantiles, SIDE};
use shaper_common::units::Nanos;

use super::shape::{Shape, Tail};

/// Halves of a slice: units of a [`Knot`]'s place.
const UNITS: f64 = 8_589_934_592.0;
/// What is no longer worth a knot where there are not enough for all bends: a quarter of what tables may be off.
const ENOUGH: f64 = 2.5e-5;
/// As good as exact: the width of a few draws.
const EXACT: f64 = 1e-9;

/// A table of quantiles and what making it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The table.
    pub quantiles: Box<Quantiles>,
    /// The share of packets whose delay would be below zero and is cut to none.
    pub cut_share: f64,
    /// By how much the distribution function misses the points of a table of more than 63 points, at most. Zero for
    /// the shapes known by formula: those are within 1e-4 everywhere.
    pub error: f64,
}

/// A point at which the quantile function bends.
#[derive(Clone, Copy)]
struct Bend {
    /// The tail in units of 2^-33.
    place: f64,
    /// The delay there.
    value: f64,
}

/// A stretch of one side that is linear in the table: within a segment, from knot to knot.
struct Piece {
    from: (u64, f64),
    to: (u64, f64),
    /// Bends within.
    bends: Vec<Bend>,
    /// The bend furthest from the line, and by which share.
    worst: Option<(usize, f64)>,
}

/// The delay `base + jitter * shape`, or base and the table's own delays, cut at zero, as a table of quantiles.
///
/// Bends of the quantile function (the cut, and the points of a table) get knots, the worst ones first where there are
/// more than 63. A table of up to 62 points comes out exactly.
#[must_use]
pub fn quantiles(shape: &Shape, base: Nanos, jitter: Nanos) -> Fitted {
    let (base, jitter) = (base.0 as f64, jitter.0 as f64);
    let scale = if shape.is_absolute() { 1.0 } else { jitter };
    let uncut = |tail: Tail| base + scale * shape.quantile(tail);
    let delay = |tail: Tail| uncut(tail).max(0.0);

    let cut_share = cut(&uncut);
    let mut bends: Vec<(Tail, f64)> = Vec::new();
    if let Shape::Table(table) = shape {
        bends.extend(
            table.points().iter().map(|point| (Tail::of(point.probability), (base + scale * point.value).max(0.0))),
        );
    }
    if cut_share > 0.0 {
        bends.push((Tail::of(cut_share), 0.0));
    }

    let mut quantiles = Box::new(Quantiles::constant(Nanos::ZERO));
    let mut pieces = Vec::new();
    let of_side = |entries: &mut [u64; SIDE], tail: fn(f64) -> Tail| {
        for (entry, value) in entries.iter_mut().enumerate() {
            *value = delay(tail(place_of(entry) / UNITS)).round() as u64;
        }
    };
    of_side(&mut quantiles.lower, Tail::Lower);
    of_side(&mut quantiles.upper, Tail::Upper);
    let lower = bends.iter().filter_map(|(tail, value)| match tail {
        Tail::Lower(share) => Some(Bend { place: share * UNITS, value: *value }),
        Tail::Upper(_) => None,
    });
    let upper = bends.iter().filter_map(|(tail, value)| match tail {
        Tail::Upper(share) => Some(Bend { place: share * UNITS, value: *value }),
        Tail::Lower(_) => None,
    });
    pieces.extend(bent_segments(&quantiles.lower, lower.collect()).map(|piece| (Knot::LOWER, piece)));
    pieces.extend(bent_segments(&quantiles.upper, upper.collect()).map(|piece| (0, piece)));

    let enough = if bends.len() < KNOTS { EXACT } else { ENOUGH };
    let mut knots: Vec<Knot> = Vec::new();
    while knots.len() < KNOTS - 1 {
        let worst =
            pieces.iter().enumerate().max_by(|(_, (_, left)), (_, (_, right))| left.error().total_cmp(&right.error()));
        let Some(number) = worst.filter(|(_, (_, piece))| piece.error() > enough).map(|(number, _)| number) else {
            break;
        };
        let (side, piece) = pieces.swap_remove(number);
        let Some((knot, halves)) = piece.split(side) else { break };
        knots.push(knot);
        pieces.extend(halves.map(|half| (side, half)));
    }
    // Of knots in one place the one nearer to the end comes first.
    knots.sort_by_key(|knot| (knot.at, if knot.at < Knot::LOWER { u64::MAX - knot.value } else { knot.value }));
    for (place, knot) in quantiles.knots.iter_mut().zip(&knots) {
        *place = *knot;
    }
    quantiles.knot_count = knots.len() as u64;
    Fitted { quantiles, cut_share, error: pieces.iter().map(|(_, piece)| piece.error()).fold(0.0, f64::max) }
}

/// The probability at which a quantile function reaches zero, by bisection; zero where it begins no lower.
fn cut(uncut: &impl Fn(Tail) -> f64) -> f64 {
    if uncut(Tail::Lower(1.0 / UNITS)) >= 0.0 {
        return 0.0;
    }
    let (mut below, mut reached) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(below, reached);
        if uncut(Tail::of(middle)) < 0.0 {
            below = middle;
        } else {
            reached = middle;
        }
    }
    reached
}

/// Where an entry of a side stands, in units of a [`Knot`]'s place: whole numbers in the octaves that knots are in.
fn place_of(entry: usize) -> f64 {
    2f64.powi((entry / 32) as i32) * (1.0 + (entry % 32) as f64 / 32.0)
}

/// The segments of a side that have bends within.
fn bent_segments(entries: &[u64; SIDE], mut bends: Vec<Bend>) -> impl Iterator<Item = Piece> {
    bends.sort_by(|left, right| left.place.total_cmp(&right.place));
    let first = FIRST_KNOT_OCTAVE as usize * 32;
    let pairs: Vec<[(u64, f64); 2]> = (first..SIDE - 1)
        .filter_map(|entry| {
            let point = |entry: usize| Some((place_of(entry) as u64, *entries.get(entry)? as f64));
            Some([point(entry)?, point(entry + 1)?])
        })
        .collect();
    pairs.into_iter().filter_map(move |[from, to]| {
        let start = bends.partition_point(|bend| bend.place <= from.0 as f64);
        let end = bends.partition_point(|bend| bend.place < to.0 as f64);
        let bends = bends.get(start..end).unwrap_or_default().to_vec();
        (!bends.is_empty()).then(|| Piece::new(from, to, bends))
    })
}

impl Piece {
    fn new(from: (u64, f64), to: (u64, f64), bends: Vec<Bend>) -> Self {
        let (start, end) = (from.0 as f64, to.0 as f64);
        let off = |bend: &Bend| {
            // Where the line reaches the bend's value; on a flat line every place has it.
            let span = to.1 - from.1;
            if span == 0.0 {
                0.0
            } else {
                (start + (bend.value - from.1) / span * (end - start) - bend.place).abs() / UNITS
            }
        };
        let worst = bends.iter().map(off).enumerate().max_by(|(_, left), (_, right)| left.total_cmp(right));
        Self { from, to, bends, worst }
    }

    fn error(&self) -> f64 {
        self.worst.map_or(0.0, |(_, error)| error)
    }

    /// A knot at the worst bend, and what is left on either side of it.
    fn split(self, side: u64) -> Option<(Knot, [Self; 2])> {
        let (number, _) = self.worst?;
        let bend = *self.bends.get(number)?;
        // The next segment begins where this one ends, and a knot there would be that one's.
        let place =
            (2 * (bend.place / 2.0).round() as u64).clamp(self.from.0, self.to.0.saturating_sub(2).max(self.from.0));
        let value = bend.value.round();
        let knot = Knot { at: side + place, value: value as u64 };
        let before = self.bends.iter().take(number).copied().collect();
        let after = self.bends.iter().skip(number + 1).copied().collect();
        Some((knot, [Self::new(self.from, (place, value), before), Self::new((place, value), self.to, after)]))
    }
}
