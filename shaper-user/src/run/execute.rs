//! One run from beginning to end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;
use shaper_common::units::Nanos;
use shaper_engine::clock::{self, ClockSample};
use shaper_engine::{Keep, Options};
use shaper_net::signals::Signals;
use shaper_profile::CompiledLink;
use shaper_report::summary::Summary;

use super::bed::{Bed, Ground};
use super::directory::RunDirectory;
use super::foretell::foretell;
use super::frames::frames;
use super::inputs::Inputs;
use super::interrupt::{self, go_on_building};
use super::plan::Plan;
use super::programs::{Programs, Ran};
use super::progress::Progress;
use super::roles::{Roles, ServerOutage};
use super::stage::{Settled, Stage};
use super::usage::Usage;
use super::{judge, manifest};
use crate::capabilities::Task;
use crate::capture::Captured;

/// Of each direction the first so many records and releases are kept.
pub(super) const KEPT: usize = 1 << 22;

/// Sleeps of a millisecond that the host's own timer error is taken from.
const IDLE_SLEEPS: usize = 300;
/// Time for what is held to leave the delay line, beyond the longest delay.
const DRAIN: Duration = Duration::from_secs(2);
/// How long receivers listen after the last packet can have come: on a busy host they read it later than it came.
const LISTEN: Duration = Duration::from_millis(500);
/// How often clocks are read against each other and roles looked after.
const TICK: Duration = Duration::from_millis(250);
/// The scenario, as it was read.
const SCENARIO: &str = "scenario.toml";
/// How often commands are looked after.
const LOOK: Duration = Duration::from_millis(10);

/// What a run left behind.
pub struct Finished {
    /// The judgement.
    pub summary: Summary,
    /// Where the evidence is.
    pub directory: PathBuf,
    /// Whether it was ended early, by a signal.
    pub interrupted: bool,
}

/// What was gathered while the run went on, and is judged afterwards.
pub(super) struct Evidence {
    pub(super) started: SystemTime,
    /// CLOCK_MONOTONIC time of the first command or probe.
    pub(super) start: Nanos,
    /// CLOCK_MONOTONIC time at which the link began to be taken away.
    pub(super) ending: Nanos,
    pub(super) links: Vec<CompiledLink>,
    pub(super) outcome: shaper_engine::Outcome,
    pub(super) captured: Vec<(String, Captured)>,
    pub(super) clocks: Vec<ClockSample>,
    pub(super) idle_errors: Vec<u64>,
    /// What each host's own device dropped before any link saw it.
    pub(super) device_drops: Vec<(String, u64)>,
    /// Logs and results of the roles.
    pub(super) logs: Vec<PathBuf>,
    /// A signal asked the run to stop early.
    pub(super) interrupted: bool,
    /// Roles that ended by an error, and parts of the harness.
    pub(super) broken: Vec<String>,
    /// What some of the roles used.
    pub(super) usage: Vec<Usage>,
    /// When a server that was to be killed was not there.
    pub(super) server_outage: Option<ServerOutage>,
    /// What became of the scenario's commands.
    pub(super) programs: Vec<Ran>,
}

