//! What an analysis of two captures found; serialises to the documented JSON.

use serde::Serialize;

use super::{clock::ClockFound, finding::Finding, flow::FlowKey, key::Tier, reorder::Reordering, runs::LossRuns};
use crate::{
    pcapfile::{Compression, Reader},
    stats::{Interval, Summary, SummaryWithLost},
};

/// Figures of one direction or one flow. Times are nanoseconds.
///
/// Conservation, in packets sent: `sent = matched + corrupted + lost + unmatched + edge`.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Packets that the sending point saw.
    pub sent: u64,
    /// Packets found intact at the receiving point.
    pub matched: u64,
    /// Packets missing at the receiving point while its capture is known to be complete
    /// (RFC 7680, with the waiting time of the analysis as Tmax).
    pub lost: u64,
    /// Packets missing at the receiving point without that being proof of loss: the capture told
    /// of drops there, or no packet between these addresses was ever seen at both points; in a flow
    /// without a direction, all its packets.
    pub unmatched: u64,
    /// Further copies that arrived of packets sent once (RFC 5560).
    pub duplicated: u64,
    /// Packets that arrived with other content.
    pub corrupted: u64,
    /// Packets that arrived out of order (RFC 4737), over each flow.
    pub reordered: u64,
    /// Packets missing at head or tail, where the other capture did not yet or no longer run.
    pub edge: u64,
    /// Pairs for which another packet would have done as well; they are paired in order.
    pub ambiguous: u64,
    /// Of the matched: TCP packets whose bytes arrived cut or merged otherwise (offloading). Their
    /// delay is that of their last byte, and they take no part in reordering.
    pub resegmented: u64,
    /// Packets seen at the receiving point alone.
    pub arrivals_only: u64,
    /// Further copies over packets that arrived (RFC 5560 section 5.1); `None` without any.
    pub duplication_fraction: Option<f64>,
    /// Packets that arrived more than once over packets that arrived (section 5.2).
    pub replicated_packet_rate: Option<f64>,
    /// Lost over matched, corrupted and lost; `None` without any.
    pub loss_ratio: Option<f64>,
    /// Wilson 95 % interval of that ratio.
    pub loss_interval: Option<Interval>,
    /// One-way delay of what was delivered (RFC 7679); `None` if the clocks are not known
    /// against each other.
    pub delay_ns: Option<Summary>,
    /// One-way delay of everything sent, lost packets being infinitely late (`null`).
    pub delay_all_ns: Option<SummaryWithLost>,
    /// Difference in delay of packets sent one after the other, D(i) - D(i-1) (RFC 3393).
    pub ipdv_ns: Option<Summary>,
    /// Delay above the smallest one, D(i) - Dmin (RFC 5481).
    pub pdv_ns: Option<Summary>,
    /// Reordering in full.
    pub reordering: Reordering,
    /// Loss patterns.
    pub loss_runs: LossRuns,
    /// Pairs by how they were recognised.
    pub tiers: Tiers,
}

/// Pairs by the tier that recognised them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tiers {
    /// RTP headers.
    pub rtp: u64,
    /// TOAST headers.
    pub toast: u64,
    /// TCP headers.
    pub tcp: u64,
    /// Transport payload.
    pub payload: u64,
    /// Network layer.
    pub network: u64,
}

impl From<[u64; Tier::COUNT]> for Tiers {
    fn from([rtp, toast, tcp, payload, network]: [u64; Tier::COUNT]) -> Self {
        Self { rtp, toast, tcp, payload, network }
    }
}

/// Counts over both directions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Totals {
    /// See [`Figures::sent`].
    pub sent: u64,
    /// See [`Figures::matched`].
    pub matched: u64,
    /// See [`Figures::lost`].
    pub lost: u64,
    /// See [`Figures::unmatched`].
    pub unmatched: u64,
    /// See [`Figures::duplicated`].
    pub duplicated: u64,
    /// See [`Figures::corrupted`].
    pub corrupted: u64,
    /// See [`Figures::reordered`].
    pub reordered: u64,
    /// See [`Figures::edge`].
    pub edge: u64,
    /// See [`Figures::ambiguous`].
    pub ambiguous: u64,
    /// See [`Figures::arrivals_only`].
    pub arrivals_only: u64,
    /// Packets of either capture whose direction nothing tells; they count as unmatched.
    pub unplaced: u64,
    /// Of those, packets seen at both points.
    pub unplaced_pairs: u64,
    /// See [`Figures::loss_ratio`].
    pub loss_ratio: Option<f64>,
    /// See [`Figures::delay_ns`]; where quantiles are not exact they are within 0.1 % here.
    pub delay_ns: Option<Summary>,
    /// See [`Figures::delay_all_ns`].
    pub delay_all_ns: Option<SummaryWithLost>,
    /// See [`Figures::ipdv_ns`]; differences are taken within a flow.
    pub ipdv_ns: Option<Summary>,
}

