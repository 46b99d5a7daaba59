//! One run from beginning to end.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use serde::Serialize;
use shaper_common::units::Nanos;
use shaper_engine::clock::{self, ClockSample};
use shaper_engine::{Keep, Options};
use shaper_net::role::{Role, RoleSpec};
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
use super::stage::{Settled, Stage};
use super::workload::{ProbePlan, ToastPlan, Workload};
use super::{judge, manifest};
use crate::capabilities::Task;
use crate::capture::Captured;
use crate::workload::probe::{ReceiverConfig, SenderConfig};

/// Of each direction the first so many records and releases are kept.
pub(super) const KEPT: usize = 1 << 22;

/// Sleeps of a millisecond that the host's own timer error is taken from.
const IDLE_SLEEPS: usize = 300;
/// From the decision when to begin to the beginning: the last roles come up within it.
const LEAD: Duration = Duration::from_millis(1_500);
/// Time for what is held to leave the delay line, beyond the longest delay.
const DRAIN: Duration = Duration::from_secs(2);
/// How long receivers listen after the last packet can have come: on a busy host they read it later than it came.
const LISTEN: Duration = Duration::from_millis(500);
/// How long a controller waits for answers, beyond the largest round trip.
const ANSWERS: Nanos = Nanos(1_000_000_000);
/// What follows the host in the name of a second controller.
const SECOND: &str = "-controller";
/// How long a role may take to end once it was told to.
const GRACE: Duration = Duration::from_secs(3);
/// How often clocks are read against each other and roles looked after.
const TICK: Duration = Duration::from_millis(250);
/// Where the probe's receiver listens.
const PROBE_PORT: u16 = 9_000;
/// The scenario, as it was read.
const SCENARIO: &str = "scenario.toml";
/// How often commands are looked after.
const LOOK: Duration = Duration::from_millis(10);
/// The session's name on the wire.
const SESSION: &str = "shaper";

/// What a run left behind.
pub struct Finished {
    /// The judgement.
    pub summary: Summary,
    /// Where the evidence is.
    pub directory: PathBuf,
}

