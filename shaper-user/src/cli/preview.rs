//! `shaper profile preview`: what a link does to a steady stream, and whether a run comes out again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, ValueEnum};
use shaper_profile::quantity::Duration;

use super::Outcome;
use super::link_flags::LinkFlags;
use crate::preview::{Instead, Offered, Preview, Run, Way, Which};
use crate::workload::ect::Ect;

/// `shaper profile preview`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// A preset's name or a TOML file [default: clean]
    #[arg(value_name = "NAME|FILE", conflicts_with = "profile")]
    named: Option<String>,
    #[command(flatten)]
    flags: LinkFlags,
    /// The seed of every draw [default: 1, and that of the run with --from]
    #[arg(long)]
    seed: Option<u64>,
    /// Packets a second, such as 100/s [default: 100/s]
    #[arg(long, value_name = "RATE", conflicts_with = "interval")]
    packet_rate: Option<PacketRate>,
    /// From one packet to the next, instead of the rate
    #[arg(long, value_name = "TIME", value_parser = Duration::parse_nonzero)]
    interval: Option<Duration>,
    /// How many packets, up to 5,000,000
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    packets: u32,
    /// Bytes of each, from Ethernet header to payload
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(42..=9_014))]
    size: u32,
    /// Flows that take turns, each from the source port after the last one's
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    flows: u32,
    /// The source port of the first flow: rules may look at it
    #[arg(long, default_value_t = 5_000)]
    src_port: u16,
    /// The destination port: rules may look at it
    #[arg(long, default_value_t = 5_000)]
    dst_port: u16,
    /// The rule that decides, by its name, whether it matches these packets or not [default: the first that matches];
    /// with --from, the packets of this rule alone
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Packets are ECT(0), or ECT(1): where the link marks, they are marked instead of dropped
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "0", value_enum)]
    ect: Option<Ect>,
    /// Which way they go
    #[arg(long, value_enum, default_value_t = Direction::AToB)]
    direction: Direction,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Draw delay over time and its distribution
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Put the arrivals of a run through the link instead of a stream. Without a profile, flags of a link or a seed
    /// the run's own settings decide them again, and whether every fate is the same is said first
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["packet_rate", "interval", "packets", "size", "flows", "src_port", "dst_port", "ect"]
    )]
    from: Option<PathBuf>,
    /// Which link of a run that has several: 1 is that of host a
    #[arg(long, value_name = "N", default_value_t = 1, requires = "from", value_parser = clap::value_parser!(u32).range(1..))]
    link: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Direction {
    /// From the first end to the second
    AToB,
    /// Back
    BToA,
}

impl From<Direction> for Way {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::AToB => Self::AToB,
            Direction::BToA => Self::BToA,
        }
    }
}

/// Packets a second, as the interval between them in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct PacketRate(u64);

impl FromStr for PacketRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no rate of packets; write for example 100/s, at most 1000000000/s");
        let number: f64 =
            text.trim().strip_suffix("/s").and_then(|number| number.trim().parse().ok()).ok_or_else(wrong)?;
        let interval = (1e9 / number).round();
        // A day between packets is no stream any more.
        if (1.0..=86_400e9).contains(&interval) { Ok(Self(interval as u64)) } else { Err(wrong()) }
    }
}

/// Prints what comes out.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let preview = match &args.from {
        Some(run) => from_run(args, run)?,
        None => of_stream(args)?,
    };
    if let Some(path) = &args.svg {
        let name = path.display();
        fs::write(path, preview.svg()?)
            .with_context(|| format!("{name}: cannot be written: name another file, such as --svg preview.svg"))?;
    }
    let text = if args.json { serde_json::to_string_pretty(&preview)? + "\n" } else { preview.text() };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(if preview.is_agreed() { Outcome::Held } else { Outcome::Failed })
}

/// A steady stream.
fn of_stream(args: &Args) -> anyhow::Result<Preview> {
    let profile = args.flags.resolve(args.named.as_deref().unwrap_or("clean"))?;
    let interval_ns = match (args.interval, args.packet_rate) {
        (Some(interval), _) => interval.0.0,
        (None, rate) => rate.map_or(10_000_000, |rate| rate.0),
    };
    if interval_ns.checked_mul(args.packets.into()).is_none_or(|length| length > i64::MAX as u64) {
        bail!("--packets {} so far apart take longer than 292 years: try --interval 10ms", args.packets);
    }
    let stream = Offered {
        interval_ns,
        packet_bytes: args.size,
        packets: args.packets,
        flows: args.flows,
        source_port: args.src_port,
        destination_port: args.dst_port,
        ect: args.ect,
    };
    Preview::of(&profile, args.direction.into(), args.seed.unwrap_or(1), stream, args.rule.as_deref())
}

/// A run's arrivals.
fn from_run(args: &Args, run: &Path) -> anyhow::Result<Preview> {
    let run = Run::read(run)?;
    let named = args.named.as_deref().or_else(|| args.flags.named());
    let profile = match named {
        Some(name) => args.flags.resolve(name)?,
        None => args.flags.apply(run.profile())?,
    };
    let instead = Instead { profile, is_named: named.is_some(), seed: args.seed };
    let which = Which { link: args.link - 1, direction: args.direction.into(), rule: args.rule.as_deref() };
    Preview::from_run(&run, &instead, which)
}
