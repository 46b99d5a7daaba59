//! The process that keeps a lab: builds it, says so, and takes it down when told to stop.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use shaper_common::units::Nanos;
use shaper_engine::{Keep, Options, clock};
use shaper_net::lab::{LabSpec, LabState};
use shaper_net::signals::Signals;
use shaper_profile::{Profile, presets};

use super::super::told::in_full;
use crate::run::{Bed, BedOptions, Ground, OpenEnded};

/// The name of this role among the hidden subcommands.
pub(crate) const ROLE: &str = "lab-daemon";

/// How often the lab's parts are looked after.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// What the process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DaemonConfig {
    /// How many hosts.
    pub(super) hosts: usize,
    /// The link, as TOML.
    pub(super) profile: String,
    /// The seed of every draw.
    pub(super) seed: u64,
}

/// What the process says, on one line, before it turns to its work.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The lab stands.
    Up(Box<LabState>),
    /// It does not, and nothing of it is left.
    Failed(String),
}

/// Keeps a lab until a signal says stop.
pub(crate) fn daemon(config: DaemonConfig) -> anyhow::Result<()> {
    let signals = Signals::install()?;
    // The terminal's signals are for what runs in the foreground.
    nix::unistd::setsid().context("cannot leave the terminal")?;
    std::env::set_current_dir("/").context("cannot go to /")?;
    let (ground, mut bed) = match start(&config, signals) {
        Ok(stands) => stands,
        Err(error) => return say(&Report::Failed(in_full(&error))),
    };
    let state = bed.lab()?.state().clone();
    // Without anybody to tell, nobody would know of the lab.
    if say(&Report::Up(Box::new(state))).and_then(|()| let_go()).is_ok() {
        while !signals.wait(Some(LOOK))? {
            if bed.has_failed() {
                bed.give_up()?;
                signals.wait(None)?;
                break;
            }
        }
    }
    bed.down()?;
    ground.clear()
}

fn start(config: &DaemonConfig, signals: Signals) -> anyhow::Result<(Ground, Bed)> {
    /// From the last word to the programs until outage schedules count.
    const LEAD: u64 = 20_000_000;
    let profile = presets::parse("profile", "custom", &config.profile)?;
    let OpenEnded { links, frames, .. } = plan(config.hosts, &profile, config.seed)?;
    let what = format!("lab of {} hosts, profile {}, seed {}", config.hosts, profile.name, config.seed);
    let go_on = || if signals.requested().is_some() { bail!("told to stop while building") } else { Ok(()) };
    let ground = Ground::prepare(&what)?;
    let mut bed = Bed::up(&spec(config.hosts), &ground)?;
    go_on()?;
    let engine = Options { frames, records: false, keep: Keep::Nothing, ..Options::default() };
    bed.impair(&links, &BedOptions { engine, straight: true, capture_buffer: 0 })?;
    // A switch floods until it has asked for members: the lab is not as promised before that.
    let snooping = bed.lab()?.snooping_from();
    if let Some(wait) = snooping.and_then(|from| from.checked_duration_since(Instant::now())) {
        signals.wait(Some(wait))?;
    }
    bed.begin(Nanos(clock::monotonic().saturating_add(LEAD)))?;
    go_on()?;
    bed.publish()?;
    Ok((ground, bed))
}

fn say(report: &Report) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(report)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Lets go of the output of the command that started us: what reads it sees its end.
fn let_go() -> anyhow::Result<()> {
    let null = OpenOptions::new().write(true).open("/dev/null").context("cannot open /dev/null")?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}

/// The lab of so many hosts: two make a pair, more a star.
pub(super) fn spec(hosts: usize) -> LabSpec {
    if hosts == 2 { LabSpec::pair() } else { LabSpec::star(hosts) }
}

/// A lab's links, worked out before anything is built.
pub(super) fn plan(hosts: usize, profile: &Profile, seed: u64) -> anyhow::Result<OpenEnded> {
    let count = if hosts == 2 { 1 } else { u32::try_from(hosts)? };
    OpenEnded::new((0..count).map(|link| (profile, link)), seed, PACKETS_PER_SECOND)
}

/// What people send through a lab by hand, all directions together: 600 Mbit/s in full packets.
const PACKETS_PER_SECOND: u64 = 50_000;
