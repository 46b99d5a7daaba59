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
use crate::preview::{self, Offered, Way};

/// `shaper profile preview`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// A preset's name or a TOML file [default: clean]
    #[arg(value_name = "NAME|FILE", conflicts_with = "profile")]
    named: Option<String>,
    #[command(flatten)]
    link: LinkFlags,
    /// The seed of every draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
    /// The rule that decides, by its name, whether it matches these packets or not [default: the first that matches]
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Packets are ECT(0): where the link marks, they are marked instead of dropped
    #[arg(long)]
    ect: bool,
    /// Which way they go
    #[arg(long, value_enum, default_value_t = Direction::AToB)]
    direction: Direction,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Draw delay over time and its distribution
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Decide the arrivals of a run again, and say whether every fate is the same; the profile and all else is the run's
    #[arg(long, value_name = "RUN", exclusive = true)]
    from: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Direction {
    /// From the first end to the second
    AToB,
    /// Back
    BToA,
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
    if let Some(run) = &args.from {
        return again(run);
    }
    let profile = args.link.resolve(args.named.as_deref().unwrap_or("clean"))?;
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
    let way = match args.direction {
        Direction::AToB => Way::AToB,
        Direction::BToA => Way::BToA,
    };
    let preview = preview::Preview::of(&profile, way, args.seed, stream, args.rule.as_deref())?;
    if let Some(path) = &args.svg {
        let name = path.display();
        fs::write(path, preview.svg()?)
            .with_context(|| format!("{name}: cannot be written: name another file, such as --svg preview.svg"))?;
    }
    let text = if args.json { serde_json::to_string_pretty(&preview)? + "\n" } else { preview.text() };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Outcome::Held)
}

/// Decides a run again.
fn again(run: &Path) -> anyhow::Result<Outcome> {
    let agreed = preview::replay(run)?;
    let mut out = io::stdout().lock();
    writeln!(out, "agreed {} of {}", agreed.agreed, agreed.packets)?;
    if agreed.unchecked > 0 {
        writeln!(out, "{} packets not checked: the record of one before them is missing", agreed.unchecked)?;
    }
    for difference in &agreed.differences {
        writeln!(out, "{difference}")?;
    }
    Ok(if agreed.is_whole() { Outcome::Held } else { Outcome::Failed })
}
