//! What was run, with what, on what: enough to run it again.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;
use shaper_profile::CompiledLink;

use super::execute::engine_options;
use super::inputs::Inputs;
use super::plan::Plan;
use super::workload::Workload;

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
    cpu: Option<String>,
    memory_bytes: Option<u64>,
    /// What the kernel makes its clocks of.
    clock_source: Option<String>,
}

impl Host {
    fn here() -> anyhow::Result<Self> {
        let read = |path| std::fs::read_to_string(path).ok();
        let entry = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kilobytes = read("/proc/meminfo").and_then(|text| entry(&text, "MemTotal"));
        Ok(Self {
            kernel: kernel(),
            machine: nix::sys::utsname::uname()?.machine().to_string_lossy().into_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: read("/proc/cpuinfo").and_then(|text| entry(&text, "model name")),
            memory_bytes: kilobytes.and_then(|text| Some(text.split(' ').next()?.parse::<u64>().ok()? * 1024)),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
                .map(|text| text.trim().to_owned()),
        })
    }
}

/// How the links are made.
#[derive(Serialize)]
struct Engine {
    name: &'static str,
    xdp_mode: &'static str,
    af_xdp_mode: &'static str,
    umem_frames: u32,
    busy_poll: bool,
    records: String,
}

/// The text of `manifest.json`.
pub(super) fn manifest(
    plan: &Plan,
    inputs: &Inputs,
    links: &[CompiledLink],
    started: SystemTime,
) -> anyhow::Result<String> {
    let engine = Engine {
        name: "xsk",
        // Asked for as such: the engine does not start in another mode.
        xdp_mode: "driver",
        af_xdp_mode: "copy",
        umem_frames: engine_options(plan, links).frames,
        busy_poll: plan.busy_poll,
        records: plan.recording.to_string(),
    };
    let spacing = match &plan.workload {
        Workload::Toast(toast) => Some(plan.spacing(toast, links).0),
        Workload::Probe(_) | Workload::WebRtc(_) | Workload::Commands => None,
    };
    let scene = &plan.scene;
    let manifest = json!({
        "schema_version": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "command_line": std::env::args().collect::<Vec<_>>(),
        "started": utc(started),
        "host": Host::here()?,
        "engine": engine,
        "seed": plan.seed,
        "duration_s": plan.duration.as_secs_f64(),
        "profile": inputs.profile,
        // What --profile reads from a file in the run directory, flags applied.
        "profile_toml": toml::to_string(&inputs.profile)?,
        // Where the files in the run directory that it names were found.
        "profile_files": inputs.found_at,
        "workload": plan.workload,
        // What was run beside it, where, and what was demanded.
        "commands": scene.commands.iter().map(|command| json!({
            "name": command.name,
            "command": command.command,
            "on": command.on,
            "at_s": command.at.as_secs_f64(),
            "for_s": command.lasts.map(shaper_profile::quantity::Duration::as_secs_f64),
            "background": command.background,
        })).collect::<Vec<_>>(),
        "interfaces": scene.at.as_ref().map(super::scene::At::told),
        "host_of_two": scene.at.as_ref().and_then(|at| at.role.clone()),
        "captured": plan.points(),
        "capture_filter": scene.capture.filter,
        "expectations": scene.expect.iter().map(ToString::to_string).collect::<Vec<_>>(),
        // What the workload left open.
        "command_spacing_ns": spacing,
        "links": links.iter().map(|link| json!({
            "a_to_b": link.a_to_b.expected.configured(plan.stream()),
            // No workload has a steady stream that way.
            "b_to_a": link.b_to_a.expected.configured(None),
        })).collect::<Vec<_>>(),
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
    use crate::run::ProbePlan;

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
                recording: "1/100".parse().unwrap(),
                capture_buffer: 0,
                out: None,
                scene: crate::run::Scene::default(),
            };
            let inputs = Inputs::of(&plan.profile).unwrap();
            let text = manifest(&plan, &inputs, &plan.compile().unwrap(), SystemTime::UNIX_EPOCH).unwrap();
            let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
            for host in ["kernel", "machine", "cpu", "memory_bytes", "clock_source"] {
                assert!(!manifest["host"][host].is_null(), "{host}");
            }
            assert!(manifest["engine"]["umem_frames"].as_u64().unwrap() >= 1 << 14);
            assert_eq!(manifest["engine"]["records"], "1/100");
            let toml = manifest["profile_toml"].as_str().unwrap();
            assert_eq!(presets::parse("again.toml", "again", toml).unwrap(), plan.profile, "{toml}");
            let toml = toml::to_string(&manifest["profile"]).unwrap();
            assert_eq!(presets::parse("again.toml", "again", &toml).unwrap(), plan.profile, "{toml}");
        }
    }
}
