//! Delay: shapes that profiles know by name, the empirical table, correlation in time, and order.

mod correlation;
mod distance;
mod kept;
mod order;
mod shape;
mod table;

use std::ops::Range;

use serde::Serialize;

use super::blocks::{fitted, held_out};
use super::draws::Draws;
use super::loss::KS_BOUND;
use super::special::student_95;
use super::{LEAST_PACKETS, Observed, Options, Parameter, Series};
use crate::stats::Interval;
use distance::{Distribution, ks, wasserstein};
use kept::Own;
use shape::Shaped;
use table::Table;

pub use correlation::{Correlation, Lag};
pub use order::{OrderFound, OrderVerdict};
pub use shape::Shape;
pub use table::TablePoint;

/// Shares at which quantiles are held against a shape's: so many, without the outermost hundredths, where a heavy tail
/// would drown all others.
const SHARES: usize = 400;
const OUTER: f64 = 0.01;
/// A block with fewer delays says nothing of an interval: it is joined with those behind it.
const LEAST_IN_BLOCK: usize = 30;
/// Delays of their own that make a sample where the order was kept, and the share of them of which no more than that they are
/// small may be known before a shape is fitted beside it.
const LEAST_OWN: usize = 100;
/// Delays of their own at the smallest one that make a cut where the order was kept.
const SEEN: usize = 10;
const UNKNOWN: f64 = 0.005;
/// Correlations that are larger by this than those that a kept order makes by itself are the link's.
const MORE_THAN_ORDER: f64 = 0.05;
/// The largest distance of a constant: half of the packets are to lie at it, however little so few packets say.
const NO_CONSTANT: f64 = 0.25;
/// The range from the smallest delay to the 95 % quantile in so many parts, or in narrower ones down to the resolution: a cut
/// puts more than this share of packets into the first, and several times what is in the second, by more than so many of its
/// standard deviations.
const PARTS: f64 = 50.0;
const CUT_CERTAIN: f64 = 3.0;
const CUT_SHARE: f64 = 0.03;
const CUT_TIMES: f64 = 3.0;

/// A delay as it was fitted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "model")]
pub enum DelayModel {
    /// A base delay with jitter of a named shape around it.
    Shaped {
        /// The shape.
        shape: Shape,
        /// The base delay, in nanoseconds.
        delay_ns: f64,
        /// Half-width where uniform, else standard deviation, in nanoseconds.
        jitter_ns: f64,
    },
    /// The smallest delay, and above it a table of quantiles.
    Table {
        /// The smallest delay, in nanoseconds.
        delay_ns: i64,
        /// The delays above it.
        points: Vec<TablePoint>,
    },
}

/// A candidate, fitted on one half of the blocks.
#[derive(Clone, Debug, Serialize)]
pub struct DelayCandidate {
    /// The shape; `None` for the table.
    pub shape: Option<Shape>,
    /// Its base delay, in nanoseconds; of the table the smallest.
    pub delay_ns: f64,
    /// Its jitter, in nanoseconds; 0 for the table.
    pub jitter_ns: f64,
    /// On the other half: the KS distance that is left within the resolution.
    pub ks: f64,
    /// On the other half: the Wasserstein distance of order 1.
    pub wasserstein_ms: f64,
    /// Whether it was chosen.
    pub chosen: bool,
}

