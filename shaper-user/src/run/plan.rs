//! What a run is to be, worked out before anything is changed on the host.

use std::path::PathBuf;

use serde::Serialize;
use shaper_common::units::Nanos;
use shaper_engine::Recording;
use shaper_profile::quantity::Duration;
use shaper_profile::shift::Stream;
use shaper_profile::{Compile, CompiledLink, Held, Profile};
use shaper_toast::burst::BurstConfig;
use shaper_toast::plan as toast_plan;
use shaper_toast::script::Interleaved;
use shaper_toast::units::Nanos as Time;

use super::scene::Scene;

/// A run that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No time to run in.
    #[error("--duration {0}: a run needs time: try --duration 20s")]
    NoDuration(String),
    /// No peer, or more than a lab holds.
    #[error("--peers {peers}: want 1 to {most}")]
    Peers {
        /// What was asked for.
        peers: usize,
        /// What there can be.
        most: usize,
    },
    /// A host that is not in the lab.
    #[error("--{flag} {host}: the lab has no such peer: it has {known}")]
    NoSuchPeer {
        /// The flag.
        flag: &'static str,
        /// What was asked for.
        host: String,
        /// What there is.
        known: String,
    },
    /// A value that the workload cannot run with.
    #[error("--{flag} {value}: {want}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What was asked for.
        value: String,
        /// What there can be, with an example.
        want: String,
    },
}

/// An offset and skew put into a peer's clock on purpose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClockInjection {
    /// Whose.
    pub peer: String,
    /// In microseconds.
    pub offset_us: i64,
    /// In parts per million.
    pub skew_ppm: f64,
}

/// The multicast sync workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ToastPlan {
    /// Peers beside the controller.
    pub peers: usize,
    /// Peers that are never started: what a harness must not miss.
    pub absent: Vec<String>,
    /// Peer and time at which it joins, in nanoseconds since the start.
    pub late: Option<(String, u64)>,
    /// Peer and time at which it leaves the group.
    pub leave: Option<(String, u64)>,
    /// Whether the second peer commands too.
    pub second_controller: bool,
    /// Tempo changes among the commands.
    pub tempo: Option<Interleaved>,
    /// Clocks that are put wrong on purpose.
    pub clocks: Vec<ClockInjection>,
    /// From one command to the next in nanoseconds; the least that keeps commands apart if not given.
    pub spacing_ns: Option<u64>,
}

/// The probe stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbePlan {
    /// How many datagrams.
    pub packets: u64,
    /// From one to the next in nanoseconds.
    pub interval_ns: u64,
    /// Bytes of each payload.
    pub payload: usize,
}

/// What drives traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Multicast sync.
    Toast(ToastPlan),
    /// A probe stream from `a` to `b`.
    Probe(ProbePlan),
    /// The commands of a scenario alone.
    Commands,
}

impl Workload {
    /// The name used in output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Toast(_) => "toast",
            Self::Probe(_) => "probe",
            Self::Commands => "commands",
        }
    }

    /// Hosts of the lab.
    #[must_use]
    pub const fn hosts(&self) -> usize {
        match self {
            Self::Toast(plan) => plan.peers + 1,
            Self::Probe(_) | Self::Commands => 2,
        }
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name, part of the run directory's.
    pub name: String,
    /// What drives traffic.
    pub workload: Workload,
    /// The link, flags applied.
    pub profile: Profile,
    /// The seed of every draw.
    pub seed: u64,
    /// How long traffic is offered.
    pub duration: Duration,
    /// The delay line spins.
    pub busy_poll: bool,
    /// Of which decisions a record is written.
    pub recording: Recording,
    /// Kernel buffer of each tap, in bytes.
    pub capture_buffer: i32,
    /// The run directory; `runs/<utc>-<name>` if not given.
    pub out: Option<PathBuf>,
    /// What a scenario adds.
    pub scene: Scene,
}

