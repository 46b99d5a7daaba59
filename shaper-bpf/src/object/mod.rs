//! The BPF object: loaded, filled, attached.

mod settings;

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;

use aya::maps::{Array, DevMap, HashMap, Map, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::tc::SchedClassifierLinkId;
use aya::programs::xdp::XdpLinkId;
use aya::programs::{ProgramError, TestRun, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use shaper_common::layout::{EdgeCounts, PORT_PROBES, Port, PortPlace, Probe, State};

use super::diversion;
use super::error::Error;
use super::feeder::{self, Feeder};
use super::pod::{
    self, BacklogPod, BucketPod, DirectionRulesPod, EdgePod, PROBE, PortPod, ProbePod, QuantilesPod, RuleKeyPod,
    SchedulePod, SetupPod, SharedPod, TimelinePod,
};
use super::program::Program;
use super::records::{Records, Releases};
use super::room::{Places, Room};

/// The object that the build made.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/shaper.bpf.o"));

const SETUPS: &str = "SETUPS";
pub(super) const STATES: &str = "STATES";
const SCHEDULES: &str = "SCHEDULES";
const BACKLOGS: &str = "BACKLOGS";
const FLOWS: &str = "FLOWS";
const QUANTILES: &str = "QUANTILES";
const TIMELINES: &str = "TIMELINES";
const DIRECTION_RULES: &str = "DIRECTION_RULES";
const RULES: &str = "RULES";

/// Reads a map element under its spin lock (linux/bpf.h).
pub(super) const BPF_F_LOCK: u64 = 4;
/// What the probe entry answers when it decided (linux/bpf.h).
const XDP_PASS: u32 = 2;

/// What keeps two decisions of one direction apart, so that no update of its state is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// The direction's spin lock: right for any device, and some 45 ns a packet.
    Lock,
    /// The device of each direction. A veth with one receive queue runs the program in that queue's NAPI poll, which is
    /// on one CPU at a time (`veth_poll`, drivers/net/veth.c).
    Device,
}

/// How large the verifier found a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramSize {
    /// Which one.
    pub program: Program,
    /// Instructions that the verifier walked through; `None` before kernel 5.16.
    pub verified_instructions: Option<u32>,
}

/// The loaded object. Dropping it detaches its programs.
pub struct Object {
    pub(super) ebpf: Ebpf,
    ports: Array<MapData, PortPod>,
    setups: Array<MapData, SetupPod>,
    states: Array<MapData, SharedPod>,
    schedules: Array<MapData, SchedulePod>,
    backlogs: Array<MapData, BacklogPod>,
    flows: Array<MapData, BucketPod>,
    quantiles: Array<MapData, QuantilesPod>,
    timelines: Array<MapData, TimelinePod>,
    direction_rules: Array<MapData, DirectionRulesPod>,
    rules: HashMap<MapData, RuleKeyPod, u32>,
    feeder: Option<Feeder>,
    step_places: Places,
    packet_places: Places,
    timeline_places: Places,
    change_places: Places,
    room: Room,
    /// Channels with room for changes that are to come.
    open: BTreeSet<u32>,
    schedule_places: Places,
    backlog_places: Places,
    flow_places: Places,
    quantile_places: Places,
    edge: PerCpuArray<MapData, EdgePod>,
    xsks: XskMap<MapData>,
    straight: DevMap<MapData>,
    pub(super) links: Vec<(Program, XdpLinkId)>,
    pub(super) diversions: Vec<(Program, SchedClassifierLinkId)>,
}

impl Object {
    /// Loads the maps and the `link` program; the others are loaded when they are used. `record_ring` is the size of
    /// the ring of records in bytes: a power of two of pages. `room` is what the channels need.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the object or one of its programs, with the verifier's words.
    pub fn load(record_ring: u32, exclusion: Exclusion, room: &Room) -> Result<Self, Error> {
        /// A page: nothing is written there.
        const NO_RELEASES: u32 = 4096;
        let mut object = Self::load_maps([record_ring, NO_RELEASES], exclusion, room)?;
        loaded(&mut object.ebpf, Program::Link)?;
        Ok(object)
    }

    /// Loads the maps for engine `edt`, whose programs are loaded when they are attached. Releases are written down too,
    /// in a ring of a quarter of the size.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the maps.
    pub fn load_for_edt(record_ring: u32, exclusion: Exclusion, room: &Room) -> Result<Self, Error> {
        Self::load_maps([record_ring, record_ring / 4], exclusion, room)
    }

