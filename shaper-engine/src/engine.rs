//! An attachment: its programs, what holds its packets, and the threads that gather the evidence.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use shaper_bpf::{Exclusion, Hook, Object, Program, Room};
use shaper_channel::ChannelSpec;
use shaper_common::layout::{Counts, DIRECTIONS, Port, Recording};
use shaper_common::units::Nanos;
use shaper_delayline::Released;
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_net::rtnl::{LinkStats, Rtnl};

use crate::account::{Account, Led, SentStraight, Sources};
use crate::clock::monotonic;
use crate::diversion::Diverted;
use crate::edt::Scheduler;
use crate::error::Error;
use crate::evidence::{Collected, Extended, collect};
use crate::hold::{Hold, Left};
use crate::loaded::{BEFORE_START, Loaded, exclusion, feed};
use crate::outcome::{DirectionOutcome, Outcome, Recorded, Snapshot};
use crate::spec::{Behind, DirectionSpec, EngineKind, LinkSpec, Options, PortMode, SiteSpec};
use crate::thread::{join, spawn};
use crate::xsk::{FRAME, Lines};

/// A direction, and the way of its packets.
struct Lane {
    /// The port that they come in at, by its index.
    ifindex: u32,
    /// The lane of the port that they leave at.
    output: usize,
    direction: DirectionSpec,
    /// The device behind that port, where they go straight on.
    behind: Option<Behind>,
}

/// A direction whose packets go straight on.
struct Straight {
    /// The port that they leave at.
    output: u32,
    /// What that has counted before.
    before: LinkStats,
}

/// A running attachment. Dropping it detaches the programs and loses what is held.
pub struct Engine {
    object: Object,
    hold: Box<dyn Hold>,
    /// What leads packets here, where they do not come in at ports. Behind the object: programs go before devices.
    diverted: Option<Diverted>,
    /// How XDP takes packets at each port.
    modes: Vec<PortMode>,
    directions: Vec<DirectionSpec>,
    /// By direction: the channel of its first rule.
    rule_channels: Vec<u32>,
    /// By direction: the device that its packets come in at, and what that is to the programs.
    ports: Vec<(u32, Port)>,
    exclusion: Exclusion,
    /// By direction: those whose packets go straight on.
    straight: Vec<Option<Straight>>,
    /// Of the namespace of the ports.
    rtnl: Rtnl,
    options: Options,
    /// Tells the oracles of settings that are changed to.
    to_oracle: Sender<Extended>,
    collector: Option<JoinHandle<Vec<Collected>>>,
    feeder: Option<JoinHandle<Result<(), shaper_bpf::Error>>>,
    done: Arc<AtomicBool>,
    start: Arc<AtomicU64>,
}

impl Engine {
    /// Loads the programs, binds the sockets and attaches, within `netns`; and what lets everything in at the devices
    /// behind the ports of directions that go straight on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses any of it; nothing stays behind then.
    pub fn start(netns: &NetNs, links: Vec<LinkSpec>, options: Options) -> Result<Self, Error> {
        let mut lanes = Vec::with_capacity(2 * links.len());
        for LinkSpec { host, far, forward, backward, behind } in links {
            let (near, beyond) = behind.map_or((None, None), |[near, far]| (Some(near), Some(far)));
            // The two ports of a link are neighbours: what comes in at one leaves at the other.
            let first = lanes.len();
            for (ifindex, output, direction, behind) in
                [(host, first + 1, forward, beyond), (far, first, backward, near)]
            {
                let behind = behind.filter(|_| !direction.holds());
                lanes.push(Lane { ifindex, output, direction, behind });
            }
        }
        if options.engine == EngineKind::Edt {
            return Err(Error::Site { problem: "engine edt needs interfaces: ports have packets held by xsk".into() });
        }
        Self::on_ports(netns, lanes, FRAME, Options { at_ports: false, ..options })
    }

