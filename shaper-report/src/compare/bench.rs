//! Benchmarks: what `shaper-bench --json` writes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Comparison, Difference, Figure, Options, Samples, Values, Worse};

/// Why a text is no series of benchmarks.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the benchmarks: {0}: is this what `shaper-bench --json` wrote?")]
pub struct BenchError(#[source] serde_json::Error);

/// The figures of a series.
#[derive(Debug)]
pub struct Bench {
    host: Map<String, Value>,
    figures: Vec<(Taken, Samples)>,
}

#[derive(Debug, Deserialize)]
struct Written {
    host: Map<String, Value>,
    figures: Vec<Taken>,
}

/// A figure as it is written.
#[derive(Debug, Deserialize)]
struct Taken {
    suite: String,
    name: String,
    unit: String,
    repeats: Vec<f64>,
}

impl Taken {
    fn key(&self) -> (&str, &str, &str) {
        (&self.suite, &self.name, &self.unit)
    }

    /// What is counted by the second is better when it rises, as is a share of what was done; a share of what was lost
    /// is not, nor are times, allocations and losses.
    fn worse(&self) -> Worse {
        let is_loss = ["lost", "loss", "dropped"].iter().any(|word| self.name.contains(word));
        if self.unit.ends_with("/s") || self.unit == "%" && !is_loss { Worse::Lower } else { Worse::Higher }
    }
}

/// Of a host, what makes figures incomparable where it differs.
const MACHINE: [&str; 3] = ["processor", "processors", "virtual_machine"];
/// Of a host, what is told where it differs.
const TOLD: [&str; 2] = ["kernel", "memory_kib"];

impl Bench {
    /// Reads what `shaper-bench --json` wrote.
    ///
    /// # Errors
    /// When the text is none of that, with line and column.
    pub fn from_json(text: &str) -> Result<Self, BenchError> {
        let Written { host, figures } = serde_json::from_str(text).map_err(BenchError)?;
        let sampled = |mut taken: Taken| {
            let samples = Samples::new(std::mem::take(&mut taken.repeats));
            (taken, samples)
        };
        Ok(Self { host, figures: figures.into_iter().map(sampled).collect() })
    }
}

impl Comparison {
    /// Compares two series of benchmarks, figure by figure of the same suite, name and unit, by the medians of their
    /// repeats.
    #[must_use]
    pub fn of_benches(names: [&str; 2], a: &Bench, b: &Bench, options: &Options) -> Self {
        let word = |host: &Map<String, Value>, key: &str| match host.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "-".to_owned(),
        };
        let differs = |key: &str, comparable| {
            let (of_a, of_b) = (word(&a.host, key), word(&b.host, key));
            (of_a != of_b).then(|| Difference { what: key.to_owned(), a: of_a, b: of_b, comparable })
        };
        let machine = MACHINE.iter().filter_map(|key| differs(key, false));
        let differences = machine.chain(TOLD.iter().filter_map(|key| differs(key, true))).collect();
        let others: BTreeMap<_, &Samples> = b.figures.iter().map(|(taken, samples)| (taken.key(), samples)).collect();
        let known: BTreeMap<_, ()> = a.figures.iter().map(|(taken, _)| (taken.key(), ())).collect();
        let figures = a.figures.iter().filter_map(|(taken, samples)| {
            let other = *others.get(&taken.key())?;
            Some(Figure {
                of: taken.suite.clone(),
                metric: taken.name.clone(),
                unit: taken.unit.clone(),
                worse: Some(taken.worse()),
                values: Values::Quantile { q: 0.5, a: samples, b: other },
            })
        });
        let mut comparison = Self::new(names, differences, figures.collect(), options);
        let only =
            |(suite, name, unit): (&str, &str, &str), side: &str| format!("only in {side}: {suite} {name} ({unit})");
        let gone = known.keys().filter(|key| !others.contains_key(*key)).map(|key| only(*key, "A"));
        let new = others.keys().filter(|key| !known.contains_key(*key)).map(|key| only(*key, "B"));
        comparison.notes = gone.chain(new).collect();
        comparison
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn bench(processor: &str, repeats: &[(&str, &str, [f64; 5])]) -> Bench {
        let figures: Vec<Value> = repeats
            .iter()
            .map(|(name, unit, repeats)| {
                serde_json::json!({"suite": "link", "name": name, "unit": unit, "median": 0, "repeats": repeats})
            })
            .collect();
        let host = serde_json::json!({"processor": processor, "kernel": "6.1", "load_before": 0.5});
        Bench::from_json(&serde_json::json!({"host": host, "figures": figures}).to_string()).unwrap()
    }

    #[test]
    fn rates_that_fall_and_times_that_rise_are_regressions() {
        let a = bench(
            "x",
            &[
                ("delivered", "packets/s", [100.0, 101.0, 99.0, 100.5, 100.2]),
                ("time", "ns", [50.0, 51.0, 49.0, 50.0, 50.5]),
                ("lost flat out", "%", [10.0, 10.1, 10.0, 9.9, 10.0]),
                ("sent in time", "%", [99.0, 99.1, 99.0, 98.9, 99.0]),
                ("gone", "ns", [1.0; 5]),
            ],
        );
        let b = bench(
            "x",
            &[
                ("delivered", "packets/s", [80.0, 81.0, 79.0, 80.5, 80.2]),
                ("time", "ns", [40.0, 41.0, 39.0, 40.0, 40.5]),
                ("lost flat out", "%", [12.0, 12.1, 12.0, 11.9, 12.0]),
                ("sent in time", "%", [89.0, 89.1, 89.0, 88.9, 89.0]),
                ("new", "ns", [1.0; 5]),
            ],
        );
        let found = Comparison::of_benches(["a", "b"], &a, &b, &Options::default());
        let verdicts: Vec<Verdict> = found.rows.iter().map(|row| row.verdict).collect();
        assert_eq!(
            verdicts,
            [Verdict::Regression, Verdict::Improvement, Verdict::Regression, Verdict::Regression],
            "{found:?}"
        );
        assert_eq!((found.regressions, found.differences.len()), (3, 0));
        assert_eq!(found.notes, ["only in A: link gone (ns)", "only in B: link new (ns)"]);
    }

    #[test]
    fn another_processor_makes_figures_incomparable() {
        let [a, b] = ["x", "y"].map(|processor| bench(processor, &[("time", "ns", [1.0; 5])]));
        let found = Comparison::of_benches(["a", "b"], &a, &b, &Options::default());
        assert_eq!(found.incomparable().map(|one| one.what.as_str()).collect::<Vec<_>>(), ["processor"]);
        assert!(Bench::from_json("{}").unwrap_err().to_string().contains("shaper-bench --json"));
    }
}
