//! What the link did to the application.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::link::Window;
use crate::stats::{Distribution, Proportion};

/// The commands of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commands {
    /// All peers together: each command counts once for every peer that should apply it.
    pub total: CommandCounts,
    /// By peer.
    pub peers: BTreeMap<String, CommandCounts>,
}

impl Commands {
    /// The counts by peer and their sum.
    #[must_use]
    pub fn new(peers: BTreeMap<String, CommandCounts>) -> Self {
        let mut total = CommandCounts::default();
        for peer in peers.values() {
            total.intended += peer.intended;
            total.delivered += peer.delivered;
            total.applied_once += peer.applied_once;
            total.repeated += peer.repeated;
            total.superseded += peer.superseded;
            total.missed += peer.missed;
            total.out_of_order += peer.out_of_order;
            total.self_heard += peer.self_heard;
            total.foreign += peer.foreign;
        }
        Self { total: total.with_ratio(), peers }
    }
}

/// What became of the commands, read from the receivers' own logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandCounts {
    /// Commands the script meant to send.
    pub intended: u64,
    /// Commands of which at least one copy arrived.
    pub delivered: u64,
    /// Commands applied exactly once.
    pub applied_once: u64,
    /// Commands applied more than once.
    pub repeated: u64,
    /// Commands that arrived after a later one and were never applied.
    #[serde(default)]
    pub superseded: u64,
    /// Commands that never arrived.
    pub missed: u64,
    /// Commands that arrived after a later one.
    pub out_of_order: u64,
    /// The receiver's own frames that came back to it: never counted as delivered.
    pub self_heard: u64,
    /// Frames of another session.
    pub foreign: u64,
    /// Delivered among intended.
    pub delivery_ratio: Proportion,
}

impl Default for CommandCounts {
    fn default() -> Self {
        Self {
            intended: 0,
            delivered: 0,
            applied_once: 0,
            repeated: 0,
            superseded: 0,
            missed: 0,
            out_of_order: 0,
            self_heard: 0,
            foreign: 0,
            delivery_ratio: Proportion::of(0, 0),
        }
    }
}

impl CommandCounts {
    /// The same counts with the delivery ratio that follows from them.
    #[must_use]
    pub fn with_ratio(mut self) -> Self {
        self.delivery_ratio = Proportion::of(self.delivered, self.intended);
        self
    }
}

/// Time from the first to the last peer in the new state, by command, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The spreads; a command that not every peer applied is missing.
    #[serde(flatten)]
    pub distribution: Distribution,
    /// The 95th percentile as a fraction of a beat; null without one.
    pub beat_fraction: Option<f64>,
    /// The 95th percentile over all commands, those that a peer never applied counted as infinite; null where it
    /// falls among them. This is what is graded.
    pub p95_all: Option<f64>,
}

/// How peers came back to the controller's state after an outage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Convergence {
    /// The direction that was down, as in `directions`; `both` where they went down together.
    pub direction: String,
    /// The outage.
    pub outage: Window,
    /// From the end of the outage to the controller's state, by peer, in milliseconds; null for a peer
    /// that never came back.
    pub peers_ms: BTreeMap<String, Option<f64>>,
    /// Whether the outage hid a command from any peer: without that there is nothing to come back from.
    pub tested: bool,
    /// Whether every peer came back within a beat.
    pub within_beat: bool,
}

/// Peers found in another state than the controller's last command says, later than the largest configured
/// one-way delay plus the burst plus 100 ms after it, outages apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncFailures {
    /// In total.
    pub total: u64,
    /// Commands judged, each once for every peer; those too close to the next one or to an outage are not.
    pub judged: u64,
    /// By peer.
    pub peers: BTreeMap<String, u64>,
}

/// A peer's clock against the controller's, by NTP's offset on the sample of least delay among the last 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// How far the peer's clock is ahead as estimated at the end of the run, in microseconds; null without an
    /// exchange.
    pub offset_estimated_us: Option<f64>,
    /// The offset put in on purpose, in microseconds; null where none was.
    pub offset_injected_us: Option<f64>,
    /// Estimated minus injected, in microseconds; null where either is unknown.
    pub offset_error_us: Option<f64>,
    /// The error that the configured asymmetry of the link must cause, in microseconds: half of it; null without one.
    pub asymmetry_error_us: Option<f64>,
    /// Half the least round trip, in microseconds: the offset cannot be known better than this.
    pub offset_bound_us: Option<f64>,
    /// The skew estimated, in parts per million; null where it could not be.
    pub skew_estimated_ppm: Option<f64>,
    /// The skew put in on purpose, in parts per million; null where none was.
    pub skew_injected_ppm: Option<f64>,
    /// Exchanges completed.
    pub exchanges: u64,
}

/// Where the time from a command to its answer went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySplit {
    /// The stages in the order of time: `burst`, `sender_stack`, `link`, `receiver_stack`, `application`, and the
    /// answer's way back.
    pub stages: Vec<Stage>,
    /// The application's own figure over the same commands.
    pub total: Stage,
    /// Commands measured by the application that could not be joined to their packets.
    pub unjoined: u64,
    /// Commands that arrived and whose answer did not: superseded ones have none, others were lost.
    #[serde(default)]
    pub unanswered: u64,
}

/// One stage of the way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The stage's name.
    pub stage: String,
    /// Commands that have a figure here.
    pub n: u64,
    /// The least, in milliseconds; null without figures.
    pub min_ms: Option<f64>,
    /// The median, in milliseconds; null without figures. Medians do not add up exactly.
    pub p50_ms: Option<f64>,
    /// The 99th percentile, in milliseconds; null without figures.
    pub p99_ms: Option<f64>,
}

/// What became of the commands that set the tempo.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tempo {
    /// Tempo commands meant for the peer.
    pub intended: u64,
    /// Tempo commands that it applied.
    pub applied: u64,
    /// Tempo commands that arrived after a later command and were never applied.
    pub superseded: u64,
    /// Tempo commands that never arrived.
    pub missed: u64,
    /// From a tempo command's due time to the peer's new tempo, in milliseconds.
    pub time_to_tempo_ms: Distribution,
}

/// What the network still carried to a host after its peer had left the group: the latency of the IGMP leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leave {
    /// Frames of others that the capture at the host holds after the leave.
    pub frames: u64,
    /// From the leave to the last of them, in milliseconds; null without any.
    pub last_ms: Option<f64>,
}

/// Whether the workload kept its own send schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Actual minus planned send time, in milliseconds.
    pub slip_ms: Distribution,
    /// Sends later than the stated bound.
    pub late_count: u64,
    /// The bound, in milliseconds.
    pub bound_ms: f64,
    /// Whether the schedule was kept. A run that did not keep it fails.
    pub kept: bool,
}
