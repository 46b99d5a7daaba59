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
use shaper_profile::quantity::Duration;
use shaper_profile::{Compile, CompileError, CompiledLink, Profile, presets};

use super::super::told::in_full;
use crate::run::{Bed, BedOptions, Ground, frames, sizing};

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
    let Plan { links, frames, .. } = Plan::new(config.hosts, &profile, config.seed)?;
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
pub(super) struct Plan {
    /// One in a pair, one for each host in a star.
    pub(super) links: Vec<CompiledLink>,
    /// How long outages go on. Schedules are finite: behind their end links stay up.
    pub(super) horizon: Duration,
    /// Frames that packets are held in.
    pub(super) frames: u32,
    /// How many packets the links hold at once, all together.
    pub(super) room: u32,
}

impl Plan {
    /// Compiles the links for the longest horizon that their outage schedules have room for, a week at most.
    pub(super) fn new(hosts: usize, profile: &Profile, seed: u64) -> anyhow::Result<Self> {
        const WEEK: Duration = Duration::from_millis(7 * 86_400_000);
        let count = if hosts == 2 { 1 } else { u32::try_from(hosts)? };
        let mut horizon = WEEK;
        let links = loop {
            let compiled: Result<Vec<_>, _> =
                (0..count).map(|link| profile.link.compile(&Compile { seed, link, horizon })).collect();
            match compiled {
                Ok(links) => break links,
                Err(CompileError::TooManyOutages { covered, .. }) if covered < horizon => horizon = rounded(covered),
                Err(error) => return Err(error).with_context(|| format!("profile {}", profile.name)),
            }
        };
        let frames = frames(&links, PACKETS_PER_SECOND, MOST_FRAMES);
        Ok(Self { links, horizon, frames, room: frames.saturating_sub(sizing(count).frames_for(0, Nanos::ZERO)) })
    }
}

/// 1 GiB.
const MOST_FRAMES: u32 = 1 << 19;
/// What people send through a lab by hand, all directions together: 600 Mbit/s in full packets.
const PACKETS_PER_SECOND: u64 = 50_000;

/// Down to whole minutes, or seconds where it is short: what people are told.
fn rounded(horizon: Duration) -> Duration {
    const SECOND: u64 = 1_000_000_000;
    let step = match horizon.0.0 {
        0..SECOND => 1,
        SECOND..=600_000_000_000 => SECOND,
        _ => 60 * SECOND,
    };
    Duration(Nanos(horizon.0.0 / step * step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Profile {
        presets::parse("test", "test", text).unwrap()
    }

    #[test]
    fn rare_outages_are_scheduled_for_a_week() {
        let plan = Plan::new(2, &profile("outages = { rate = \"0.01%/s\", length = \"1s\" }"), 1).unwrap();
        assert_eq!(plan.horizon.as_secs_f64(), 7.0 * 86_400.0);
        assert_eq!(plan.links.len(), 1);
    }

    #[test]
    fn frequent_outages_are_scheduled_as_far_as_every_schedule_has_room() {
        let plan = Plan::new(5, &profile("outages = { rate = \"100%/s\", length = \"100ms\" }"), 1).unwrap();
        assert_eq!(plan.links.len(), 5);
        // 1024 windows, a second and a tenth apart in the mean, to whole minutes.
        let minutes = plan.horizon.as_secs_f64() / 60.0;
        assert!(minutes.fract() == 0.0 && (15.0..20.0).contains(&minutes), "{minutes}");
        for link in &plan.links {
            assert!((800..=1024).contains(&link.windows.len()), "{}", link.windows.len());
        }
    }

    #[test]
    fn a_long_delay_finds_room_for_what_is_under_way() {
        let plan = Plan::new(2, &profile("delay = \"500ms\""), 1).unwrap();
        // 50,000 packets a second for half a second.
        assert!(plan.room >= 25_000, "{}", plan.room);
    }
}
