//! `shaper lab up`.

use std::io::{self, Write};
use std::path::absolute;

use anyhow::Context;
use clap::Args as ClapArgs;
use serde::Serialize;
use shaper_common::layout::DIRECTIONS;
use shaper_net::lab::LabState;
use shaper_profile::Profile;

use super::super::link_flags::LinkFlags;
use super::super::{Outcome, background};
use super::daemon::{DaemonConfig, ROLE, plan};
use crate::capabilities::Task;
use crate::run::{OpenEnded, told};

/// Most hosts: one link each in a star.
const MOST_HOSTS: i64 = DIRECTIONS as i64 / 2;

/// `shaper lab up`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// How many hosts: two make a pair with one link, more a star with a link each round a switch
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(2..=MOST_HOSTS))]
    hosts: u16,
    #[command(flatten)]
    link: LinkFlags,
    /// The seed of every draw: the same seed gives the same draws to the same packet index
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the lab as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    lab: &'a LabState,
    profile: &'a Profile,
    seed: u64,
    impairment: Impairment,
    /// Until when outages come, in seconds from now; absent where there are none.
    outages_for_s: Option<f64>,
    /// Packets that the links hold at once, all together.
    room_packets: u32,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Impairment {
    forward: String,
    backward: String,
}

/// Starts the process that keeps the lab, and says what came of it.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let profile = args.link.resolve("clean")?;
    let hosts = usize::from(args.hosts);
    let plan = plan(hosts, &profile, args.seed)?;
    Task::LabUp.demand()?;
    // The process that keeps the lab works elsewhere.
    let from_anywhere =
        profile.with_files(|path| absolute(path).map_or(path.into(), |path| path.to_string_lossy().into_owned()));
    let config = DaemonConfig { hosts, profile: toml::to_string(&from_anywhere)?, seed: args.seed };
    let lab: LabState = background::start(ROLE, &config)?;
    let mut out = io::stdout().lock();
    if args.json {
        tell_json(&mut out, &lab, &profile, args.seed, &plan)
    } else {
        tell(&mut out, &lab, &profile, args.seed, &plan)
    }
    .with_context(|| format!("lab {} is up all the same: shaper lab down {}", lab.id, lab.id))?;
    Ok(Outcome::Held)
}

fn tell_json(
    out: &mut impl Write,
    lab: &LabState,
    profile: &Profile,
    seed: u64,
    plan: &OpenEnded,
) -> anyhow::Result<()> {
    let link = plan.links.first().context("a lab without links")?;
    let shown = Shown {
        lab,
        profile,
        seed,
        impairment: Impairment {
            forward: link.a_to_b.expected.to_string(),
            backward: link.b_to_a.expected.to_string(),
        },
        outages_for_s: (!profile.link.outages.is_none()).then(|| plan.horizon.as_secs_f64()),
        room_packets: plan.room,
        warnings: link.warnings(None),
    };
    writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
    Ok(())
}

fn tell(out: &mut impl Write, lab: &LabState, profile: &Profile, seed: u64, plan: &OpenEnded) -> anyhow::Result<()> {
    let id = &lab.id;
    writeln!(out, "lab {id} is up")?;
    let width = lab.hosts.iter().map(|host| host.name.len()).max().unwrap_or(0);
    for host in &lab.hosts {
        writeln!(out, "  {:width$}  {:15}  {}", host.name, host.ipv4.to_string(), host.ipv6)?;
    }
    writeln!(out, "link: profile {}, seed {seed}", profile.name)?;
    let link = plan.links.first().context("a lab without links")?;
    for line in told(link, None, lab.shape) {
        writeln!(out, "  {line}")?;
    }
    if !profile.link.outages.rate.is_zero() {
        let hours = plan.horizon.as_secs_f64() / 3600.0;
        writeln!(out, "  outages are scheduled for {hours:.1} hours from now; after that the link stays up")?;
    }
    writeln!(out, "  room for {} packets under way", plan.room)?;
    if let [a, b, ..] = lab.hosts.as_slice() {
        // Minimal hosts have no ping.
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if std::env::split_paths(&paths).any(|folder| folder.join("ping").is_file()) {
            writeln!(out, "try: shaper lab exec {} -- ping -c 5 {}", a.name, b.ipv4)?;
        } else {
            writeln!(out, "try: shaper lab exec {} -- sh", a.name)?;
        }
    }
    writeln!(out, "end: shaper lab down {id}")?;
    Ok(())
}