/// What was gathered while the run went on, and is judged afterwards.
pub(super) struct Evidence {
    pub(super) started: SystemTime,
    /// CLOCK_MONOTONIC time of the first command or probe.
    pub(super) start: Nanos,
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
    let run = || {
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
        interrupt::judging(interrupted, say, move || judge::judge(&plan, &evidence, &directory))
    };
    let summary = run().inspect_err(|_| directory.remove())?;
    // The run is done and its files stand, whoever they belong to.
    if let Err(error) = directory.finish() {
        say(&format!("note: {error:#}"));
    }
    ground.clear()?;
    Ok(Finished { summary, directory: directory.path().to_owned() })
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
    if let Stage::Lab(bed) = &stage {
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
    let progress = Progress::new(start, plan.duration.0);
    let end = start.saturating_add(plan.duration.0);
    let mut read = Nanos(clock::monotonic());
    // Without captures or a delay line the rest of the run is worthless.
    let mut failed = stage.failed()?;
    while failed.is_none() {
        let now = Nanos(clock::monotonic());
        programs.tick(now, &stage, directory, say)?;
        let awaited = now < end && !programs.are_over();
        let goes_on = match roles.leader_ended()? {
            Some(true) => awaited && !programs.are_none(),
            Some(false) => true,
            None => awaited,
        };
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
    let programs = programs.end()?;
    // Who interrupts a run does not wait out an hour of delay: it is an error already, and says what was held.
    let grace = if interrupted { DRAIN } else { longest + DRAIN };
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
        links,
        outcome,
        captured,
        clocks,
        idle_errors,
        device_drops,
        logs,
        interrupted,
        broken,
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

/// The processes of a workload that is built in.
struct Roles {
    /// The one whose end is the run's.
    leader: Option<Role>,
    others: Vec<Role>,
    logs: Vec<PathBuf>,
}

impl Roles {
    /// Starts the processes; also when the first command or probe is due.
    fn start(
        plan: &Plan,
        links: &[CompiledLink],
        stage: &mut Stage,
        directory: &RunDirectory,
        signals: Signals,
    ) -> anyhow::Result<(Self, Nanos)> {
        match (&plan.workload, stage) {
            (Workload::Toast(toast), Stage::Lab(bed)) => Self::toast(plan, toast, links, bed, directory, signals),
            (Workload::Probe(probe), Stage::Lab(bed)) => Self::probe(plan, probe, bed, directory, signals),
            (_, stage) => {
                let start = start_of(plan)?;
                stage.begin(start)?;
                Ok((Self { leader: None, others: Vec::new(), logs: Vec::new() }, start))
            }
        }
    }

    fn toast(
        plan: &Plan,
        toast: &ToastPlan,
        links: &[CompiledLink],
        bed: &mut Bed,
        directory: &RunDirectory,
        signals: Signals,
    ) -> anyhow::Result<(Self, Nanos)> {
        use shaper_toast::clock::ClockConfig;
        use shaper_toast::config::{ControllerConfig, NodeConfig, PeerConfig};
        use shaper_toast::script::ScriptConfig;
        use shaper_toast::units::{Micros, Nanos as Time, Ppm};

        let node = |bed: &Bed, host: &str, role: &str| -> anyhow::Result<NodeConfig> {
            let interface = &bed.lab()?.host(host)?.ifname;
            let mut node = NodeConfig::new(role, SESSION, interface, directory.file(&format!("{role}.jsonl")));
            node.seed = plan.seed;
            if let Some(injected) = toast.clocks.iter().find(|clock| clock.peer == host) {
                node.clock = ClockConfig {
                    offset: Micros(injected.offset_us),
                    skew: Ppm(injected.skew_ppm),
                    origin: Time(clock::monotonic()),
                    ..ClockConfig::default()
                };
            }
            Ok(node)
        };
        let script =
            ScriptConfig { spacing: plan.spacing(toast, links), tempo: toast.tempo.clone(), ..ScriptConfig::default() };
        let duration = Time(plan.duration.0.0);
        let mut logs = Vec::new();
        let mut others = Vec::new();
        let hosts = plan.host_names();
        let controller = hosts.first().context("the lab has no host")?;
        let mut peers: Vec<&String> = hosts.iter().skip(1).filter(|host| !toast.absent.contains(host)).collect();
        // Who needs to know when the run begins comes last: nobody knows how long a busy host takes to start the
        // others.
        let timed = |host: &String| [&toast.late, &toast.leave].into_iter().flatten().any(|(named, _)| named == host);
        peers.sort_by_key(|host| timed(host));
        let untimed = peers.iter().filter(|host| !timed(host)).count();
        for host in peers.iter().take(untimed) {
            let config = PeerConfig::new(node(bed, host, host)?);
            logs.push(config.node.log.clone());
            others.push(spawn(bed, signals, host, "toast-peer", &config)?);
        }
        let start = begin(bed)?;
        let at = |offset: u64| Time(start.0.saturating_add(offset));
        let offset_of = |named: &Option<(String, u64)>, host: &String| {
            named.as_ref().filter(|(named, _)| named == host).map(|(_, offset)| at(*offset))
        };
        for host in peers.iter().skip(untimed) {
            let mut config = PeerConfig::new(node(bed, host, host)?);
            config.join_at = offset_of(&toast.late, host);
            config.leave_at = offset_of(&toast.leave, host);
            logs.push(config.node.log.clone());
            others.push(spawn(bed, signals, host, "toast-peer", &config)?);
        }
        let controller_of = |node: NodeConfig, begin: u64| ControllerConfig {
            script: script.clone(),
            drain: Time(plan.largest_round_trip(links).saturating_add(ANSWERS).0),
            ..ControllerConfig::new(node, Time(begin), duration)
        };
        if let Some(host) = hosts.last().filter(|_| toast.second_controller) {
            // Half a spacing behind the first: two people at two desks do not press at the same instant.
            let config = controller_of(node(bed, host, &format!("{host}{SECOND}"))?, start.0 + script.spacing.0 / 2);
            logs.push(config.node.log.clone());
            others.push(spawn(bed, signals, host, "toast-controller", &config)?);
        }
        let config = controller_of(node(bed, controller, controller)?, start.0);
        logs.push(config.node.log.clone());
        let leader = spawn(bed, signals, controller, "toast-controller", &config)?;
        Ok((Self { leader: Some(leader), others, logs }, start))
    }

    fn probe(
        plan: &Plan,
        probe: &ProbePlan,
        bed: &mut Bed,
        directory: &RunDirectory,
        signals: Signals,
    ) -> anyhow::Result<(Self, Nanos)> {
        let [from, to] = plan.both_hosts()?;
        let receiver =
            ReceiverConfig { port: PROBE_PORT, packets: probe.packets, result: directory.file("probe-receiver.json") };
        let others = vec![spawn(bed, signals, &to, "probe-receiver", &receiver)?];
        let address = bed.lab()?.host(&to)?.ipv4;
        let start = begin(bed)?;
        let sender = SenderConfig {
            to: std::net::SocketAddrV4::new(address, PROBE_PORT),
            packets: probe.packets,
            interval_ns: probe.interval_ns,
            payload: probe.payload,
            start_at_ns: start.0,
            result: directory.file("probe-sender.json"),
        };
        let leader = spawn(bed, signals, &from, "probe-sender", &sender)?;
        Ok((Self { leader: Some(leader), others, logs: vec![sender.result, receiver.result] }, start))
    }

    /// Whether it has ended, if there is one.
    fn leader_ended(&mut self) -> anyhow::Result<Option<bool>> {
        let ended = self.leader.as_mut().map(|leader| Ok::<_, anyhow::Error>(leader.try_wait()?.is_some()));
        ended.transpose()
    }

    /// Ends all roles; the names of those that ended by an error. In an interrupted run it is none to have been told
    /// to end before one could heed that.
    fn end(&mut self, interrupted: bool) -> anyhow::Result<Vec<String>> {
        let mut broken = Vec::new();
        for role in self.leader.iter_mut().chain(&mut self.others) {
            let status = role.terminate(GRACE)?;
            let ended_by_us = interrupted && status.signal() == Some(Signal::SIGTERM as i32);
            if !status.success() && !ended_by_us {
                broken.push(format!("{} ended with {status}", role.name()));
            }
        }
        Ok(broken)
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
fn start_of(plan: &Plan) -> anyhow::Result<Nanos> {
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

/// Decides when the run begins, and tells the links.
fn begin(bed: &mut Bed) -> anyhow::Result<Nanos> {
    let start = Nanos(clock::monotonic().saturating_add(nanos(LEAD)));
    bed.begin(start)?;
    Ok(start)
}

fn spawn<T: Serialize>(bed: &Bed, signals: Signals, host: &str, role: &str, config: &T) -> anyhow::Result<Role> {
    go_on_building(signals)?;
    let config = serde_json::to_string(config)?;
    let mut spec = RoleSpec::new(format!("{role} on {host}"), [crate::cli::ROLE_ARGUMENT, role, &config]);
    // Ours is for the summary alone.
    spec.stdout = Stdio::null();
    Ok(Role::spawn(bed.journal(), bed.lab()?.netns(host)?, spec)?)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The host of a role, by the role's name.
pub(super) fn host_of(role: &str) -> &str {
    role.strip_suffix(SECOND).unwrap_or(role)
}

/// The file name of a host's capture.
pub(super) fn capture_name(host: &str) -> String {
    format!("{host}.pcapng")
}

/// Whether a path is the log of a TOAST role.
pub(super) fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}
