//! Runs: their summaries, and the raw samples that stand in their directories.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Comparison, Difference, Figure, Options, Samples, Values, Worse};
use crate::stats::{Distribution, Proportion};
use crate::summary::{Configured, Direction, Run, Summary};

/// The raw samples of a direction, in the order of arrival.
#[derive(Clone, Debug)]
pub struct DirectionSamples {
    /// Actual release minus arrival, in milliseconds.
    pub delay_ms: Samples,
    /// The size of the difference of the delays of packets that came one after the other (RFC 3393), in milliseconds.
    pub ipdv_ms: Samples,
    /// Actual minus intended release, in microseconds.
    pub lateness_us: Samples,
}

/// A run on one side of a comparison.
#[derive(Clone, Debug)]
pub struct Side<'a> {
    /// What it came to.
    pub summary: &'a Summary,
    /// Its samples, by direction; a direction without any is not here.
    pub samples: &'a BTreeMap<String, DirectionSamples>,
}

/// Why figures of the summary are not judged.
const NO_SAMPLES: &str = "no raw samples in the run directory";

/// Quantiles that are compared.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];

impl Comparison {
    /// Compares two runs.
    #[must_use]
    pub fn of_runs(a: &Side<'_>, b: &Side<'_>, options: &Options) -> Self {
        let mut figures = Vec::new();
        for (name, of_a) in &a.summary.directions {
            let Some(of_b) = b.summary.directions.get(name) else { continue };
            let samples = a.samples.get(name).zip(b.samples.get(name));
            figures.extend(of_direction(name, [of_a, of_b], samples));
            let harness = [a, b].map(|side| {
                let counts = side.summary.conservation.by_direction.get(name);
                counts.map_or(Proportion::of(0, 0), |counts| Proportion::of(counts.lost_by_harness(), counts.arrived))
            });
            figures.push(share(name, "lost by the harness", Worse::Higher, harness));
        }
        figures.extend(of_application(a.summary, b.summary));
        let names = [a.summary.run.name.as_str(), b.summary.run.name.as_str()];
        let mut comparison = Self::new(names, differences(a.summary, b.summary), figures, options);
        comparison.notes = notes(a.summary, b.summary);
        comparison
    }
}

fn share<'a>(of: &str, metric: &str, worse: Worse, [a, b]: [Proportion; 2]) -> Figure<'a> {
    let (of, metric, unit) = (of.to_owned(), metric.to_owned(), "ratio".to_owned());
    Figure { of, metric, unit, worse: Some(worse), values: Values::Share { a, b } }
}

fn told<'a>(of: &str, metric: String, unit: &str, values: [Option<f64>; 2], n: [u64; 2]) -> Figure<'a> {
    let [a, b] = values;
    let values = Values::Told { a, b, n, why: NO_SAMPLES };
    Figure { of: of.to_owned(), metric, unit: unit.to_owned(), worse: Some(Worse::Higher), values }
}

/// The quantiles of distributions whose samples are not at hand.
fn distribution<'a>(of: &str, metric: &str, unit: &str, both: [&Distribution; 2]) -> Vec<Figure<'a>> {
    let at = |name: &str, of: &Distribution| match name {
        "p50" => of.p50,
        "p95" => of.p95,
        _ => of.p99,
    };
    let n = both.map(|of| of.n);
    let one = |(name, _): (&str, f64)| told(of, format!("{metric} {name}"), unit, both.map(|of| at(name, of)), n);
    QUANTILES.into_iter().map(one).collect()
}

fn sampled<'a>(of: &str, metric: &str, unit: &str, [a, b]: [&'a Samples; 2]) -> Vec<Figure<'a>> {
    let one = |(name, q): (&str, f64)| Figure {
        of: of.to_owned(),
        metric: format!("{metric} {name}"),
        unit: unit.to_owned(),
        worse: Some(Worse::Higher),
        values: Values::Quantile { q, a, b },
    };
    QUANTILES.into_iter().map(one).collect()
}

fn of_direction<'a>(
    name: &str,
    both: [&Direction; 2],
    samples: Option<(&'a DirectionSamples, &'a DirectionSamples)>,
) -> Vec<Figure<'a>> {
    let [a, b] = both.map(|direction| &direction.measured);
    let mut figures = vec![
        share(name, "loss", Worse::Higher, [a.loss, b.loss]),
        share(name, "dropped by the queue", Worse::Higher, [a.queue, b.queue]),
        share(name, "let through", Worse::Lower, [a, b].map(|of| Proportion::of(of.forwarded, of.packets))),
    ];
    if let Some((a, b)) = a.reordered.zip(b.reordered) {
        figures.push(share(name, "reordered", Worse::Higher, [a, b]));
    }
    match samples {
        Some((a, b)) => {
            figures.extend(sampled(name, "delay", "ms", [&a.delay_ms, &b.delay_ms]));
            figures.extend(sampled(name, "ipdv", "ms", [&a.ipdv_ms, &b.ipdv_ms]));
            figures.extend(sampled(name, "lateness", "us", [&a.lateness_us, &b.lateness_us]));
        }
        None => {
            figures.extend(distribution(name, "intended delay", "ms", [&a.intended_delay_ms, &b.intended_delay_ms]));
            figures.extend(distribution(name, "lateness", "us", [&a.lateness_us, &b.lateness_us]));
        }
    }
    if let Some((a, b)) = a.one_way_delay_ms.as_ref().zip(b.one_way_delay_ms.as_ref()) {
        figures.extend(distribution(name, "one-way delay", "ms", [a, b]));
    }
    if a.loss_burst.is_some() || b.loss_burst.is_some() {
        let n = [a, b].map(|of| of.loss.count);
        figures.push(told(name, "lost in a row, mean".to_owned(), "packets", [a.loss_burst, b.loss_burst], n));
    }
    figures
}

