//! What was run, with what, on what: enough to run it again.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;
use shaper_profile::CompiledLink;

use super::plan::Plan;

/// RFC 3339 in UTC, to the second.
#[must_use]
pub(crate) fn utc(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The kernel's release.
pub(crate) fn kernel() -> String {
    nix::sys::utsname::uname().map_or_else(|_| "unknown".into(), |name| name.release().to_string_lossy().into_owned())
}

/// What the host is.
#[derive(Serialize)]
struct Host {
    kernel: String,
    machine: String,
    cpus: usize,
}

/// The text of `manifest.json`.
pub(crate) fn manifest(plan: &Plan, links: &[CompiledLink], started: SystemTime) -> anyhow::Result<String> {
    let name = nix::sys::utsname::uname()?;
    let host = Host {
        kernel: kernel(),
        machine: name.machine().to_string_lossy().into_owned(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let manifest = json!({
        "schema_version": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "command_line": std::env::args().collect::<Vec<_>>(),
        "started": utc(started),
        "host": host,
        "engine": "xsk",
        "seed": plan.seed,
        "duration_s": plan.duration.as_secs_f64(),
        "profile": plan.profile,
        // What --profile reads, flags applied.
        "profile_toml": toml::to_string(&plan.profile)?,
        "workload": plan.workload,
        "links": links.iter().map(|link| json!({
            "a_to_b": link.a_to_b.expected.configured(plan.stream()),
            "b_to_a": link.b_to_a.expected.configured(plan.stream()),
        })).collect::<Vec<_>>(),
        "busy_poll": plan.busy_poll,
        "capture_buffer_bytes": plan.capture_buffer,
    });
    let mut text = serde_json::to_string_pretty(&manifest)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use shaper_common::units::Nanos;
    use shaper_profile::presets;
    use shaper_profile::quantity::Duration;

    use super::*;
    use crate::run::{ProbePlan, Workload};

    #[test]
    fn the_profile_reads_back_as_it_was_run() {
        for name in presets::names() {
            let plan = Plan {
                name: "test".into(),
                workload: Workload::Probe(ProbePlan { packets: 10, interval_ns: 1_000_000, payload: 172 }),
                profile: presets::load(name).unwrap(),
                seed: 1,
                duration: Duration(Nanos(10_000_000)),
                busy_poll: false,
                capture_buffer: 0,
                out: None,
            };
            let text = manifest(&plan, &plan.compile().unwrap(), SystemTime::UNIX_EPOCH).unwrap();
            let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
            let toml = manifest["profile_toml"].as_str().unwrap();
            assert_eq!(presets::parse("again.toml", "again", toml).unwrap(), plan.profile, "{toml}");
            let toml = toml::to_string(&manifest["profile"]).unwrap();
            assert_eq!(presets::parse("again.toml", "again", &toml).unwrap(), plan.profile, "{toml}");
        }
    }
}
