//! `shaper analyze`: captures from one point or from two, without root.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args as ClapArgs;
use serde::Serialize;
use shaper_offline::analyze::{
    self, Analysis, Capture, Clock, Comparison, FindingKind, FlowKey, FlowPattern, Options, Predicate, Severity,
};
use shaper_offline::merged::{self, Marks, Writing};
use shaper_offline::packet::Layers;
use shaper_offline::pcapfile::{Packet, STDIN};
use shaper_offline::rows::compared;
use shaper_profile::expectation::{Figure, Judged, Known, Measured, NoExpectation, Of, Statistic};
use shaper_profile::quantity::Duration;
use shaper_profile::{Expectation, Filter, FilterError};

use super::Outcome;
use crate::cut::Cut;

mod frame;
mod html;
mod key;
mod output;

use output::Output;

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
    /// What has not arrived after it counts as lost (Tmax of RFC 7680) [default: 3s]
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse_nonzero)]
    tmax: Option<Duration>,
    /// Only packets of this filter, in words of pcap-filter (docs/filters.md), such as 'udp port 5004'; clocks are related
    /// by all packets even so
    #[arg(long, value_name = "EXPR", value_parser = filter)]
    filter: Option<Filter>,
    /// Only this flow, as it is printed ('UDP 10.0.0.1:5000 > 10.0.0.2:6000'), or flows that a part of that names, such as
    /// '10.0.0.1:5000', ':6000' or 'TCP'
    #[arg(long, value_name = "FLOW")]
    flow: Option<FlowPattern>,
    /// Two interfaces of one pcapng are the points, by name or by number from 0
    #[arg(long, value_name = "IFACE,IFACE", value_parser = points, conflicts_with_all = ["b", "point_a", "point_b"])]
    points: Option<[String; 2]>,
    /// Packets of one file that passed the first point
    #[arg(long, value_name = "EXPR", value_parser = filter, requires = "point_b", conflicts_with = "b")]
    point_a: Option<Filter>,
    /// Packets of it that passed the second point
    #[arg(long, value_name = "EXPR", value_parser = filter, requires = "point_a")]
    point_b: Option<Filter>,
    /// Write both captures into one pcapng, in order of time, with what was found as a comment on each packet, such as
    /// 'shaper found=lost way=a_to_b'; of one capture, its packets
    #[arg(short, long, value_name = "OUT.pcapng")]
    write: Option<PathBuf>,
    /// Write a row for each packet as CSV: way, flow, fate, frames and times at both points, delay
    #[arg(long, value_name = "OUT.csv", conflicts_with = "write")]
    csv: Option<PathBuf>,
    /// Write the same rows as Parquet, for DuckDB, Polars, Spark and their like (docs/packets.md)
    #[arg(long, value_name = "OUT.parquet", conflicts_with_all = ["write", "csv"])]
    parquet: Option<PathBuf>,
    /// Tell and write no addresses, names and contents, so that it can be given away: addresses keep the prefixes that they
    /// share (Crypto-PAn), content becomes digests of which only the key tells more (docs/analyze.md)
    #[arg(long)]
    anonymize: bool,
    /// Map addresses by this key, 64 hexadecimal digits or a file of them or of 32 bytes, so that several runs map them
    /// equally [default: one at random]
    #[arg(long, value_name = "FILE|HEX", requires = "anonymize")]
    anonymize_key: Option<OsString>,
    /// Write a page: findings, figures, flows or conversations, and plots; whole in itself, for any browser
    #[arg(long, value_name = "OUT.html")]
    html: Option<PathBuf>,
    /// What is demanded of both, such as 'loss.a_to_b < 6%' or 'delay.a_to_b.p99 < 50ms': the exit code is 1 where it does
    /// not hold; may be given again
    #[arg(long, value_name = "EXPECTATION", value_parser = expectation)]
    expect: Vec<Expectation>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Who writes files.
const CREATOR: &str = concat!("shaper ", env!("CARGO_PKG_VERSION"));

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

/// Reads a filter.
fn filter(text: &str) -> Result<Filter, FilterError> {
    Filter::parse(text)
}

/// Reads two interfaces.
fn points(text: &str) -> Result<[String; 2], String> {
    match text.split(',').map(str::trim).collect::<Vec<_>>()[..] {
        [a, b] if !a.is_empty() && !b.is_empty() && a != b => Ok([a.to_owned(), b.to_owned()]),
        _ => Err("name two different interfaces of the file, such as 'eth0,eth1' or '0,1'".to_owned()),
    }
}