/// Delay, fitted.
#[derive(Clone, Debug, Serialize)]
pub struct DelayFit {
    /// Delays known.
    pub samples: usize,
    /// Whether they are from end to end; else 0 stands for the smallest, and the base delay is not known.
    pub absolute: bool,
    /// The smallest, in nanoseconds.
    pub base_ns: i64,
    /// The mean, in nanoseconds.
    pub mean_ns: f64,
    /// The share of packets at the smallest delay, where so many are there that jitter was cut; `None` elsewhere.
    pub cut_share: Option<f64>,
    /// Differences of delay up to this count as none, in nanoseconds.
    pub resolution_ns: i64,
    /// The KS distance that two samples of one distribution stay below in 999 of 1000 cases, for as many as are worth
    /// independent ones.
    pub noise: f64,
    /// What was chosen, fitted on all.
    pub chosen: DelayModel,
    /// Its parameters, with 95 % intervals from the spread over blocks.
    pub parameters: Vec<Parameter>,
    /// Whether the chosen one's distance on the held-out half is no more than the noise.
    pub accepted: bool,
    /// All candidates.
    pub candidates: Vec<DelayCandidate>,
    /// In time.
    pub correlation: Correlation,
    /// Order.
    pub order: OrderFound,
}

/// Jitter that was cut: what lies at the smallest delay.
#[derive(Clone, Copy)]
struct Cut {
    floor: f64,
    share: f64,
    /// How wide the part is that it was found in; `None` where what lies there is not known to be all that was cut.
    part: Option<i64>,
}

impl Cut {
    /// The same of another sample: how much of it lies there.
    fn of(self, sorted: &[i64]) -> Self {
        let Some(part) = self.part else { return self };
        let up_to = |parts: i64| {
            let end = (self.floor as i64).saturating_add(part.saturating_mul(parts));
            sorted.partition_point(|delay| *delay <= end) as f64
        };
        let (first, second) = (up_to(1), up_to(2) - up_to(1));
        Self { share: (first - second).max(0.0) / sorted.len().max(1) as f64, ..self }
    }
}