/// Runs the plan, judges it and writes its directory.
///
/// # Errors
///
/// When it could not run. What fails within a run that did is in the summary.
pub fn execute(plan: &Plan, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Finished> {
    plan.check()?;
    let links = plan.compile()?;
    Task::Run.demand()?;
    let started = SystemTime::now();
    let signals = Signals::install()?;
    let inputs = Inputs::of(&plan.profile)?;
    let manifest = manifest::manifest(plan, &inputs, &links, started)?;
    foretell(plan, &links).iter().for_each(|line| say(line));
    let ground = Ground::prepare(&plan.told())?;
    let directory = Arc::new(RunDirectory::create(plan.out.as_deref(), &plan.name, started, ground.journal())?);
    let run = || -> anyhow::Result<_> {
        directory.write("manifest.json", manifest.as_bytes())?;
        for (name, contents) in &inputs.files {
            directory.write(name, contents)?;
        }
        if let Some(text) = &plan.scene.text {
            directory.write(SCENARIO, text.as_bytes())?;
        }
        let gather = || gather(plan, links, &ground, &directory, started, signals, say);
        let evidence = interrupt::answering(signals, say, gather)?;
        let (plan, directory) = (plan.clone(), Arc::clone(&directory));
        let interrupted = signals.requested().is_some();
        let summary = interrupt::judging(interrupted, say, move || judge::judge(&plan, &evidence, &directory))?;
        Ok((summary, interrupted))
    };
    let (summary, interrupted) = run().inspect_err(|_| directory.remove())?;
    // The run is done and its files stand, whoever they belong to.
    if let Err(error) = directory.finish() {
        say(&format!("note: {error:#}"));
    }
    ground.clear()?;
    Ok(Finished { summary, directory: directory.path().to_owned(), interrupted })
}

/// Everything that happens while the lab stands.
fn gather(
    plan: &Plan,
    links: Vec<CompiledLink>,
    ground: &Ground,
    directory: &RunDirectory,
    started: SystemTime,
    signals: Signals,
    say: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Evidence> {
    let idle_errors = clock::idle_timer_errors(IDLE_SLEEPS);
    let mut stage = Stage::set(plan, &links, ground, directory, signals)?;
    if let (Stage::Lab(bed), true) = (&stage, plan.workload.is_multicast()) {
        wait_for_snooping(bed, signals)?;
    }
    let (mut roles, start) = Roles::start(plan, &links, &mut stage, directory, signals)?;
    let mut programs = Programs::new(&plan.scene.commands, start, plan.duration.0, &stage, directory)?;
    let place = match &plan.scene.at {
        None => format!("on {} hosts", plan.host_names().len()),
        Some(at) => format!("at {}", at.told()),
    };
    say(&format!("running {} for {} {place}, seed {}", plan.workload.name(), plan.duration, plan.seed));

    let mut clocks = vec![clock::sample()];
    let mut interrupted = false;
    let mut overdue = None;
    let progress = Progress::new(start, plan.duration.0);
    let end = start.saturating_add(plan.duration.0);
    let mut read = Nanos(clock::monotonic());
    // Without captures or a delay line the rest of the run is worthless.
    let mut failed = stage.failed()?;
    while failed.is_none() {
        let now = Nanos(clock::monotonic());
        programs.tick(now, &stage, directory, say)?;
        roles.tick(now, &stage, directory, say)?;
        let awaited = now < end && !programs.are_over();
        let goes_on = match roles.leader_ended()? {
            Some(true) => awaited && !programs.are_none(),
            Some(false) => true,
            None => awaited,
        };
        if goes_on && roles.is_overdue(now) {
            overdue = Some("the tester did not end by itself and was ended".to_owned());
            break;
        }
        if !goes_on {
            break;
        }
        let pause = if programs.are_any() { LOOK } else { TICK };
        let left = Duration::from_nanos(end.saturating_sub(now).0);
        if signals.wait(Some(if left.is_zero() { pause } else { pause.min(left) }))? {
            if clock::monotonic() < start.0 {
                go_on_building(signals)?;
            }
            interrupted = true;
            break;
        }
        let now = Nanos(clock::monotonic());
        progress.show(now);
        if now.saturating_sub(read).0 >= nanos(TICK) {
            read = now;
            clocks.push(clock::sample());
            roles.look(now);
            failed = stage.failed()?;
        }
    }
    drop(progress);
    programs.tell_awaited()?;
    // What the last commands set off is still under way.
    let longest = Duration::from_nanos(plan.longest_way(&links).0);
    if !interrupted && failed.is_none() {
        interrupted = signals.wait(Some(longest + LISTEN))?;
    }
    let mut broken = roles.end(interrupted)?;
    broken.extend(failed);
    broken.extend(overdue);
    let usage = roles.used();
    let server_outage = roles.server_outage();
    let programs = programs.end()?;
    // Who interrupts a run does not wait out an hour of delay: it is an error already, and says what was held.
    let grace = if interrupted { DRAIN } else { longest + DRAIN };
    let ending = Nanos(clock::monotonic());
    let Settled { outcome, captured, device_drops } = stage.settle(grace, directory)?;
    clocks.push(clock::sample());
    let mut logs = roles.logs;
    if interrupted {
        // A role that was told to end before it had begun left none, for that one reason.
        logs.retain(|path| !is_log(path) || path.exists());
    }
    Ok(Evidence {
        started,
        start,
        ending,
        links,
        outcome,
        captured,
        clocks,
        idle_errors,
        device_drops,
        logs,
        interrupted,
        broken,
        usage,
        server_outage,
        programs,
    })
}

pub(super) fn engine_options(plan: &Plan, links: &[CompiledLink]) -> Options {
    /// 2 GiB.
    const MOST_FRAMES: u32 = 1 << 20;
    Options {
        busy_poll: plan.busy_poll,
        recording: plan.recording,
        frames: frames(links, plan.packet_rate(), MOST_FRAMES),
        keep: Keep::First(KEPT),
        ..Options::default()
    }
}

/// Until the switch of a star snoops it floods: what was measured would not be multicast, and a host that hears another
/// report the group takes its own report back (RFC 2236, section 3), so that the switch would not know of it.
fn wait_for_snooping(bed: &Bed, signals: Signals) -> anyhow::Result<()> {
    let from = bed.lab()?.snooping_from();
    if let Some(left) = from.and_then(|from| from.checked_duration_since(Instant::now())) {
        signals.wait(Some(left))?;
    }
    go_on_building(signals)
}

/// When a run without roles begins: soon, or when it was said.
pub(super) fn start_of(plan: &Plan) -> anyhow::Result<Nanos> {
    /// From the last word to the programs until outages count.
    const SOON: u64 = 100_000_000;
    let now = clock::monotonic();
    let Some(at) = plan.scene.start else { return Ok(Nanos(now.saturating_add(SOON))) };
    let left = at.duration_since(SystemTime::now()).map_or(0, nanos);
    if left < SOON {
        bail!("--start {}: it is too late for that: everything stands only now; give a later one", manifest::utc(at));
    }
    Ok(Nanos(now.saturating_add(left)))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The file name of a host's capture.
pub(super) fn capture_name(host: &str) -> String {
    format!("{host}.pcapng")
}

/// Whether a path is the log of a TOAST role.
pub(super) fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}
