//! `shaper run SCENARIO.toml`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use shaper_profile::scenario::{self, BuiltIn, Scenario};

use super::Outcome;
use super::run::{Shown, carry_out};
use super::run_flags::RunFlags;
use crate::run::{Plan, ProbePlan, Scene, ToastPlan, Workload, foretell_all};
#[cfg(feature = "webrtc")]
use {
    super::run::webrtc::ramp_up, crate::run::WebRtcPlan, shaper_common::units::Nanos,
    shaper_profile::quantity::Duration,
};

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
    #[command(flatten)]
    flags: RunFlags,
}

/// Runs the scenario, or says what it would do.
pub(super) fn run(args: ScenarioArgs) -> anyhow::Result<Outcome> {
    let file = args.file.clone().context("no scenario is named")?;
    let (mut scenario, text) = scenario::load(&file)?;
    scenario.seed = args.flags.seed.unwrap_or(scenario.seed);
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
    carry_out(&plan, Shown { json: args.flags.json })
}

fn plan(scenario: &Scenario, text: String, args: &ScenarioArgs) -> anyhow::Result<(Plan, Vec<String>)> {
    let (scene, elsewhere) = Scene::of(scenario, args.host.as_deref(), &args.flags.expect)?;
    if let (Some(built_in), Some(_)) = (&scenario.built_in, args.start) {
        bail!("--start: {} begins when all its roles stand; leave it out", built_in.name());
    }
    let host = args.host.as_ref().map_or_else(String::new, |host| format!("-{host}"));
    let plan = Plan {
        name: format!("{}{host}", scenario.name),
        workload: workload(scenario)?,
        profile: scenario.profile.clone(),
        seed: scenario.seed,
        duration: scenario.duration,
        busy_poll: args.flags.busy_poll,
        recording: args.flags.recording.records,
        capture_buffer: args.flags.capture_buffer(),
        out: args.flags.out.clone(),
        scene: Scene { start: args.start, text: Some(text), ..scene },
    };
    plan.check()?;
    Ok((plan, elsewhere))
}

/// The built-in workload, as its own flags would have it.
fn workload(scenario: &Scenario) -> anyhow::Result<Workload> {
    Ok(match &scenario.built_in {
        None => Workload::Commands,
        Some(BuiltIn::Probe(probe)) => Workload::Probe(ProbePlan::of(probe, probe.packets_in(scenario.duration))),
        Some(BuiltIn::Toast(toast)) => {
            Workload::Toast(ToastPlan::of(toast, scenario.place.hosts().len().saturating_sub(1)))
        }
        #[cfg(feature = "webrtc")]
        Some(BuiltIn::WebRtc(webrtc)) => {
            let ramp_up = ramp_up(webrtc.clients, webrtc.ramp_up);
            let sending = scenario.duration.0.saturating_sub(ramp_up);
            if sending == Nanos::ZERO {
                let (ramp_up, clients) = (Duration(ramp_up), webrtc.clients);
                bail!(
                    "webrtc.ramp_up: from the first of {clients} clients to the last there are {ramp_up:#}, and the run is \
                     over by then, after {:#}; write a shorter one, or a longer duration",
                    scenario.duration
                );
            }
            Workload::WebRtc(WebRtcPlan::of(webrtc, sending.0))
        }
        #[cfg(not(feature = "webrtc"))]
        Some(BuiltIn::WebRtc(_)) => bail!("workload webrtc: this program was built without the feature webrtc"),
    })
}
