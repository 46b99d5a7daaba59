//! The distribution of delays that a run was told.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;
use shaper_channel::ChannelSpec;
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_profile::{Compile, Expected, presets};

/// Points of the configured distribution function in a plot.
const CDF_POINTS: u32 = 200;

/// Points of the configured distribution function of delays, for a plot. None where delays have other parts: a
/// bottleneck's queue and the wait for a slot are in no configured distribution, and settings that change have no one.
pub(crate) fn configured_cdf(expected: &Expected, channel: &ChannelSpec) -> Vec<(f64, f64)> {
    let params = &channel.params;
    let is_all = params.rate.0 == 0 && !params.slots.any() && channel.changes.is_none();
    (0..if is_all { CDF_POINTS } else { 0 })
        .map(|point| {
            // From the first delay that there is: a share of nothing would begin at zero.
            let share = (f64::from(point) / f64::from(CDF_POINTS - 1)).max(1e-6);
            let at = expected.delay.quantile(share * 0.999);
            (at.0 as f64 / 1e6, expected.delay.cdf(at))
        })
        .collect()
}

/// What the manifest says of it.
#[derive(Deserialize)]
struct Manifest {
    seed: u64,
    duration_s: f64,
    profile_toml: String,
    links: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    host_of_two: Option<serde::de::IgnoredAny>,
}

/// The configured distribution functions by direction: link number times two, plus one for the way back.
///
/// # Errors
///
/// When the manifest or the profile in it cannot be read.
pub(super) fn of_run(directory: &Path) -> anyhow::Result<BTreeMap<u32, Vec<(f64, f64)>>> {
    /// More links than any lab has.
    const MOST_LINKS: usize = 256;
    let path = directory.join("manifest.json");
    let name = path.display();
    let text = std::fs::read_to_string(&path).with_context(|| format!("{name}: cannot be read"))?;
    let manifest: Manifest = serde_json::from_str(&text).with_context(|| format!("{name}: no manifest of a run"))?;
    let Manifest { seed, duration_s, profile_toml, links, host_of_two } = manifest;
    ensure!(duration_s.is_finite() && duration_s > 0.0, "{name}: duration_s is {duration_s}: want a time above 0");
    ensure!(host_of_two.is_none(), "{name}: of a run on two hosts each imposes a part of the profile");
    ensure!(links.len() <= MOST_LINKS, "{name}: {} links: no run has more than {MOST_LINKS}", links.len());
    let profile = presets::parse_in(directory, "profile_toml", "run", &profile_toml);
    let profile = profile.with_context(|| format!("{name}: its profile"))?;
    let horizon = Duration(Nanos((duration_s * 1e9).round() as u64));
    let mut all = BTreeMap::new();
    for link in 0..u32::try_from(links.len())? {
        let compiled = profile.link.compile(&Compile { seed, link, horizon });
        let compiled = compiled.with_context(|| format!("{name}: its profile"))?;
        for (way, direction) in [(0, &compiled.a_to_b), (1, &compiled.b_to_a)] {
            all.insert(2 * link + way, configured_cdf(&direction.expected, &direction.channel));
        }
    }
    Ok(all)
}
