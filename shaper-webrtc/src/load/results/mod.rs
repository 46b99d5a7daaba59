//! What a load measured: `load_test_results.json`, a list of [`ClientResult`], and
//! `load_test_summary.json`, a [`Summary`].
//!
//! Sources: the field names in camelCase are those of the load tester that the two files come from;
//! `stats` has the names of W3C's webrtc-stats. Fields that a reader does not know may be added.

mod client;
mod expected;
mod findings;
pub mod stats;
mod summary;
mod thresholds;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use self::client::{Signalled, clients};
pub(crate) use self::findings::findings;
use self::stats::Stat;
pub(crate) use self::summary::{Run, summary};
pub use self::thresholds::{Level, Threshold};
use super::failure::Stage;

/// The name of the file with the clients.
pub const RESULTS_FILE: &str = "load_test_results.json";
/// The name of the file with the summary.
pub const SUMMARY_FILE: &str = "load_test_summary.json";

/// A distribution of times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Percentiles {
    /// How many values.
    pub count: u64,
    /// The mean.
    pub mean_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// The 90th percentile.
    pub p90_ms: f64,
    /// The 95th.
    pub p95_ms: f64,
    /// The 99th.
    pub p99_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

/// One second of a client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Its end, in seconds from the begin of the run.
    pub second: u64,
    /// Media packets sent.
    pub sent: u64,
    /// Media packets received, each counted once.
    pub received: u64,
    /// Numbers that are new gaps in what came.
    pub lost: u64,
    /// What video aims at, in bits a second; none for a client that does not publish.
    pub target_bitrate: Option<u64>,
    /// End-to-end latency, the median of this second.
    pub e2e_p50_ms: Option<f64>,
    /// The 95th percentile of this second.
    pub e2e_p95_ms: Option<f64>,
}

/// How late frames were sent, against a schedule that nothing delays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlipOfClient {
    /// Frames that were sent.
    pub frames: u64,
    /// In the mean.
    pub mean_ms: f64,
    /// At most.
    pub max_ms: f64,
    /// Frames that were due and not sent when the run ended.
    pub skipped: u64,
}

/// A track that a client subscribed to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// As the server calls it.
    pub producer_id: String,
    /// `audio` or `video`.
    pub kind: String,
    /// Of the packets on the receiver's leg.
    pub ssrc: u32,
    /// The client that sends it, where it is one of this run.
    pub from: Option<u32>,
    /// Packets that the sender sent within the subscription.
    pub expected: u64,
    /// Packets received, each counted once.
    pub received: u64,
    /// Expected and not received.
    pub lost: u64,
    /// Received again.
    pub duplicates: u64,
    /// Received behind a later one.
    pub out_of_order: u64,
    /// Received by retransmission alone.
    pub repaired: u64,
    /// Interarrival jitter (RFC 3550), in seconds.
    pub jitter: f64,
}

/// A time for which the media of a client was away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// When that was noticed, in seconds from the begin of the run.
    pub at_seconds: f64,
    /// Where, and why.
    pub reason: String,
    /// From then until media flowed again; none where it did not.
    pub seconds: Option<f64>,
}

