//! The `xsk` engine: XDP programs decide and drop, AF_XDP hands the rest to the delay line.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use shaper_bpf::{Beat, Exclusion, Feeder, Hook, Object, Program, Room};
use shaper_channel::ChannelSpec;
use shaper_common::layout::{Counts, DIRECTIONS, Port, Recording};
use shaper_common::units::Nanos;
use shaper_delayline::{Config, Control, Counts as LineCounts, DelayLine, DelayLineError, Monitor};
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_net::rtnl::{LinkStats, Rtnl};
use shaper_xsk::{Socket, SocketConfig, Umem, UmemConfig};

use crate::account::{Account, Led, SentStraight, Sources};
use crate::clock::monotonic;
use crate::diversion::Diverted;
use crate::error::Error;
use crate::evidence::{Collected, Extended, collect};
use crate::outcome::{DirectionOutcome, Outcome, Recorded, Snapshot};
use crate::spec::{Behind, DirectionSpec, LinkSpec, Options, SiteSpec};

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

/// Entries of each ring of each socket. The fill rings of a lab of twenty hosts share the UMEM.
pub const RING: u32 = 2048;
/// Bytes of a frame: an MTU of 1500 with room for tags, XDP's headroom and metadata.
pub(crate) const FRAME: u32 = 2048;

