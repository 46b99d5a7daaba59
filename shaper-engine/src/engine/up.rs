//! How an attachment comes up: programs, what holds packets, threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc;

use shaper_bpf::{Exclusion, Object, Program, Room};
use shaper_common::layout::Port;
use shaper_delayline::Released;
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_net::rtnl::Rtnl;

use super::{Engine, Straight};
use crate::diversion::Diverted;
use crate::edt::Scheduler;
use crate::error::Error;
use crate::evidence::collect;
use crate::hold::Hold;
use crate::loaded::{BEFORE_START, Loaded, exclusion, feed};
use crate::spec::{Behind, DirectionSpec, EngineKind, LinkSpec, Options, PortMode, SiteSpec};
use crate::thread::spawn;
use crate::xsk::{FRAME, Lines, Memory};

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

/// What an attachment is put together of, once packets could come.
struct Parts {
    loaded: Loaded,
    hold: Box<dyn Hold>,
    diverted: Option<Diverted>,
    modes: Vec<PortMode>,
    ports: Vec<(u32, Port)>,
    straight: Vec<Option<Straight>>,
    rtnl: Rtnl,
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
        let memory = Memory { frame: FRAME, frames: options.frames, queues: 1 };
        Self::on_ports(netns, lanes, memory, Options { at_ports: false, ..options }, None)
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
                let memory = diverted.memory(options.frames);
                let lanes = diverted.ports().into_iter().zip(directions).enumerate();
                let at_ports = diverted.is_at_ports();
                let lanes = lanes.map(|(number, (ifindex, direction))| {
                    // What comes out of a pair's far end goes back into it, what comes in at a port leaves at the other.
                    let output = if at_ports { 1 - number } else { number };
                    Lane { ifindex, output, direction, behind: None }
                });
                Self::on_ports(netns, lanes.collect(), memory, options, Some(diverted))?
            }
            EngineKind::Edt => Self::in_front_of_fq(netns, diverted, directions.into(), options)?,
        };
        for (direction, _) in (0..).zip(led).filter(|(_, led)| *led) {
            engine.lead(journal, direction)?;
        }
        Ok(engine)
    }

    /// With a delay line between ports.
    fn on_ports(
        netns: &NetNs,
        lanes: Vec<Lane>,
        memory: Memory,
        options: Options,
        diverted: Option<Diverted>,
    ) -> Result<Self, Error> {
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
            Lines::open(object, &ports, &outputs, memory, &options, to_collector)
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
        let modes = modes.into_iter().map(|native| PortMode { native, queues }).collect();
        let parts = Parts { loaded, hold: Box::new(hold), diverted, modes, ports: placed, straight, rtnl };
        Self::run(parts, options, releases)
    }

    /// With an `fq` at the far end of each pair.
    fn in_front_of_fq(
        netns: &NetNs,
        diverted: Diverted,
        directions: Vec<DirectionSpec>,
        options: Options,
    ) -> Result<Self, Error> {
        let (far, rtnl) = (diverted.ports(), netns.rtnl()?);
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
        let opened = Scheduler::open(&mut loaded.object, netns, &diverted, options.frames, to_collector);
        if opened.is_err() {
            // Filters are found by the thread's own namespace. What is there is the pair's, and goes with it.
            let _ = netns.run(|| loaded.object.detach_all_diversions());
        }
        let hold = Box::new(opened?);
        let straight = placed.iter().map(|_| None).collect();
        let parts = Parts { loaded, hold, diverted: Some(diverted), modes: Vec::new(), ports: placed, straight, rtnl };
        Self::run(parts, options, releases)
    }

    /// Starts the threads that every attachment has.
    fn run(parts: Parts, options: Options, releases: mpsc::Receiver<Vec<Released>>) -> Result<Self, Error> {
        let Parts { loaded, hold, diverted, modes, ports, straight, rtnl } = parts;
        let Loaded { object, directions, rule_channels, exclusion } = loaded;
        let (to_evidence, told) = mpsc::channel();
        let done = Arc::new(AtomicBool::new(false));
        let begin = Arc::new(AtomicU64::new(BEFORE_START.0));
        let specs = directions.clone();
        // Whole before anything else can fail: it detaches in the right namespace, and ends the threads that there are.
        let mut engine = Self {
            object,
            hold,
            diverted,
            modes,
            directions,
            rule_channels,
            ports,
            exclusion,
            straight,
            rtnl,
            options,
            to_evidence,
            collector: None,
            feeder: None,
            done: Arc::clone(&done),
            start: Arc::clone(&begin),
        };
        let ring = engine.object.take_records()?;
        if let Some(feeder) = engine.object.take_feeder() {
            let (begin, done) = (Arc::clone(&begin), Arc::clone(&done));
            engine.feeder = Some(spawn("traces", move || feed(feeder, &begin, &done))?);
        }
        engine.collector =
            Some(spawn("evidence", move || collect(&specs, ring, &releases, &told, options.keep, &begin, &done))?);
        Ok(engine)
    }
}
