//! What stands while an interface is impaired.

use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use shaper_common::units::Nanos;
use shaper_engine::{Engine, EngineKind, Hook, Keep, Options, Outcome, PortMode, Recording, SiteSpec, clock};
use shaper_net::signals::Signals;
use shaper_profile::Expectation;
use shaper_profile::quantity::Duration as ProfileDuration;

use super::change::{LEAD as CHANGE_LEAD, Running};
use super::choice::{self, Chosen};
use super::figures::Figures;
use super::follow::{self, Followed};
use super::place::Place;
use super::request::{DEFAULT_FOR_MINUTES, Order, Request, Target, Worked};
use super::status::{Answer, Ask, DirectionStatus, Served, Status, answer};
use crate::run::{Ground, direction_spec};

/// How often it is looked whether anybody asks, and whether all is well.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is counted what has passed, in nanoseconds: that takes the delay line's own figures for a moment.
const COUNT: u64 = 500_000_000;
/// Over how long packets per second are counted, in nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// How long what is held is waited for at the end, at the most, beyond the longest that any packet is held.
const GRACE: Duration = Duration::from_secs(2);
/// From the last word to the programs until outage schedules count, in nanoseconds.
const LEAD: u64 = 20_000_000;
/// How long after its time, and what it holds, the guard undoes what a process that stands still has not: what setting
/// up and draining take is within it, and for each rule a little more.
const UNDONE_WITHIN: Duration = Duration::from_secs(30);
const RULE_SET_UP: Duration = Duration::from_millis(1);

/// Impaired interfaces. Fields are dropped in this order: programs before devices, and the ground last.
pub(crate) struct Attached {
    engine: Engine,
    /// Why it is that one.
    why: String,
    served: Served,
    /// Those who are told fates.
    followers: Vec<JoinHandle<()>>,
    place: Place,
    /// What was asked of it, as far as it is told.
    told: Told,
    running: [Running; 2],
    start: Nanos,
    ends: Option<Nanos>,
    longest: Duration,
    ground: Ground,
}

/// What was asked for.
struct Told {
    name: String,
    is_for_a_command: bool,
    /// Whether the namespace was named by a process of it.
    is_of_a_process: bool,
    expected: Vec<Expectation>,
    directions: [String; 2],
    settings: [Option<String>; 2],
    rule_names: [Vec<String>; 2],
    netns: Option<String>,
    seed: u64,
    recording: Recording,
}

/// How many packets came in each direction by when.
#[derive(Clone, Copy, Default)]
struct Arrivals {
    at: Nanos,
    counts: [u64; 2],
}

/// Packets per second, by what came since a second ago.
#[derive(Default)]
struct Rates {
    before: Arrivals,
    per_s: [f64; 2],
}

impl Rates {
    fn see(&mut self, now: Nanos, figures: &[Figures]) {
        let passed = now.saturating_sub(self.before.at).0;
        if passed < SECOND {
            return;
        }
        let mut counts = [0; 2];
        for (count, figures) in counts.iter_mut().zip(figures) {
            *count = figures.arrived;
        }
        for ((rate, now), before) in self.per_s.iter_mut().zip(counts).zip(self.before.counts) {
            *rate = now.saturating_sub(before) as f64 * SECOND as f64 / passed as f64;
        }
        self.before = Arrivals { at: now, counts };
    }
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Somebody said stop.
    Told,
    /// Its time was over.
    Over,
    /// An interface went away.
    Gone,
    /// A part of the engine ended by itself.
    Failed,
}

/// How it went.
pub(crate) struct Finished {
    /// What is called what.
    pub(crate) name: String,
    /// What held its packets.
    pub(crate) engine: EngineKind,
    /// Whether it was there for a command alone.
    pub(crate) is_for_a_command: bool,
    pub(crate) ended: Ended,
    pub(crate) outcome: Outcome,
    /// By direction.
    pub(crate) rule_names: [Vec<String>; 2],
    /// What was demanded of it.
    pub(crate) expected: Vec<Expectation>,
}