/// A running attachment. Dropping it detaches the programs and loses what is held.
pub struct Engine {
    object: Object,
    /// What leads packets here, where they do not come in at ports. Behind the object: programs go before devices.
    diverted: Option<Diverted>,
    directions: Vec<DirectionSpec>,
    /// By direction: the channel of its first rule.
    rule_channels: Vec<u32>,
    exclusion: Exclusion,
    /// By direction: those whose packets go straight on.
    straight: Vec<Option<Straight>>,
    /// Of the namespace of the ports.
    rtnl: Rtnl,
    recording: Recording,
    /// Tells the oracles of settings that are changed to.
    to_oracle: Sender<Extended>,
    control: Control,
    monitor: Arc<Monitor>,
    line: Option<JoinHandle<(DelayLine, Result<shaper_delayline::Outcome, DelayLineError>)>>,
    collector: Option<JoinHandle<Vec<Collected>>>,
    feeder: Option<JoinHandle<Result<(), shaper_bpf::Error>>>,
    heartbeat: Option<JoinHandle<Result<(), shaper_bpf::Error>>>,
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
        Self::bring_up(netns, lanes, FRAME, options)
    }

    /// Impairs what passes interfaces of `netns`: packets are led through a pair of devices of ours, which is journalled,
    /// and on from there. As long as nothing is attached, and whenever the delay line does not come round, they go on
    /// as if we were not there.
    ///
    /// # Errors
    ///
    /// Interfaces that cannot be impaired, and whatever the kernel refuses; nothing stays behind then.
    pub fn start_at(netns: &NetNs, journal: &Journal, spec: SiteSpec, options: Options) -> Result<Self, Error> {
        let SiteSpec { site, directions, led } = spec;
        let diverted = Diverted::prepare(netns, journal, &site)?;
        let lanes = diverted.ports().into_iter().zip(directions).enumerate();
        // What comes out of a pair's far end goes back into it.
        let lanes = lanes.map(|(output, (ifindex, direction))| Lane { ifindex, output, direction, behind: None });
        let mut engine = Self::bring_up(netns, lanes.collect(), diverted.frame(), options)?;
        let beat = engine.object.take_beat()?;
        let (monitor, done) = (Arc::clone(&engine.monitor), Arc::clone(&engine.done));
        engine.heartbeat = Some(spawn("heartbeat", move || keep_beating(beat, &monitor, &done))?);
        // The engine's own before anything is attached: it detaches in the right namespace.
        let diverted = engine.diverted.insert(diverted);
        for (direction, _) in (0..).zip(led).filter(|(_, led)| *led) {
            diverted.divert(journal, &mut engine.object, direction)?;
        }
        Ok(engine)
    }

    fn bring_up(netns: &NetNs, lanes: Vec<Lane>, frame: u32, options: Options) -> Result<Self, Error> {
        if lanes.len() > DIRECTIONS as usize {
            return Err(Error::TooManyDirections { wanted: lanes.len(), most: DIRECTIONS });
        }
        // Until `begin` every arrival is before the start, which is a time when no outage has begun.
        let start = Nanos::MAX;
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
            None => netns.run(|| exclusion(&ports))??,
        };
        let mut room = Room::of(directions.iter().flat_map(DirectionSpec::channels));
        room.channels += DIRECTIONS;
        if options.changeable {
            room = room.with_later(directions.len() as u32);
        }
        for spec in directions.iter().filter(|spec| !spec.rules.channels.is_empty()) {
            room = room.with_rules(spec.rules.entries.len() as u32);
        }
        let mut object = Object::load(options.record_ring, exclusion, &room)?;
        // Behind the directions' own channels stand those of their rules.
        let mut first = DIRECTIONS;
        let mut rule_channels = Vec::with_capacity(directions.len());
        for (direction, spec) in (0..).zip(&mut directions) {
            spec.channel.begin(start);
            if options.changeable {
                object.open_channel(direction)?;
            }
            object.set_channel(direction, &spec.channel)?;
            for (channel, rule) in (first..).zip(&mut spec.rules.channels) {
                rule.begin(start);
                object.set_channel(channel, rule)?;
            }
            if !spec.rules.channels.is_empty() {
                object.set_rules(direction, &spec.rules, first)?;
            }
            rule_channels.push(first);
            first += spec.rules.channels.len() as u32;
        }
        let umem = Umem::new(UmemConfig { frames: options.frames, frame_size: frame, headroom: 0 })?;
        let (to_collector, releases) = mpsc::channel();
        let (to_oracle, extended) = mpsc::channel();
        let (object, mut line) = netns.run(|| -> Result<_, Error> {
            let rings = SocketConfig { rx: RING, tx: RING, fill: RING, completion: RING, ..SocketConfig::default() };
            let mut line_ports = Vec::with_capacity(ports.len());
            for (port, (ifindex, output)) in ports.iter().zip(&outputs).enumerate() {
                let socket = Socket::bind(&umem, *ifindex, 0, &rings)?;
                object.set_socket(port as u32, socket.fd())?;
                let goes_straight = straight.get(port).and_then(Option::as_ref);
                let place = Port {
                    direction: port as u32,
                    socket: port as u32,
                    records: options.recording.raw(),
                    straight: u32::from(goes_straight.is_some()),
                };
                if let Some(Straight { output, .. }) = goes_straight {
                    object.set_straight(port as u32, *output)?;
                }
                object.set_port(*ifindex, place)?;
                line_ports.push(shaper_delayline::Port { socket, peer: *output });
            }
            let config = Config {
                busy_poll: options.busy_poll,
                realtime_priority: options.realtime_priority,
                released: Some(to_collector),
                ..Config::default()
            };
            Ok((object, DelayLine::new(&umem, line_ports, config)?))
        })??;
        let mut object = object;
        for Behind { netns, ifindex } in behind.iter().flatten() {
            netns.run(|| object.attach_program(Program::Pass, *ifindex))??;
        }
        netns.run(|| ports.iter().try_for_each(|ifindex| object.attach(*ifindex)))??;
        let ring = object.take_records()?;
        let control = Control::new();
        let monitor = line.monitor();
        let done = Arc::new(AtomicBool::new(false));
        let begin = Arc::new(AtomicU64::new(start.0));
        let specs = directions.clone();
        let feeder = object.take_feeder();
        // Whole before its threads are started: should one of them not start, the other is ended with it.
        let mut engine = Self {
            object,
            diverted: None,
            directions,
            rule_channels,
            exclusion,
            straight,
            rtnl,
            recording: options.recording,
            to_oracle,
            control: control.clone(),
            monitor,
            line: None,
            collector: None,
            feeder: None,
            heartbeat: None,
            done: Arc::clone(&done),
            start: Arc::clone(&begin),
        };
        engine.line = Some(spawn("delay line", move || {
            let ended = line.run(&control);
            (line, ended)
        })?);
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
        self.object.add_changes(direction, &channel, there)?;
        if let Some(spec) = self.directions.get_mut(direction as usize) {
            spec.channel = channel;
        }
        Ok(())
    }

    /// Leads the packets of a direction to the delay line, which were left alone so far.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn lead(&mut self, journal: &Journal, direction: u32) -> Result<(), Error> {
        match &mut self.diverted {
            Some(diverted) if !diverted.leads(direction) => diverted.divert(journal, &mut self.object, direction),
            _ => Ok(()),
        }
    }

    /// What keeps the decisions of a direction apart.
    #[must_use]
    pub fn exclusion(&self) -> Exclusion {
        self.exclusion
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
        self.line.as_ref().is_some_and(JoinHandle::is_finished)
            || self.collector.as_ref().is_some_and(JoinHandle::is_finished)
            || self.feeder.as_ref().is_some_and(JoinHandle::is_finished)
            || self.heartbeat.as_ref().is_some_and(JoinHandle::is_finished)
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
        let left: Vec<_> = (0..self.directions.len()).map(|direction| self.monitor.counts(direction)).collect();
        let snapshots = (0u32..).zip(left).map(|(direction, line)| {
            // Control packets leave at once; the few that are in the delay line just now are taken for gone.
            let control_sent = self.object.edge_counts(direction)?.bypassed.min(line.released);
            let sources = self.sources(direction, line, control_sent, 0)?;
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
        self.monitor.lateness(direction as usize).ok_or_else(unknown)
    }

    /// What the programs, the devices and the socket of a direction have counted, beside the delay line.
    fn sources(
        &self,
        direction: u32,
        line: LineCounts,
        control_sent: u64,
        control_refused: u64,
    ) -> Result<Sources, Error> {
        let edge = self.object.edge_counts(direction)?;
        let states = std::iter::once(direction).chain(self.channels_of_rules(direction));
        let states = states.map(|channel| self.object.state(channel)).collect::<Result<_, _>>()?;
        let straight = match self.straight.get(direction as usize) {
            Some(Some(Straight { output, before })) => Some(sent_since(before, &self.rtnl.stats(*output)?)),
            _ => None,
        };
        let led = match &self.diverted {
            Some(diverted) => Some(Led { lost: diverted.lost(direction)?, returned: edge.returned }),
            None => None,
        };
        let socket = self.monitor.statistics(direction as usize)?.unwrap_or_default();
        Ok(Sources { states, edge, straight, led, line, socket, control_sent, control_refused })
    }

    fn recorded(&self, sources: &Sources) -> Recorded {
        Recorded::of(self.recording, &sources.states, sources.edge.records_lost)
    }

    fn channels_of_rules(&self, direction: u32) -> Range<u32> {
        let first = self.rule_channels.get(direction as usize).copied().unwrap_or(DIRECTIONS);
        let rules = self.directions.get(direction as usize).map_or(0, |spec| spec.rules.channels.len());
        first..first + rules as u32
    }

    /// Detaches, lets out what is held for at most `grace`, and accounts for every packet.
    ///
    /// # Errors
    ///
    /// When a thread ended by itself or a map cannot be read.
    pub fn stop(mut self, grace: Duration) -> Result<Outcome, Error> {
        // First no packet comes in any more, then what is held goes out: only then can the account close.
        match &self.diverted {
            // What is in the pair already has still to be decided.
            Some(diverted) => diverted.end(&mut self.object)?,
            None => self.object.detach()?,
        }
        let deadline = monotonic().saturating_add(u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX));
        self.control.drain(Nanos(deadline));
        // The sockets stay open, for their statistics, until the account is made.
        let (line, ended) = join("delay line", self.line.take())?;
        let ended = ended?;
        self.done.store(true, Ordering::Release);
        let collected = join("evidence", self.collector.take())?;
        for (name, thread) in [("traces", self.feeder.take()), ("heartbeat", self.heartbeat.take())] {
            if thread.is_some() {
                join(name, thread)??;
            }
        }
        self.object.detach()?;
        let mut directions = Vec::with_capacity(self.directions.len());
        for ((direction, spec), collected) in (0u32..).zip(&self.directions).zip(collected) {
            let line = self.monitor.counts(direction as usize);
            let sources = self.sources(direction, line, collected.control_sent, collected.control_refused)?;
            let account = Account::of(&sources);
            let on_record = collected.verdict.checked + collected.verdict.undecided;
            directions.push(DirectionOutcome {
                spec: spec.clone(),
                oracle: collected.verdict,
                recorded: self.recorded(&sources).read(on_record),
                let_pass: sources.edge.let_pass,
                account,
                by_rule: by_rule(&sources),
                records: collected.records,
                releases: collected.releases,
                copies: collected.copies,
                lateness: self.lateness(direction)?,
            });
        }
        drop(line);
        if let Some(diverted) = &self.diverted {
            diverted.end_all(&mut self.object)?;
        }
        Ok(Outcome { directions, leaked_frames: ended.leaked, starved: self.monitor.starved() })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(diverted) = &self.diverted {
            // After `stop` there is nothing left to detach; else the journal has what fails here.
            let _ = diverted.end_all(&mut self.object);
        }
        self.control.stop();
        self.done.store(true, Ordering::Release);
        // A thread that panicked has said so; there is nothing more to do for it here.
        for thread in [
            self.line.take().map(|line| line.join().map(drop)),
            self.collector.take().map(|collector| collector.join().map(drop)),
            self.feeder.take().map(|feeder| feeder.join().map(drop)),
            self.heartbeat.take().map(|heartbeat| heartbeat.join().map(drop)),
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

/// Brings on traces that do not fit their rings, of which three quarters, 0.65 s at least, are ahead, until it is `done`.
fn feed(mut feeder: Feeder, start: &AtomicU64, done: &AtomicBool) -> Result<(), shaper_bpf::Error> {
    /// A small part of what the rings hold: of traces by packet, of a million packets a second.
    const ROUND: Duration = Duration::from_millis(10);
    while !done.load(Ordering::Acquire) {
        feeder.feed(Nanos(monotonic().saturating_sub(start.load(Ordering::Acquire))))?;
        thread::sleep(ROUND);
    }
    Ok(())
}

/// Tells the programs when the delay line comes round, until it is `done`.
fn keep_beating(mut beat: Beat, monitor: &Monitor, done: &AtomicBool) -> Result<(), shaper_bpf::Error> {
    /// As long as the delay line sleeps at the most; both together are a small part of what is taken for stale.
    const ROUND: Duration = Duration::from_millis(20);
    while !done.load(Ordering::Acquire) {
        beat.set(monitor.heartbeat())?;
        thread::sleep(ROUND);
    }
    Ok(())
}

/// What a device sent and dropped between two readings.
fn sent_since(before: &LinkStats, now: &LinkStats) -> SentStraight {
    SentStraight {
        sent: now.tx_packets.saturating_sub(before.tx_packets),
        dropped: now.tx_dropped.saturating_sub(before.tx_dropped),
    }
}

/// What keeps the decisions of one direction apart, where each of these devices is the only one of its direction.
fn exclusion(ports: &[u32]) -> Result<Exclusion, Error> {
    let rtnl = Rtnl::open()?;
    for ifindex in ports {
        // A device that is not there is an error of binding to it, which says more. Of other drivers it is not known
        // that they run programs in the poll of a queue alone: a tun runs them in whoever writes.
        if rtnl.find_index(*ifindex)?.is_some_and(|link| link.kind != "veth" || link.queues.1 != 1) {
            return Ok(Exclusion::Lock);
        }
    }
    Ok(Exclusion::Device)
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|error| Error::Thread { thread: name, what: format!("could not be started: {error}") })
}

fn join<T>(name: &'static str, handle: Option<JoinHandle<T>>) -> Result<T, Error> {
    match handle.map(JoinHandle::join) {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(Error::Thread { thread: name, what: "ended by a panic".into() }),
        None => Err(Error::Thread { thread: name, what: "was stopped twice".into() }),
    }
}
