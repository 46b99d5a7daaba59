//! `shaper run`: the whole experiment.

#[cfg(feature = "webrtc")]
pub(super) mod webrtc;

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::{Args as ClapArgs, Subcommand};
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_profile::scenario::{PeerAt, PeerClock, ProbeSettings, ToastSettings};

use super::Outcome;
use super::link_flags::LinkFlags;
use super::run_flags::RunFlags;
use super::scenario::{self, ScenarioArgs};
use crate::run::{Finished, Plan, ProbePlan, RunError, Scene, ToastPlan, Workload, execute};

/// `shaper run`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    workload: Option<WorkloadArgs>,
    #[command(flatten)]
    scenario: ScenarioArgs,
}

#[derive(Debug, Subcommand)]
enum WorkloadArgs {
    /// Multicast sync (TOAST v2) between a controller and peers
    Toast(ToastArgs),
    /// A stream of numbered UDP datagrams from a to b
    Probe(ProbeArgs),
    /// Audio and video between clients behind access links of their own, by a server between them
    #[cfg(feature = "webrtc")]
    Webrtc(webrtc::WebRtcArgs),
}

/// What all workloads take.
#[derive(Debug, ClapArgs)]
struct Common {
    #[command(flatten)]
    link: LinkFlags,
    #[command(flatten)]
    flags: RunFlags,
}

#[derive(Debug, ClapArgs)]
struct ToastArgs {
    #[command(flatten)]
    common: Common,
    /// How long commands are sent
    #[arg(long, default_value = "20s")]
    duration: Duration,
    /// Peers beside the controller: one makes a pair, more a star round a switch
    #[arg(long, default_value_t = 1)]
    peers: usize,
    /// From one command to the next [default: far enough apart to be judged where 100 fit, else twice the longest
    /// one-way delay, so that commands do not overtake]
    #[arg(long)]
    spacing: Option<Duration>,
    /// A peer that is never started, to see that the run says so
    #[arg(long, value_name = "PEER")]
    absent: Vec<String>,
    /// A peer that joins late, such as b@5s
    #[arg(long, value_name = "PEER@TIME")]
    late: Option<PeerAt>,
    /// A peer that leaves the group, such as b@10s
    #[arg(long, value_name = "PEER@TIME")]
    leave: Option<PeerAt>,
    /// The last peer commands too
    #[arg(long)]
    second_controller: bool,
    /// Tempo changes: every fourth command sets the next of these beats per minute
    #[arg(long, value_name = "BPM", value_delimiter = ',')]
    tempo: Vec<f64>,
    /// A clock put wrong on purpose, such as b@2500us,40ppm
    #[arg(long, value_name = "PEER@OFFSET[,SKEW]")]
    clock: Vec<PeerClock>,
}

#[derive(Debug, ClapArgs)]
struct ProbeArgs {
    #[command(flatten)]
    common: Common,
    /// How many datagrams
    #[arg(long, default_value_t = 10_000)]
    packets: u64,
    /// From one to the next
    #[arg(long, default_value = "1ms")]
    interval: Duration,
    /// Bytes of each payload
    #[arg(long, default_value_t = 172)]
    payload: usize,
}

/// How a run is shown.
pub(super) struct Shown {
    pub(super) json: bool,
}

impl ToastArgs {
    fn settings(&self) -> ToastSettings {
        ToastSettings {
            spacing: self.spacing,
            absent: self.absent.clone(),
            late: self.late.clone(),
            leave: self.leave.clone(),
            second_controller: self.second_controller,
            tempo: self.tempo.clone(),
            clocks: self.clock.clone(),
        }
    }
}

/// Runs it, prints the table or the JSON.
pub(super) fn run(args: Args) -> anyhow::Result<Outcome> {
    match args.workload {
        #[cfg(feature = "webrtc")]
        Some(WorkloadArgs::Webrtc(args)) => webrtc::run(&args),
        None => scenario::run(args.scenario),
        Some(WorkloadArgs::Toast(toast)) => {
            let settings = toast.settings();
            let workload = Workload::Toast(ToastPlan::of(&settings, toast.peers));
            let plan = plan(&toast.common, workload, toast.duration)?;
            plan.check()?;
            settings.check(&plan.peer_names(), plan.duration).map_err(RunError::Unfit)?;
            run_flagged(&plan, &toast.common)
        }
        Some(WorkloadArgs::Probe(ProbeArgs { common, packets, interval, payload })) => {
            let settings = ProbeSettings { interval, payload };
            ProbeSettings::check_packets(packets).and_then(|()| settings.check()).map_err(RunError::Unfit)?;
            let duration = Duration(Nanos(packets.saturating_mul(interval.0.0)));
            run_flagged(&plan(&common, Workload::Probe(ProbePlan::of(&settings, packets)), duration)?, &common)
        }
    }
}

fn plan(common: &Common, workload: Workload, duration: Duration) -> anyhow::Result<Plan> {
    let Common { link, flags } = common;
    let profile = link.resolve("wifi")?;
    Ok(Plan {
        name: format!("{}-{}", workload.name(), profile.name),
        workload,
        profile,
        seed: flags.seed.unwrap_or(1),
        duration,
        busy_poll: flags.busy_poll,
        recording: flags.recording.records,
        capture_buffer: flags.capture_buffer(),
        out: flags.out.clone(),
        scene: Scene { expect: flags.expect.clone(), ..Scene::default() },
    })
}

fn run_flagged(plan: &Plan, common: &Common) -> anyhow::Result<Outcome> {
    plan.check_expectations(&plan.scene.expect).context("--expect")?;
    carry_out(plan, Shown { json: common.flags.json })
}

/// Runs the plan, and prints the table or the JSON.
pub(super) fn carry_out(plan: &Plan, shown: Shown) -> anyhow::Result<Outcome> {
    let finished = perform(plan, &shown)?;
    show(plan, &finished, &shown)?;
    Ok(if finished.summary.exit_code == 0 { Outcome::Held } else { Outcome::Failed })
}

fn perform(plan: &Plan, shown: &Shown) -> anyhow::Result<Finished> {
    // What is said on the way is for a person who watches.
    let watched = io::stderr().is_terminal() || !shown.json;
    let say = |text: &str| {
        if watched {
            let _ = writeln!(io::stderr(), "shaper: {text}");
        }
    };
    execute(plan, &say)
}

fn show(plan: &Plan, finished: &Finished, shown: &Shown) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if shown.json {
        out.write_all(finished.summary.to_json()?.as_bytes())?;
    } else {
        out.write_all(shaper_report::text::table(&finished.summary).as_bytes())?;
        let outputs = if plan.scene.commands.is_empty() { "" } else { ", *.out, *.err" };
        writeln!(out, "\nevidence  {}/  (report.html, summary.json, *.pcapng{outputs})", finished.directory.display())?;
    }
    Ok(out.flush()?)
}
