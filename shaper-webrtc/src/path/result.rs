//! What is found, as `summary.json` has it. Times are nanoseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Figures of a distribution. Quantiles are by nearest rank, exact up to 16,384 samples and then within
/// 0.05 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Smallest.
    pub min: i64,
    /// Median.
    pub p50: i64,
    /// 90th percentile.
    pub p90: i64,
    /// 95th percentile.
    pub p95: i64,
    /// 99th percentile.
    pub p99: i64,
    /// Largest.
    pub max: i64,
}

/// Where the time of packets went that came without a retransmission on either leg. Each piece has the
/// same packets, so the means add up to that of the end-to-end latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// From the tester's call that sends to the sender's capture.
    pub sender: Option<Summary>,
    /// From the sender's capture to the server's.
    pub uplink: Option<Summary>,
    /// From the server's capture of what came to its capture of what left.
    pub server: Option<Summary>,
    /// The part of it that the server's own log has: from behind the call that receives to before the
    /// call that sends.
    pub server_forwarding: Option<Summary>,
    /// From the server's capture to the receiver's.
    pub downlink: Option<Summary>,
    /// From the receiver's capture to behind the tester's call that receives.
    pub receiver: Option<Summary>,
    /// From call to call by the tester's clock: what the pieces add up to.
    pub end_to_end: Option<Summary>,
    /// End to end, of packets that were sent again on one leg or both.
    pub repaired_end_to_end: Option<Summary>,
    /// How much later than the median of the others these came.
    pub repair_wait: Option<Summary>,
}

/// What became of packets, each counted once for each receiver that it was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fates {
    /// For which what follows is told.
    pub packets: u64,
    /// Came as they were sent.
    pub delivered: u64,
    /// Came, after a retransmission on one leg or both.
    pub repaired: u64,
    /// Not seen to leave the sender's host.
    pub lost_sender: u64,
    /// Lost between the sender's host and the server's.
    pub lost_uplink: u64,
    /// Arrived at the server's host and did not leave it.
    pub lost_server: u64,
    /// Lost between the server's host and the receiver's.
    pub lost_downlink: u64,
    /// Arrived at the receiver's host and not at the tester.
    pub lost_receiver: u64,
    /// Did not come, and captures do not tell where they got lost.
    pub lost_somewhere: u64,
    /// Arrived out of order where a stream began, or the server changed its layer, and were not taken: a
    /// server or receiver begins with the first packet that it gets.
    pub at_change: u64,
    /// Cannot be told: on their way when a capture began or ended, or the receiver left; or sent to somebody
    /// whose packets neither log nor capture has.
    pub in_flight: u64,
    /// Beside those: packets that the server did not send on for a reason, such as a pause, another
    /// layer, or video before its key frame; and what lies behind the end of a stream that stopped, of
    /// which a finding tells.
    pub not_forwarded: u64,
}

impl Fates {
    /// Adds another one's.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.packets, other.packets),
            (&mut self.delivered, other.delivered),
            (&mut self.repaired, other.repaired),
            (&mut self.lost_sender, other.lost_sender),
            (&mut self.lost_uplink, other.lost_uplink),
            (&mut self.lost_server, other.lost_server),
            (&mut self.lost_downlink, other.lost_downlink),
            (&mut self.lost_receiver, other.lost_receiver),
            (&mut self.lost_somewhere, other.lost_somewhere),
            (&mut self.at_change, other.at_change),
            (&mut self.in_flight, other.in_flight),
            (&mut self.not_forwarded, other.not_forwarded),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}

/// Packets of one client as another got them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Who sent.
    pub from: String,
    /// Who received.
    pub to: String,
    /// What became of the packets.
    pub fates: Fates,
    /// Where the time went.
    pub latency: Latency,
}

/// Which way a leg goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From a client to the server.
    Uplink,
    /// From the server to a client.
    Downlink,
}

/// One stream on one link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// Which way.
    pub direction: Direction,
    /// Whose link it is.
    pub client: String,
    /// On this leg.
    pub ssrc: u32,
    /// Whether it is video.
    pub video: bool,
    /// The first column: what the captures on both sides of the link show.
    pub captures: Option<ByCaptures>,
    /// The second: what the receiver of the leg got, by its own log.
    pub receiver: Option<ByReceiver>,
    /// The third: what RTCP said last.
    pub rtcp: Option<ByRtcp>,
    /// What the server did to the stream; of downlinks alone.
    pub server: Option<ByServer>,
    /// What the columns have in common.
    pub joined: Option<Joined>,
    /// Whether the columns add up.
    pub checks: Vec<Check>,
    /// Whether a capture of the link has lost packets or is damaged: then what it has not seen may have
    /// been there.
    pub incomplete: bool,
    /// Why the engine dropped packets that the captures miss, as far as it says.
    pub causes: BTreeMap<String, u64>,
    /// From the near capture to the far one.
    pub delay: Option<Summary>,
}

/// Originals, that is packets of the stream's own SSRC, at the two captures of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByCaptures {
    /// Seen to leave, at the near end.
    pub left: u64,
    /// Seen to arrive, at the far end.
    pub arrived: u64,
    /// Seen to leave, not seen to arrive, and not on their way at an end of the far capture.
    pub lost: u64,
    /// Not seen to arrive, but on their way when the far capture began or ended.
    pub at_edge: u64,
    /// Seen to arrive more often than once.
    pub duplicates: u64,
    /// Seen to arrive and not to leave: the near capture has missed them.
    pub missed_near: u64,
    /// Packets of the SSRC of retransmissions that left.
    pub retransmissions_left: u64,
    /// Those of them that did not arrive.
    pub retransmissions_lost: u64,
}

