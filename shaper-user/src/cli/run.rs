//! `shaper run`: the whole experiment.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args as ClapArgs, Subcommand};
use shaper_engine::Recording;
use shaper_profile::Expectation;
use shaper_profile::quantity::{Duration, Size};
use shaper_profile::scenario::{PeerAt, PeerClock};
use shaper_toast::script::Interleaved;

use super::Outcome;
use super::link_flags::LinkFlags;
use super::scenario::{self, ScenarioArgs};
use crate::run::{ClockInjection, Plan, ProbePlan, Scene, ToastPlan, Workload, execute};

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
}

/// What all workloads take.
#[derive(Debug, ClapArgs)]
struct Common {
    #[command(flatten)]
    link: LinkFlags,
    /// The seed of every draw: the same seed gives the same draws to the same packet index
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is demanded, such as 'loss.a_to_b < 6%' or 'delivery > 95%': the exit code is 1 where it does not hold; may be
    /// given again
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

/// Every so-many-th command is a tempo change.
pub(super) const TEMPO_EVERY: u32 = 4;

/// How a run is shown.
pub(super) struct Shown {
    pub(super) json: bool,
}

impl From<&PeerClock> for ClockInjection {
    fn from(clock: &PeerClock) -> Self {
        Self { peer: clock.peer.clone(), offset_us: clock.offset_us, skew_ppm: clock.skew_ppm }
    }
}

/// Runs it, prints the table or the JSON.
pub(super) fn run(args: Args) -> anyhow::Result<Outcome> {
    let (common, workload, duration) = match args.workload {
        None => return scenario::run(args.scenario),
        Some(WorkloadArgs::Toast(toast)) => {
            let plan = ToastPlan {
                peers: toast.peers,
                absent: toast.absent,
                late: toast.late.map(|late| (late.peer, late.at.0.0)),
                leave: toast.leave.map(|leave| (leave.peer, leave.at.0.0)),
                second_controller: toast.second_controller,
                tempo: (!toast.tempo.is_empty()).then_some(Interleaved { every: TEMPO_EVERY, values: toast.tempo }),
                clocks: toast.clock.iter().map(ClockInjection::from).collect(),
                spacing_ns: toast.spacing.map(|spacing| spacing.0.0),
            };
            (toast.common, Workload::Toast(plan), toast.duration)
        }
        Some(WorkloadArgs::Probe(probe)) => {
            let plan = ProbePlan { packets: probe.packets, interval_ns: probe.interval.0.0, payload: probe.payload };
            let length = probe.packets.saturating_mul(probe.interval.0.0);
            (probe.common, Workload::Probe(plan), Duration(shaper_common::units::Nanos(length)))
        }
    };
    let profile = common.link.resolve("wifi")?;
    let buffer = i32::try_from(common.capture_buffer.0).unwrap_or(i32::MAX);
    let plan = Plan {
        name: format!("{}-{}", workload.name(), profile.name),
        workload,
        profile,
        seed: common.seed,
        duration,
        busy_poll: common.busy_poll,
        recording: common.records,
        capture_buffer: buffer,
        out: common.out,
        scene: Scene { expect: common.expect, ..Scene::default() },
    };
    plan.check()?;
    plan.check_expectations(&plan.scene.expect).context("--expect")?;
    carry_out(&plan, Shown { json: common.json })
}

/// Runs the plan, and prints the table or the JSON.
pub(super) fn carry_out(plan: &Plan, shown: Shown) -> anyhow::Result<Outcome> {
    let Shown { json } = shown;
    // What is said on the way is for a person who watches.
    let watched = io::stderr().is_terminal() || !json;
    let say = |text: &str| {
        if watched {
            let _ = writeln!(io::stderr(), "shaper: {text}");
        }
    };
    let finished = execute(plan, &say)?;
    let mut out = io::stdout().lock();
    if json {
        out.write_all(finished.summary.to_json()?.as_bytes())?;
    } else {
        out.write_all(shaper_report::text::table(&finished.summary).as_bytes())?;
        let outputs = if plan.scene.commands.is_empty() { "" } else { ", *.out, *.err" };
        writeln!(out, "\nevidence  {}/  (report.html, summary.json, *.pcapng{outputs})", finished.directory.display())?;
    }
    out.flush()?;
    Ok(if finished.summary.exit_code == 0 { Outcome::Held } else { Outcome::Failed })
}