/// Fits the delays; `None` where fewer than a fit takes are known.
pub(super) fn fit(series: &Series, blocks: &[Range<usize>], options: &Options) -> Option<DelayFit> {
    let of = |packets: &[Observed]| packets.iter().filter_map(|packet| packet.fate.delay_ns()).collect::<Vec<i64>>();
    let mut all = of(&series.packets);
    if all.len() < LEAST_PACKETS {
        return None;
    }
    all.sort_unstable();
    // Where the clocks are not known against each other, 0 stands for the smallest delay.
    let shift = if series.absolute { 0 } else { *all.first()? };
    let shifted = |mut delays: Vec<i64>| {
        delays.iter_mut().for_each(|delay| *delay = delay.saturating_sub(shift));
        delays.sort_unstable();
        delays
    };
    let scores = correlation::scores(series, &all);
    let all = shifted(all);
    let test_blocks: Vec<_> = held_out(blocks).collect();
    let mut correlation = correlation::fit(series, &scores, &test_blocks, options);
    let mut order = order::judge(series, &scores, &Table::of(&all), correlation.time_ns, options);
    let marked = kept::marked(series, options);
    // Where the order was kept, delays are as they were before packets waited for others.
    let own = |blocks: &mut dyn Iterator<Item = Range<usize>>| {
        let mut own = Own::of(blocks.filter_map(|block| marked.get(block)).flatten().flatten().copied());
        own.sorted = shifted(own.sorted);
        own
    };
    let whole = own(&mut std::iter::once(0..marked.len()));
    if order.verdict == OrderVerdict::Kept
        && whole.sorted.len() >= LEAST_OWN
        && !is_correlated(series, &correlation, &whole, &test_blocks, options)
    {
        order.taken_off = true;
        order.left_worth = Some(whole.worth);
        correlation.independent();
    }
    let is_own = order.taken_off;
    let sample = |blocks: &mut dyn Iterator<Item = Range<usize>>| {
        if is_own {
            own(blocks)
        } else {
            let delays = blocks.filter_map(|block| series.packets.get(block)).flat_map(of).collect();
            Own::measured(shifted(delays))
        }
    };
    let whole = if is_own { whole } else { Own::measured(all.clone()) };
    let (train, test) = (sample(&mut fitted(blocks)), sample(&mut held_out(blocks)));
    if train.sorted.is_empty() || test.sorted.is_empty() {
        return None;
    }
    let worth = |own: &Own| (own.worth * correlation.worth).max(1.0);
    let noise = KS_BOUND * (1.0 / worth(&train) + 1.0 / worth(&test)).sqrt();
    // Where packets waited one that did not may stand for many: that a part is full of them says nothing then.
    let is_seen = |cut: &Cut| {
        let end = (cut.floor as i64).saturating_add(cut.part.unwrap_or(0));
        let there = marked.iter().flatten().filter(|one| one.is_own_up_to(end.saturating_add(shift))).count();
        !is_own || there >= SEEN
    };
    let cut = cut(&whole.sorted, options.resolution_ns).filter(|cut| whole.unknown < UNKNOWN && is_seen(cut));
    let limit = |own: &Own| own.unknown_part().or_else(|| Some(cut?.of(&own.sorted)));

    let mut candidates: Vec<DelayCandidate> = Vec::new();
    for shape in Shape::ALL {
        let shaped = shaped(shape, &train.sorted, limit(&train));
        // A base below zero cannot be written.
        if shaped.delay >= 0.0 && (shaped.jitter > 0.0 || shape == Shape::Constant) {
            let (delay_ns, jitter_ns) = (shaped.delay, shaped.jitter);
            candidates.push(candidate(Some(shape), (delay_ns, jitter_ns), &shaped, &test.sorted, options));
        }
    }
    let table = Table::of(&train.sorted);
    let least = train.sorted.first().map_or(0.0, |least| *least as f64);
    candidates.push(candidate(None, (least, 0.0), &table, &test.sorted, options));
    let chosen = choose(&candidates, noise);
    let mut shape = None;
    let mut accepted = false;
    if let Some(candidate) = candidates.get_mut(chosen) {
        candidate.chosen = true;
        shape = candidate.shape;
        accepted = candidate.ks <= noise;
    }

    let base_ns = *all.first()?;
    let (chosen, parameters) = match shape {
        Some(shape) => {
            let shaped = shaped(shape, &whole.sorted, limit(&whole));
            let known = |block: &Range<usize>| series.packets.get(block.clone()).map_or(0, |packets| of(packets).len());
            let in_block = |blocks: Vec<Range<usize>>| {
                let own = sample(&mut blocks.into_iter());
                self::shaped(shape, &own.sorted, limit(&own))
            };
            let in_blocks: Vec<Shaped> = joined(blocks, known).into_iter().map(in_block).collect();
            let parameter = |name, value: f64, of: fn(&Shaped) -> f64| Parameter {
                name,
                value,
                interval: over_blocks(value, &in_blocks.iter().map(of).collect::<Vec<_>>()),
            };
            let mut parameters = vec![parameter("delay_ns", shaped.delay, |shaped| shaped.delay)];
            // What is the hosts' own may be in what was measured, and makes delays longer.
            if let Some(interval) = parameters.first_mut().and_then(|delay| delay.interval.as_mut()) {
                interval.low = (interval.low - options.resolution_ns as f64).max(0.0);
            }
            if shape != Shape::Constant {
                parameters.push(parameter("jitter_ns", shaped.jitter, |shaped| shaped.jitter));
            }
            (DelayModel::Shaped { shape, delay_ns: shaped.delay, jitter_ns: shaped.jitter }, parameters)
        }
        None => {
            let delay_ns = *whole.sorted.first()?;
            let above = |point: TablePoint| TablePoint { delay_ns: point.delay_ns - delay_ns, ..point };
            let points = Table::of(&whole.sorted).0.into_iter().map(above).collect();
            (DelayModel::Table { delay_ns, points }, Vec::new())
        }
    };
    Some(DelayFit {
        samples: all.len(),
        absolute: series.absolute,
        base_ns,
        mean_ns: all.iter().map(|delay| *delay as f64).sum::<f64>() / all.len() as f64,
        // What lies beside a constant was no jitter.
        cut_share: cut.filter(|_| shape != Some(Shape::Constant)).map(|cut| cut.share),
        resolution_ns: options.resolution_ns,
        noise,
        chosen,
        parameters,
        accepted,
        candidates,
        correlation,
        order,
    })
}