/// Packets of a filter.
fn of_filter(filter: &Filter) -> impl Fn(&Packet<'_>, &Layers<'_>) -> bool {
    move |packet, layers| frame::key(packet, layers).is_some_and(|key| filter.matches(&key))
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let (Some(a), Some(b)) = (&args.point_a, &args.point_b)
        && a == b
    {
        bail!(
            "--point-a and --point-b are one filter, '{a}': give each point one that the other's packets do not pass"
        );
    }
    let clock = if args.same_clock { Clock::Same } else { Clock::Estimate };
    let anonymize = args.anonymize.then(|| key::chosen(args.anonymize_key.as_deref())).transpose()?;
    let mut options = Options { clock, anonymize, ..Options::default() };
    let writing = Writing { application: CREATOR, anonymize };
    if let Some(tmax) = args.tmax {
        options.waiting = std::time::Duration::from_nanos(tmax.0.0);
    }
    let only = |packet: &Packet<'_>, layers: &Layers<'_>| {
        args.flow.as_ref().is_none_or(|flow| flow.matches(&FlowKey::of(layers)))
            && args.filter.as_ref().is_none_or(|filter| of_filter(filter)(packet, layers))
    };
    let chosen: Option<&Predicate<'_>> = (args.flow.is_some() || args.filter.is_some()).then_some(&only);
    let whole = Capture::whole(&args.a);
    let at_points = [&args.point_a, &args.point_b].map(|filter| filter.as_ref().map(of_filter));
    let both = match (&args.b, &args.points, &at_points) {
        (Some(b), ..) => Some([whole, Capture::whole(b)]),
        (None, Some([a, b]), _) => Some([a, b].map(|interface| Capture { interface: Some(interface), ..whole })),
        (None, None, [Some(a), Some(b)]) => {
            Some([Capture { point: Some(a), ..whole }, Capture { point: Some(b), ..whole }])
        }
        (None, None, _) => None,
    };
    let mut judged: Vec<Judged> = Vec::new();
    let mut unanswered = Vec::new();
    let (text, cuts) = match both {
        Some([a, b]) => {
            let comparison = Comparison { a, b, only: chosen, options };
            let of_page = args.html.as_deref().map(|path| {
                let output = Output::create(path)?;
                let (analysis, page) = html::two(&comparison)?;
                output.text(&page)?;
                anyhow::Ok(analysis)
            });
            let of_page = of_page.transpose()?;
            let analysis = match (&args.write, &args.csv, &args.parquet) {
                (Some(path), ..) => made(path, |out| merged(&comparison, &writing, out))?,
                (_, Some(path), _) => made(path, |out| written(compared::write_csv(&comparison, out)?))?,
                (.., Some(path)) => made(path, |out| written(compared::write_parquet(&comparison, CREATOR, out)?))?,
                (None, None, None) => of_page.map_or_else(|| comparison.run(), Ok)?,
            };
            judged = args.expect.iter().map(|one| one.judge(measure(one, &analysis))).collect();
            let text = if args.json {
                json(&Told { analysis: &analysis, expectations: &judged })?
            } else {
                judged.iter().fold(analysis.to_string(), |text, judged| format!("{}\n{judged}", text.trim_end()))
            };
            if !analysis.has_shared() {
                let grave = analysis
                    .findings
                    .iter()
                    .filter(|finding| finding.severity == Severity::Error && finding.kind != FindingKind::Damaged);
                unanswered = grave.map(|finding| finding.text.clone()).collect();
            }
            (text, analysis.files.iter().filter_map(Cut::of_file).collect::<Vec<_>>())
        }
        None => {
            let between = [
                ("--csv", args.csv.is_some()),
                ("--parquet", args.parquet.is_some()),
                ("--expect", !args.expect.is_empty()),
                ("--same-clock", args.same_clock),
                ("--tmax", args.tmax.is_some()),
            ];
            if let Some((flag, _)) = between.iter().find(|(_, given)| *given) {
                bail!("{flag} is of what lies between two points: name the capture at the second one too");
            }
            for (flag, of) in [("--html", &args.html), ("--write", &args.write)] {
                if of.is_some() {
                    twice(&args.a, flag)?;
                }
            }
            let [of_page, of_packets] = [&args.html, &args.write].map(|path| path.as_deref().map(Output::create));
            let (of_page, of_packets) = (of_page.transpose()?, of_packets.transpose()?);
            let description = analyze::one_point_of(&Capture { point: chosen, ..whole }, &options)?;
            if let Some(output) = of_packets {
                output.fill(|out| Ok(merged::copy(&args.a, chosen, &writing, out)?))?;
            }
            if let Some(output) = of_page {
                output.text(&html::one(&args.a, chosen, &description)?)?;
            }
            let text = if args.json { json(&description)? } else { description.to_string() };
            let nothing = description.without_packets(chosen.is_some());
            unanswered.extend(nothing.map(|said| format!("{}: {said}", description.path)));
            (text, Cut::of_description(&description).into_iter().collect())
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        writeln!(out)?;
    }
    out.flush()?;
    // What stands before a cut was printed; that it is not all is an error nevertheless.
    let unanswered: Vec<_> = cuts.iter().map(|cut| cut.told("the analysis")).chain(unanswered).collect();
    if !unanswered.is_empty() {
        bail!(unanswered.join("; "));
    }
    Ok(if judged.iter().all(|judged| judged.held) { Outcome::Held } else { Outcome::Failed })
}

/// Makes a new file of what `write` writes; one that it could not finish does not stay.
fn made<T>(path: &Path, write: impl FnOnce(BufWriter<File>) -> anyhow::Result<T>) -> anyhow::Result<T> {
    Output::create(path)?.fill(write)
}

/// Sees that a capture can be read more than once.
fn twice(path: &Path, flag: &str) -> anyhow::Result<()> {
    let stream = path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
    if path == Path::new(STDIN) || stream {
        bail!(
            "{}: {flag} reads the capture more than once, and this can be read once: write it to a file first (cat > FILE), \
             and name that",
            path.display()
        );
    }
    Ok(())
}

/// What was found, if all rows could be written.
fn written((analysis, rows): (Analysis, io::Result<u64>)) -> anyhow::Result<Analysis> {
    rows?;
    Ok(analysis)
}

/// Compares, and writes both captures into one.
fn merged(comparison: &Comparison<'_>, writing: &Writing<'_>, out: impl Write) -> anyhow::Result<Analysis> {
    let mut marks = Marks::default();
    let analysis = comparison.run_into(&mut marks)?;
    let files = [comparison.a.path, comparison.b.path];
    merged::write(files, &marks, &analysis, writing, out)?;
    Ok(analysis)
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

fn json<T: serde::Serialize>(value: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}
