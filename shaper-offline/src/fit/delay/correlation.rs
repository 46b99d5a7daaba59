//! Delays that are correlated in time: the process that profiles have behind their draws.
//!
//! There it is an Ornstein-Uhlenbeck process, whose normal value is turned into the delay of the same probability. So each
//! delay is turned back here: its rank among all gives a normal score, and the scores have the correlation
//! `exp(-t / tau)` over a time `t`, whatever the distribution is.

use std::ops::Range;

use serde::Serialize;

use crate::fit::blocks::gain_bound;
use crate::fit::special::normal_quantile;
use crate::fit::{Options, Series};
use crate::stats::Interval;

/// Lags that correlations are told at, in packets.
const LAGS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
/// Points of the search for a time constant, and halvings of the interval of the best of them.
const GRID: u32 = 48;
const HALVINGS: usize = 40;
/// Half the square of z at 95 %.
const FALL: f64 = 1.920_729_410_347_06;
/// Time constants from one of the thinned packets to the next.
const THINNED: f64 = 0.5;
/// Thinned packets that must be left.
const LEAST_LEFT: usize = 200;
/// A correlation of neighbours from which on more than one in a hundred of the variance is told beforehand.
const FELT: f64 = 0.1;

/// A packet's normal score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    /// Its number in the series.
    pub(super) number: usize,
    pub(super) sent_ns: i64,
    pub(super) z: f64,
}

/// The correlation of delays some packets apart.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Lag {
    /// So many delivered packets apart.
    pub packets: usize,
    /// Of the delays themselves.
    pub delays: f64,
    /// Of their normal scores.
    pub scores: f64,
    /// What the fitted process has there at the mean distance in time; `None` without one.
    pub fitted: Option<f64>,
}

/// How delays hang together in time.
#[derive(Clone, Debug, Serialize)]
pub struct Correlation {
    /// The time constant, in nanoseconds; `None` where delays are as good as independent, or times are not known.
    pub time_ns: Option<f64>,
    /// 95 %, by the likelihood of the scores.
    pub interval_ns: Option<Interval>,
    /// So many packets lie from one of those that the time constant was found on to the next.
    pub thinned_by: usize,
    /// Measured correlations, and the fitted ones.
    pub lags: Vec<Lag>,
    /// The share of packets that say as much as independent ones would: `(1 - rho) / (1 + rho)` for the fitted or measured
    /// correlation of neighbours.
    pub worth: f64,
}

impl Correlation {
    /// Says that delays are independent, and only seem to hang together.
    pub(super) fn independent(&mut self) {
        (self.time_ns, self.interval_ns, self.thinned_by, self.worth) = (None, None, 1, 1.0);
        self.lags.iter_mut().for_each(|lag| lag.fitted = None);
    }
}

/// The normal score of each delay: of its mean rank where several are equal.
pub(super) fn scores(series: &Series, sorted: &[i64]) -> Vec<Score> {
    let n = sorted.len() as f64;
    let score = |(number, packet): (usize, &crate::fit::Observed)| {
        let delay = packet.fate.delay_ns()?;
        let below = sorted.partition_point(|other| *other < delay) as f64;
        let reached = sorted.partition_point(|other| *other <= delay) as f64;
        Some(Score { number, sent_ns: packet.sent_ns, z: normal_quantile(f64::midpoint(below, reached) / n) })
    };
    series.packets.iter().enumerate().filter_map(score).collect()
}

