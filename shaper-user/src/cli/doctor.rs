//! `shaper doctor`: what this host can do, and what to do about what it cannot.
//!
//! What can be tried is tried, in a lab of its own that is gone afterwards, rather than read off versions.

mod trial;

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};

use anyhow::Context;
use clap::Args as ClapArgs;
use serde::Serialize;
use shaper_bpf::{Exclusion, Object, Room, VERIFIED_INSTRUCTIONS_BUDGET};
use shaper_common::layout::features;
use shaper_engine::{clock, impairable};
use shaper_net::driver::Driver;
use shaper_net::journal;
use shaper_net::rtnl::{Link, Rtnl};

use super::Outcome;
use super::told::in_full;
use crate::capabilities::{Task, setcap};

/// `shaper doctor`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Only load the BPF programs, and print what the verifier counted against its budget
    #[arg(long)]
    verifier: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// What it is for, as far as its capabilities go.
    pub(super) const fn task(&self) -> Task {
        if self.verifier { Task::Verifier } else { Task::Doctor }
    }
}

/// Whether the host has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Has {
    Yes,
    No,
    /// It could not be tried.
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    item: Cow<'static, str>,
    has: Has,
    /// Whether a run cannot be without it.
    needed: bool,
    found: String,
    /// What to do, where there is something to do.
    advice: Option<String>,
}

impl Finding {
    fn yes(item: impl Into<Cow<'static, str>>, found: impl Into<String>) -> Self {
        Self { item: item.into(), has: Has::Yes, needed: true, found: found.into(), advice: None }
    }

    fn no(item: impl Into<Cow<'static, str>>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { item: item.into(), has: Has::No, needed: true, found: found.into(), advice: Some(advice.into()) }
    }

    fn unknown(item: impl Into<Cow<'static, str>>, found: impl Into<String>) -> Self {
        Self { item: item.into(), has: Has::Unknown, needed: true, found: found.into(), advice: None }
    }

    /// Good to know; a run can be without it.
    fn optional(self) -> Self {
        Self { needed: false, ..self }
    }

    fn stands_in_the_way(&self) -> bool {
        self.needed && self.has != Has::Yes
    }
}

/// Looks at everything, or loads the programs alone.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.verifier {
        Task::Verifier.demand()?;
        return verifier(args.json);
    }
    // Before anything of our own stands in a journal.
    let leftovers = leftovers();
    let can = |task: Task| task.missing().is_ok_and(|missing| missing.is_empty());
    let mut findings = vec![privileges(), kernel(), btf(), programs(can(Task::Verifier) || can(Task::Run))];
    findings.extend(trial::findings(can(Task::Run)));
    findings.extend([timer(), processors(), leftovers]);
    let has_edt = findings.iter().any(|finding| finding.item == trial::EDT && finding.has == Has::Yes);
    findings.extend(interfaces(has_edt));
    let can_run = !findings.iter().any(Finding::stands_in_the_way);
    let mut out = io::stdout().lock();
    if args.json {
        let all = serde_json::json!({ "can_run": can_run, "findings": findings });
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    } else {
        tell(&mut out, &findings)?;
        let verdict = if can_run { "runs and labs can be made here" } else { "no run can be made here yet" };
        writeln!(out, "\n{verdict}; captures can be analysed anywhere")?;
    }
    Ok(if can_run { Outcome::Held } else { Outcome::Failed })
}

fn tell(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    let width = findings.iter().map(|finding| finding.item.len()).max().unwrap_or(0);
    for finding in findings {
        let has = match finding.has {
            Has::Yes => "yes",
            Has::No if finding.needed => "NO",
            Has::No => "no",
            Has::Unknown => "?",
        };
        writeln!(out, "{has:3}  {:width$}  {}", finding.item, finding.found)?;
        if let Some(advice) = &finding.advice {
            writeln!(out, "{:3}  {:width$}  -> {advice}", "", "")?;
        }
    }
    Ok(())
}

/// Size of the record ring for a load that is not used: one page on any host.
const RECORD_RING: u32 = 1 << 16;

/// One program in `--verifier --json`.
#[derive(Serialize)]
struct Verified {
    program: &'static str,
    /// What keeps decisions apart in this build of it: `lock` or `device`.
    exclusion: &'static str,
    verified_instructions: Option<u32>,
    budget: u32,
}