impl Own {
    /// The smallest ones, where too little is known of them: a shape is fitted to the others, as beside a cut.
    fn unknown_part(&self) -> Option<Cut> {
        let floor = *self.sorted.first()? as f64;
        (self.unknown >= UNKNOWN).then_some(Cut { floor, share: self.unknown, part: None })
    }
}

/// Whether delays hang together by more than that packets waited for those before them: by as much they do if each has its
/// delay drawn by itself and the order is kept.
fn is_correlated(
    series: &Series,
    measured: &Correlation,
    own: &Own,
    test_blocks: &[Range<usize>],
    options: &Options,
) -> bool {
    if measured.time_ns.is_none() {
        return false;
    }
    let mut draws = Draws::new(options.seed ^ 0x6b65_7074);
    let table = Table::of(&own.sorted);
    let anew = kept::drawn_anew(series, || table.quantile(draws.uniform()).round() as i64);
    let mut delays: Vec<i64> = anew.packets.iter().filter_map(|packet| packet.fate.delay_ns()).collect();
    delays.sort_unstable();
    let by_order = correlation::fit(&anew, &correlation::scores(&anew, &delays), test_blocks, options);
    // Neighbours that hang together say less than as many independent ones.
    let worth = delays.len() as f64 * measured.worth.min(by_order.worth);
    let allowed = MORE_THAN_ORDER + 3.3 / worth.max(1.0).sqrt();
    measured.lags.iter().zip(&by_order.lags).any(|(measured, by_order)| measured.scores > by_order.scores + allowed)
}

fn candidate(
    shape: Option<Shape>,
    (delay_ns, jitter_ns): (f64, f64),
    of: &impl Distribution,
    test: &[i64],
    options: &Options,
) -> DelayCandidate {
    DelayCandidate {
        shape,
        delay_ns,
        jitter_ns,
        ks: ks(of, test, options.resolution_ns),
        wasserstein_ms: wasserstein(of, test) / 1e6,
        chosen: false,
    }
}

/// The simplest candidate that is no further away than the table and the noise: a constant, else the nearest of the named
/// shapes, else the table.
fn choose(candidates: &[DelayCandidate], noise: f64) -> usize {
    let table = candidates.len().saturating_sub(1);
    let within = noise + candidates.last().map_or(0.0, |table| table.ks);
    let of = |simple: bool| {
        let named = candidates.iter().enumerate();
        named
            .filter(|(_, one)| {
                let within = if simple { within.min(NO_CONSTANT) } else { within };
                one.shape.is_some_and(|shape| (shape == Shape::Constant) == simple) && one.ks <= within
            })
            .min_by(|(_, one), (_, other)| {
                (one.ks, one.wasserstein_ms)
                    .partial_cmp(&(other.ks, other.wasserstein_ms))
                    .unwrap_or(std::cmp::Ordering::Equal)
            })
            .map(|(number, _)| number)
    };
    of(true).or_else(|| of(false)).unwrap_or(table)
}

/// Whether jitter was cut at the smallest delay.
fn cut(sorted: &[i64], resolution: i64) -> Option<Cut> {
    let (least, n) = (*sorted.first()?, sorted.len());
    let most = *sorted.get(n * 95 / 100)?;
    let widest = ((most.saturating_sub(least) as f64 / PARTS) as i64).max(resolution);
    if most.saturating_sub(least) < widest.saturating_mul(8) {
        return None;
    }
    // Where a shape is steep a wide part holds as much beside what was cut, and where hosts are late a narrow one misses some.
    let parts = std::iter::successors(Some(resolution.max(1)), |part| Some(part.saturating_mul(2)));
    parts.take_while(|part| *part < widest).chain([widest]).find_map(|part| {
        let up_to = |parts: i64| {
            let end = least.saturating_add(part.saturating_mul(parts));
            sorted.partition_point(|delay| *delay <= end) as f64
        };
        let (first, second) = (up_to(1), up_to(2) - up_to(1));
        let certain = CUT_CERTAIN * (first + CUT_TIMES * CUT_TIMES * second).sqrt();
        let share = first / n as f64;
        let found = share > CUT_SHARE && share < 0.9 && first - CUT_TIMES * second > certain;
        // In the first part lies what was cut, and as much besides as in the second.
        found.then_some(Cut { floor: least as f64, share: (first - second) / n as f64, part: Some(part) })
    })
}