fn of_application<'a>(a: &Summary, b: &Summary) -> Vec<Figure<'a>> {
    const OF: &str = "application";
    let mut figures = Vec::new();
    if let Some((a, b)) = a.commands.as_ref().zip(b.commands.as_ref()) {
        let both = [&a.total, &b.total];
        figures.push(share(OF, "delivered", Worse::Lower, both.map(|total| total.delivery_ratio)));
        let once = both.map(|total| Proportion::of(total.applied_once, total.intended));
        if both.iter().any(|total| total.applied_once > 0) {
            figures.push(share(OF, "applied once", Worse::Lower, once));
        }
    }
    if let Some((a, b)) = a.sync_failures.as_ref().zip(b.sync_failures.as_ref()) {
        let failed = [a, b].map(|of| Proportion::of(of.total.min(of.judged), of.judged));
        figures.push(share(OF, "sync failures", Worse::Higher, failed));
    }
    let times = [
        ("response time", &a.response_time_ms, &b.response_time_ms),
        ("time to state", &a.time_to_state_ms, &b.time_to_state_ms),
    ];
    for (name, a, b) in times {
        if let Some((a, b)) = a.as_ref().zip(b.as_ref()) {
            figures.extend(distribution(OF, name, "ms", [a, b]));
        }
    }
    if let Some((a, b)) = a.spread_ms.as_ref().zip(b.spread_ms.as_ref()) {
        figures.extend(distribution(OF, "spread", "ms", [&a.distribution, &b.distribution]));
    }
    figures
}

/// What the runs were told, where that differs; and what they ran on.
fn differences(a: &Summary, b: &Summary) -> Vec<Difference> {
    fn of_run(what: &str, of: impl Fn(&Run) -> String, [a, b]: [&Run; 2], comparable: bool) -> Option<Difference> {
        let (a, b) = (of(a), of(b));
        (a != b).then(|| Difference { what: what.to_owned(), a, b, comparable })
    }
    let runs = [&a.run, &b.run];
    let mode = |run: &Run| run.xdp_mode.clone().unwrap_or_else(|| "-".to_owned());
    let mut all: Vec<Difference> = [
        of_run("workload", |run| run.workload.clone(), runs, false),
        of_run("profile", |run| run.profile.clone(), runs, false),
        of_run("seed", |run| run.seed.to_string(), runs, false),
        of_run("duration in s", |run| run.duration_s.to_string(), runs, true),
        of_run("kernel", |run| run.kernel.clone(), runs, true),
        of_run("engine", |run| run.engine.clone(), runs, true),
        of_run("XDP mode", mode, runs, true),
        of_run("version", |run| run.version.clone(), runs, true),
    ]
    .into_iter()
    .flatten()
    .collect();
    let names: BTreeSet<&String> = a.directions.keys().chain(b.directions.keys()).collect();
    for name in names {
        match (a.directions.get(name), b.directions.get(name)) {
            (Some(a), Some(b)) => all.extend(settings(name, &a.configured, &b.configured)),
            (in_a, in_b) => {
                let word = |there: bool| if there { "there" } else { "-" }.to_owned();
                let (a, b) = (word(in_a.is_some()), word(in_b.is_some()));
                all.push(Difference { what: format!("direction {name}"), a, b, comparable: false });
            }
        }
    }
    all
}

/// Settings of a direction that differ. What follows from the seed and the length of the run is none.
fn settings(name: &str, a: &Configured, b: &Configured) -> Vec<Difference> {
    let (Ok(Value::Object(a)), Ok(Value::Object(b))) = (serde_json::to_value(a), serde_json::to_value(b)) else {
        return Vec::new();
    };
    let keys = a.keys().filter(|key| !["outage_windows", "expected_shift_ms"].contains(&key.as_str()));
    let differs = |key: &String| {
        let (a, b) = (a.get(key)?, b.get(key)?);
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let what = format!("{name} {key}");
        (a != b).then(|| Difference { what, a: word(a), b: word(b), comparable: false })
    };
    keys.filter_map(differs).collect()
}

fn notes(a: &Summary, b: &Summary) -> Vec<String> {
    let of = |side: &str, summary: &Summary| {
        let code = summary.exit_code;
        (code != 0).then(|| format!("{side} failed by itself, exit code {code}: its figures may be of something else"))
    };
    of("A", a).into_iter().chain(of("B", b)).collect()
}