fn load() -> Result<Vec<Verified>, shaper_bpf::Error> {
    let mut programs = Vec::new();
    for (exclusion, kind) in [("lock", Exclusion::Lock), ("device", Exclusion::Device)] {
        // With every effect, as no one attachment has them; and without rules, since packets are then read by other means.
        let sizes = |features| Object::load(RECORD_RING, kind, &Room { features, ..Room::PLAIN })?.sizes();
        let (all, plain) = (sizes(features::ALL)?, sizes(features::ALL & !features::RULES)?);
        programs.extend(all.into_iter().zip(plain).map(|(all, plain)| Verified {
            program: all.program.name(),
            exclusion,
            verified_instructions: all.verified_instructions.max(plain.verified_instructions),
            budget: VERIFIED_INSTRUCTIONS_BUDGET,
        }));
    }
    Ok(programs)
}

fn verifier(json: bool) -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    let programs = match load() {
        Ok(programs) => programs,
        Err(error) => {
            writeln!(out, "kernel {}: refused: {}", release(), in_full(&error.into()))?;
            return Ok(Outcome::Failed);
        }
    };
    let over = |program: &Verified| program.verified_instructions.is_some_and(|count| count > program.budget);
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&programs)?)?;
    } else {
        writeln!(out, "kernel {}: all programs accepted", release())?;
        let width = programs.iter().map(|program| program.program.len()).max().unwrap_or(0);
        for program in &programs {
            let (name, exclusion) = (program.program, program.exclusion);
            match program.verified_instructions {
                Some(count) => {
                    let word = if over(program) { "OVER BUDGET" } else { "within budget" };
                    writeln!(
                        out,
                        "  {name:width$} {exclusion:6} {count:6} of {} instructions verified, {word}",
                        program.budget
                    )?;
                }
                None => writeln!(out, "  {name:width$} {exclusion:6} not told: kernels before 5.16 do not count")?,
            }
        }
    }
    out.flush().context("cannot write the findings")?;
    Ok(if programs.iter().any(over) { Outcome::Failed } else { Outcome::Held })
}

/// Each capability that some command needs and this process has not, with those commands.
fn privileges() -> Finding {
    const ITEM: &str = "capabilities";
    let mut missing: Vec<(String, Vec<&str>)> = Vec::new();
    for task in Task::all() {
        let Ok(of_task) = task.missing() else {
            return Finding::unknown(ITEM, "the kernel does not tell which ones there are");
        };
        for capability in of_task.iter().map(ToString::to_string) {
            match missing.iter_mut().find(|(known, _)| *known == capability) {
                Some((_, tasks)) => tasks.push(task.name()),
                None => missing.push((capability, vec![task.name()])),
            }
        }
    }
    if missing.is_empty() {
        return Finding::yes(ITEM, "all that any command needs");
    }
    let told = missing.iter().map(|(capability, tasks)| format!("{capability} (for {})", tasks.join(", ")));
    let told = told.collect::<Vec<_>>().join("; ");
    Finding::no(ITEM, format!("without {told}"), format!("run as root: sudo shaper doctor; or {}", setcap(Task::Run)))
}

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

fn kernel() -> Finding {
    const ITEM: &str = "kernel";
    const LEAST: (u32, u32) = (5, 15);
    let release = release();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= LEAST => Finding::yes(ITEM, release),
        (Some(Ok(_)), Some(Ok(_))) => Finding::no(ITEM, release, format!("use Linux {}.{} or later", LEAST.0, LEAST.1)),
        _ => Finding::unknown(ITEM, release),
    }
}

fn btf() -> Finding {
    const ITEM: &str = "BTF of the kernel";
    const PATH: &str = "/sys/kernel/btf/vmlinux";
    if fs::metadata(PATH).is_ok() {
        Finding::yes(ITEM, PATH).optional()
    } else {
        let advice = "the programs bring their own; it only helps other tools";
        Finding::no(ITEM, format!("no {PATH}"), advice).optional()
    }
}

fn programs(privileged: bool) -> Finding {
    const ITEM: &str = "BPF programs";
    if !privileged {
        return Finding::unknown(ITEM, "tried where the capabilities for it are there");
    }
    match load() {
        Ok(programs) => {
            let told = programs.iter().map(|program| match program.verified_instructions {
                Some(count) => format!("{} {count}", program.program),
                None => program.program.to_owned(),
            });
            let told = told.collect::<Vec<_>>().join(", ");
            Finding::yes(ITEM, format!("accepted; instructions verified: {told}"))
        }
        Err(error) => {
            // The verifier's whole log is for those who ask for it.
            let error = in_full(&error.into());
            let first = error.lines().next().unwrap_or_default().to_owned();
            Finding::no(ITEM, first, "shaper doctor --verifier prints all that the kernel said")
        }
    }
}