impl Attached {
    /// Impairs the interface.
    ///
    /// # Errors
    ///
    /// An interface that may not or cannot be impaired; it is as it was then.
    pub(crate) fn up(request: &Request, worked: &Worked) -> anyhow::Result<Self> {
        let ground = match lasts(request).filter(|_| request.allow_default_route) {
            Some(lasts) => {
                let rules: usize = worked.directions.iter().map(|compiled| compiled.rule_names.len()).sum();
                let most = lasts.saturating_add(longest_held(worked)).0;
                let most = Duration::from_nanos(most) + UNDONE_WITHIN + RULE_SET_UP * u32::try_from(rules)?;
                Ground::prepare_for(&request.told(), most)?
            }
            None => Ground::prepare(&request.told())?,
        };
        Self::up_on(ground, request, worked)
    }

    /// The same on a ground on which other things stand already; it is cleared with these.
    ///
    /// # Errors
    ///
    /// As [`up`](Self::up).
    pub(crate) fn up_on(ground: Ground, request: &Request, worked: &Worked) -> anyhow::Result<Self> {
        let name = request.name();
        let place = Place::find(&request.wanted(), ground.journal())?;
        let names = request.directions();
        let [first, second] = &names;
        let [forward, backward] = &worked.directions;
        let spec = SiteSpec {
            site: request.site.clone(),
            directions: [direction_spec(first, forward), direction_spec(second, backward)],
            led: worked.acts,
        };
        let options = Options {
            frames: worked.frames,
            busy_poll: request.busy_poll,
            recording: request.recording,
            keep: Keep::Nothing,
            // A command's link has no name by which anybody could ask for it.
            changeable: request.command.is_none(),
            ..Options::default()
        };
        let Chosen { mut engine, why } =
            choice::start((request.engine, request.hook), &place, ground.journal(), spec, options)
                .with_context(|| format!("cannot impair {name}"))?;
        let start = Nanos(clock::monotonic().saturating_add(LEAD));
        engine.begin(start)?;
        let ends = lasts(request).map(|lasts| start.saturating_add(lasts));
        let longest = longest_held(worked).0;
        let told = Told {
            name,
            is_for_a_command: request.command.is_some(),
            is_of_a_process: matches!(request.target, Target::Process(_)),
            expected: request.expected.clone(),
            directions: names,
            settings: worked.acting().map(|direction| direction.map(|compiled| compiled.expected.to_string())),
            rule_names: worked.directions.each_ref().map(|compiled| compiled.rule_names.clone()),
            netns: match &request.target {
                Target::Own => None,
                Target::Named(_) | Target::Process(_) => Some(place.netns.name().to_owned()),
            },
            seed: request.seed,
            recording: request.recording,
        };
        let running = [
            Running::forward(&request.forward, request.seed, worked.horizon),
            Running::backward(&request.backward, request.seed, worked.horizon),
        ];
        let served = Served::open(ground.journal())?;
        Ok(Self {
            engine,
            why,
            served,
            followers: Vec::new(),
            place,
            told,
            running,
            start,
            ends,
            longest: Duration::from_nanos(longest),
            ground,
        })
    }

    /// Its identifier.
    pub(crate) fn id(&self) -> &str {
        self.ground.journal().id()
    }

    /// Which engine it is, how much it holds, and why it is that one.
    pub(crate) fn engine_line(&self) -> String {
        let at_ports = match self.engine.port_modes() {
            Some([one, _]) => format!(", XDP mode {}, {} queues", self.xdp_mode(), one.queues),
            _ => String::new(),
        };
        format!("engine {}{at_ports}, {}: {}", self.engine.kind().name(), self.engine.room(), self.why)
    }

    /// When it ends by itself, CLOCK_MONOTONIC.
    pub(crate) fn ends(&self) -> Option<Nanos> {
        self.ends
    }

    /// Waits until it is to end, or somebody says stop; in between it answers who asks how it stands, and shows it.
    ///
    /// # Errors
    ///
    /// When that cannot be found out.
    pub(crate) fn wait(&mut self, signals: Signals, show: impl FnMut(&[Figures])) -> anyhow::Result<Ended> {
        self.wait_for(|left| Ok(signals.wait(Some(left))?.then_some(Ended::Told)), show)
    }

