//! `shaper run`: the whole experiment.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Subcommand};
use shaper_engine::Recording;
use shaper_profile::quantity::{Duration, Size};
use shaper_toast::script::Interleaved;

use super::Outcome;
use super::link_flags::LinkFlags;
use crate::run::{ClockInjection, Plan, ProbePlan, ToastPlan, Workload, execute};

/// `shaper run`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    workload: WorkloadArgs,
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
    late: Option<String>,
    /// A peer that leaves the group, such as b@10s
    #[arg(long, value_name = "PEER@TIME")]
    leave: Option<String>,
    /// The last peer commands too
    #[arg(long)]
    second_controller: bool,
    /// Tempo changes: every fourth command sets the next of these beats per minute
    #[arg(long, value_name = "BPM", value_delimiter = ',')]
    tempo: Vec<f64>,
    /// A clock put wrong on purpose, such as b@2500us,40ppm
    #[arg(long, value_name = "PEER@OFFSET[,SKEW]")]
    clock: Vec<String>,
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
const TEMPO_EVERY: u32 = 4;

/// Runs it, prints the table or the JSON.
pub(super) fn run(args: Args) -> anyhow::Result<Outcome> {
    let (common, workload, duration) = match args.workload {
        WorkloadArgs::Toast(toast) => {
            let plan = ToastPlan {
                peers: toast.peers,
                absent: toast.absent,
                late: toast.late.as_deref().map(|late| peer_at("late", late)).transpose()?,
                leave: toast.leave.as_deref().map(|leave| peer_at("leave", leave)).transpose()?,
                second_controller: toast.second_controller,
                tempo: (!toast.tempo.is_empty()).then_some(Interleaved { every: TEMPO_EVERY, values: toast.tempo }),
                clocks: toast.clock.iter().map(|clock| injection(clock)).collect::<anyhow::Result<_>>()?,
                spacing_ns: toast.spacing.map(|spacing| spacing.0.0),
            };
            (toast.common, Workload::Toast(plan), toast.duration)
        }
        WorkloadArgs::Probe(probe) => {
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
    };
    let json = common.json;
    // What is said on the way is for a person who watches.
    let watched = io::stderr().is_terminal() || !json;
    let say = |text: &str| {
        if watched {
            let _ = writeln!(io::stderr(), "shaper: {text}");
        }
    };
    let finished = execute(&plan, &say)?;
    let mut out = io::stdout().lock();
    if json {
        out.write_all(finished.summary.to_json()?.as_bytes())?;
    } else {
        out.write_all(shaper_report::text::table(&finished.summary).as_bytes())?;
        writeln!(out, "\nevidence  {}/  (report.html, summary.json, *.pcapng)", finished.directory.display())?;
    }
    out.flush()?;
    Ok(if finished.summary.exit_code == 0 { Outcome::Held } else { Outcome::Failed })
}

/// Reads `PEER@TIME`.
fn peer_at(flag: &str, text: &str) -> anyhow::Result<(String, u64)> {
    let (peer, time) =
        text.split_once('@').with_context(|| format!("--{flag} {text}: want PEER@TIME, such as b@5s"))?;
    let time: Duration = time.parse().with_context(|| format!("--{flag} {text}"))?;
    Ok((peer.to_owned(), time.0.0))
}

/// Reads `PEER@OFFSET[,SKEW]`.
fn injection(text: &str) -> anyhow::Result<ClockInjection> {
    let usage = || format!("--clock {text}: want PEER@OFFSET[,SKEW], such as b@2500us,40ppm or b@-3ms");
    let (peer, rest) = text.split_once('@').with_context(usage)?;
    let (offset, skew) = rest.split_once(',').map_or((rest, None), |(offset, skew)| (offset, Some(skew)));
    let (sign, magnitude) = offset.strip_prefix('-').map_or((1, offset), |magnitude| (-1, magnitude));
    let magnitude: Duration = magnitude.parse().with_context(usage)?;
    let micros = i64::try_from(magnitude.0.0 / 1_000).with_context(usage)?;
    let skew_ppm = match skew {
        Some(skew) => {
            let number = skew.strip_suffix("ppm").with_context(usage)?;
            number.trim().parse::<f64>().with_context(usage)?
        }
        None => 0.0,
    };
    if !skew_ppm.is_finite() {
        bail!(usage());
    }
    Ok(ClockInjection { peer: peer.to_owned(), offset_us: sign * micros, skew_ppm })
}