/// What came of a client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientResult {
    /// `client-0`, `client-1`, …
    pub client_id: String,
    /// Its number: that of stamps and of the packet log.
    pub client: u32,
    /// Its room.
    pub room_id: String,
    /// Whether it was to publish.
    pub publishes: bool,
    /// ICE and DTLS were up, and media flowed: sent, if it publishes; received, if it subscribed to
    /// something that is sent.
    pub connection_successful: bool,
    /// From its begin until that held.
    pub connection_time_ms: Option<f64>,
    /// Where it failed first, if it did.
    pub failed_stage: Option<Stage>,
    /// Media packets sent, without retransmissions.
    pub total_packets_sent: u64,
    /// Media packets received, each counted once.
    pub total_packets_received: u64,
    /// Payload bytes.
    pub total_bytes_sent: u64,
    /// Payload bytes, what came again among them.
    pub total_bytes_received: u64,
    /// What went wrong, each with its stage.
    pub errors: Vec<String>,
    /// Tracks that the server took.
    pub producers_created: u64,
    /// Tracks that it subscribed to.
    pub consumers_created: u64,
    /// What its subscriptions should have brought.
    pub packets_expected: u64,
    /// Of these, those that did not come.
    pub packets_lost: u64,
    /// Packets that came again.
    pub packets_duplicated: u64,
    /// Packets that came behind later ones.
    pub packets_out_of_order: u64,
    /// Packets that came by retransmission alone.
    pub packets_repaired: u64,
    /// Datagrams of known streams that were replayed or could not be decrypted.
    pub packets_discarded: u64,
    /// Datagrams that this host's sockets did not take: losses of the tester's own.
    pub send_failed: u64,
    /// Whether RTCP said that anything sent has arrived; none for a client that sent nothing.
    pub acknowledged: Option<bool>,
    /// How late its frames were.
    pub slip: SlipOfClient,
    /// End-to-end latency of what it received.
    pub e2e: Option<Percentiles>,
    /// How often its WebSocket was lost and taken up again.
    pub reconnects: u64,
    /// How often ICE was restarted.
    pub ice_restarts: u64,
    /// How often it left, or was lost, and came back.
    pub rejoins: u64,
    /// When its media was away after it had been up.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// When it was killed because that was asked for, in seconds from the begin of the run.
    #[serde(default)]
    pub killed_after_seconds: Option<f64>,
    /// Each subscription.
    pub subscriptions: Vec<Subscription>,
    /// W3C's statistics, as they were last, each with its `type`.
    pub stats: Vec<Stat>,
    /// Second by second.
    pub time_series: Vec<Second>,
}

/// The tester's own resources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tester {
    /// User and system time of this process while the load ran.
    pub cpu_seconds: f64,
    /// Of the time that the load ran, on how many CPUs.
    pub cpus_used: f64,
    /// CPUs that it may use.
    pub cpus: usize,
    /// The largest resident set, in bytes.
    pub memory_bytes: u64,
    /// Open file descriptors when sending ended.
    pub fds: u64,
    /// Threads that handled media.
    pub workers: usize,
}

/// A run in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Clients that were to run.
    pub total_clients: u64,
    /// Those whose connection was successful.
    pub successful_connections: u64,
    /// Errors of all clients.
    pub total_errors: u64,
    /// Media packets.
    pub total_packets_sent: u64,
    /// Media packets, each counted once at each receiver.
    pub total_packets_received: u64,
    /// Payload bytes.
    pub total_bytes_sent: u64,
    /// Payload bytes.
    pub total_bytes_received: u64,
    /// Tracks that the server took.
    pub total_producers_created: u64,
    /// Subscriptions.
    pub total_consumers_created: u64,
    /// What all subscriptions should have brought.
    pub packets_expected: u64,
    /// Of these, those that did not come.
    pub packets_lost: u64,
    /// Packets that came by retransmission alone.
    pub packets_repaired: u64,
    /// Received over expected, from 0 to 1; none where nothing was expected. It is not corrected for
    /// what a link drops: the tester does not know of one.
    pub received_of_expected: Option<f64>,
    /// The bare ratio of packets received to packets sent: more than 1 where several receive one.
    pub received_to_sent: Option<f64>,
    /// Of successful connections.
    pub connection_time: Option<Percentiles>,
    /// End-to-end latency of all packets at all receivers.
    pub e2e: Option<Percentiles>,
    /// How late frames were sent.
    pub schedule_slip: Option<Percentiles>,
    /// Frames that were due and not sent.
    pub frames_skipped: u64,
    /// Clients that failed, by stage.
    pub failed_stages: BTreeMap<Stage, u64>,
    /// Records that the packet log lost.
    pub packet_log_lost: u64,
    /// When the ramp-up began, CLOCK_REALTIME.
    pub started_realtime_ns: u64,
    /// When the ramp-up began, CLOCK_MONOTONIC.
    pub started_monotonic_ns: u64,
    /// From the begin of the ramp-up to the last packet that was sent.
    pub seconds: f64,
    /// Whether it was ended by a signal.
    pub interrupted: bool,
    /// Whether anything was received at all: by subscribers, or for WHIP by the server, as it reports.
    pub media_flowed: bool,
    /// Each figure that has bounds.
    pub thresholds: Vec<Threshold>,
    /// The worst of them.
    pub verdict: Level,
    /// What is to be known before the figures are believed, in words.
    pub findings: Vec<String>,
    /// The tester's own resources.
    pub tester: Tester,
}