    /// The same, where `pause` waits for as long as it is told at the most, and says when it is to end, and why.
    ///
    /// # Errors
    ///
    /// Those of `pause`; and when it cannot be found out how it stands.
    pub(crate) fn wait_for(
        &mut self,
        mut pause: impl FnMut(Duration) -> anyhow::Result<Option<Ended>>,
        mut show: impl FnMut(&[Figures]),
    ) -> anyhow::Result<Ended> {
        let mut rates = Rates::default();
        let mut counted = Nanos::ZERO;
        loop {
            let now = Nanos(clock::monotonic());
            let left = self.ends.map(|ends| Duration::from_nanos(ends.saturating_sub(now).0));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Ended::Over);
            }
            if let Some(ended) = pause(left.map_or(LOOK, |left| left.min(LOOK)))? {
                return Ok(ended);
            }
            if self.engine.has_ended() {
                return Ok(Ended::Failed);
            }
            for link in &self.place.links {
                if self.place.rtnl.find_index(link.index)?.is_none() {
                    return Ok(Ended::Gone);
                }
            }
            if now.saturating_sub(counted).0 >= COUNT {
                counted = now;
                // By a name of ours alone it would be kept for nobody.
                if self.told.is_of_a_process && self.place.netns.processes()?.is_empty() {
                    return Ok(Ended::Gone);
                }
                let figures = self.figures()?;
                rates.see(now, &figures);
                show(&figures);
            }
            while let Some((stream, ask)) = self.served.asked()? {
                let failed = |error: anyhow::Error| Answer::Failed(format!("{error:#}"));
                let said = match ask {
                    Ask::Status => Answer::Status(Box::new(self.status(&rates)?)),
                    Ask::Change(order) => self.change(*order).map_or_else(failed, Answer::Changed),
                    Ask::Fates => match self.followed().and_then(|followed| Ok((followed, self.engine.follow()?))) {
                        Ok((followed, following)) => {
                            self.followers.retain(|follower| !follower.is_finished());
                            self.followers.push(follow::tell(stream, followed, following)?);
                            continue;
                        }
                        Err(error) => failed(error),
                    },
                };
                answer(stream, &said)?;
            }
        }
    }

    /// Where packets can be captured whose fates are told.
    fn followed(&self) -> anyhow::Result<Followed> {
        let Some(devices) = self.engine.near_ends() else {
            bail!(
                "XDP takes packets at {} itself, where nothing sees them before: bridge with --hook tc",
                self.told.name
            );
        };
        if self.told.recording == Recording::Off {
            bail!("no decision on {} is recorded: without --records off there are fates", self.told.name);
        }
        if self.followers.iter().filter(|follower| !follower.is_finished()).count() >= follow::MOST {
            bail!("{} captures have the fates of {} already, and no more may", follow::MOST, self.told.name);
        }
        Ok(Followed { devices, sides: self.place.sides(), recording: self.told.recording.to_string() })
    }

    /// Changes both directions to other settings, from a little later on; says what they do then.
    fn change(&mut self, order: Order) -> anyhow::Result<Vec<String>> {
        let request = order.request()?;
        // Both are worked out before either is changed, ahead by as long as that takes and a little more.
        let profiles = [&request.forward, &request.backward];
        let mut lead = CHANGE_LEAD;
        let changed = loop {
            let now = Nanos(clock::monotonic());
            let at = ProfileDuration(now.saturating_sub(self.start).saturating_add(lead));
            let changed = self.running.iter().zip(profiles).map(|(running, profile)| running.to(profile, at));
            let changed = changed.collect::<anyhow::Result<Vec<_>>>()?;
            let took = Nanos(clock::monotonic()).saturating_sub(now);
            if took.0 < lead.0 / 2 {
                break changed;
            }
            lead = Nanos(took.0.saturating_mul(4));
        };
        for (direction, changed) in (0u32..).zip(&changed) {
            self.engine.can_change(direction, &changed.channel)?;
        }
        let (mut lines, mut left_alone) = (Vec::new(), Vec::new());
        for (direction, changed) in (0u32..).zip(changed) {
            let place = direction as usize;
            let (Some(name), Some(settings), Some(running)) =
                (self.told.directions.get(place), self.told.settings.get_mut(place), self.running.get_mut(place))
            else {
                continue;
            };
            if settings.is_none() && !changed.acts {
                lines.push(format!("{name}: left alone"));
                continue;
            }
            self.engine.change(direction, changed.channel.clone())?;
            self.longest = self.longest.max(Duration::from_nanos(changed.longest.0));
            let words = changed.words.clone();
            // The engine has the settings, whatever comes next: the following change goes on from these.
            running.became(changed);
            match self.engine.lead(self.ground.journal(), direction) {
                Ok(()) => {
                    lines.push(format!("{name}: {words}"));
                    *settings = Some(words);
                }
                Err(error) => left_alone.push(format!("{name} is still left alone: {error}")),
            }
        }
        if left_alone.is_empty() {
            return Ok(lines);
        }
        // What did change is to be known all the same.
        lines.extend(left_alone);
        bail!("not all could be changed: {}", lines.join("; "))
    }

    fn figures(&self) -> anyhow::Result<Vec<Figures>> {
        let snapshots = self.engine.snapshot()?;
        Ok(snapshots.iter().zip(&self.told.rule_names).map(|(snapshot, names)| Figures::now(snapshot, names)).collect())
    }

    /// How it stands.
    ///
    /// # Errors
    ///
    /// When that cannot be found out.
    fn status(&self, rates: &Rates) -> anyhow::Result<Status> {
        let Told { name, directions, settings, netns, seed, recording, .. } = &self.told;
        let seconds = |nanos: Nanos| nanos.0 as f64 / SECOND as f64;
        let now = Nanos(clock::monotonic());
        let journal = self.ground.journal();
        let directions = directions.iter().zip(settings).zip(rates.per_s).zip(self.figures()?);
        Ok(Status {
            schema: 1,
            id: journal.id().to_owned(),
            pid: std::process::id(),
            interface: name.clone(),
            netns: netns.clone(),
            engine: self.engine.kind().name().to_owned(),
            engine_why: self.why.clone(),
            hook: self.hook().to_owned(),
            xdp_mode: self.xdp_mode(),
            queues: self.engine.port_modes().and_then(|ports| Some(ports.first()?.queues)),
            seed: *seed,
            records: recording.to_string(),
            netns_inode: self.place.netns.inode()?,
            drains_s: GRACE.saturating_add(self.longest).as_secs_f64(),
            running_s: seconds(now.saturating_sub(self.start)),
            ends_in_s: self.ends.map(|ends| seconds(ends.saturating_sub(now))),
            room: self.engine.room().to_string(),
            room_packets: self.engine.room().all(),
            changed: journal.standing()?.iter().map(ToString::to_string).collect(),
            directions: directions
                .map(|(((name, settings), packets_per_s), figures)| DirectionStatus {
                    direction: name.clone(),
                    settings: settings.clone(),
                    packets_per_s,
                    figures,
                })
                .collect(),
        })
    }

    fn hook(&self) -> &'static str {
        match (self.engine.port_modes(), self.engine.hook()) {
            (Some(_), _) => "xdp",
            (None, Some(Hook::Clsact { .. })) => "clsact",
            (None, Some(Hook::Tcx) | None) => "tcx",
        }
    }

    /// The mode of the XDP programs that decide; where packets are led to devices of ours, that of these.
    fn xdp_mode(&self) -> String {
        let mode = |port: &PortMode| if port.native { "driver" } else { "generic" };
        match (self.engine.kind(), self.engine.port_modes()) {
            (EngineKind::Edt, _) | (EngineKind::Xsk, None) => "driver".to_owned(),
            (EngineKind::Xsk, Some([one, other])) if one == other => mode(one).to_owned(),
            (EngineKind::Xsk, Some(ports)) => ports.iter().map(mode).collect::<Vec<_>>().join(" and "),
        }
    }

    /// Puts the interface back as it was, lets out what is held, and accounts for every packet.
    ///
    /// # Errors
    ///
    /// When a thread of the engine failed, or something could not be put back.
    pub(crate) fn down(self, ended: Ended) -> anyhow::Result<Finished> {
        let Self { engine, served, followers, place, told, longest, ground, .. } = self;
        let kind = engine.kind();
        drop(served);
        let Told { name, is_for_a_command, expected, rule_names, .. } = told;
        let outcome = engine.stop(GRACE.saturating_add(longest));
        for follower in followers {
            // One that panicked has said so.
            let _ = follower.join();
        }
        drop(place);
        ground.clear()?;
        let outcome = outcome.with_context(|| format!("cannot account for what passed {name}"))?;
        Ok(Finished { name, engine: kind, is_for_a_command, ended, outcome, rule_names, expected })
    }
}

/// How long it is to last, where that is known before.
fn lasts(request: &Request) -> Option<Nanos> {
    let own = request.allow_default_route.then_some(Nanos(DEFAULT_FOR_MINUTES * 60 * SECOND));
    request.duration.map(|duration| duration.0).or(own)
}

/// The longest that a packet is held.
fn longest_held(worked: &Worked) -> Nanos {
    worked.directions.iter().map(|one| one.held().longest).max().unwrap_or(Nanos::ZERO)
}