    fn load_maps([records, releases]: [u32; 2], exclusion: Exclusion, room: &Room) -> Result<Self, Error> {
        let exclusive = u32::from(exclusion == Exclusion::Device);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("RECORDS", records)
            .map_max_entries("RELEASES", releases)
            .map_max_entries(SETUPS, room.channels + room.changes)
            .map_max_entries(TIMELINES, room.timelines)
            .map_max_entries(RULES, room.rules)
            .map_max_entries(STATES, room.channels)
            .map_max_entries(SCHEDULES, room.schedules)
            .map_max_entries(BACKLOGS, room.backlogs)
            .map_max_entries(FLOWS, room.buckets)
            .map_max_entries(QUANTILES, room.quantiles)
            .map_max_entries(feeder::STEP_HEADS, room.steps)
            .map_max_entries(feeder::STEPS, room.steps)
            .map_max_entries(feeder::PACKET_HEADS, room.packets)
            .map_max_entries(feeder::PACKETS, room.packets)
            .override_global("EXCLUSIVE", &exclusive, true)
            .override_global("FEATURES", &room.features, true)
            .load(OBJECT)?;
        Ok(Self {
            feeder: Some(Feeder::new(&mut ebpf)?),
            step_places: Places::new(feeder::STEPS, room.steps),
            packet_places: Places::new(feeder::PACKETS, room.packets),
            ports: take(&mut ebpf, "PORTS")?,
            setups: take(&mut ebpf, SETUPS)?,
            states: take(&mut ebpf, STATES)?,
            schedules: take(&mut ebpf, SCHEDULES)?,
            backlogs: take(&mut ebpf, BACKLOGS)?,
            flows: take(&mut ebpf, FLOWS)?,
            quantiles: take(&mut ebpf, QUANTILES)?,
            timelines: take(&mut ebpf, TIMELINES)?,
            direction_rules: take(&mut ebpf, DIRECTION_RULES)?,
            rules: take(&mut ebpf, RULES)?,
            timeline_places: Places::new(TIMELINES, room.timelines),
            change_places: Places::new(SETUPS, room.changes + 1),
            room: *room,
            open: BTreeSet::new(),
            schedule_places: Places::new(SCHEDULES, room.schedules),
            backlog_places: Places::new(BACKLOGS, room.backlogs),
            flow_places: Places::new(FLOWS, room.buckets),
            quantile_places: Places::new(QUANTILES, room.quantiles),
            edge: take(&mut ebpf, "EDGE")?,
            xsks: take(&mut ebpf, "XSKS")?,
            straight: take(&mut ebpf, "STRAIGHT")?,
            links: Vec::new(),
            diversions: Vec::new(),
            ebpf,
        })
    }

    /// Takes the ring of records; it can be taken once.
    ///
    /// # Errors
    ///
    /// When it was taken already.
    pub fn take_records(&mut self) -> Result<Records, Error> {
        take(&mut self.ebpf, "RECORDS").map(Records)
    }

    /// Takes the ring of releases from `fq`; it can be taken once.
    ///
    /// # Errors
    ///
    /// When it was taken already.
    pub fn take_releases(&mut self) -> Result<Releases, Error> {
        take(&mut self.ebpf, "RELEASES").map(Releases)
    }

    /// Takes what brings on traces that do not fit their rings; `None` where there are none, or it was taken already.
    pub fn take_feeder(&mut self) -> Option<Feeder> {
        self.feeder.take_if(|feeder| feeder.is_needed())
    }

    /// What brings on traces, while it is the object's own.
    pub fn feeder(&mut self) -> Option<&mut Feeder> {
        self.feeder.as_mut()
    }

    /// Says what the device with this index is to the program.
    ///
    /// # Errors
    ///
    /// When the map is full.
    pub fn set_port(&mut self, ifindex: u32, port: Port) -> Result<(), Error> {
        let failed = |source| Error::Map { map: "PORTS", source };
        for probe in 0..PORT_PROBES {
            let at = PortPlace::of(ifindex, probe);
            let PortPod(place) = self.ports.get(&at, 0).map_err(failed)?;
            if place.ifindex == 0 || place.ifindex == ifindex {
                return self.ports.set(at, PortPod(PortPlace { ifindex, port }), 0).map_err(failed);
            }
        }
        Err(Error::NoPlace { ifindex })
    }

    /// Puts an AF_XDP socket into its place in the XSKMAP.
    ///
    /// # Errors
    ///
    /// When the place is out of range or the file descriptor is not an AF_XDP socket.
    pub fn set_socket(&mut self, socket: u32, fd: impl AsRawFd) -> Result<(), Error> {
        self.xsks.set(socket, fd, 0).map_err(|source| Error::Map { map: "XSKS", source })
    }

    /// Says which device of the calling thread's network namespace packets of a port go straight on to; `socket` is
    /// the port's place as in [`set_socket`](Self::set_socket).
    ///
    /// # Errors
    ///
    /// When there is no such device.
    pub fn set_straight(&mut self, socket: u32, ifindex: u32) -> Result<(), Error> {
        let set = self.straight.set(socket, ifindex, None, 0);
        set.map_err(|error| Error::Output { ifindex, what: error.to_string() })
    }

    /// The state of a channel, read under its lock. Consistent under [`Exclusion::Lock`]; otherwise only while
    /// no packet comes in.
    ///
    /// # Errors
    ///
    /// When the channel is out of range.
    pub fn state(&self, channel: u32) -> Result<State, Error> {
        self.states.get(&channel, BPF_F_LOCK).map(|shared| shared.0.state).map_err(writing(STATES))
    }

