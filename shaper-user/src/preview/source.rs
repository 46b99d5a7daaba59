//! Where the packets of a preview come from.

use serde::Serialize;
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;

use super::replay::Agreed;
use super::stream::Offered;

/// What is put through a link.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// A steady stream.
    Stream(Offered),
    /// The arrivals of a run.
    Run(Recorded),
}

/// The arrivals of a run in one direction of a link.
#[derive(Debug, Serialize)]
pub(crate) struct Recorded {
    /// The run's directory.
    pub(crate) directory: String,
    /// The link, from 1.
    pub(crate) link: u32,
    /// Packets on record in this direction, or of the rule that is asked for; those not checked left out.
    pub(crate) packets: u64,
    /// Whether the run's own settings decide; if so, whether all of its packets come out again.
    pub(crate) agreed: Option<Agreed>,
    /// From the first arrival of all, or the start where that was before, to the run's end.
    pub(crate) length_ns: u64,
    /// Of that, what was before the start.
    pub(crate) lead_ns: u64,
}

impl Source {
    /// From one packet's arrival to the next one's, in the mean of a run.
    pub(super) fn interval_ns(&self) -> u64 {
        match self {
            Self::Stream(stream) => stream.interval_ns,
            Self::Run(run) => run.length_ns.saturating_sub(run.lead_ns).checked_div(run.packets).unwrap_or(0),
        }
    }

    /// What came before the start.
    pub(super) const fn lead_ns(&self) -> u64 {
        match self {
            Self::Stream(_) => 0,
            Self::Run(run) => run.lead_ns,
        }
    }

    /// When it ends, since the start.
    pub(super) fn end_ns(&self) -> u64 {
        match self {
            Self::Stream(stream) => stream.interval_ns.saturating_mul(stream.packets.into()),
            Self::Run(run) => run.length_ns.saturating_sub(run.lead_ns),
        }
    }

    /// What goes by rules or not: flows, or packets; and how many there are.
    pub(super) fn counted(&self) -> (u64, &'static str) {
        match self {
            Self::Stream(stream) => (stream.flows.into(), "flows"),
            Self::Run(run) => (run.packets, "packets"),
        }
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Stream(stream) => stream.told(),
            Self::Run(run) => {
                let of = if run.agreed.is_some() { "" } else { ", by other settings than the run's" };
                let link = if run.link > 1 { format!(", link {}", run.link) } else { String::new() };
                format!("{} packets recorded in {}{link}{of}", run.packets, run.directory)
            }
        }
    }
}

impl Offered {
    fn told(&self) -> String {
        let flows = match self.flows {
            1 => format!("one flow from port {}", self.source_port),
            flows => format!("{flows} flows from ports {} on", self.source_port),
        };
        format!(
            "{} UDP packets of {} bytes, one every {:#}, {flows} to port {}{}",
            self.packets,
            self.packet_bytes,
            Duration(Nanos(self.interval_ns)),
            self.destination_port,
            self.ect.map_or_else(String::new, |ect| format!(", {}", ect.name())),
        )
    }
}
