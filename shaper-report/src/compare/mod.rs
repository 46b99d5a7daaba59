//! What changed from one run, or one series of benchmarks, to another, and whether that is a regression.
//!
//! A quantile is judged by the bootstrap interval of its ratio on raw samples, a share by Newcombe's interval of its
//! difference. A change is one only where the interval lies beyond the noise band and the change itself beyond the
//! threshold. All intervals of a comparison hold together with 95 %: each misses with 0.05 over their number
//! (Bonferroni). What has no raw samples is shown and not judged.

mod bench;
pub mod bootstrap;
mod runs;
mod text;

use serde::Serialize;

pub use bench::{Bench, BenchError};
pub use bootstrap::Samples;
pub use runs::{DirectionSamples, Side};

use crate::stats::{Proportion, newcombe};
use bootstrap::{Bootstrap, FEWEST, ratio};

/// The version of the schema of [`Comparison`] as JSON.
pub const SCHEMA_VERSION: u32 = 1;
/// The probability that any interval of a comparison misses.
const FAMILY_ERROR: f64 = 0.05;
/// Resamples at least.
const LEAST_RESAMPLES: u32 = 10_000;
/// Resamples at most.
const MOST_RESAMPLES: u32 = 200_000;
/// Why a ratio is not judged: it turns round where a value changes its sign.
const BELOW_ZERO: &str = "at or below zero, where a ratio says nothing";
/// Samples that are to lie beyond a quantile which is judged.
const BEYOND: f64 = 10.0;

/// What counts as a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Options {
    /// The least change of a quantile that is a regression, as a part of what it was.
    pub threshold: f64,
    /// The change of a quantile that is noise: an interval which reaches into it says nothing.
    pub noise: f64,
    /// The least change of a share that is a regression; 0.01 is a percentage point.
    pub share_threshold: f64,
    /// The change of a share that is noise.
    pub share_noise: f64,
    /// The seed of the resamples.
    pub seed: u64,
    /// Only figures with one of these in their name; all where there are none.
    pub metrics: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let metrics = Vec::new();
        Self { threshold: 0.05, noise: 0.02, share_threshold: 0.01, share_noise: 0.002, seed: 1, metrics }
    }
}

/// Which way a figure gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Worse {
    /// When it rises.
    Higher,
    /// When it falls.
    Lower,
}

/// What is said of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Surely worse, and by more than the threshold.
    Regression,
    /// Surely better, and by more than the threshold.
    Improvement,
    /// Neither.
    NoChange,
    /// There are too few samples, or none, or neither way is worse.
    NotJudged,
}

impl Verdict {
    /// The words shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regression => "REGRESSION",
            Self::Improvement => "improvement",
            Self::NoChange => "no change",
            Self::NotJudged => "not judged",
        }
    }
}

/// Of what a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `b / a - 1`.
    Relative,
    /// `b - a`.
    Difference,
}

/// One figure on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The direction, `application`, or the suite.
    pub of: String,
    /// Its name.
    pub metric: String,
    /// Its unit; `ratio` for shares.
    pub unit: String,
    /// The figure in A; null where it has none.
    pub a: Option<f64>,
    /// The figure in B.
    pub b: Option<f64>,
    /// Samples, or trials, in A.
    pub n_a: u64,
    /// Samples, or trials, in B.
    pub n_b: u64,
    /// How the change is told.
    pub kind: Kind,
    /// The change; null where there is none to tell.
    pub change: Option<f64>,
    /// The lower end of its interval; null without one, or where it has no bound.
    pub low: Option<f64>,
    /// The upper end of its interval.
    pub high: Option<f64>,
    /// Which way is worse; null where neither is.
    pub worse: Option<Worse>,
    /// What is said of it.
    pub verdict: Verdict,
    /// Why it is not judged; null where it is.
    pub why: Option<String>,
}

/// Something that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What.
    pub what: String,
    /// In A.
    pub a: String,
    /// In B.
    pub b: String,
    /// Whether figures can be compared all the same.
    pub comparable: bool,
}

/// Two runs, or two series of benchmarks, side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The version of this schema, see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name of A.
    pub a: String,
    /// The name of B.
    pub b: String,
    /// What is not the same, first what makes figures incomparable.
    pub differences: Vec<Difference>,
    /// What counts as a change.
    pub options: Options,
    /// The probability with which each interval misses.
    pub error: f64,
    /// Resamples of each bootstrap.
    pub resamples: u32,
    /// The figures.
    pub rows: Vec<Row>,
    /// Figures that are regressions.
    pub regressions: u64,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
}

