//! Links that stand until somebody takes them down.

use anyhow::Context;
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_profile::{Compile, CompileError, CompiledLink, Profile};

use super::frames::{frames, sizing};

/// 1 GiB.
const MOST_FRAMES: u32 = 1 << 19;

/// Such links, worked out before anything is changed.
pub(crate) struct OpenEnded {
    /// In the order that they were asked for.
    pub(crate) links: Vec<CompiledLink>,
    /// How long outages go on. Schedules are finite: behind their end links stay up.
    pub(crate) horizon: Duration,
    /// Frames that packets are held in.
    pub(crate) frames: u32,
    /// How many packets the links hold at once, all together.
    pub(crate) room: u32,
}

impl OpenEnded {
    /// Compiles links, each with its number, for the longest horizon that their outage schedules have room for, a week at
    /// most; and finds room for so many packets a second, all links together.
    pub(crate) fn new<'p>(
        profiles: impl Iterator<Item = (&'p Profile, u32)> + Clone,
        seed: u64,
        packets_per_second: u64,
    ) -> anyhow::Result<Self> {
        const WEEK: Duration = Duration::from_millis(7 * 86_400_000);
        let mut horizon = WEEK;
        let links = 'compiled: loop {
            let mut links = Vec::new();
            for (profile, link) in profiles.clone() {
                match profile.link.compile(&Compile { seed, link, horizon }) {
                    Ok(link) => links.push(link),
                    Err(CompileError::TooManyOutages { covered, .. }) if covered < horizon => {
                        horizon = rounded(covered);
                        continue 'compiled;
                    }
                    Err(error) => return Err(error).with_context(|| format!("profile {}", profile.name)),
                }
            }
            break links;
        };
        let frames = frames(&links, packets_per_second, MOST_FRAMES);
        let ports = u32::try_from(links.len())?;
        Ok(Self { links, horizon, frames, room: frames.saturating_sub(sizing(ports).frames_for(0, Nanos::ZERO)) })
    }
}

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
    use shaper_profile::presets;

    use super::*;

    fn plan(count: u32, text: &str) -> OpenEnded {
        let profile = presets::parse("test", "test", text).unwrap();
        OpenEnded::new((0..count).map(|link| (&profile, link)), 1, 50_000).unwrap()
    }

    #[test]
    fn rare_outages_are_scheduled_for_a_week() {
        let plan = plan(1, "outages = { rate = \"0.01%/s\", length = \"1s\" }");
        assert_eq!(plan.horizon.as_secs_f64(), 7.0 * 86_400.0);
        assert_eq!(plan.links.len(), 1);
    }

    #[test]
    fn frequent_outages_are_scheduled_as_far_as_every_schedule_has_room() {
        let plan = plan(5, "outages = { rate = \"100%/s\", length = \"100ms\" }");
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
        let plan = plan(1, "delay = \"500ms\"");
        // 50,000 packets a second for half a second.
        assert!(plan.room >= 25_000, "{}", plan.room);
    }
}
