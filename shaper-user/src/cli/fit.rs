//! `shaper fit`: a profile of what was measured, without root.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args as ClapArgs;
use serde::Serialize;
use shaper_offline::fit::{self, Fit, Options, Series};
use shaper_profile::quantity::Duration;

use super::Outcome;
use crate::cut::Cut;
use crate::fit::{Both, Given, Measured, Outputs, write};

/// `shaper fit`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The capture at the first point; or, alone, a run's directory, delays as CSV or as a list in milliseconds, or what
    /// `irtt client -o FILE.json` wrote
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The capture at the second point
    #[arg(value_name = "B.pcap")]
    b: Option<PathBuf>,
    /// Write the profile there, and a table of delays beside it where one was chosen
    #[arg(short, long, value_name = "PROFILE.toml")]
    output: Option<PathBuf>,
    /// Write each packet's fate there too, and let the profile replay them instead of the fitted settings
    #[arg(long, value_name = "FILE.csv", requires = "output")]
    trace: Option<PathBuf>,
    /// The profile's name [default: that of its file]
    #[arg(long, requires = "output")]
    name: Option<String>,
    /// Both ends were stamped by one clock, or by clocks that are synchronised
    #[arg(long)]
    same_clock: bool,
    /// From one packet to the next, of a series without times
    #[arg(long, value_name = "TIME", value_parser = Duration::parse_nonzero)]
    interval: Option<Duration>,
    /// Differences of delay that are the measuring hosts' own, and not the link's
    #[arg(long, value_name = "TIME", default_value = "100us")]
    resolution: Duration,
    /// The seed by which blocks are resampled
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was fitted to what.
#[derive(Serialize)]
struct Told<'a> {
    /// The version of this object: it grows where a name goes or changes its meaning.
    schema_version: u32,
    from: &'a str,
    first_ns: Option<i64>,
    notes: &'a [String],
    a_to_b: Option<&'a Fit>,
    b_to_a: Option<&'a Fit>,
    /// The profile first.
    files: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let nanos = |duration: Duration| i64::try_from(duration.0.0).unwrap_or(i64::MAX);
    let given = Given { same_clock: args.same_clock, interval_ns: args.interval.map(nanos) };
    spare_inputs(args)?;
    let mut measured = Measured::read(&args.a, args.b.as_deref(), given)?;
    let options = Options { resolution_ns: nanos(args.resolution), seed: args.seed };
    let fits = fitted(&mut measured, &options)?;
    let mut files = Vec::new();
    if let Some(profile) = &args.output {
        let outputs = Outputs { profile, trace: args.trace.as_deref(), name: args.name.as_deref() };
        files = write(&measured, &fits, &outputs)?.iter().map(|path| path.display().to_string()).collect();
    }
    let mut out = io::stdout().lock();
    let [a_to_b, b_to_a] = fits.each_ref().map(Option::as_ref);
    if args.json {
        let Measured { from, first_ns, notes, .. } = &measured;
        let told = Told { schema_version: 1, from, first_ns: *first_ns, notes, a_to_b, b_to_a, files };
        writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
        out.flush()?;
        return whole(&measured.cuts);
    }
    writeln!(out, "{}", measured.from)?;
    for note in &measured.notes {
        writeln!(out, "{note}")?;
    }
    for (name, fit) in [("a to b", a_to_b), ("b to a", b_to_a)] {
        if let Some(fit) = fit {
            write!(out, "\n{name}: {fit}")?;
        }
    }
    if !files.is_empty() {
        writeln!(out, "\nwritten: {}", files.join(", "))?;
    }
    out.flush()?;
    whole(&measured.cuts)
}

/// What stands before a cut was fitted and told; that it is not all is an error nevertheless.
fn whole(cuts: &[Cut]) -> anyhow::Result<Outcome> {
    if !cuts.is_empty() {
        let said = cuts.iter().map(|cut| cut.told("what was fitted"));
        bail!(said.collect::<Vec<_>>().join("; "));
    }
    Ok(Outcome::Held)
}

/// Sees that nothing is written over what is read, nor over what else is written.
fn spare_inputs(args: &Args) -> anyhow::Result<()> {
    let outputs = [args.output.as_ref(), args.trace.as_ref()];
    let same = |one: &PathBuf, other: &PathBuf| match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    };
    for output in outputs.into_iter().flatten() {
        if output.as_os_str() == "-" {
            bail!("-: what is written needs a name, for profile and trace name each other");
        }
        if same(output, &args.a) || args.b.as_ref().is_some_and(|b| same(output, b)) {
            bail!("{}: is what the fit is of: write to another file", output.display());
        }
    }
    if let [Some(profile), Some(trace)] = outputs
        && same(profile, trace)
    {
        bail!("{}: is to be the profile and its trace: name two files", profile.display());
    }
    Ok(())
}

/// Fits both directions. One alone that cannot be fitted is noted; where neither can it is an error.
fn fitted(measured: &mut Measured, options: &Options) -> anyhow::Result<Both> {
    let mut problems = Vec::new();
    let mut one = |name: &str, series: &Series| {
        if series.packets.is_empty() {
            return None;
        }
        fit::fit(series, options).map_err(|error| problems.push(format!("{name} was not fitted: {error}"))).ok()
    };
    let [a_to_b, b_to_a] = &measured.series;
    let fits = [one("a to b", a_to_b), one("b to a", b_to_a)];
    if fits.iter().all(Option::is_none) {
        if problems.is_empty() {
            bail!("{}: no packet's way is known, so there is nothing to fit", measured.from);
        }
        bail!("{}: {}", measured.from, problems.join("; "));
    }
    measured.notes.append(&mut problems);
    Ok(fits)
}