impl Comparison {
    /// What makes figures incomparable.
    pub fn incomparable(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| !difference.comparable)
    }

    fn new(names: [&str; 2], mut differences: Vec<Difference>, figures: Vec<Figure<'_>>, options: &Options) -> Self {
        differences.sort_by_key(|difference| difference.comparable);
        let [a, b] = names.map(str::to_owned);
        let chosen = |figure: &Figure<'_>| {
            let name = format!("{} {}", figure.of, figure.metric);
            options.metrics.is_empty() || options.metrics.iter().any(|metric| name.contains(metric.as_str()))
        };
        let figures: Vec<Figure<'_>> = figures.into_iter().filter(chosen).collect();
        let judged = figures.iter().filter(|figure| figure.unjudged().is_none()).count().max(1) as u32;
        let error = FAMILY_ERROR / f64::from(judged);
        // So many that ten lie beyond each end of an interval.
        let resamples = judged.saturating_mul(400).clamp(LEAST_RESAMPLES, MOST_RESAMPLES);
        let bootstrap = Bootstrap { resamples, error, seed: options.seed };
        let rows: Vec<Row> = figures.iter().map(|figure| figure.row(&bootstrap, options)).collect();
        let regressions = rows.iter().filter(|row| row.verdict == Verdict::Regression).count() as u64;
        let options = options.clone();
        let (schema_version, notes) = (SCHEMA_VERSION, Vec::new());
        Self { schema_version, a, b, differences, options, error, resamples, rows, regressions, notes }
    }
}

/// One figure, before it is judged.
struct Figure<'a> {
    of: String,
    metric: String,
    unit: String,
    worse: Option<Worse>,
    values: Values<'a>,
}

/// What a figure is made of.
enum Values<'a> {
    /// A quantile of raw samples.
    Quantile { q: f64, a: &'a Samples, b: &'a Samples },
    /// Shares.
    Share { a: Proportion, b: Proportion },
    /// Figures without their samples.
    Told { a: Option<f64>, b: Option<f64>, n: [u64; 2], why: &'static str },
}

