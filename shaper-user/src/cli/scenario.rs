//! `shaper run SCENARIO.toml`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use shaper_engine::Recording;
use shaper_profile::Expectation;
use shaper_profile::quantity::Size;
use shaper_profile::scenario::{self, BuiltIn, Scenario};
use shaper_toast::script::Interleaved;

use super::Outcome;
use super::run::{Shown, TEMPO_EVERY, carry_out};
use crate::run::{ClockInjection, Plan, ProbePlan, Scene, ToastPlan, Workload, foretell_all};

/// What a scenario takes beside its file.
#[derive(Debug, ClapArgs)]
pub(crate) struct ScenarioArgs {
    /// A scenario's file
    #[arg(value_name = "SCENARIO.toml", required = true)]
    file: Option<PathBuf>,
    /// Say what would be done, and do nothing: no root needed
    #[arg(long)]
    check: bool,
    /// Which of the two hosts this is, of a scenario on two
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// When the run begins, such as 2026-05-01T12:00:00Z; on two hosts the same on both
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    start: Option<SystemTime>,
    /// Another seed than the scenario's
    #[arg(long)]
    seed: Option<u64>,
    /// What is demanded beside what the scenario expects, such as 'loss.a_to_b < 6%'; may be given again
    #[arg(long, value_name = "EXPECTATION")]
    expect: Vec<Expectation>,
    /// The run directory, new or empty [default: runs/<utc>-<name>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the summary alone, as JSON, on standard output
    #[arg(long)]
    json: bool,
    /// Let the delay line spin instead of sleep: least lateness, one CPU gone
    #[arg(long)]
    busy_poll: bool,
    /// Of which decisions a record is written, and replayed: all, drops, one in so many, such as 1/100, or off
    #[arg(long, value_name = "all|drops|1/N|off", default_value_t = Recording::All)]
    records: Recording,
    /// Kernel buffer of each capture
    #[arg(long, value_name = "SIZE", default_value = "16MB")]
    capture_buffer: Size,
}

/// Runs the scenario, or says what it would do.
pub(super) fn run(args: ScenarioArgs) -> anyhow::Result<Outcome> {
    let file = args.file.clone().context("no scenario is named")?;
    let (mut scenario, text) = scenario::load(&file)?;
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let (plan, elsewhere) = plan(&scenario, text, &args).with_context(|| file.display().to_string())?;
    if args.check {
        let mut out = io::stdout().lock();
        for line in foretell_all(&plan)? {
            writeln!(out, "{line}")?;
        }
        for expectation in elsewhere {
            writeln!(out, "expected, and judged at the other host: {expectation}")?;
        }
        return Ok(Outcome::Held);
    }
    carry_out(&plan, Shown { json: args.json })
}

fn plan(scenario: &Scenario, text: String, args: &ScenarioArgs) -> anyhow::Result<(Plan, Vec<String>)> {
    let (scene, elsewhere) = Scene::of(scenario, args.host.as_deref(), &args.expect)?;
    if let (Some(built_in), Some(_)) = (&scenario.built_in, args.start) {
        bail!("--start: {} begins when all its roles stand; leave it out", built_in.name());
    }
    let host = args.host.as_ref().map_or_else(String::new, |host| format!("-{host}"));
    let plan = Plan {
        name: format!("{}{host}", scenario.name),
        workload: workload(scenario),
        profile: scenario.profile.clone(),
        seed: scenario.seed,
        duration: scenario.duration,
        busy_poll: args.busy_poll,
        recording: args.records,
        capture_buffer: i32::try_from(args.capture_buffer.0).unwrap_or(i32::MAX),
        out: args.out.clone(),
        scene: Scene { start: args.start, text: Some(text), ..scene },
    };
    plan.check()?;
    Ok((plan, elsewhere))
}

/// The built-in workload, as its own flags would have it.
fn workload(scenario: &Scenario) -> Workload {
    match &scenario.built_in {
        None => Workload::Commands,
        Some(BuiltIn::Probe(probe)) => Workload::Probe(ProbePlan {
            packets: scenario.duration.0.0.checked_div(probe.interval.0.0).unwrap_or(0),
            interval_ns: probe.interval.0.0,
            payload: probe.payload,
        }),
        Some(BuiltIn::Toast(toast)) => Workload::Toast(ToastPlan {
            peers: scenario.place.hosts().len().saturating_sub(1),
            absent: toast.absent.clone(),
            late: toast.late.as_ref().map(|late| (late.peer.clone(), late.at.0.0)),
            leave: toast.leave.as_ref().map(|leave| (leave.peer.clone(), leave.at.0.0)),
            second_controller: toast.second_controller,
            tempo: (!toast.tempo.is_empty()).then(|| Interleaved { every: TEMPO_EVERY, values: toast.tempo.clone() }),
            clocks: toast.clock.iter().map(ClockInjection::from).collect(),
            spacing_ns: toast.spacing.map(|spacing| spacing.0.0),
        }),
    }
}