/// Which way, between the two captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// First seen in the first capture.
    AToB,
    /// First seen in the second capture.
    BToA,
}

/// One flow.
#[derive(Clone, Debug, Serialize)]
pub struct FlowFigures {
    /// Addresses, ports and protocol as the sending point saw them.
    pub flow: FlowKey,
    /// Which way it went; `None` if nothing tells.
    pub way: Option<Way>,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Where a file is damaged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Byte offset, in what the file decompresses to if it is compressed.
    pub at: u64,
    /// What is wrong there.
    pub fault: String,
}

impl Damage {
    /// What ended the packets of a reader, if damage did.
    pub(super) fn met(reader: &Reader) -> Option<Self> {
        reader.damage().map(|(at, fault)| Self { at, fault: fault.to_string() })
    }
}

/// One capture file.
#[derive(Clone, Debug, Serialize)]
pub struct FileFound {
    /// Path as given.
    pub path: String,
    /// The interface of it that stands for the point, as given.
    pub interface: Option<String>,
    /// How the file is compressed, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Packets in the file, or of the point that is one of several in it.
    pub packets: u64,
    /// Bytes on the wire of those.
    pub bytes: u64,
    /// First stamp in nanoseconds since the epoch, on the common clock.
    pub first_ns: Option<i64>,
    /// Last stamp, likewise.
    pub last_ns: Option<i64>,
    /// Packets the capture says it lost.
    pub capture_drops: u64,
    /// Byte offset at which the file is cut off, in what it decompresses to if it is compressed.
    pub cut_at: Option<u64>,
    /// Where the file is damaged, if it is: what stands before was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
    /// Packets without an id in the captures of one run: control traffic, which its link does not
    /// impair; left out.
    pub bypassed: u64,
    /// Packets that the filter of the analysis left out.
    pub filtered: u64,
    /// Packets stamped more than 60 s away from those around them, left out.
    pub leapt: u64,
    /// Packets seen at this point alone whose direction nothing tells.
    pub unplaced: u64,
    /// Packets without a stamp, left out.
    pub untimed: u64,
    /// Packets of unknown link types, left out.
    pub unparsed: u64,
    /// Packets that a capture on "any" saw again on another interface within 1 ms; left out.
    pub seen_again: u64,
    /// Packets of which the capture holds less than `compared_bytes`: their content is not
    /// compared, and a packet that may be one of them is neither lost nor corrupted.
    pub cut_short: u64,
    /// Packets stamped earlier than the one before them.
    pub backward: u64,
    /// By how much at most, in nanoseconds.
    pub backward_most_ns: i64,
}

impl FileFound {
    /// Its name for people: the path, and the interface.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{} {interface}", self.path),
            None => self.path.clone(),
        }
    }
}

/// What two captures say about the path between them.
#[derive(Clone, Debug, Serialize)]
pub struct Analysis {
    /// Version of this form: it grows where a name goes or changes its meaning.
    pub schema_version: u32,
    /// What matters, the most important first.
    pub findings: Vec<Finding>,
    /// The files, first and second.
    pub files: [FileFound; 2],
    /// From when to when both captures ran, nanoseconds since the epoch on the common clock.
    pub overlap_ns: Option<(i64, i64)>,
    /// How the clocks were related.
    pub clock: ClockFound,
    /// Waiting time: what has not arrived after it is lost (Tmax of RFC 7680), nanoseconds.
    pub waiting_ns: i64,
    /// Whether addresses or ports differ between the points.
    pub addresses_rewritten: bool,
    /// Bytes of each packet, from the network layer on, that both captures hold by their snapshot
    /// lengths and first packets; `None` if no packet is cut.
    pub compared_bytes: Option<usize>,
    /// Both directions together.
    pub total: Totals,
    /// From the first capture to the second.
    pub a_to_b: Figures,
    /// From the second capture to the first.
    pub b_to_a: Figures,
    /// Flows, the largest first.
    pub flows: Vec<FlowFigures>,
    /// Flows that are in the totals and not in the list.
    pub flows_left_out: u64,
    /// Packets of flows beyond the 65,536 that are followed one by one.
    pub untracked: u64,
    /// Packets given up before the waiting time because too many were waiting; they are unmatched,
    /// and so is what may be one of them.
    pub evicted: u64,
}

impl Analysis {
    /// The version written by this crate.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Whether any packet was recognised in both captures; without one, nothing can be said of the
    /// path between them.
    #[must_use]
    pub fn has_shared(&self) -> bool {
        let total = &self.total;
        total.matched + total.corrupted + total.unplaced_pairs > 0
    }
}