/// Each interface of this namespace: whether `shaper apply` can impair it, and how.
fn interfaces(has_edt: bool) -> Vec<Finding> {
    let engines = if has_edt { "engines edt and xsk" } else { "engine xsk" };
    let looked = Rtnl::open().and_then(|rtnl| Ok((rtnl.links()?, rtnl.default_route_devices()?)));
    let (links, default) = match looked {
        Ok(looked) => looked,
        Err(error) => return vec![Finding::unknown("interfaces", error.to_string()).optional()],
    };
    let findings = links.iter().filter(|link| !link.loopback).map(|link| {
        let item = format!("interface {}", link.name);
        let found = describe(link);
        match impairable(link) {
            Ok(()) => {
                let route =
                    if default.contains(&link.index) { "; has the default route: --allow-default-route" } else { "" };
                Finding::yes(item, format!("{found}: {engines} by way of a pair of ours{route}"))
            }
            Err(error) => Finding::no(item, found, error.to_string()),
        }
        .optional()
    });
    findings.collect()
}

/// Its driver, MTU and queues, and what the kernel tells of XDP and timestamps there.
fn describe(link: &Link) -> String {
    let driver = Driver::of(&link.name, link.index).ok();
    let named = driver.as_ref().and_then(|driver| driver.name.as_deref());
    let kind = if link.kind.is_empty() { "hardware" } else { &link.kind };
    let xdp = match driver.as_ref().and_then(|driver| driver.xdp) {
        Some(xdp) if xdp.native() && xdp.zero_copy() => "XDP native, zero-copy (untested, not used)",
        Some(xdp) if xdp.native() && xdp.redirect() => "XDP native, copy",
        Some(xdp) if xdp.native() => "XDP native, without redirect",
        Some(_) => "XDP generic, copy",
        None => "XDP unknown",
    };
    let stamps = match driver.as_ref().and_then(|driver| driver.timestamping) {
        Some(stamps) if stamps.hardware_receive && stamps.hardware_transmit => "timestamps by hardware possible",
        Some(_) => "timestamps by software",
        None => "timestamps unknown",
    };
    format!("{}, MTU {}, up to {} queues, {xdp}, {stamps}", named.unwrap_or(kind), link.mtu, link.queues.1)
}

fn timer() -> Finding {
    const SLEEPS: usize = 400;
    let errors = clock::idle_timer_errors(SLEEPS);
    let at = |share: f64| {
        let rank = (share * errors.len() as f64).ceil() as usize;
        errors.get(rank.saturating_sub(1)).map_or(0, |nanos| nanos / 1_000)
    };
    let resolution = nix::time::clock_getres(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.tv_nsec());
    let found = format!(
        "resolution {resolution} ns; sleeps of 1 ms end late by p50 {} us, p99 {} us, max {} us",
        at(0.50),
        at(0.99),
        at(1.0)
    );
    // Timers in whole ticks of the scheduler: a millisecond and more.
    if resolution > 1_000 {
        let advice = "enable high-resolution timers (CONFIG_HIGH_RES_TIMERS), or delays come in steps";
        Finding::no("timers", found, advice).optional()
    } else {
        Finding::yes("timers", found).optional()
    }
}

fn processors() -> Finding {
    const ITEM: &str = "processors";
    match std::thread::available_parallelism().map(usize::from) {
        Ok(1) => Finding::no(ITEM, "1", "do not use --busy-poll: it takes one for itself").optional(),
        Ok(count) => Finding::yes(ITEM, count.to_string()).optional(),
        Err(error) => Finding::unknown(ITEM, error.to_string()).optional(),
    }
}

fn leftovers() -> Finding {
    const ITEM: &str = "nothing left over";
    match journal::list() {
        Ok(journals) => {
            let dead: Vec<_> = journals.iter().filter(|journal| !journal.owner_runs).collect();
            match dead.as_slice() {
                [] => Finding::yes(ITEM, "no dead process left changes behind").optional(),
                [first, ..] => {
                    let found = format!("{} dead processes left changes behind: {}", dead.len(), first.header.command);
                    Finding::no(ITEM, found, "shaper clear takes them back, and as root so does every start").optional()
                }
            }
        }
        Err(error) => Finding::unknown(ITEM, error.to_string()).optional(),
    }
}
