//! `shaper compare`: two runs, or two series of benchmarks, side by side, without root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args as ClapArgs;
use shaper_report::compare::{Bench, Comparison, DirectionSamples, Options, Side, Verdict};
use shaper_report::summary::Summary;

use super::Outcome;
use crate::stored::{Sampled, Stored};

/// `shaper compare`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// What was: the directory of a run, its summary.json alone, or what `shaper-bench --json` wrote
    a: PathBuf,
    /// What is now: the same kind of thing
    b: PathBuf,
    /// The least change of a time or a rate that is a regression
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    threshold: f64,
    /// Changes of times and rates up to this are noise: only an interval that lies beyond it says something
    #[arg(long, value_name = "PERCENT", default_value = "2%", value_parser = percent)]
    noise: f64,
    /// The least change of a share, such as loss, that is a regression, in percentage points
    #[arg(long, value_name = "POINTS", default_value = "1%", value_parser = percent)]
    share_threshold: f64,
    /// Changes of shares up to this are noise, in percentage points
    #[arg(long, value_name = "POINTS", default_value = "0.2%", value_parser = percent)]
    share_noise: f64,
    /// Only figures with this in their name, such as 'delay' or 'a_to_b delay p50'; may be given again
    #[arg(long, value_name = "NAME")]
    metric: Vec<String>,
    /// The seed of the resamples
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Compare also what was not measured under the same settings
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A share written in percent.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let share = number.map(|percent| percent / 100.0).filter(|share| share.is_finite() && *share >= 0.0);
    share.ok_or_else(|| "want percent, such as 5%".to_owned())
}

/// One side.
enum Input {
    Run(Box<Summary>, Sampled),
    Bench(Bench),
}

impl Input {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        // A directory, and what is not there at all: told as of a run.
        if !path.is_file() {
            let stored = Stored::open(path)?;
            let sampled = stored.samples()?;
            return Ok(Self::Run(Box::new(stored.summary), sampled));
        }
        let bytes = fs::read(path).with_context(|| format!("{name}: cannot be read"))?;
        let text = String::from_utf8_lossy(&bytes);
        let value: serde_json::Value = serde_json::from_str(&text).with_context(|| {
            format!("{name}: is no JSON: name a run's directory, or what `shaper-bench --json` wrote")
        })?;
        if value.get("figures").is_some() {
            return Ok(Self::Bench(Bench::from_json(&text).with_context(|| name.to_string())?));
        }
        let summary = Summary::from_json(&text).with_context(|| name.to_string())?;
        let notes = vec![format!("{name}: a summary alone has no raw samples: name the run's directory")];
        Ok(Self::Run(Box::new(summary), Sampled { directions: BTreeMap::new(), notes }))
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Args { threshold, noise, share_threshold, share_noise, seed, .. } = *args;
    ensure!(noise <= threshold, "--noise is more than --threshold: a change would count that is noise");
    ensure!(share_noise <= share_threshold, "--share-noise is more than --share-threshold");
    let options = Options { threshold, noise, share_threshold, share_noise, seed, metrics: args.metric.clone() };
    let (name_a, name_b) = (args.a.display().to_string(), args.b.display().to_string());
    if let (Ok(a), Ok(b)) = (fs::canonicalize(&args.a), fs::canonicalize(&args.b)) {
        ensure!(a != b, "{name_a} and {name_b}: are one and the same: name what was before, and what is now");
    }
    let mut comparison = match (Input::read(&args.a)?, Input::read(&args.b)?) {
        (Input::Run(a, of_a), Input::Run(b, of_b)) => {
            let mut comparison = runs((&a, &of_a.directions), (&b, &of_b.directions), &options);
            if (&a.run.name, &a.run.started, a.run.seed) == (&b.run.name, &b.run.started, b.run.seed) {
                comparison.notes.push("A and B are copies of the same run".to_owned());
            }
            for (side, sampled) in [("A", of_a), ("B", of_b)] {
                comparison.notes.extend(sampled.notes.into_iter().map(|note| format!("{side}: {note}")));
            }
            comparison
        }
        (Input::Bench(a), Input::Bench(b)) => Comparison::of_benches([&name_a, &name_b], &a, &b, &options),
        _ => bail!("{name_a} and {name_b}: one is a run, the other a series of benchmarks: name two of a kind"),
    };
    let differing: Vec<String> =
        comparison.incomparable().map(|one| format!("{} ({} and {})", one.what, one.a, one.b)).collect();
    if !differing.is_empty() && !args.force {
        bail!(
            "{name_a} and {name_b}: cannot be compared, for these differ: {}; --force compares them all the same",
            differing.join(", ")
        );
    }
    ensure!(
        !comparison.rows.is_empty(),
        "{name_a} and {name_b}: there is no figure that both have{}",
        if args.metric.is_empty() { "" } else { " and --metric names: see --json without it for the names" }
    );
    (comparison.a, comparison.b) = (name_a, name_b);
    let mut text = if args.json { serde_json::to_string_pretty(&comparison)? } else { comparison.to_string() };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    ensure!(
        comparison.rows.iter().any(|row| row.verdict != Verdict::NotJudged),
        "of no figure there are samples or counts that could be judged: nothing is known of a regression"
    );
    Ok(if comparison.regressions == 0 { Outcome::Held } else { Outcome::Failed })
}

type OfRun<'a> = (&'a Summary, &'a BTreeMap<String, DirectionSamples>);

fn runs(a: OfRun<'_>, b: OfRun<'_>, options: &Options) -> Comparison {
    let side = |(summary, samples)| Side { summary, samples };
    Comparison::of_runs(&side(a), &side(b), options)
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_are_written_in_percent() {
        assert_eq!(percent("5%"), Ok(0.05));
        assert_eq!(percent("0.2 %"), Ok(0.002));
        for wrong in ["5", "-1%", "nan%", "inf%", "%", ""] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