impl Figure<'_> {
    /// Why nothing can be said of it; `None` where something can.
    fn unjudged(&self) -> Option<String> {
        if self.worse.is_none() {
            return Some("neither way is worse".to_owned());
        }
        match &self.values {
            Values::Quantile { q, a, b } => {
                let least = a.n().min(b.n());
                let wanted = if *q > 0.5 { (BEYOND / (1.0 - q)).round() as usize } else { FEWEST };
                (least < wanted).then(|| format!("{least} samples, it takes {wanted}"))
            }
            Values::Share { a, b } => (a.of == 0 || b.of == 0).then(|| "a share of nothing".to_owned()),
            Values::Told { why, .. } => Some((*why).to_owned()),
        }
    }

    fn row(&self, bootstrap: &Bootstrap, options: &Options) -> Row {
        let mut why = self.unjudged();
        let (kind, a, b, n) = match &self.values {
            Values::Quantile { q, a, b } => {
                (Kind::Relative, a.quantile(*q), b.quantile(*q), [a.n() as u64, b.n() as u64])
            }
            Values::Share { a, b } => (Kind::Difference, a.ratio, b.ratio, [a.of, b.of]),
            Values::Told { a, b, n, .. } => (Kind::Relative, *a, *b, *n),
        };
        let mut change = a.zip(b).and_then(|(a, b)| match kind {
            Kind::Relative => (a.min(b) >= 0.0).then(|| ratio(a, b) - 1.0),
            Kind::Difference => Some(b - a),
        });
        let interval = match &self.values {
            Values::Quantile { q, a, b } if why.is_none() => {
                bootstrap.ratio(a, b, *q).map(|of| (of.low - 1.0, of.high - 1.0))
            }
            Values::Share { a, b } if why.is_none() => newcombe(a, b, bootstrap.error).map(|of| (of.low, of.high)),
            _ => None,
        };
        // With enough samples there is an interval, or the quantile is not above zero.
        if why.is_none() && kind == Kind::Relative && interval.is_none() {
            (why, change) = (Some(BELOW_ZERO.to_owned()), None);
        }
        let (noise, threshold) = match kind {
            Kind::Relative => (options.noise, options.threshold),
            Kind::Difference => (options.share_noise, options.share_threshold),
        };
        let verdict = match (change, interval, self.worse) {
            (Some(change), Some((low, high)), Some(worse)) => {
                let rose = low > noise && change > threshold;
                let fell = high < -noise && change < -threshold;
                match (rose, fell, worse) {
                    (true, _, Worse::Higher) | (_, true, Worse::Lower) => Verdict::Regression,
                    (true, _, Worse::Lower) | (_, true, Worse::Higher) => Verdict::Improvement,
                    (false, false, _) => Verdict::NoChange,
                }
            }
            _ => Verdict::NotJudged,
        };
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        Row {
            of: self.of.clone(),
            metric: self.metric.clone(),
            unit: self.unit.clone(),
            a,
            b,
            n_a: n[0],
            n_b: n[1],
            kind,
            change: change.and_then(finite),
            low: interval.and_then(|(low, _)| finite(low)),
            high: interval.and_then(|(_, high)| finite(high)),
            worse: self.worse,
            verdict,
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(worse: Worse, values: Values<'_>) -> Row {
        let figure = Figure {
            of: "a_to_b".to_owned(),
            metric: "delay p50".to_owned(),
            unit: "ms".to_owned(),
            worse: Some(worse),
            values,
        };
        Comparison::new(["a", "b"], Vec::new(), vec![figure], &Options::default()).rows.remove(0)
    }

    fn around(middle: f64) -> Samples {
        Samples::new((0..101).map(|at| middle + 0.001 * f64::from(at * 37 % 101) - 0.05).collect())
    }

    #[test]
    fn a_change_counts_only_beyond_noise_and_threshold_and_in_the_worse_direction() {
        let verdict = |worse, from: f64, to: f64| {
            let (a, b) = (around(from), around(to));
            judged(worse, Values::Quantile { q: 0.5, a: &a, b: &b }).verdict
        };
        assert_eq!(verdict(Worse::Higher, 20.0, 21.2), Verdict::Regression);
        assert_eq!(verdict(Worse::Lower, 20.0, 21.2), Verdict::Improvement);
        assert_eq!(verdict(Worse::Lower, 20.0, 18.8), Verdict::Regression);
        assert_eq!(verdict(Worse::Higher, 20.0, 18.8), Verdict::Improvement);
        // Sure, and small.
        assert_eq!(verdict(Worse::Higher, 20.0, 20.8), Verdict::NoChange);
    }

    #[test]
    fn a_large_change_of_scattered_samples_is_none() {
        let a = Samples::new(vec![1.0, 2.0, 5.0, 9.0, 20.0]);
        let b = Samples::new(vec![2.0, 4.0, 10.0, 11.0, 13.0]);
        let row = judged(Worse::Higher, Values::Quantile { q: 0.5, a: &a, b: &b });
        assert_eq!((row.change, row.verdict), (Some(1.0), Verdict::NoChange));
        let few = Samples::new(vec![1.0; 4]);
        let row = judged(Worse::Higher, Values::Quantile { q: 0.5, a: &few, b: &b });
        assert_eq!((row.verdict, row.why.as_deref()), (Verdict::NotJudged, Some("4 samples, it takes 5")));
        let row = judged(Worse::Higher, Values::Quantile { q: 0.99, a: &around(1.0), b: &around(2.0) });
        assert_eq!(row.why.as_deref(), Some("101 samples, it takes 1000"));
    }

    #[test]
    fn shares_are_judged_in_percentage_points() {
        let share =
            |a, b| judged(Worse::Higher, Values::Share { a: Proportion::of(a, 10_000), b: Proportion::of(b, 10_000) });
        let row = share(500, 700);
        assert_eq!(row.verdict, Verdict::Regression);
        assert!((row.change.unwrap() - 0.02).abs() < 1e-12 && row.low.unwrap() > 0.01);
        assert_eq!(share(500, 580).verdict, Verdict::NoChange, "less than a percentage point");
        let few = judged(Worse::Higher, Values::Share { a: Proportion::of(5, 100), b: Proportion::of(9, 100) });
        assert_eq!(few.verdict, Verdict::NoChange, "not sure");
    }

    #[test]
    fn a_quantile_at_or_below_zero_is_not_judged_by_a_ratio() {
        // Half as early is later, and by the ratio it would be less.
        for (from, to) in [(-20.0, -10.0), (-10.0, -20.0), (-5.0, 5.0), (5.0, -5.0), (0.01, 0.02)] {
            let (a, b) = (around(from), around(to));
            let row = judged(Worse::Higher, Values::Quantile { q: 0.5, a: &a, b: &b });
            let told = (row.change, row.low, row.high, row.verdict, row.why.as_deref());
            assert_eq!(told, (None, None, None, Verdict::NotJudged, Some(BELOW_ZERO)), "{from} to {to}");
        }
        let told = Values::Told { a: Some(-3.0), b: Some(-2.0), n: [9, 9], why: "no samples" };
        assert_eq!(judged(Worse::Higher, told).change, None);
    }

    #[test]
    fn what_starts_at_nothing_has_no_relative_change() {
        let (none, some) = (Samples::new(vec![0.0; 50]), around(3.0));
        let row = judged(Worse::Higher, Values::Quantile { q: 0.5, a: &none, b: &some });
        assert_eq!((row.change, row.low, row.verdict), (None, None, Verdict::Regression));
        let row = judged(Worse::Higher, Values::Quantile { q: 0.5, a: &none, b: &none });
        assert_eq!((row.change, row.verdict), (Some(0.0), Verdict::NoChange));
    }
}
