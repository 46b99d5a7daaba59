//! `shaper clear`: takes back what processes left behind that did not end in order.

use std::io::{self, Write};

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use serde::Serialize;
use shaper_net::journal::{self, Owners, Summary, UndoReport};

use super::Outcome;
use crate::apply::all;

/// `shaper clear`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Only end what impairs this interface, wherever it is
    #[arg(value_name = "IFACE", conflicts_with = "all")]
    interface: Option<String>,
    /// Also end what still runs: labs, runs, and whatever they changed
    #[arg(long)]
    all: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// One journal in the JSON output.
#[derive(Serialize)]
struct Cleared {
    journal: String,
    command: String,
    /// The process that ended when told to, and took its changes back itself.
    ended: Option<u32>,
    undone: Vec<String>,
    gone_already: Vec<String>,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    change: Option<String>,
    why: String,
}

/// Undoes, and says what.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let before = running()?;
    let reports = match &args.interface {
        Some(interface) => of_interface(interface)?,
        None => journal::recover(if args.all { Owners::All } else { Owners::Dead })
            .context("cannot look for what was left behind")?,
    };
    let after = running()?;
    // Who was told to end and did so in order has left no journal to report on.
    let gone = |journal: &&Summary| {
        !after.iter().any(|other| other.path == journal.path) && !reports.iter().any(|r| r.journal == journal.path)
    };
    let ends_any = args.all || args.interface.is_some();
    let ended: Vec<&Summary> = if ends_any { before.iter().filter(gone).collect() } else { Vec::new() };
    let after: Vec<&Summary> = if args.interface.is_some() { Vec::new() } else { after.iter().collect() };
    let mut out = io::stdout().lock();
    if args.json {
        let cleared: Vec<Cleared> =
            ended.iter().map(|journal| Cleared::ended(journal)).chain(reports.iter().map(Cleared::from)).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&cleared)?)?;
    } else {
        for Summary { header, .. } in &ended {
            writeln!(out, "{}: process {} ended, and took back all it had changed", header.command, header.owner.pid)?;
        }
        for report in &reports {
            tell(&mut out, report)?;
        }
        if reports.is_empty() && ended.is_empty() {
            writeln!(out, "nothing to clear")?;
        }
        for Summary { header, standing, .. } in &after {
            writeln!(
                out,
                "left alone: {} (process {} runs, {standing} changes): shaper clear --all ends it",
                header.command, header.owner.pid
            )?;
        }
    }
    let failures: usize = reports.iter().map(|report| report.failures.len()).sum();
    if failures > 0 {
        bail!("{failures} changes could not be taken back; their journals are kept: mend the cause and try again");
    }
    Ok(Outcome::Held)
}

/// Ends what impairs an interface.
fn of_interface(interface: &str) -> anyhow::Result<Vec<UndoReport>> {
    let (found, _) = all()?;
    let journals: Vec<_> = found.into_iter().filter(|found| found.status.is_of(interface)).collect();
    if journals.is_empty() {
        bail!("{interface} is not impaired by any shaper of this host; what dead ones left is undone by shaper clear");
    }
    let undone = journals.iter().map(|found| journal::recover_journal(&found.journal, Owners::All));
    Ok(undone.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The journals whose owner runs.
fn running() -> anyhow::Result<Vec<Summary>> {
    Ok(journal::list()?.into_iter().filter(|journal| journal.owner_runs).collect())
}

fn tell(out: &mut impl Write, report: &UndoReport) -> io::Result<()> {
    let what = if report.command.is_empty() { "unknown" } else { &report.command };
    writeln!(out, "{what} ({})", report.journal.display())?;
    for entry in &report.undone {
        writeln!(out, "  taken back  {entry}")?;
    }
    for entry in &report.gone {
        writeln!(out, "  gone        {entry}")?;
    }
    for failure in &report.failures {
        match &failure.entry {
            Some(entry) => writeln!(out, "  FAILED      {entry}: {}", failure.why)?,
            None => writeln!(out, "  FAILED      {}", failure.why)?,
        }
    }
    if report.undone.is_empty() && report.gone.is_empty() && report.failures.is_empty() {
        writeln!(out, "  nothing was left to take back")?;
    }
    Ok(())
}

impl Cleared {
    fn ended(Summary { path, header, .. }: &Summary) -> Self {
        Self {
            journal: path.display().to_string(),
            command: header.command.clone(),
            ended: Some(header.owner.pid),
            undone: Vec::new(),
            gone_already: Vec::new(),
            failures: Vec::new(),
        }
    }
}

impl From<&UndoReport> for Cleared {
    fn from(report: &UndoReport) -> Self {
        let names = |entries: &[journal::Entry]| entries.iter().map(ToString::to_string).collect();
        let failure = |failure: &journal::UndoFailure| Failure {
            change: failure.entry.as_ref().map(ToString::to_string),
            why: failure.why.clone(),
        };
        Self {
            journal: report.journal.display().to_string(),
            command: report.command.clone(),
            ended: None,
            undone: names(&report.undone),
            gone_already: names(&report.gone),
            failures: report.failures.iter().map(failure).collect(),
        }
    }
}