/// What the receiver of a leg got: the tester by its packet log, the server by its mapping log, which
/// has only what it sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByReceiver {
    /// Different numbers received.
    pub received: u64,
    /// Those of them that came as a retransmission; not known of uplinks.
    pub repaired: Option<u64>,
    /// Numbers that never came: of a downlink between the first and the last that did, of an uplink
    /// among those that were to be sent on.
    pub missing: u64,
}

/// What RTCP said last, and what it must have said by the other columns.
///
/// The cumulative number of packets lost is what was expected, from the first number to the highest,
/// less what was received (RFC 3550, section 6.4.1 and appendix A.3). Our server and our tester count a
/// packet that came as a retransmission as received. So this is what was still missing when the report
/// was made: finally lost, or waiting for its retransmission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByRtcp {
    /// Cumulative number of packets lost.
    pub lost: i64,
    /// When it was written down.
    pub at_ns: i64,
    /// Interarrival jitter, if known.
    pub jitter_ns: Option<u32>,
    /// Round trip, if known.
    pub round_trip_ns: Option<u32>,
    /// The least that was missing by the other columns while the report may have been made.
    pub least: Option<i64>,
    /// The most.
    pub most: Option<i64>,
}

/// What the server did to a stream that it sends, by its log and its capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByServer {
    /// Sent on, by the mapping log.
    pub forwarded: u64,
    /// Arrived at its host, were to be sent on, and were not: the server's own losses.
    pub lost: u64,
    /// Arrived before the packet that the server began a piece with, although their numbers are higher, or
    /// behind the one that it ended with, although they are lower: it was not sending them then.
    pub at_change: u64,
    /// Were to be sent on, and had not come: gaps that it passes on.
    pub lost_before: u64,
    /// Sent on by the mapping log, and not seen to leave.
    pub not_left: u64,
    /// Seen to leave, and not in the mapping log.
    pub unlogged: u64,
    /// Sent again.
    pub retransmitted: u64,
}

/// Numbers of a leg by what all columns say of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Lost by the captures, and received: as a retransmission.
    pub repaired: u64,
    /// Lost by the captures, and never received.
    pub lost_for_good: u64,
    /// Lost by the captures, of an uplink, while the server had no reason to send the stream on: whether
    /// they were repaired is not known.
    pub not_witnessed: u64,
    /// Arrived, and not received, although the receiver got others before and after.
    pub not_taken: u64,
    /// Never sent on this leg, between the first and the last received: the gaps of earlier losses.
    pub skipped: u64,
    /// Received as a retransmission although the original arrived too.
    pub overtaken: u64,
    /// Never received, before the first or after the last that was.
    pub outside: u64,
    /// Received, and in neither capture.
    pub unseen: u64,
    /// Handed to the transport and not seen to leave the host; of uplinks alone.
    pub not_left: u64,
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// One side.
    pub left: i64,
    /// The least and the most that the other side may be; the same where it is exact.
    pub right: (i64, i64),
    /// Whether it holds.
    pub holds: bool,
}

impl Check {
    pub(super) fn equal(what: &str, left: i64, right: i64) -> Self {
        Self::between(what, left, (right, right))
    }

    pub(super) fn between(what: &str, left: i64, right: (i64, i64)) -> Self {
        Self { what: what.to_owned(), left, right, holds: (right.0..=right.1).contains(&left) }
    }
}

/// How legs are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinedBy {
    /// By the server's mapping log.
    MappingLog,
    /// Not at all: leg by leg.
    #[default]
    Nothing,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something was lost or late, or figures are not whole.
    Warning,
    /// Figures say nothing, or not what they seem to say.
    Error,
}

/// A finding in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which kind: `no_media`, `one_way`, `server_loss`, `link_loss`, …
    pub kind: String,
    /// What it is.
    pub text: String,
}

/// A modelled jitter buffer of one received stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Playout {
    /// Always true: nothing is decoded, this is a model.
    pub modelled: bool,
    /// Who receives.
    pub client: String,
    /// Of the leg.
    pub ssrc: u32,
    /// Whether it is video.
    pub video: bool,
    /// Packets.
    pub packets: u64,
    /// Packets that came after they were to be played.
    pub late: u64,
    /// `late` of `packets`.
    pub late_share: f64,
    /// What the buffer aims at.
    pub target: Option<Summary>,
    /// What packets waited in it, late ones left out.
    pub delay: Option<Summary>,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PathReport {
    /// How legs are joined.
    pub joined_by: JoinedBy,
    /// What became of all packets.
    pub fates: Fates,
    /// Where the time of all of them went.
    pub latency: Latency,
    /// The largest difference between the sum of the pieces and the end-to-end latency: what mapping
    /// one clock to the other costs.
    pub largest_residue_ns: i64,
    /// Packets with a piece of less than -1 ms, which no packet can have: clocks that are not the same.
    pub negative: u64,
    /// The same, of each pair of sender and receiver.
    pub pairs: Vec<Pair>,
    /// Loss on each link, in three columns.
    pub legs: Vec<Leg>,
    /// Modelled jitter buffers.
    pub playout: Vec<Playout>,
    /// What is to be known, the worst first.
    pub findings: Vec<Finding>,
}
