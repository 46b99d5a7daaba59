//! `shaper clear`: takes back what processes left behind that did not end in order.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use serde::Serialize;
use shaper_net::journal::{self, Owners, Summary, UndoReport};
use shaper_net::process::ProcessId;

use super::Outcome;
use crate::apply::{Found, Target, of_interface};
use crate::capabilities::Task;

/// `shaper clear`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Only end what impairs this interface
    #[arg(value_name = "IFACE", conflicts_with = "all")]
    interface: Option<String>,
    /// The network namespace that the interface is in, by its name
    #[arg(long, value_name = "NAME", conflicts_with = "pid", requires = "interface")]
    netns: Option<String>,
    /// The process, such as a container's, in whose network namespace the interface is
    #[arg(long, value_name = "PID", requires = "interface")]
    pid: Option<u32>,
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
    Task::Clear.demand()?;
    let before = running()?;
    let reports = match &args.interface {
        Some(interface) => end(interface, &Target::of(args.netns.as_deref(), args.pid))?,
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

/// Ends what impairs an interface, and waits until what is held is out.
fn end(interface: &str, target: &Target) -> anyhow::Result<Vec<UndoReport>> {
    /// Beyond that, for a busy host.
    const MORE: Duration = Duration::from_secs(3);
    let mut reports = Vec::new();
    for Found { journal, status } in of_interface(interface, target)? {
        if let Some(owner) = ProcessId::of(status.pid)?.open()? {
            owner.terminate(Duration::from_secs_f64(status.drains_s).saturating_add(MORE))?;
        }
        reports.extend(journal::recover_journal(&journal, Owners::All)?);
    }
    Ok(reports)
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
