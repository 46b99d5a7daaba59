//! What a run is to be, worked out before anything is changed on the host.

use std::path::PathBuf;

use shaper_common::units::Nanos;
use shaper_engine::Recording;
use shaper_net::lab::{LabSpec, Shape};
use shaper_profile::quantity::Duration;
use shaper_profile::scenario::Unfit;
use shaper_profile::shift::Stream;
use shaper_profile::{Compile, CompiledLink, Held, Link, Profile};
use shaper_toast::burst::BurstConfig;
use shaper_toast::plan as toast_plan;
use shaper_toast::units::Nanos as Time;

use super::scene::Scene;
use super::workload::{ServerKill, ToastPlan, WebRtcPlan, Workload};

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
    /// No client.
    #[error("--clients 0: want one or more")]
    NoClients,
    /// No access link, or more than a lab holds.
    #[error("--links {links}: want 1 to {most}: clients take turns where there are fewer links than clients")]
    Links {
        /// What was asked for.
        links: usize,
        /// What there can be.
        most: usize,
    },
    /// More hosts than two for what is between two.
    #[error("a probe is between the two hosts of a lab, and this one has {0}: leave all but two out")]
    NoPair(String),
    /// A setting that its workload cannot run with.
    #[error("--{} {}: {}: try --{} {}", .0.key, .0.value, .0.want, .0.key, .0.example)]
    Unfit(Unfit),
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
/// Most peers that `--peers` takes: two directions a host, and room for the controller.
pub(super) const MOST_PEERS: usize = shaper_common::layout::DIRECTIONS as usize / 2 - 1;

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
    /// Whether there is time for it, and a lab that holds it.
    ///
    /// # Errors
    ///
    /// What cannot be, with the flag that says so.
    pub fn check(&self) -> Result<(), RunError> {
        match &self.workload {
            // A probe's duration is that of its packets.
            Workload::Probe(_) => Ok(()),
            Workload::Toast(_) | Workload::WebRtc(_) | Workload::Commands if self.duration.is_zero() => {
                Err(RunError::NoDuration(self.duration.to_string()))
            }
            Workload::WebRtc(webrtc) if webrtc.clients == 0 => Err(RunError::NoClients),
            Workload::WebRtc(webrtc) if !(1..=MOST_PEERS).contains(&webrtc.links) => {
                Err(RunError::Links { links: webrtc.links, most: MOST_PEERS })
            }
            Workload::WebRtc(WebRtcPlan { kill: Some(kill), .. }) if kill.at_ns >= self.duration.0.0 => {
                Err(RunError::Unfit(Unfit {
                    key: "kill-server-at",
                    value: Duration(Nanos(kill.at_ns)).to_string(),
                    want: format!("the run is over by then, after {:#}", self.duration),
                    example: Duration(Nanos(self.duration.0.0 / 2)).to_string(),
                }))
            }
            Workload::WebRtc(WebRtcPlan {
                kill: Some(ServerKill { at_ns, back_after_ns: Some(after_ns) }), ..
            }) if at_ns.saturating_add(*after_ns) >= self.duration.0.0 => {
                let left = self.duration.0.0.saturating_sub(*at_ns);
                Err(RunError::Unfit(Unfit {
                    key: "server-back-after",
                    value: Duration(Nanos(*after_ns)).to_string(),
                    want: format!("the run is over by then, after {:#}", self.duration),
                    example: Duration(Nanos(left / 2)).to_string(),
                }))
            }
            Workload::Toast(ToastPlan { peers, .. }) if !(1..=MOST_PEERS).contains(peers) => {
                Err(RunError::Peers { peers: *peers, most: MOST_PEERS })
            }
            Workload::Toast(_) | Workload::WebRtc(_) | Workload::Commands => Ok(()),
        }
    }

    /// What a person is told of the process.
    pub(super) fn told(&self) -> String {
        format!("run {}", self.name)
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

    /// The two hosts of a lab that is a pair, the sender first.
    ///
    /// # Errors
    ///
    /// A lab of more.
    pub fn both_hosts(&self) -> Result<[String; 2], RunError> {
        self.host_names().try_into().map_err(|hosts: Vec<String>| RunError::NoPair(hosts.join(", ")))
    }

    /// The lab: a pair for one peer, else a star. WebRTC clients have a star: its server has a link of its own.
    #[must_use]
    pub fn lab(&self) -> LabSpec {
        let named = &self.scene.hosts;
        if let Workload::WebRtc(webrtc) = &self.workload {
            return LabSpec::new(Shape::Star, webrtc.host_names());
        }
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
        let LabSpec { shape, hosts, .. } = self.lab();
        match shape {
            _ if self.scene.at.is_some() => 1,
            Shape::Pair => 1,
            Shape::Star => u32::try_from(hosts.len()).unwrap_or(u32::MAX),
        }
    }

    /// The links, compiled.
    ///
    /// # Errors
    ///
    /// As [`shaper_profile::Link::compile`].
    pub fn compile(&self) -> Result<Vec<CompiledLink>, shaper_profile::CompileError> {
        // The server's own link is clean: a way from client to client crosses two access links, not four.
        let clean = Link::default();
        let compiled = |number| {
            let run = Compile { seed: self.seed, link: number, horizon: self.duration };
            let is_server = number == 0 && matches!(self.workload, Workload::WebRtc(_));
            let link = if is_server { &clean } else { &self.profile.link };
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
            Workload::Toast(_) | Workload::WebRtc(_) | Workload::Commands => None,
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
            // What each client sends, and what it gets of others, by default and in video of a megabit or two.
            Workload::WebRtc(webrtc) => (300 * webrtc.clients * webrtc.clients.min(10)) as u64,
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
            Workload::Toast(_) | Workload::WebRtc(_) | Workload::Commands => 20_000_000_000,
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
}