    /// Impairs what passes interfaces of `netns`: packets are led through a pair of devices of ours, which is journalled,
    /// and on from there. As long as nothing is attached, and whenever the delay line does not come round, they go on
    /// as if we were not there.
    ///
    /// # Errors
    ///
    /// Interfaces that cannot be impaired, a kernel without what the engine needs, and whatever the kernel refuses;
    /// nothing stays behind then.
    pub fn start_at(netns: &NetNs, journal: &Journal, spec: SiteSpec, options: Options) -> Result<Self, Error> {
        let SiteSpec { site, directions, led } = spec;
        let diverted = Diverted::prepare(netns, journal, &site, &options)?;
        let mut engine = match options.engine {
            EngineKind::Xsk => {
                let lanes = diverted.ports().into_iter().zip(directions).enumerate();
                let lanes = lanes.map(|(number, (ifindex, direction))| {
                    // What comes out of a pair's far end goes back into it, what comes in at a port leaves at the other.
                    let output = if diverted.is_at_ports() { 1 - number } else { number };
                    Lane { ifindex, output, direction, behind: None }
                });
                Self::on_ports(netns, lanes.collect(), diverted.frame(), options)?
            }
            EngineKind::Edt => Self::in_front_of_fq(netns, &diverted, directions.into(), options)?,
        };
        // The engine's own before anything is attached: it detaches in the right namespace.
        engine.diverted = Some(diverted);
        for (direction, _) in (0..).zip(led).filter(|(_, led)| *led) {
            engine.lead(journal, direction)?;
        }
        Ok(engine)
    }