/// The least bytes of an IPv4 UDP frame beside its payload.
const UDP_FRAME: usize = 14 + 20 + 8;
/// The largest payload of a UDP datagram that an MTU of 1500 carries whole.
const MOST_PAYLOAD: usize = 1_500 - 20 - 8;
/// Most peers that `--peers` takes: two directions a host, and room for the controller.
pub(super) const MOST_PEERS: usize = shaper_common::layout::DIRECTIONS as usize / 2 - 1;

/// The least from one command to the next; a controller sends each in a burst of up to a millisecond.
const LEAST_SPACING: Nanos = Nanos(1_000_000);
/// The fastest tempo that is meant seriously.
const MOST_BPM: f64 = 1_000.0;
/// Most packets of a probe: what both ends note of each has to fit into memory.
const MOST_PACKETS: u64 = 50_000_000;

impl ProbePlan {
    fn check(&self) -> Result<(), RunError> {
        let least = crate::workload::probe::LEAST_PAYLOAD;
        let refused = |flag, value: String, want: String| Err(RunError::Value { flag, value, want });
        if self.packets == 0 {
            refused("packets", "0".into(), "a probe needs packets: try --packets 10000".into())
        } else if self.packets > MOST_PACKETS {
            let want = format!("want at most {MOST_PACKETS}: try --packets 10000");
            refused("packets", self.packets.to_string(), want)
        } else if self.interval_ns == 0 {
            let want = "give the time from one packet to the next: try --interval 1ms".into();
            refused("interval", "0".into(), want)
        } else if !(least..=MOST_PAYLOAD).contains(&self.payload) {
            refused("payload", self.payload.to_string(), format!("want {least} to {MOST_PAYLOAD} bytes"))
        } else {
            Ok(())
        }
    }
}

/// From one command to the next where nobody said: far enough apart that each can be judged for sync, where a run of
/// this duration then still has enough of them for a grade; else the least at which none overtakes its predecessor.
fn default_spacing(largest_one_way: Time, duration: Time) -> Time {
    /// Commands closer than this on a link without delay would say more of the host's scheduler than of the link.
    const LEAST: Time = Time::from_millis(50);
    let burst = BurstConfig::default().longest();
    let judged = toast_plan::spacing_for_sync(largest_one_way, burst).max(LEAST);
    if toast_plan::commands_in(duration, judged) >= toast_plan::COMMANDS_FOR_A_GRADE {
        judged
    } else {
        toast_plan::minimum_spacing(largest_one_way, burst).max(LEAST)
    }
}

impl Plan {
    /// Whether all of this can be.
    ///
    /// # Errors
    ///
    /// What cannot, with the flag that says so.
    pub fn check(&self) -> Result<(), RunError> {
        match &self.workload {
            // A probe's duration is that of its packets.
            Workload::Probe(probe) => probe.check(),
            Workload::Toast(_) | Workload::Commands if self.duration.is_zero() => {
                Err(RunError::NoDuration(self.duration.to_string()))
            }
            Workload::Toast(toast) => self.check_toast(toast),
            Workload::Commands => Ok(()),
        }
    }

    fn check_toast(&self, toast: &ToastPlan) -> Result<(), RunError> {
        if toast.peers == 0 || toast.peers > MOST_PEERS {
            return Err(RunError::Peers { peers: toast.peers, most: MOST_PEERS });
        }
        let known = self.peer_names();
        let named = toast.absent.iter().map(|host| ("absent", host));
        let named = named.chain(toast.late.iter().map(|(host, _)| ("late", host)));
        let named = named.chain(toast.leave.iter().map(|(host, _)| ("leave", host)));
        let mut named = named.chain(toast.clocks.iter().map(|clock| ("clock", &clock.peer)));
        if let Some((flag, host)) = named.find(|(_, host)| !known.contains(host)) {
            return Err(RunError::NoSuchPeer { flag, host: host.clone(), known: known.join(", ") });
        }
        for (flag, at) in [("late", &toast.late), ("leave", &toast.leave)] {
            if let Some((host, at)) = at.as_ref().filter(|(_, at)| *at >= self.duration.0.0) {
                return Err(RunError::Value {
                    flag,
                    value: format!("{host}@{}", Duration(Nanos(*at))),
                    want: format!(
                        "the run is over by then: want a time before --duration {}, such as {host}@{}",
                        self.duration,
                        Duration(Nanos(self.duration.0.0 / 2)),
                    ),
                });
            }
        }
        if let Some(spacing) = toast.spacing_ns.filter(|spacing| *spacing < LEAST_SPACING.0) {
            return Err(RunError::Value {
                flag: "spacing",
                value: Duration(Nanos(spacing)).to_string(),
                want: format!(
                    "want {} or more, that is {} commands a second at most: try --spacing 100ms",
                    Duration(LEAST_SPACING),
                    1_000_000_000 / LEAST_SPACING.0,
                ),
            });
        }
        let tempos = toast.tempo.iter().flat_map(|tempo| &tempo.values);
        match tempos.into_iter().find(|tempo| !(1.0..=MOST_BPM).contains(*tempo)) {
            Some(tempo) => Err(RunError::Value {
                flag: "tempo",
                value: tempo.to_string(),
                want: format!("want 1 to {MOST_BPM} beats per minute, such as --tempo 100,140"),
            }),
            None => Ok(()),
        }
    }

