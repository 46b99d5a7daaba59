//! What is to be attached where, and how the engine runs.

use std::sync::Arc;

use shaper_bpf::Exclusion;
use shaper_channel::{ChannelSpec, Rules};
use shaper_common::layout::Recording;
use shaper_net::netns::NetNs;

use crate::evidence::Keep;

/// One direction of a link.
#[derive(Clone, Debug, Default)]
pub struct DirectionSpec {
    /// Its name in output.
    pub name: String,
    /// What decides; the start of the schedule is filled in by [`Engine::start`].
    pub channel: ChannelSpec,
    /// Its rules.
    pub rules: Rules,
}

impl DirectionSpec {
    /// All channels: its own, and those of its rules.
    pub fn channels(&self) -> impl Iterator<Item = &ChannelSpec> {
        std::iter::once(&self.channel).chain(&self.rules.channels)
    }

    /// Whether any packet is ever held, or sent more than once.
    pub(crate) fn holds(&self) -> bool {
        self.channels().any(ChannelSpec::holds)
    }
}

/// A link: two ports in one namespace, and what happens between them.
#[derive(Clone, Debug)]
pub struct LinkSpec {
    /// Interface index of the port that `forward` comes in at.
    pub host: u32,
    /// Interface index of the port that `backward` comes in at.
    pub far: u32,
    /// From `host` to `far`.
    pub forward: DirectionSpec,
    /// From `far` to `host`.
    pub backward: DirectionSpec,
    /// The devices that packets sent at `host` and at `far` arrive at, where directions that hold nothing are to go
    /// straight on, past the delay line: at the speed of a redirect, without a word on each packet's release. They get
    /// a program that lets everything in, for a veth takes redirected frames only where its other end has one.
    pub behind: Option<[Behind; 2]>,
}

/// Interfaces of a namespace, whose packets are led to the delay line by TC programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// One: what leaves at it goes forward, what arrives backward, and comes back to where it was.
    Interface(String),
    /// Two: what arrives at the first goes forward and leaves at the second, and backward what arrives there.
    Between(String, String),
}

/// What is to be done to the packets of a [`Site`].
#[derive(Clone, Debug)]
pub struct SiteSpec {
    /// Where they are.
    pub site: Site,
    /// The two directions, forward first.
    pub directions: [DirectionSpec; 2],
    /// Which of them are led to the delay line; the others are left alone, until [`Engine::lead`](crate::Engine::lead).
    pub led: [bool; 2],
}

/// The device behind a port.
#[derive(Clone, Debug)]
pub struct Behind {
    /// Its namespace.
    pub netns: Arc<NetNs>,
    /// Its index there.
    pub ifindex: u32,
}

/// How the engine runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The delay line spins instead of sleeping: least lateness, one CPU gone.
    pub busy_poll: bool,
    /// SCHED_FIFO priority of the delay line.
    pub realtime_priority: Option<u8>,
    /// Frames of the UMEM: bounds the bandwidth-delay product that is held without loss.
    pub frames: u32,
    /// Bytes of the record ring: a power of two of pages.
    pub record_ring: u32,
    /// Of which decisions a record is written.
    pub recording: Recording,
    /// What is kept of the records.
    pub keep: Keep,
    /// Whether the settings of directions can be changed while packets flow: then the programs know all effects that take
    /// little memory, and a decision takes as long as one with all of them.
    pub changeable: bool,
    /// What keeps the decisions of a direction apart; `None` for what the devices allow.
    pub exclusion: Option<Exclusion>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy_poll: false,
            realtime_priority: None,
            frames: 1 << 15,
            record_ring: 1 << 24,
            recording: Recording::All,
            keep: Keep::First(1 << 22),
            changeable: false,
            exclusion: None,
        }
    }
}