    /// With a delay line between ports.
    fn on_ports(netns: &NetNs, lanes: Vec<Lane>, frame: u32, options: Options) -> Result<Self, Error> {
        let ports: Vec<u32> = lanes.iter().map(|lane| lane.ifindex).collect();
        let rtnl = netns.rtnl()?;
        let mut directions = Vec::with_capacity(lanes.len());
        let mut outputs = Vec::with_capacity(lanes.len());
        let mut behind = Vec::with_capacity(lanes.len());
        let mut straight = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let output = ports.get(lane.output).filter(|_| lane.behind.is_some());
            let output =
                output.map(|output| Ok::<_, Error>(Straight { output: *output, before: rtnl.stats(*output)? }));
            straight.push(output.transpose()?);
            outputs.push(lane.output);
            behind.push(lane.behind);
            directions.push(lane.direction);
        }
        let exclusion = match options.exclusion {
            Some(exclusion) => exclusion,
            // In generic mode a program runs wherever packets come in.
            None if options.at_ports => Exclusion::Lock,
            None => netns.run(|| exclusion(&ports))??,
        };
        let load = |room: &Room| Object::load(options.record_ring, exclusion, room);
        let mut loaded = Loaded::new(directions, options, exclusion, load)?;
        let object = &mut loaded.object;
        let placed = (0u32..).zip(&ports).zip(&straight).map(|((number, ifindex), straight)| {
            let port = Port {
                direction: number,
                socket: number,
                records: options.recording.raw(),
                straight: u32::from(straight.is_some()),
                fails_open: u32::from(options.at_ports),
                ..Port::default()
            };
            (*ifindex, port)
        });
        let mut placed: Vec<(u32, Port)> = placed.collect();
        let (to_collector, releases) = mpsc::channel();
        let hold = netns.run(|| {
            for (number, goes) in (0u32..).zip(&straight) {
                if let Some(Straight { output, .. }) = goes {
                    object.set_straight(number, *output)?;
                }
            }
            Lines::open(object, &ports, &outputs, frame, &options, to_collector)
        })??;
        let queues = hold.queues();
        for (ifindex, port) in &mut placed {
            (port.socket, port.queues) = (port.socket * queues, queues);
            object.set_port(*ifindex, *port)?;
        }
        for Behind { netns, ifindex } in behind.iter().flatten() {
            netns.run(|| object.attach_program(Program::Pass, *ifindex))??;
        }
        let modes = netns.run(|| {
            let attach = |ifindex: &u32| {
                if !options.at_ports {
                    return object.attach(*ifindex).map(|()| true);
                }
                let refused = object.attach_in_any_mode(*ifindex)?;
                if let Some(refused) = &refused {
                    tracing::warn!("XDP is generic at the interface with index {ifindex}: {refused}");
                }
                Ok(refused.is_none())
            };
            ports.iter().map(attach).collect::<Result<Vec<_>, _>>()
        })??;
        let mut engine = Self::run(loaded, Box::new(hold), placed, straight, rtnl, options, releases)?;
        engine.modes = modes.into_iter().map(|native| PortMode { native, queues }).collect();
        Ok(engine)
    }

    /// With an `fq` at the far end of each pair.
    fn in_front_of_fq(
        netns: &NetNs,
        diverted: &Diverted,
        directions: Vec<DirectionSpec>,
        options: Options,
    ) -> Result<Self, Error> {
        let far = diverted.ports();
        let exclusion = match options.exclusion {
            Some(exclusion) => exclusion,
            None => netns.run(|| exclusion(&far))??,
        };
        let load = |room: &Room| Object::load_for_edt(options.record_ring, exclusion, room);
        let scatter: Vec<bool> = directions.iter().map(DirectionSpec::may_overtake).collect();
        let mut loaded = Loaded::new(directions, options, exclusion, load)?;
        let placed = (0u32..).zip(far).zip(scatter).map(|((direction, ifindex), scatter)| {
            let records = options.recording.raw();
            (ifindex, Port { direction, records, by_fq: 1, scatter: u32::from(scatter), ..Port::default() })
        });
        let placed: Vec<(u32, Port)> = placed.collect();
        for (ifindex, port) in &placed {
            loaded.object.set_port(*ifindex, *port)?;
        }
        let (to_collector, releases) = mpsc::channel();
        let opened = Scheduler::open(&mut loaded.object, netns, diverted, options.frames, to_collector);
        if opened.is_err() {
            // Filters are found by the thread's own namespace. What is there is the pair's, and goes with it.
            let _ = netns.run(|| loaded.object.detach_all_diversions());
        }
        let hold = opened?;
        let straight = placed.iter().map(|_| None).collect();
        Self::run(loaded, Box::new(hold), placed, straight, netns.rtnl()?, options, releases)
    }

    /// Starts the threads that every attachment has.
    fn run(
        loaded: Loaded,
        hold: Box<dyn Hold>,
        ports: Vec<(u32, Port)>,
        straight: Vec<Option<Straight>>,
        rtnl: Rtnl,
        options: Options,
        releases: mpsc::Receiver<Vec<Released>>,
    ) -> Result<Self, Error> {
        let Loaded { mut object, directions, rule_channels, exclusion } = loaded;
        let ring = object.take_records()?;
        let (to_oracle, extended) = mpsc::channel();
        let done = Arc::new(AtomicBool::new(false));
        let begin = Arc::new(AtomicU64::new(BEFORE_START.0));
        let specs = directions.clone();
        let feeder = object.take_feeder();
        // Whole before its threads are started: should one of them not start, the other is ended with it.
        let mut engine = Self {
            object,
            hold,
            diverted: None,
            modes: Vec::new(),
            directions,
            rule_channels,
            ports,
            exclusion,
            straight,
            rtnl,
            options,
            to_oracle,
            collector: None,
            feeder: None,
            done: Arc::clone(&done),
            start: Arc::clone(&begin),
        };
        if let Some(feeder) = feeder {
            let (begin, done) = (Arc::clone(&begin), Arc::clone(&done));
            engine.feeder = Some(spawn("traces", move || feed(feeder, &begin, &done))?);
        }
        engine.collector =
            Some(spawn("evidence", move || collect(&specs, ring, &releases, &extended, options.keep, &begin, &done))?);
        Ok(engine)
    }

    /// Lets the outage schedules of all directions count from `start`, a CLOCK_MONOTONIC time that is still to come:
    /// arrivals until then are before any outage under the old start as under the new one, so that no fate depends
    /// on when exactly the programs see the change.
    ///
    /// # Errors
    ///
    /// When a map cannot be written.
    pub fn begin(&mut self, start: Nanos) -> Result<(), Error> {
        self.start.store(start.0, Ordering::Release);
        for (direction, spec) in (0..).zip(&mut self.directions) {
            spec.channel.begin(start);
            self.object.set_start(direction, &spec.channel, start)?;
            let first = self.rule_channels.get(direction as usize).copied().unwrap_or(DIRECTIONS);
            for (channel, rule) in (first..).zip(&mut spec.rules.channels) {
                rule.begin(start);
                self.object.set_start(channel, rule, start)?;
            }
        }
        Ok(())
    }

    /// Whether a direction can change to other settings, see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn can_change(&self, direction: u32, channel: &ChannelSpec) -> Result<(), Error> {
        self.additions(direction, channel.clone()).map(drop)
    }

    /// The settings as the engine has them, and how many changes of them are there already.
    fn additions(&self, direction: u32, mut channel: ChannelSpec) -> Result<(ChannelSpec, usize), Error> {
        /// How long it takes at least until the programs know, in nanoseconds.
        const AHEAD: u64 = 50_000_000;
        channel.begin(Nanos(self.start.load(Ordering::Acquire)));
        let Some(spec) = self.directions.get(direction as usize) else {
            return Err(Error::Thread { thread: "delay line", what: format!("knows no direction {direction}") });
        };
        let wrong = |problem: &str| Error::Change { direction: spec.name.clone(), problem: problem.to_owned() };
        let Some(new) = channel.extends(&spec.channel) else {
            return Err(wrong("the settings do not go on from those that hold"));
        };
        let there = channel.changes.as_ref().map_or(0, |changes| changes.settings.len()) - new;
        self.object.has_room_for(direction, &channel)?;
        let first = channel.changes.as_ref().and_then(|changes| changes.timeline.at.get(there));
        let comes = first.is_none_or(|at| channel.params.start.saturating_add(*at).0 > monotonic() + AHEAD);
        if comes { Ok((channel, there)) } else { Err(wrong("the time for it has passed")) }
    }

    /// Lets a direction change to other settings, at times that are still to come: `channel` has all the settings that the
    /// direction has had so far, and others after those. State, indices and what is held stay as they are. Needs
    /// [`Options::changeable`].
    ///
    /// # Errors
    ///
    /// Settings that do not go on from those that hold, effects that the programs were loaded without, and no room.
    pub fn change(&mut self, direction: u32, channel: ChannelSpec) -> Result<(), Error> {
        /// The evidence thread comes round every millisecond; where it cannot, something is wrong.
        const PATIENCE: Duration = Duration::from_secs(5);
        let (channel, there) = self.additions(direction, channel)?;
        // First the oracle, then the programs: no record is to be replayed by settings that it was not decided by.
        let (known, is_known) = mpsc::channel();
        let extended = Extended { direction, channel: channel.clone(), known };
        if self.to_oracle.send(extended).is_err() || is_known.recv_timeout(PATIENCE).is_err() {
            return Err(Error::Thread { thread: "evidence", what: "does not answer".into() });
        }
        if let Some(spec) = self.directions.get_mut(direction as usize) {
            spec.channel = channel.clone();
            if let Some((ifindex, port)) = self.ports.get_mut(direction as usize)
                && self.options.engine == EngineKind::Edt
                && spec.may_overtake()
            {
                port.scatter = 1;
                self.object.set_port(*ifindex, *port)?;
            }
        }
        Ok(self.object.add_changes(direction, &channel, there)?)
    }

    /// Leads the packets of a direction to the delay line, which were left alone so far.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn lead(&mut self, journal: &Journal, direction: u32) -> Result<(), Error> {
        match &mut self.diverted {
            Some(diverted) if !diverted.leads(direction) => {
                diverted.divert(journal, &mut self.object, direction, self.options.recording != Recording::Off)
            }
            _ => Ok(()),
        }
    }

    /// What keeps the decisions of a direction apart.
    #[must_use]
    pub fn exclusion(&self) -> Exclusion {
        self.exclusion
    }

    /// How XDP takes packets at the two ports of a bridge, where it does so at these themselves.
    #[must_use]
    pub fn port_modes(&self) -> Option<&[PortMode]> {
        self.options.at_ports.then_some(self.modes.as_slice())
    }

    /// Which engine it is.
    #[must_use]
    pub fn kind(&self) -> EngineKind {
        self.options.engine
    }

    /// How packets are led here; `None` where they come in at ports.
    #[must_use]
    pub fn hook(&self) -> Option<Hook> {
        self.diverted.as_ref().and_then(Diverted::hook)
    }

    /// Whether one of its threads has ended, though nobody stopped it: nothing gets through then, and
    /// [`stop`](Self::stop) says why.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.hold.has_ended()
            || self.collector.as_ref().is_some_and(JoinHandle::is_finished)
            || self.feeder.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// The directions as they run.
    #[must_use]
    pub fn directions(&self) -> &[DirectionSpec] {
        &self.directions
    }

    /// How each direction stands while packets flow: what is on its way is what came and is nowhere else yet.
    /// [`stop`](Self::stop) counts it.
    ///
    /// # Errors
    ///
    /// When a map or a counter cannot be read.
    pub fn snapshot(&self) -> Result<Vec<Snapshot>, Error> {
        // What left is read before what came, so that nothing has left that has not come.
        let left: Vec<_> = (0..self.directions.len()).map(|direction| self.hold.left(direction)).collect();
        let snapshots = (0u32..).zip(left).map(|(direction, left)| {
            // Control packets leave at once; the few that are in the delay line just now are taken for gone.
            let control_sent = self.object.edge_counts(direction)?.bypassed.min(left.released);
            let sources = self.sources(direction, left, control_sent, 0)?;
            let mut account = Account::of(&sources);
            account.held = 0;
            account.held = u64::try_from(account.difference()).unwrap_or(0);
            Ok(Snapshot {
                account,
                by_rule: by_rule(&sources),
                let_pass: sources.edge.let_pass,
                recorded: self.recorded(&sources),
                lateness: self.lateness(direction)?,
            })
        });
        snapshots.collect()
    }

    fn lateness(&self, direction: u32) -> Result<Histogram<u64>, Error> {
        let unknown = || Error::Thread { thread: "delay line", what: format!("knows no direction {direction}") };
        self.hold.lateness(direction as usize).ok_or_else(unknown)
    }

    /// What the programs, the devices and what holds packets have counted of a direction, beside what has `left`.
    fn sources(&self, direction: u32, left: Left, control_sent: u64, control_refused: u64) -> Result<Sources, Error> {
        // What left before what came, here too.
        let lost = self.hold.lost(direction as usize)?;
        let edge = self.object.edge_counts(direction)?;
        let states = std::iter::once(direction).chain(self.channels_of_rules(direction));
        let states = states.map(|channel| self.object.state(channel)).collect::<Result<_, _>>()?;
        let straight = match self.straight.get(direction as usize) {
            Some(Some(Straight { output, before })) => Some(sent_since(before, &self.rtnl.stats(*output)?)),
            _ => None,
        };
        let led = match &self.diverted {
            Some(diverted) => diverted.lost(direction)?.map(|lost| Led { lost, returned: edge.returned }),
            None => None,
        };
        // Where `fq` holds packets, the programs see both kinds leave.
        let control_sent = control_sent + edge.control_returned;
        Ok(Sources { states, edge, straight, led, left, lost, control_sent, control_refused })
    }

    fn recorded(&self, sources: &Sources) -> Recorded {
        Recorded::of(self.options.recording, &sources.states, sources.edge.records_lost)
    }

    fn channels_of_rules(&self, direction: u32) -> Range<u32> {
        let first = self.rule_channels.get(direction as usize).copied().unwrap_or(DIRECTIONS);
        let rules = self.directions.get(direction as usize).map_or(0, |spec| spec.rules.channels.len());
        first..first + rules as u32
    }

    /// The names of the devices that packets of an interface are led into, and come back from, by direction; none where
    /// they come in at ports.
    #[must_use]
    pub fn near_ends(&self) -> Option<[String; 2]> {
        self.diverted.as_ref().and_then(Diverted::near_ends)
    }

    /// Detaches, lets out what is held for at most `grace`, and accounts for every packet.
    ///
    /// # Errors
    ///
    /// When a thread ended by itself or a map cannot be read.
    pub fn stop(mut self, grace: Duration) -> Result<Outcome, Error> {
        self.settle(grace)
    }

    /// The same; its devices stay until it is dropped, for those who look at them still.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub fn settle(&mut self, grace: Duration) -> Result<Outcome, Error> {
        // First no packet comes in any more, then what is held goes out: only then can the account close.
        match &self.diverted {
            // What is in the pair already has still to be decided.
            Some(diverted) if !diverted.is_at_ports() => diverted.end(&mut self.object)?,
            Some(diverted) => {
                // First what would send on what XDP lets pass.
                diverted.end(&mut self.object)?;
                self.object.detach()?;
            }
            None => self.object.detach()?,
        }
        let deadline = monotonic().saturating_add(u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX));
        let leaked_frames = self.hold.drain(&self.object, Nanos(deadline))?;
        self.done.store(true, Ordering::Release);
        let collected = join("evidence", self.collector.take())?;
        if self.feeder.is_some() {
            join("traces", self.feeder.take())??;
        }
        self.object.detach()?;
        let mut directions = Vec::with_capacity(self.directions.len());
        for ((direction, spec), collected) in (0u32..).zip(&self.directions).zip(collected) {
            let left = self.hold.left(direction as usize);
            let sources = self.sources(direction, left, collected.control_sent, collected.control_refused)?;
            let account = Account::of(&sources);
            let on_record = collected.verdict.checked + collected.verdict.undecided;
            directions.push(DirectionOutcome {
                spec: spec.clone(),
                oracle: collected.verdict,
                recorded: self.recorded(&sources).read(on_record),
                releases_lost: sources.edge.releases_lost,
                let_pass: sources.edge.let_pass,
                account,
                by_rule: by_rule(&sources),
                records: collected.records,
                releases: collected.releases,
                copies: collected.copies,
                lateness: self.lateness(direction)?,
            });
        }
        if let Some(diverted) = &self.diverted {
            diverted.end_all(&mut self.object)?;
        }
        Ok(Outcome { directions, leaked_frames, starved: self.hold.starved() })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(diverted) = &self.diverted {
            // After `stop` there is nothing left to detach; else the journal has what fails here.
            let _ = diverted.end_all(&mut self.object);
        }
        self.hold.abort();
        self.done.store(true, Ordering::Release);
        // A thread that panicked has said so; there is nothing more to do for it here.
        for thread in [
            self.collector.take().map(|collector| collector.join().map(drop)),
            self.feeder.take().map(|feeder| feeder.join().map(drop)),
        ] {
            drop(thread);
        }
    }
}

/// By rule: packets that went by it, and what became of them.
fn by_rule(sources: &Sources) -> Vec<(u64, Counts)> {
    // The first one is the direction's own.
    sources.states.iter().skip(1).map(|state| (state.next_sequence, state.counts)).collect()
}

/// What a device sent and dropped between two readings.
fn sent_since(before: &LinkStats, now: &LinkStats) -> SentStraight {
    SentStraight {
        sent: now.tx_packets.saturating_sub(before.tx_packets),
        dropped: now.tx_dropped.saturating_sub(before.tx_dropped),
    }
}
