//! What is to be attached where, and how the engine runs.

use std::sync::Arc;

use shaper_bpf::Exclusion;
use shaper_channel::{ChannelSpec, Rules};
use shaper_common::layout::{Recording, flags};
use shaper_common::order::Order;
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

    /// Whether a packet may leave before one that came ahead of it and goes by the same settings.
    pub(crate) fn may_overtake(&self) -> bool {
        self.channels().any(|channel| {
            channel.all().any(|(params, _)| {
                // Flows that each keep an order of their own overtake each other.
                let keeps = params.order == Order::Keep as u32 && params.flags & flags::FLOWS == 0;
                let varies = params.jitter_kind != 0
                    || !params.reorder.chance.is_never()
                    || !params.duplicate.chance.is_never()
                    || params.flags & (flags::DELAY_STEPS | flags::DELAY_PACKETS) != 0;
                !keeps && (varies || channel.changes.is_some())
            })
        })
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

/// What holds packets until their release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// A delay line in userspace, which packets reach by XDP and AF_XDP: on every kernel, and between ports.
    #[default]
    Xsk,
    /// The kernel's `fq`, by departure times that TC programs decide: of interfaces, where the kernel has it.
    Edt,
}

impl EngineKind {
    /// Its name in flags and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xsk => "xsk",
            Self::Edt => "edt",
        }
    }
}

/// How XDP takes the packets of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMode {
    /// In the driver, or else in the generic hook behind it.
    pub native: bool,
    /// Queues, each with a socket and a thread.
    pub queues: u32,
}

/// How the engine runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which engine.
    pub engine: EngineKind,
    /// Of `xsk` between two interfaces: XDP takes packets at these themselves, each queue by a thread of its own, instead of
    /// their being led to a pair of ours. That is the short way where drivers have XDP. Packets whose sender left checksums
    /// to a device, as those of a veth on the same host may be, go on without.
    pub at_ports: bool,
    /// The delay line spins instead of sleeping: least lateness, one CPU gone.
    pub busy_poll: bool,
    /// SCHED_FIFO priority of the delay line.
    pub realtime_priority: Option<u8>,
    /// Frames of the UMEM, which queues of ports share, or packets that the `fq` of each direction may hold, as far as its
    /// numbers reach: bounds the bandwidth-delay product that is held without loss, see [`Engine::room`](crate::Engine::room).
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
            engine: EngineKind::Xsk,
            at_ports: false,
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
