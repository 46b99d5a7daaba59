//! `shaper analyze`: captures from one point or from two, without root.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args as ClapArgs;
use serde::Serialize;
use shaper_offline::analyze::{self, Analysis, Clock, FileFound, Options};
use shaper_offline::pcapfile::Compression;
use shaper_profile::Expectation;
use shaper_profile::expectation::{Figure, Judged, Known, Measured, NoExpectation, Of, Statistic};

use super::Outcome;

/// `shaper analyze`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The capture at the first point: pcap or pcapng, also in gzip or zstd; - alone is standard input
    #[arg(value_name = "A.pcap")]
    a: PathBuf,
    /// The capture at the second point
    #[arg(value_name = "B.pcap")]
    b: Option<PathBuf>,
    /// Both captures were stamped by one clock; the captures of a run say so themselves
    #[arg(long)]
    same_clock: bool,
    /// What is demanded of both, such as 'loss.a_to_b < 6%' or 'delay.a_to_b.p99 < 50ms': the exit code is 1 where it does
    /// not hold; may be given again
    #[arg(long, value_name = "EXPECTATION", value_parser = expectation)]
    expect: Vec<Expectation>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The figures of two captures.
const KNOWN: Known<'_> = Known {
    figures: &[Figure::Loss, Figure::Matched, Figure::Reordered, Figure::Delay],
    statistics: &[
        Statistic::Min,
        Statistic::Mean,
        Statistic::P50,
        Statistic::P90,
        Statistic::P99,
        Statistic::P999,
        Statistic::Max,
    ],
    ..Known::NOTHING
};

/// Reads an expectation that two captures can be held to.
fn expectation(text: &str) -> Result<Expectation, NoExpectation> {
    let expectation: Expectation = text.parse()?;
    expectation.among(&KNOWN)?;
    Ok(expectation)
}

/// An analysis, and what came of what was expected.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    analysis: &'a Analysis,
    #[serde(skip_serializing_if = "<[Judged]>::is_empty")]
    expectations: &'a [Judged],
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let clock = if args.same_clock { Clock::Same } else { Clock::Estimate };
    let options = Options { clock, ..Options::default() };
    let mut judged: Vec<Judged> = Vec::new();
    let (text, cuts) = match &args.b {
        Some(b) => {
            let analysis = analyze::two_points(&args.a, b, &options)?;
            judged = args.expect.iter().map(|one| one.judge(measure(one, &analysis))).collect();
            let text = if args.json {
                json(&Told { analysis: &analysis, expectations: &judged })?
            } else {
                judged.iter().fold(analysis.to_string(), |text, judged| format!("{}\n{judged}", text.trim_end()))
            };
            let [a, b] = &analysis.files;
            let cut = |file: &FileFound| (file.path.clone(), file.cut_at, file.compression);
            (text, vec![cut(a), cut(b)])
        }
        None if !args.expect.is_empty() => {
            bail!("--expect is of what lies between two points: name the capture at the second one too")
        }
        None => {
            let description = analyze::one_point(&args.a, &options)?;
            let text = if args.json { json(&description)? } else { description.to_string() };
            (text, vec![(description.path, description.cut_at, description.compression)])
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        writeln!(out)?;
    }
    out.flush()?;
    let cuts: Vec<_> = cuts.into_iter().filter_map(|(path, at, of)| Some(cut_off(&path, at?, of))).collect();
    // What stands before a cut was printed; that it is not all is an error nevertheless.
    if !cuts.is_empty() {
        bail!(cuts.join("; "));
    }
    Ok(if judged.iter().all(|judged| judged.held) { Outcome::Held } else { Outcome::Failed })
}

/// The figure; none where no packet was found that it could be of.
fn measure(expectation: &Expectation, analysis: &Analysis) -> Option<Measured> {
    let figures = match expectation.of {
        Of::Direction(0) => &analysis.a_to_b,
        Of::Direction(1) => &analysis.b_to_a,
        _ => return None,
    };
    match expectation.figure {
        Figure::Loss => Measured::share(figures.lost, figures.matched + figures.corrupted + figures.lost),
        Figure::Matched => Some(Measured::count(figures.matched)),
        Figure::Reordered => figures.reordering.ratio.map(|value| Measured {
            value,
            words: format!("{:.3} % ({} packets)", value * 100.0, figures.reordering.reordered),
        }),
        Figure::Delay => {
            let delay = figures.delay_ns?;
            let nanos = match expectation.statistic {
                Statistic::Min => delay.min as f64,
                Statistic::Mean => delay.mean,
                Statistic::P50 => delay.p50 as f64,
                Statistic::P90 => delay.p90 as f64,
                Statistic::P99 => delay.p99 as f64,
                Statistic::P999 => delay.p999 as f64,
                Statistic::Max => delay.max as f64,
                Statistic::P95 => return None,
            };
            Some(Measured::time(nanos, expectation.statistic))
        }
        _ => None,
    }
}

fn cut_off(path: &str, at: u64, compression: Option<Compression>) -> String {
    let of = if compression.is_some() { " of the decompressed data" } else { "" };
    format!(
        "{path}: cut off at byte {at}{of}, in the middle of a packet or block: the analysis ends there; copy the file whole, \
         or stop the capture before copying it"
    )
}

fn json<T: serde::Serialize>(value: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}