pub(super) fn fit(series: &Series, scores: &[Score], held_out: &[Range<usize>], options: &Options) -> Correlation {
    let delay =
        |score: &Score| series.packets.get(score.number).and_then(|packet| packet.fate.delay_ns()).unwrap_or(0) as f64;
    let mut lags: Vec<Lag> = LAGS
        .into_iter()
        .filter(|lag| lag * 4 < scores.len())
        .map(|packets| Lag {
            packets,
            delays: autocorrelation(scores, packets, delay),
            scores: autocorrelation(scores, packets, |score| score.z),
            fitted: None,
        })
        .collect();
    let neighbours = lags.first().map_or(0.0, |lag| lag.scores);
    let mut found = Correlation { time_ns: None, interval_ns: None, thinned_by: 1, lags: Vec::new(), worth: 1.0 };
    // Far packets are told by none of their neighbours: two standard errors are nothing.
    let felt = neighbours > FELT.max(3.3 / (scores.len().max(1) as f64).sqrt());
    if felt {
        found.worth = (1.0 - neighbours) / (1.0 + neighbours);
    }
    let span = match (scores.first(), scores.last()) {
        (Some(first), Some(last)) if series.timed => last.sent_ns.saturating_sub(first.sent_ns) as f64,
        _ => 0.0,
    };
    if felt && span > 0.0 {
        let mean_step = span / scores.len() as f64;
        let (mut thinned_by, mut time) = (1, 0.0);
        // What is measured has an error of its own, which between close packets is larger than the process's step.
        for _ in 0..12 {
            time = likeliest(&pairs(scores, thinned_by), mean_step, span);
            let wanted = ((THINNED * time / mean_step) as usize).clamp(1, (scores.len() / LEAST_LEFT).max(1));
            if wanted <= thinned_by {
                break;
            }
            thinned_by = wanted;
        }
        let pairs = pairs(scores, thinned_by);
        let in_blocks: Vec<f64> = held_out
            .iter()
            .map(|block| pairs.iter().filter(|pair| block.contains(&pair.number)).map(|pair| pair.gain(time)).sum())
            .collect();
        if gain_bound(&in_blocks, options.seed) > 0.0 {
            let step = mean_step / time;
            for lag in &mut lags {
                lag.fitted = Some((-step * lag.packets as f64).exp());
            }
            let rho = (-step).exp();
            found = Correlation {
                time_ns: Some(time),
                interval_ns: Some(interval(&pairs, time)),
                thinned_by,
                lags: Vec::new(),
                worth: ((1.0 - rho) / (1.0 + rho)).min(found.worth),
            };
        }
    }
    Correlation { lags, ..found }
}

fn autocorrelation(scores: &[Score], lag: usize, of: impl Fn(&Score) -> f64) -> f64 {
    let mean = scores.iter().map(&of).sum::<f64>() / scores.len().max(1) as f64;
    let square: f64 = scores.iter().map(|score| (of(score) - mean).powi(2)).sum();
    let product: f64 =
        scores.iter().zip(scores.iter().skip(lag)).map(|(one, other)| (of(one) - mean) * (of(other) - mean)).sum();
    if square > 0.0 { product / square } else { 0.0 }
}

/// Two packets one behind the other, after thinning.
struct Pair {
    number: usize,
    apart: f64,
    before: f64,
    behind: f64,
}

impl Pair {
    /// By how much the logarithm of the likelihood of the later score, given the earlier one, is above that without: the
    /// process's exact step (Gillespie, Phys. Rev. E 54, 1996).
    fn gain(&self, time: f64) -> f64 {
        let kept = (-self.apart / time).exp();
        let left = (1.0 - kept * kept).max(1e-9);
        f64::midpoint(-left.ln(), self.behind * self.behind - (self.behind - kept * self.before).powi(2) / left)
    }
}

/// Each `by`th packet with the next of them: the process at fewer times is the same process.
fn pairs(scores: &[Score], by: usize) -> Vec<Pair> {
    let thinned: Vec<&Score> = scores.iter().step_by(by.max(1)).collect();
    let pair = |(before, behind): (&&Score, &&Score)| {
        let apart = behind.sent_ns.saturating_sub(before.sent_ns);
        (apart > 0).then_some(Pair { number: behind.number, apart: apart as f64, before: before.z, behind: behind.z })
    };
    thinned.iter().zip(thinned.iter().skip(1)).filter_map(pair).collect()
}

fn gain(pairs: &[Pair], time: f64) -> f64 {
    pairs.iter().map(|pair| pair.gain(time)).sum()
}

/// The time constant of the greatest likelihood between a tenth of the packets' distance and the series' length: the best of
/// a grid, and a golden section beside it.
fn likeliest(pairs: &[Pair], mean_step: f64, span: f64) -> f64 {
    let (from, to) = ((mean_step / 10.0).ln(), span.max(mean_step).ln());
    let step = (to - from) / f64::from(GRID);
    let of = |log: f64| gain(pairs, log.exp());
    let grid = (0..=GRID).map(|point| from + step * f64::from(point)).map(|log| (of(log), log));
    let (_, best) = grid.max_by(|(one, _), (other, _)| one.total_cmp(other)).unwrap_or((0.0, from));
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (best - step, best + step);
    for _ in 0..HALVINGS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if of(left) < of(right) {
            low = left;
        } else {
            high = right;
        }
        if high - low < 1e-6 {
            break;
        }
    }
    f64::midpoint(low, high).exp()
}

/// Where the logarithm of the likelihood has fallen by 1.92 on either side (Wilks, Ann. Math. Stat. 9, 1938).
fn interval(pairs: &[Pair], time: f64) -> Interval {
    let least = gain(pairs, time) - FALL;
    let bound = |far: f64| {
        let (mut inside, mut outside) = (time.ln(), far.ln());
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(inside, outside);
            if gain(pairs, middle.exp()) > least {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        inside.exp()
    };
    Interval { low: bound(time / 100.0), high: bound(time * 100.0) }
}