/// A shape fitted to a sample: base and jitter by least squares of the sample's quantiles on the shape's, where nothing is
/// cut. What was cut says where the shape passes the smallest delay, and more surely than all quantiles behind it: where the
/// shape is steep a small difference of its base cuts much more or less.
fn shaped(shape: Shape, sorted: &[i64], cut: Option<Cut>) -> Shaped {
    let n = sorted.len();
    let at = |share: f64| sorted.get(((share * n as f64) as usize).min(n.saturating_sub(1))).map_or(0.0, |x| *x as f64);
    if shape == Shape::Constant {
        return Shaped { shape, delay: at(0.5), jitter: 0.0, floor: None };
    }
    let from = cut.map_or(OUTER, |cut| (cut.share + 2.0 * OUTER).min(0.95));
    let to = 1.0 - OUTER;
    let share = |point: usize| from + (to - from) * (point as f64 + 0.5) / SHARES as f64;
    let points = (0..SHARES).map(|point| (shape.quantile(share(point)), at(share(point))));
    let (mut x, mut y) = (0.0, 0.0);
    let passes = cut.filter(|cut| cut.part.is_some() && cut.share > 0.0);
    for (of_shape, of_sample) in points.clone() {
        x += of_shape / SHARES as f64;
        y += of_sample / SHARES as f64;
    }
    if let Some(cut) = passes {
        (x, y) = (shape.quantile(cut.share), cut.floor);
    }
    let (mut square, mut product) = (0.0, 0.0);
    for (of_shape, of_sample) in points {
        square += (of_shape - x).powi(2);
        product += (of_shape - x) * (of_sample - y);
    }
    let jitter = if square > 0.0 { (product / square).max(0.0) } else { 0.0 };
    Shaped { shape, delay: y - jitter * x, jitter, floor: cut.map(|cut| cut.floor) }
}

/// Neighbouring blocks, together where one has too few delays; what is left at the end goes with the last.
fn joined(blocks: &[Range<usize>], known: impl Fn(&Range<usize>) -> usize) -> Vec<Vec<Range<usize>>> {
    let mut whole: Vec<Vec<Range<usize>>> = Vec::new();
    let mut open = Vec::new();
    let mut delays = 0;
    for block in blocks {
        delays += known(block);
        open.push(block.clone());
        if delays >= LEAST_IN_BLOCK {
            whole.push(std::mem::take(&mut open));
            delays = 0;
        }
    }
    if let Some(last) = whole.last_mut() {
        last.append(&mut open);
    }
    whole
}

/// The interval of an estimate by its spread over blocks (batch means, with Student's quantile), which correlation within
/// blocks does not make too narrow.
pub(super) fn over_blocks(value: f64, in_blocks: &[f64]) -> Option<Interval> {
    let n = in_blocks.len();
    if n < 4 {
        return None;
    }
    let mean = in_blocks.iter().sum::<f64>() / n as f64;
    let square: f64 = in_blocks.iter().map(|of_block| (of_block - mean).powi(2)).sum();
    let half = student_95(n - 1) * (square / (n - 1) as f64 / n as f64).sqrt();
    Some(Interval { low: (value - half).max(0.0), high: value + half })
}

#[cfg(test)]
mod tests;