    /// The counts kept beside the decision, summed over all CPUs.
    ///
    /// # Errors
    ///
    /// When the direction is out of range.
    pub fn edge_counts(&self, direction: u32) -> Result<EdgeCounts, Error> {
        let values = self.edge.get(&direction, 0).map_err(|source| Error::Map { map: "EDGE", source })?;
        Ok(values.iter().fold(EdgeCounts::default(), |sum, EdgePod(cpu)| sum.and(cpu)))
    }

    /// Attaches the `link` program to a device of the calling thread's network namespace, in driver mode.
    ///
    /// # Errors
    ///
    /// When the driver has no XDP, or something else is attached there.
    pub fn attach(&mut self, ifindex: u32) -> Result<(), Error> {
        self.attach_program(Program::Link, ifindex)
    }

    /// Attaches a program as [`attach`](Self::attach) does.
    ///
    /// # Errors
    ///
    /// When the driver has no XDP, or something else is attached there.
    pub fn attach_program(&mut self, program: Program, ifindex: u32) -> Result<(), Error> {
        let link =
            loaded(&mut self.ebpf, program)?.attach_to_if_index(ifindex, XdpMode::Driver).map_err(failed(program))?;
        self.links.push((program, link));
        Ok(())
    }

    /// Attaches the `link` program in driver mode, or where the driver refuses in generic mode; says then why it did.
    ///
    /// # Errors
    ///
    /// When something else is attached there, or the kernel refuses both.
    pub fn attach_in_any_mode(&mut self, ifindex: u32) -> Result<Option<Error>, Error> {
        let program = Program::Link;
        let link = loaded(&mut self.ebpf, program)?;
        let (refused, link) = match link.attach_to_if_index(ifindex, XdpMode::Driver) {
            Ok(attached) => (None, attached),
            Err(refused) => {
                let attached = link.attach_to_if_index(ifindex, XdpMode::Skb).map_err(failed(program))?;
                (Some(failed(program)(refused)), attached)
            }
        };
        self.links.push((program, link));
        Ok(refused)
    }

    /// Detaches every program everywhere. When this returns no packet is in one any more.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn detach(&mut self) -> Result<(), Error> {
        let links = std::mem::take(&mut self.links);
        // What was attached last goes first: where packets arrive from, before where they are sent on to.
        links
            .into_iter()
            .rev()
            .try_for_each(|(program, link)| xdp(&mut self.ebpf, program)?.detach(link).map_err(failed(program)))
    }

    /// How large the verifier found each program.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub fn sizes(&mut self) -> Result<Vec<ProgramSize>, Error> {
        Program::ALL
            .into_iter()
            .map(|program| {
                let info = if program.is_classifier() {
                    diversion::loaded(&mut self.ebpf, program)?.info()
                } else {
                    loaded(&mut self.ebpf, program)?.info()
                };
                let info = info.map_err(failed(program))?;
                Ok(ProgramSize { program, verified_instructions: info.verified_instruction_count() })
            })
            .collect()
    }

    /// Runs the kernel's decision for one described packet and returns the answer.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the run or the program the probe.
    pub fn probe(&mut self, probe: &Probe) -> Result<Probe, Error> {
        // Longer than an Ethernet frame of the least length.
        let input = pod::bytes(&ProbePod(*probe));
        let mut output = [0u8; PROBE];
        let program = Program::Probe;
        let mut options = TestRunOptions::new();
        options.data_in = Some(&input);
        options.data_out = Some(&mut output);
        let result = loaded(&mut self.ebpf, program)?.test_run(options).map_err(failed(program))?;
        if result.return_value != XDP_PASS {
            return Err(Error::Probe(result.return_value));
        }
        pod::value(&output).map(|ProbePod(probe)| probe).ok_or(Error::Probe(result.return_value))
    }
}

pub(super) fn writing(map: &'static str) -> impl Fn(MapError) -> Error {
    move |source| Error::Map { map, source }
}

pub(super) fn failed(program: Program) -> impl Fn(ProgramError) -> Error {
    move |source| Error::Program { program: program.name(), source }
}

fn xdp(ebpf: &mut Ebpf, program: Program) -> Result<&mut Xdp, Error> {
    ebpf.program_mut(program.name()).ok_or(Error::Missing(program.name()))?.try_into().map_err(failed(program))
}

/// The program, loaded if it was not.
pub(super) fn loaded(ebpf: &mut Ebpf, program: Program) -> Result<&mut Xdp, Error> {
    let xdp = xdp(ebpf, program)?;
    if xdp.fd().is_err() {
        xdp.load().map_err(failed(program))?;
    }
    Ok(xdp)
}

/// A map that stays with the object.
pub(super) fn map_mut<'a, T: TryFrom<&'a mut Map, Error = MapError>>(
    ebpf: &'a mut Ebpf,
    map: &'static str,
) -> Result<T, Error> {
    ebpf.map_mut(map).ok_or(Error::Missing(map))?.try_into().map_err(|source| Error::Map { map, source })
}

pub(super) fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, map: &'static str) -> Result<T, Error> {
    ebpf.take_map(map).ok_or(Error::Missing(map))?.try_into().map_err(|source| Error::Map { map, source })
}