    /// The names of the lab's hosts; the first is the controller or the sender.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        self.lab().hosts
    }

    /// The names of the peers.
    #[must_use]
    pub fn peer_names(&self) -> Vec<String> {
        self.host_names().split_off(1)
    }

    /// The lab: a pair for one peer, else a star.
    #[must_use]
    pub fn lab(&self) -> shaper_net::lab::LabSpec {
        use shaper_net::lab::{LabSpec, Shape};
        let named = &self.scene.hosts;
        match (named.len(), self.workload.hosts()) {
            (0, 2) => LabSpec::pair(),
            (0, hosts) => LabSpec::star(hosts),
            (2, _) => LabSpec::new(Shape::Pair, named.clone()),
            _ => LabSpec::new(Shape::Star, named.clone()),
        }
    }

    /// How many links there are: one in a pair, one for each host in a star.
    #[must_use]
    pub fn links(&self) -> u32 {
        match self.host_names().len() {
            _ if self.scene.at.is_some() => 1,
            2 => 1,
            hosts => u32::try_from(hosts).unwrap_or(u32::MAX),
        }
    }

    /// The links, compiled.
    ///
    /// # Errors
    ///
    /// As [`shaper_profile::Link::compile`].
    pub fn compile(&self) -> Result<Vec<CompiledLink>, shaper_profile::CompileError> {
        let compiled = |link| {
            let run = Compile { seed: self.seed, link, horizon: self.duration };
            let link = &self.profile.link;
            let role = self.scene.at.as_ref().and_then(|at| at.role.as_ref());
            role.map_or_else(|| link.compile(&run), |role| role.compile(link, &run))
        };
        (0..self.links()).map(compiled).collect()
    }

    /// The longest a packet may take from the controller to a peer.
    #[must_use]
    pub fn largest_one_way(&self, links: &[CompiledLink]) -> Nanos {
        let largest = |of: fn(&CompiledLink) -> Nanos| links.iter().map(of).max().unwrap_or(Nanos::ZERO);
        let forward = largest(|link| link.a_to_b.expected.largest_delay);
        if links.len() == 1 {
            forward
        } else {
            forward.saturating_add(largest(|link| link.b_to_a.expected.largest_delay))
        }
    }

    /// The longest a packet or a copy may take from any host to any other, whichever way, at whatever time and by
    /// whatever rule.
    #[must_use]
    pub fn longest_way(&self, links: &[CompiledLink]) -> Nanos {
        let longest = |of: fn(&CompiledLink) -> Held| links.iter().map(|link| of(link).longest).max();
        let up = longest(|link| link.a_to_b.held()).unwrap_or(Nanos::ZERO);
        let down = longest(|link| link.b_to_a.held()).unwrap_or(Nanos::ZERO);
        // In a star every way crosses a host's link upwards and another's downwards.
        if links.len() == 1 { up.later_of(down) } else { up.saturating_add(down) }
    }

    /// The longest from a command's leaving to the arrival of its answer.
    #[must_use]
    pub fn largest_round_trip(&self, links: &[CompiledLink]) -> Nanos {
        let there = self.largest_one_way(links);
        match links {
            [pair] => there.saturating_add(pair.b_to_a.expected.largest_delay),
            _ => there.saturating_add(there),
        }
    }

    /// From one command to the next.
    #[must_use]
    pub fn spacing(&self, toast: &ToastPlan, links: &[CompiledLink]) -> Time {
        let largest = || Time(self.largest_one_way(links).0);
        toast.spacing_ns.map_or_else(|| default_spacing(largest(), Time(self.duration.0.0)), Time)
    }

    /// How long a run takes to be graded, where this one is too short for that.
    #[must_use]
    pub fn grade_takes(&self, toast: &ToastPlan, links: &[CompiledLink]) -> Option<String> {
        let spacing = self.spacing(toast, links);
        let needed = toast_plan::minimum_duration_for_a_grade(spacing);
        (needed.0 > self.duration.0.0)
            .then(|| format!("with commands {spacing} apart it takes --duration {:.0}s", needed.as_secs_f64().ceil()))
    }

    /// The stream that a kept order's shift is stated for; `None` for a workload without a steady one.
    #[must_use]
    pub fn stream(&self) -> Option<Stream> {
        match &self.workload {
            Workload::Toast(_) | Workload::Commands => None,
            // What commands send beside it takes part in the same order.
            Workload::Probe(_) if !self.scene.commands.is_empty() => None,
            Workload::Probe(probe) => Some(Stream {
                interval: Nanos(probe.interval_ns),
                len: u32::try_from(probe.payload + UDP_FRAME).unwrap_or(u32::MAX),
                packets: u32::try_from(probe.packets).unwrap_or(u32::MAX),
            }),
        }
    }

    /// Packets a second that all links together carry at most, for the size of the frame pool.
    #[must_use]
    pub fn packet_rate(&self) -> u64 {
        /// 1.2 Gbit/s in full packets.
        const OF_COMMANDS: u64 = 100_000;
        let built_in = match &self.workload {
            // Commands, answers, heartbeats and clock exchanges of each host, on every link.
            Workload::Toast(toast) => 200 * (toast.peers as u64 + 1).pow(2),
            Workload::Probe(probe) => 1_000_000_000 / probe.interval_ns.max(1) + 1_000,
            Workload::Commands => OF_COMMANDS,
        };
        if self.scene.commands.is_empty() { built_in } else { built_in + OF_COMMANDS }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A plan of 20 s, or as long as its probe takes, on a link that is a preset's name or the text of a profile.
    pub(in crate::run) fn plan(workload: Workload, link: &str) -> Plan {
        let preset = shaper_profile::presets::text(link);
        let profile = shaper_profile::presets::parse("test.toml", "test", preset.unwrap_or(link)).unwrap();
        let duration = match &workload {
            Workload::Toast(_) | Workload::Commands => 20_000_000_000,
            Workload::Probe(probe) => probe.packets.saturating_mul(probe.interval_ns),
        };
        Plan {
            name: "test".into(),
            workload,
            profile,
            seed: 3,
            duration: Duration(Nanos(duration)),
            busy_poll: false,
            recording: Recording::All,
            capture_buffer: 0,
            out: None,
            scene: Scene::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::plan;
    use super::*;

    fn refused(workload: Workload) -> String {
        plan(workload, "").check().unwrap_err().to_string()
    }

    fn toast() -> ToastPlan {
        ToastPlan { peers: 1, ..ToastPlan::default() }
    }

    #[test]
    fn a_tempo_that_is_none_is_refused() {
        for value in [0.0, -120.0, f64::NAN, f64::INFINITY, 1e9] {
            let tempo = Some(Interleaved { every: 4, values: vec![100.0, value] });
            let message = refused(Workload::Toast(ToastPlan { tempo, ..toast() }));
            assert!(message.starts_with(&format!("--tempo {value}: ")), "{message}");
            assert!(message.contains("--tempo 100,140"), "{message}");
        }
    }

    #[test]
    fn commands_closer_than_a_controller_can_send_them_are_refused() {
        let spaced = |ns| Workload::Toast(ToastPlan { spacing_ns: Some(ns), ..toast() });
        for ns in [0, 1_000, 999_999] {
            let message = refused(spaced(ns));
            assert!(message.starts_with("--spacing ") && message.contains("1000 commands a second"), "{message}");
        }
        plan(spaced(1_000_000), "").check().unwrap();
    }

    #[test]
    fn nobody_comes_or_goes_after_the_end() {
        let at = |ns| Some(("b".to_owned(), ns));
        for (ns, held) in [(19_999_999_999, true), (20_000_000_000, false), (60_000_000_000, false)] {
            let late = plan(Workload::Toast(ToastPlan { late: at(ns), ..toast() }), "").check();
            let leave = plan(Workload::Toast(ToastPlan { leave: at(ns), ..toast() }), "").check();
            assert_eq!([late.is_ok(), leave.is_ok()], [held; 2]);
        }
        let message = refused(Workload::Toast(ToastPlan { late: at(60_000_000_000), ..toast() }));
        assert!(message.starts_with("--late b@") && message.contains("such as b@10s"), "{message}");
    }

    #[test]
    fn commands_are_far_enough_apart_to_be_judged_where_a_grade_still_has_enough() {
        let ms = Time::from_millis;
        let judged = toast_plan::spacing_for_sync(ms(45), BurstConfig::default().longest());
        assert_eq!(default_spacing(ms(45), ms(20_000)), judged);
        assert!(toast_plan::commands_in(ms(20_000), judged) >= 100);
        // A short run would have too few either way, or just enough of the closer ones.
        assert_eq!(default_spacing(ms(45), ms(10_000)), ms(91));
        assert_eq!(default_spacing(Time::ZERO, ms(5_000)), ms(50));
    }

    /// 1 ms there and 300 ms back in a pair; in a star up and down.
    fn lopsided(peers: usize) -> (Plan, Vec<CompiledLink>) {
        let text = "[up]\ndelay = \"1ms\"\n[down]\ndelay = \"300ms\"\n";
        let plan = plan(Workload::Toast(ToastPlan { peers, ..ToastPlan::default() }), text);
        let links = plan.compile().unwrap();
        (plan, links)
    }

    #[test]
    fn the_end_waits_for_the_slower_direction() {
        let ms = |ms: u64| Nanos(ms * 1_000_000);
        let (pair, links) = lopsided(1);
        assert_eq!(pair.largest_one_way(&links), ms(1));
        assert_eq!((pair.longest_way(&links), pair.largest_round_trip(&links)), (ms(300), ms(301)));
        let (star, links) = lopsided(2);
        assert_eq!((star.longest_way(&links), star.largest_round_trip(&links)), (ms(301), ms(602)));
        let text = "duplicate = \"1% copies 2 delay 5ms\"\n[[rule]]\nmatch = \"icmp\"\ndelay = \"2s\"\n";
        let ruled = plan(Workload::Toast(ToastPlan::default()), text);
        assert_eq!(ruled.longest_way(&ruled.compile().unwrap()), ms(2_000));
    }

    #[test]
    fn a_probe_is_told_of_its_own_flags() {
        let usual = ProbePlan { packets: 10, interval_ns: 1_000, payload: 172 };
        for (probe, flag) in [
            (ProbePlan { packets: 0, ..usual.clone() }, "--packets 0: "),
            (ProbePlan { packets: u64::MAX, ..usual.clone() }, "--packets 18446744073709551615: "),
            (ProbePlan { interval_ns: 0, ..usual.clone() }, "--interval 0: "),
            (ProbePlan { payload: 1, ..usual.clone() }, "--payload 1: "),
            (ProbePlan { payload: 1_473, ..usual.clone() }, "--payload 1473: "),
        ] {
            let mut plan = plan(Workload::Probe(probe), "");
            plan.duration = Duration(Nanos::ZERO);
            let message = plan.check().unwrap_err().to_string();
            assert!(message.starts_with(flag), "{message}");
        }
        plan(Workload::Probe(usual), "").check().unwrap();
    }
}
