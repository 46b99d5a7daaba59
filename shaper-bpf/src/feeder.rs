//! Traces: laid down in their rings, and where they do not fit, brought on while they are followed.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapError};
use shaper_channel::{PacketWindow, StepWindow, Trace};
use shaper_common::trace::{MOST_STEPS, PACKETS as RING_PACKETS};
use shaper_common::units::Nanos;

use super::error::Error;
use super::object::{BPF_F_LOCK, STATES, take, writing};
use super::pod::{PacketHeadPod, PacketsPod, SharedPod, StepHeadPod, StepsPod};

pub(super) const STEP_HEADS: &str = "STEP_HEADS";
pub(super) const STEPS: &str = "STEPS";
pub(super) const PACKET_HEADS: &str = "PACKET_HEADS";
pub(super) const PACKETS: &str = "PACKETS";

/// The rings of all traces.
///
/// Programs read them at any time. So what has passed is given up first, then its places are written, and only then is it
/// made known what lies there, and how far that reaches: a call to the kernel for each, which takes longer than a decision
/// does.
pub struct Feeder {
    step_heads: Array<MapData, StepHeadPod>,
    steps: Array<MapData, StepsPod>,
    packet_heads: Array<MapData, PacketHeadPod>,
    packets: Array<MapData, PacketsPod>,
    states: Array<MapData, SharedPod>,
    /// By channel: those that do not fit.
    streams: BTreeMap<u32, Stream>,
}

/// A trace that is longer than its ring, and where that is.
enum Stream {
    Steps(u32, StepWindow),
    Packets(u32, PacketWindow),
}

impl Feeder {
    /// The rings of an object whose states have not been taken yet.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, Error> {
        Ok(Self {
            step_heads: take(ebpf, STEP_HEADS)?,
            steps: take(ebpf, STEPS)?,
            packet_heads: take(ebpf, PACKET_HEADS)?,
            packets: take(ebpf, PACKETS)?,
            states: another(ebpf, STATES)?,
            streams: BTreeMap::new(),
        })
    }

    /// Whether any trace has to be brought on.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Lays down the beginning of a channel's trace, or all of it.
    pub(super) fn lay(&mut self, channel: u32, place: u32, trace: &Trace) -> Result<(), Error> {
        self.streams.remove(&channel);
        match trace {
            Trace::Steps(trace) => {
                let window = StepWindow::new(trace.clone());
                self.steps.set(place, StepsPod::of(window.steps().places), 0).map_err(writing(STEPS))?;
                self.step_heads.set(place, StepHeadPod(*window.steps().head), 0).map_err(writing(STEP_HEADS))?;
                if window.is_streamed() {
                    self.streams.insert(channel, Stream::Steps(place, window));
                }
            }
            Trace::Packets(trace) => {
                let window = PacketWindow::new(trace.clone());
                self.packets.set(place, PacketsPod::of(window.packets().places), 0).map_err(writing(PACKETS))?;
                let head = PacketHeadPod(*window.packets().head);
                self.packet_heads.set(place, head, 0).map_err(writing(PACKET_HEADS))?;
                if window.is_streamed() {
                    self.streams.insert(channel, Stream::Packets(place, window));
                }
            }
        }
        Ok(())
    }

    /// Lays down what comes next wherever a quarter of a ring has passed; `since_start` is the time since the traces
    /// began.
    ///
    /// # Errors
    ///
    /// When a map cannot be read or written.
    pub fn feed(&mut self, since_start: Nanos) -> Result<(), Error> {
        for (channel, stream) in &mut self.streams {
            match stream {
                Stream::Steps(place, window) => {
                    if window.pass(since_start) < MOST_STEPS / 4 {
                        continue;
                    }
                    let mut publish =
                        |window: &StepWindow| self.step_heads.set(*place, StepHeadPod(*window.steps().head), 0);
                    publish(window).map_err(writing(STEP_HEADS))?;
                    let until = window.lay();
                    self.steps.set(*place, StepsPod::of(window.steps().places), 0).map_err(writing(STEPS))?;
                    window.publish(until);
                    publish(window).map_err(writing(STEP_HEADS))?;
                    window.reach();
                    publish(window).map_err(writing(STEP_HEADS))?;
                }
                Stream::Packets(place, window) => {
                    let SharedPod(shared) = self.states.get(channel, BPF_F_LOCK).map_err(writing(STATES))?;
                    if window.pass(shared.state.carried.flow.next_index) < RING_PACKETS as u64 / 4 {
                        continue;
                    }
                    let mut publish =
                        |window: &PacketWindow| self.packet_heads.set(*place, PacketHeadPod(*window.packets().head), 0);
                    publish(window).map_err(writing(PACKET_HEADS))?;
                    let until = window.lay();
                    self.packets.set(*place, PacketsPod::of(window.packets().places), 0).map_err(writing(PACKETS))?;
                    window.publish(until);
                    publish(window).map_err(writing(PACKET_HEADS))?;
                }
            }
        }
        Ok(())
    }
}

/// A second handle of a map that stays with the object.
fn another<T: TryFrom<Map, Error = MapError>>(ebpf: &Ebpf, map: &'static str) -> Result<T, Error> {
    let Some(Map::Array(data)) = ebpf.map(map) else { return Err(Error::Missing(map)) };
    let handle = data.fd().as_fd().try_clone_to_owned();
    let handle = handle.map_err(|source| Error::Handle { map, source })?;
    MapData::from_fd(handle).and_then(|data| Map::Array(data).try_into()).map_err(writing(map))
}
