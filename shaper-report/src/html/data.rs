//! What the plots are made of, beside the summary.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::bins::{Cloud, Fates, Histogram, Stretches};
use super::departures::{Departures, Runs};
use super::palette;

/// The raw figures behind the plots. What is empty is not plotted; what is large is binned, its extremes kept.
#[derive(Clone, Debug, Default)]
pub struct Plots {
    /// By direction, under the names of [`crate::summary::Summary::directions`].
    pub directions: BTreeMap<String, DirectionPlot>,
    /// The workload's commands, all peers together.
    pub commands: Vec<CommandPoint>,
    /// What is not plotted, or otherwise than one would think, and why: a sentence each.
    pub notes: Vec<String>,
}

/// The packets of one direction, taken in one by one: memory does not grow with them.
#[derive(Clone, Debug, Default)]
pub struct DirectionPlot {
    pub(super) delays: Cloud,
    pub(super) fates: Stretches<Fates>,
    /// Packets.
    pub(super) n: u64,
    /// The last arrival.
    pub(super) last_ns: u64,
    /// Drops outside outages: all of them, and when the first came, by the class of their cause.
    pub(super) dropped: u64,
    pub(super) first_dropped: Vec<(u64, &'static str)>,
    pub(super) runs: Runs,
    /// Whether the loss model alone dropped packets outside outages.
    pub(super) others_dropped: bool,
    pub(super) departures: Departures,
    /// By what was done to them, in the order of [`Treatment`].
    pub(super) treated: [Cloud; 3],
    pub(super) intended: Histogram<7>,
    pub(super) late: Histogram<7>,
    pub(super) early: u64,
    pub(super) configured_cdf: Vec<(f64, f64)>,
}

/// More drops than this are left to the plot of fates.
pub(super) const MOST_TICKS: usize = 250;

impl DirectionPlot {
    /// The next packet, in the order of arrival.
    pub fn push(&mut self, packet: &PacketPoint) {
        let PacketPoint { at_ns, outcome } = packet;
        let at_ns = *at_ns;
        self.n += 1;
        self.last_ns = self.last_ns.max(at_ns);
        match outcome {
            Outcome::Delivered { delay_ns } => {
                self.fates.at(at_ns).push(None);
                self.delays.push(at_ns, *delay_ns);
                self.runs.ended();
                self.departures.arrive(at_ns, at_ns.saturating_add(*delay_ns));
            }
            Outcome::Unmeasured => {
                self.fates.at(at_ns).push(None);
                self.runs.ended();
            }
            Outcome::Dropped { cause } => {
                self.fates.at(at_ns).push(Some(cause));
                if cause == "outage" {
                    self.runs.ended();
                    return;
                }
                let class = palette::of_cause(cause).class;
                self.dropped += 1;
                if self.first_dropped.len() < MOST_TICKS {
                    self.first_dropped.push((at_ns, class));
                }
                self.others_dropped |= class != palette::LOSS.class;
                // What the harness loses is no loss of the link, nor is its place in a run known.
                if class == palette::HARNESS.class { self.runs.ended() } else { self.runs.dropped() }
            }
        }
    }

    /// What was done to a packet that came through, or a copy of one.
    pub fn treat(&mut self, treated: &Treated) {
        self.treated[treated.how as usize].push(treated.at_ns, treated.delay_ns);
    }

    /// The intended delay of a packet let through, in nanoseconds, in any order.
    pub fn intend(&mut self, delay_ns: u64) {
        self.intended.push(delay_ns);
    }

    /// Actual minus intended release, in nanoseconds, in any order.
    pub fn late(&mut self, late_ns: i64) {
        self.late.push(u64::try_from(late_ns).unwrap_or(0));
        self.early += u64::from(late_ns < 0);
    }

    /// The configured distribution function: delay in milliseconds, ascending, and the probability of a delay up to it.
    /// Without one there is nothing to compare with.
    pub fn configure(&mut self, cdf: Vec<(f64, f64)>) {
        self.configured_cdf = cdf;
    }

    /// Packets taken in.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.n
    }
}

impl<'a> FromIterator<&'a PacketPoint> for DirectionPlot {
    fn from_iter<I: IntoIterator<Item = &'a PacketPoint>>(packets: I) -> Self {
        let mut plot = Self::default();
        packets.into_iter().for_each(|packet| plot.push(packet));
        plot
    }
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
    /// It was let through, and what came of it is not known.
    Unmeasured,
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
