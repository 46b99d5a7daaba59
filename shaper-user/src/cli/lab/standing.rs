//! Labs that stand: list, use, take down.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use shaper_net::journal::{self, Owners};
use shaper_net::lab::{self, LabState, Shape};
use shaper_net::netns::NetNs;
use shaper_net::process::ProcessId;

use super::super::Outcome;
use crate::capabilities::Task;

/// How long a lab's process may take over its own clean-up before it is killed, and its journal undone for it.
const GRACE: Duration = Duration::from_secs(10);

/// One lab in the JSON output.
#[derive(Serialize)]
struct Listed<'a> {
    running: bool,
    what: Option<&'a str>,
    #[serde(flatten)]
    lab: &'a LabState,
}

/// `shaper lab list`.
pub(super) fn list(json: bool) -> anyhow::Result<Outcome> {
    let labs = lab::list()?;
    let commands = commands();
    let mut listed = Vec::with_capacity(labs.len());
    for lab in &labs {
        let what = commands.get(&lab.journal).map(String::as_str);
        listed.push(Listed { running: lab.owner.is_running()?, what, lab });
    }
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&listed)?)?;
        return Ok(Outcome::Held);
    }
    if listed.is_empty() {
        writeln!(out, "no lab is up: shaper lab up")?;
    }
    for Listed { running, what, lab } in &listed {
        let shape = match lab.shape {
            Shape::Pair => "pair",
            Shape::Star => "star",
        };
        let state = match &lab.failed {
            _ if !running => ", its process is gone: shaper clear".to_owned(),
            Some(why) => format!(", its links carry nothing any more ({why}): shaper lab down"),
            None => String::new(),
        };
        writeln!(out, "{}  {shape}  {}  {}{state}", lab.id, hosts(lab), what.unwrap_or("?"))?;
    }
    Ok(Outcome::Held)
}

/// What each journal's owner said that it does; none of those we may not read.
fn commands() -> BTreeMap<PathBuf, String> {
    let journals = journal::list().unwrap_or_default();
    journals.into_iter().map(|journal| (journal.path, journal.header.command)).collect()
}

fn hosts(lab: &LabState) -> String {
    match lab.hosts.as_slice() {
        [first, .., last] if lab.hosts.len() > 4 => format!("{}..{} ({})", first.name, last.name, lab.hosts.len()),
        few => few.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(" "),
    }
}

/// `shaper lab exec`: becomes the command, within the host.
pub(super) fn exec(host: &str, id: Option<&str>, command: &[OsString]) -> anyhow::Result<Outcome> {
    Task::LabExec.demand()?;
    let lab = choose(id)?;
    if !lab.owner.is_running()? {
        bail!("lab {}: the process that keeps it is gone: `shaper clear` removes what is left of it", lab.id);
    }
    if let Some(why) = &lab.failed {
        bail!(
            "lab {}: its links carry nothing any more ({why}): take it down with `shaper lab down` and put up another",
            lab.id
        );
    }
    let Some(host) = lab.hosts.iter().find(|known| known.name == host) else {
        bail!("lab {} has no host {host}: it has {}", lab.id, hosts(&lab));
    };
    let Some((program, arguments)) = command.split_first() else {
        bail!("no command given: write it behind --");
    };
    NetNs::open(&host.netns)?.enter()?;
    let error = Command::new(program).args(arguments).exec();
    // What env(1) and the shell answer.
    let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    writeln!(io::stderr(), "shaper: {}: cannot run it: {error}", program.to_string_lossy())?;
    Ok(Outcome::Code(code))
}

/// `shaper lab down`.
pub(super) fn down(id: Option<&str>, all: bool) -> anyhow::Result<Outcome> {
    Task::LabDown.demand()?;
    let labs = if all { lab::list()? } else { vec![choose(id)?] };
    if labs.is_empty() {
        writeln!(io::stdout(), "no lab is up")?;
    }
    for lab in labs {
        let inside = guests(&lab);
        take_down(&lab).with_context(|| format!("lab {}", lab.id))?;
        writeln!(io::stdout(), "lab {} is down", lab.id)?;
        for (host, process) in inside {
            if process.is_running().unwrap_or(false) {
                writeln!(
                    io::stdout(),
                    "note: process {} still runs in what was host {host}, without a link: end it with kill {0}",
                    process.pid
                )?;
            }
        }
    }
    Ok(Outcome::Held)
}

/// What people run in the hosts of a lab, as far as it can be seen.
fn guests(lab: &LabState) -> Vec<(String, ProcessId)> {
    let mut all = Vec::new();
    for host in &lab.hosts {
        let pids = NetNs::open(&host.netns).and_then(|netns| netns.processes()).unwrap_or_default();
        all.extend(pids.into_iter().filter_map(|pid| Some((host.name.clone(), ProcessId::of(pid).ok()?))));
    }
    all
}

fn take_down(lab: &LabState) -> anyhow::Result<()> {
    if let Some(owner) = lab.owner.open()? {
        owner.terminate(GRACE)?;
    }
    // Whatever it did not manage itself. What other dead processes left goes as well.
    for report in journal::recover(Owners::Dead)? {
        if report.journal == lab.journal && !report.failures.is_empty() {
            bail!("{report}");
        }
    }
    Ok(())
}

/// The lab that is meant: of this identifier, or of a beginning that only one has; the only one without.
fn choose(id: Option<&str>) -> anyhow::Result<LabState> {
    let mut labs = lab::list()?;
    if let Some(id) = id {
        labs.retain(|lab| lab.id.starts_with(id));
        if labs.is_empty() {
            bail!("no lab {id} is up: see shaper lab list");
        }
    }
    match labs.len() {
        0 => bail!("no lab is up: shaper lab up"),
        1 => labs.pop().context("no lab is up"),
        count => {
            let commands = commands();
            let known = labs.iter().map(|lab| match commands.get(&lab.journal) {
                Some(what) => format!("{} ({what})", lab.id),
                None => lab.id.clone(),
            });
            bail!("{count} labs are up: say which: {}", known.collect::<Vec<_>>().join(", "))
        }
    }
}
