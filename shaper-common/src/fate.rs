//! Fate: what was decided for a packet, and why.

use crate::corrupt::Damage;
use crate::units::Nanos;

/// Why a packet did not come through; `None` for one that did.
///
/// The first block is decided by the pipeline. The second is what can befall a packet afterwards, on
/// its way through the kernel's rings to the delay line and out of it: losses of the harness, counted
/// apart so that they are never taken for the link's.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Not dropped.
    #[default]
    None = 0,
    /// The link was down.
    Outage = 1,
    /// Lost by the loss model.
    Loss = 2,
    /// The queue before the bottleneck was full.
    Queue = 3,
    /// Dropped by the management of the queue before it was full.
    Aqm = 4,
    /// Beyond the rate of the policer.
    Policer = 5,
    /// On its way when the link went down.
    InFlight = 6,
    /// No room for the metadata in front of the frame.
    Metadata = 16,
    /// The redirect to the delay line was refused: no socket bound.
    Redirect = 17,
    /// The delay line's receive ring was full.
    RxRing = 18,
    /// The delay line had no free frame: its fill ring was empty.
    FillRing = 19,
    /// The device did not take the frame after its hold.
    Transmit = 20,
    /// The trace that the packet follows was not there in time.
    Trace = 21,
    /// The way to the delay line had no room: nothing was decided.
    Entry = 22,
    /// `fq` had no room, or would not hold a packet for so long.
    Scheduler = 23,
}

impl Cause {
    /// All causes, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::None,
        Self::Outage,
        Self::Loss,
        Self::Queue,
        Self::Aqm,
        Self::Policer,
        Self::InFlight,
        Self::Metadata,
        Self::Redirect,
        Self::RxRing,
        Self::FillRing,
        Self::Transmit,
        Self::Trace,
        Self::Entry,
        Self::Scheduler,
    ];

    /// The name used in output, JSON and packet comments.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Outage => "outage",
            Self::Loss => "loss",
            Self::Queue => "queue",
            Self::Aqm => "aqm",
            Self::Policer => "policer",
            Self::InFlight => "in_flight",
            Self::Metadata => "metadata",
            Self::Redirect => "redirect",
            Self::RxRing => "rx_ring",
            Self::FillRing => "fill_ring",
            Self::Transmit => "transmit",
            Self::Trace => "trace",
            Self::Entry => "entry",
            Self::Scheduler => "scheduler",
        }
    }

    /// Whether the packet was lost by the harness, not by the link.
    #[must_use]
    pub const fn is_of_the_harness(self) -> bool {
        self as u32 >= Self::Metadata as u32
    }

    /// The cause of a stored number; `None` for a number that names no cause.
    #[must_use]
    pub fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| *cause as u32 == raw)
    }
}

/// What was decided for one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// When the packet is to leave, CLOCK_MONOTONIC; zero for a dropped one.
    pub release: Nanos,
    /// From its release to that of the first copy, and from each copy to the next.
    pub spacing: Nanos,
    /// What is changed in it.
    pub damage: Damage,
    /// Copies that follow it.
    pub copies: u32,
    /// Packets that the bottleneck took: this one and its copies, also where it is lost behind it.
    pub served: u32,
    /// Whether the packet is marked Congestion Experienced.
    pub marked: bool,
    /// Why it was dropped, or [`Cause::None`].
    pub cause: Cause,
}

impl Fate {
    /// Forwarded at `release`, whole and alone.
    #[must_use]
    pub const fn forward(release: Nanos) -> Self {
        Self {
            release,
            spacing: Nanos::ZERO,
            damage: Damage::NONE,
            copies: 0,
            served: 0,
            marked: false,
            cause: Cause::None,
        }
    }

    /// Dropped for `cause`.
    #[must_use]
    pub const fn drop(cause: Cause) -> Self {
        Self { cause, ..Self::forward(Nanos::ZERO) }
    }
}
