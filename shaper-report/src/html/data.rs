//! What the plots are made of, beside the summary.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The raw figures behind the plots. What is empty is not plotted; what is large is binned, its extremes
/// kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plots {
    /// By direction, under the names of [`crate::summary::Summary::directions`].
    pub directions: BTreeMap<String, DirectionPlot>,
    /// The workload's commands, all peers together.
    pub commands: Vec<CommandPoint>,
}

/// The packets of one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirectionPlot {
    /// Every packet, in the order of arrival.
    pub packets: Vec<PacketPoint>,
    /// What was done to packets that came through, in the order of arrival.
    pub treated: Vec<Treated>,
    /// The intended delay of the packets let through, in nanoseconds, in any order.
    pub intended_ns: Vec<u64>,
    /// The configured distribution function: delay in milliseconds, ascending, and the probability of a
    /// delay up to it. Empty where there is none to compare with.
    pub configured_cdf: Vec<(f64, f64)>,
    /// Actual minus intended release, in microseconds, in any order.
    pub lateness_us: Vec<f64>,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketPoint {
    /// Its arrival, in nanoseconds since the start of the run.
    pub at_ns: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It came through.
    Delivered {
        /// Its actual delay, in nanoseconds.
        delay_ns: u64,
    },
    /// It did not.
    Dropped {
        /// The name of the cause, as in [`crate::summary::Counts::dropped_by_cause`].
        cause: Cow<'static, str>,
    },
}

/// A packet that came through otherwise than as it was sent, or a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treated {
    /// The packet's arrival, in nanoseconds since the start of the run.
    pub at_ns: u64,
    /// From there to its release, or to that of the copy, in nanoseconds.
    pub delay_ns: u64,
    /// What it is.
    pub how: Treatment,
}

/// What was done to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// This is a copy of it.
    Copied,
    /// Bytes were changed.
    Changed,
    /// It was marked Congestion Experienced.
    Marked,
}

/// One command at one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandPoint {
    /// Its intended send time, in nanoseconds since the start of the run.
    pub at_ns: u64,
    /// From there to the changed state, in nanoseconds.
    pub time_to_state_ns: u64,
}
