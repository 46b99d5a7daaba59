//! The process that keeps a lab: builds it, says so, and takes it down when told to stop.

use std::time::Instant;

use anyhow::bail;
use serde::{Deserialize, Serialize};
use shaper_common::units::Nanos;
use shaper_engine::{Keep, Options, Recording, clock};
use shaper_net::lab::{LabSpec, LabState};
use shaper_net::signals::Signals;
use shaper_profile::{Profile, presets};

use super::super::background;
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

/// Keeps a lab until a signal says stop.
pub(crate) fn daemon(config: DaemonConfig) -> anyhow::Result<()> {
    let signals = Signals::install()?;
    background::leave()?;
    let (ground, mut bed) = match start(&config, signals) {
        Ok(stands) => stands,
        Err(error) => return background::failed::<LabState>(&error),
    };
    let state = bed.lab()?.state().clone();
    // Without anybody to tell, nobody would know of the lab.
    if background::stands(state).is_ok() {
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
    let engine = Options { frames, recording: Recording::Off, keep: Keep::Nothing, ..Options::default() };
    bed.impair(&links, &BedOptions { engine, straight: true })?;
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
