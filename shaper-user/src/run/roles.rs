//! The processes of the workloads that are built in.

mod second;
mod webrtc;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use serde::Serialize;
use shaper_common::units::Nanos;
use shaper_engine::clock;
use shaper_net::role::{Role, RoleSpec};
use shaper_net::signals::Signals;
use shaper_profile::CompiledLink;

use self::second::Second;
pub(super) use self::second::ServerOutage;
use super::bed::Bed;
use super::directory::RunDirectory;
use super::execute::{nanos, start_of};
use super::interrupt::go_on_building;
use super::plan::Plan;
use super::stage::Stage;
use super::usage::{Usage, Watched};
use super::workload::{ProbePlan, ToastPlan, Workload};
use crate::workload::probe::{ReceiverConfig, SenderConfig};

/// From the decision when to begin to the beginning: the last roles come up within it.
const LEAD: Duration = Duration::from_millis(1_500);
/// How long a controller waits for answers, beyond the largest round trip.
const ANSWERS: Nanos = Nanos(1_000_000_000);
/// What follows the host in the name of a second controller.
const SECOND: &str = "-controller";
/// How long a role may take to end once it was told to.
const GRACE: Duration = Duration::from_secs(3);
/// Where the probe's receiver listens.
const PROBE_PORT: u16 = 9_000;
/// The session's name on the wire.
const SESSION: &str = "shaper";

/// The processes of a workload that is built in.
pub(super) struct Roles {
    /// The one whose end is the run's.
    leader: Option<Role>,
    others: Vec<Role>,
    pub(super) logs: Vec<PathBuf>,
    /// When the leader must have ended by itself; of one that may take as long as it likes nothing.
    deadline: Option<Nanos>,
    /// What is written down of what some of them use.
    watched: Vec<Watched>,
    /// The leader's exit code 1 is its own judgement of what it saw, and judged with it.
    leader_judges: bool,
    /// The server that comes after one that is killed.
    second: Option<Second>,
}

impl Roles {
    fn new(leader: Option<Role>, others: Vec<Role>, logs: Vec<PathBuf>) -> Self {
        Self { leader, others, logs, deadline: None, watched: Vec::new(), leader_judges: false, second: None }
    }

    /// Starts the processes; also when the first command or probe is due.
    pub(super) fn start(
        plan: &Plan,
        links: &[CompiledLink],
        stage: &mut Stage,
        directory: &RunDirectory,
        signals: Signals,
    ) -> anyhow::Result<(Self, Nanos)> {
        match (&plan.workload, stage) {
            (Workload::Toast(toast), Stage::Lab(bed)) => Self::toast(plan, toast, links, bed, directory, signals),
            (Workload::Probe(probe), Stage::Lab(bed)) => Self::probe(plan, probe, bed, directory, signals),
            (Workload::WebRtc(webrtc), Stage::Lab(bed)) => Self::webrtc(webrtc, plan, bed, directory, signals),
            (_, stage) => {
                let start = start_of(plan)?;
                stage.begin(start)?;
                Ok((Self::new(None, Vec::new(), Vec::new()), start))
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
        Ok((Self::new(Some(leader), others, logs), start))
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
        Ok((Self::new(Some(leader), others, vec![sender.result, receiver.result]), start))
    }

    /// Whether it has ended, if there is one.
    pub(super) fn leader_ended(&mut self) -> anyhow::Result<Option<bool>> {
        let ended = self.leader.as_mut().map(|leader| Ok::<_, anyhow::Error>(leader.try_wait()?.is_some()));
        ended.transpose()
    }

    /// Whether the leader should have ended long ago.
    pub(super) fn is_overdue(&self, now: Nanos) -> bool {
        self.deadline.is_some_and(|deadline| now > deadline)
    }

    /// Kills a server whose time has come, and starts that which comes after it.
    pub(super) fn tick(
        &mut self,
        now: Nanos,
        stage: &Stage,
        directory: &RunDirectory,
        say: &dyn Fn(&str),
    ) -> anyhow::Result<()> {
        let (Some(second), Stage::Lab(bed)) = (&mut self.second, stage) else { return Ok(()) };
        if let Some(server) = second.tick(now, &mut self.others, bed, directory, say)? {
            self.watched.push(Watched::new(server.name(), server.pid()));
            self.others.push(server);
        }
        Ok(())
    }

    /// What became of a server that was to be killed.
    pub(super) fn server_outage(&self) -> Option<ServerOutage> {
        self.second.as_ref().and_then(Second::outage)
    }

    /// Reads what the watched ones use.
    pub(super) fn look(&mut self, now: Nanos) {
        self.watched.iter_mut().for_each(|watched| watched.look(now));
    }

    /// Ends all roles; the names of those that ended by an error. In an interrupted run it is none to have been told
    /// to end before one could heed that.
    pub(super) fn end(&mut self, interrupted: bool) -> anyhow::Result<Vec<String>> {
        let mut broken = Vec::new();
        let judges = self.leader_judges;
        let leader = self.leader.iter_mut().map(|leader| (leader, judges));
        for (role, judges) in leader.chain(self.others.iter_mut().map(|other| (other, false))) {
            let status = role.terminate(GRACE)?;
            let ended_by_us = interrupted && status.signal() == Some(Signal::SIGTERM as i32);
            let held = status.success() || (judges && status.code() == Some(1));
            if !held && !ended_by_us {
                broken.push(format!("{} ended with {status}", role.name()));
            }
        }
        let undone = self.second.as_ref().and_then(Second::undone).filter(|_| !interrupted);
        broken.extend(undone.map(str::to_owned));
        Ok(broken)
    }

    /// What the watched ones used.
    pub(super) fn used(&mut self) -> Vec<Usage> {
        std::mem::take(&mut self.watched).into_iter().map(Watched::finish).collect()
    }
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

/// The host of a role, by the role's name.
pub(super) fn host_of(role: &str) -> &str {
    role.strip_suffix(SECOND).unwrap_or(role)
}
