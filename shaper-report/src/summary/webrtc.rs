//! What WebRTC clients sent each other through the link, and where it went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::application::LatencySplit;
use crate::stats::{Distribution, Proportion};

/// A WebRTC run: clients that send each other audio and video through a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WebRtc {
    /// Clients that were connected, ICE and DTLS up and media flowing, of all.
    pub connected: Option<Proportion>,
    /// Why the others were not: how many clients by the stage at which they failed.
    pub failed: BTreeMap<String, u64>,
    /// From the first word of signalling to the first media, in milliseconds.
    pub connection_time_ms: Distribution,
    /// Media packets that clients sent, each once.
    pub sent: u64,
    /// Media packets that clients received, each once.
    pub received: u64,
    /// Received among those that each receiver should have got, as the senders number them.
    pub received_of_expected: Option<Proportion>,
    /// The same, those that the link dropped for good left out: what stays is the server's and the tester's doing.
    pub received_but_for_link: Option<Proportion>,
    /// From the sending of a packet to its arrival at a receiver's application, in milliseconds; how late it was sent is
    /// `slip_ms`.
    pub end_to_end_ms: Distribution,
    /// Where that went, packets sent again left out; null without captures or without the server's mapping log.
    pub split: Option<LatencySplit>,
    /// How late senders were against their own schedule, in milliseconds.
    pub slip_ms: Distribution,
    /// What a jitter buffer would add, in milliseconds: modelled, not measured; null where nothing arrived.
    pub jitter_buffer_modelled_ms: Option<f64>,
    /// Losses seen by captures, by RTCP and by receivers, for each kind of leg.
    pub losses: Vec<LegLosses>,
    /// Packets that reached the server and that it did not send on although it should have; null where nobody knows.
    pub lost_by_server: Option<u64>,
    /// Good, warning or critical.
    pub thresholds: Vec<Threshold>,
    /// What server and tester used, by name.
    pub used: BTreeMap<String, Used>,
    /// When the server was killed, as asked, and what its clients made of that; null where it was not.
    #[serde(default)]
    pub server_outage: Option<ServerOutage>,
    /// All clients together, a second each.
    pub over_time: Vec<Second>,
    /// Each client.
    pub clients: Vec<Client>,
}

impl WebRtc {
    /// The clients, those that fared worst first: who was not connected, then by the share received of what was
    /// expected.
    #[must_use]
    pub fn worst_first(&self) -> Vec<&Client> {
        // Who expects nothing misses nothing.
        let missed = |client: &Client| client.expected.saturating_sub(client.received);
        let share = |client: &Client| 1.0 - missed(client) as f64 / client.expected.max(1) as f64;
        let mut worst: Vec<_> = self.clients.iter().collect();
        worst.sort_by(|one, other| one.connected.cmp(&other.connected).then(share(one).total_cmp(&share(other))));
        worst
    }
}

/// Losses of one kind of leg by the three who see them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LegLosses {
    /// Which: `uplink` or `downlink`.
    pub leg: String,
    /// Media packets at the near end of the leg, first transmissions.
    pub sent: u64,
    /// Of these, not seen at its far end, by the captures; null without them.
    pub by_captures: Option<u64>,
    /// Of these, got by a retransmission later; null where nobody says.
    pub repaired: Option<u64>,
    /// Of these, lost while the server had no reason to send the stream on: nobody but the captures can say of them
    /// anything, not even whether they were repaired. Of uplinks; null where nobody says.
    #[serde(default)]
    pub not_witnessed: Option<u64>,
    /// Missing in the end, by the receiver's own numbers.
    pub by_receiver: Option<u64>,
    /// Missing in the end, by the last RTCP report of each stream.
    pub by_rtcp: Option<i64>,
    /// Why the engine dropped those that captures miss, as far as comments on captured packets say.
    #[serde(default)]
    pub causes: BTreeMap<String, u64>,
    /// Whether the columns add up; null where one of them is not known.
    pub adds_up: Option<bool>,
}

/// A server that was killed in the middle of the run. Times are seconds since the first client began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerOutage {
    /// When it was gone.
    pub killed_s: f64,
    /// When another one listened in its place; null where none did.
    pub listened_s: Option<f64>,
    /// Clients that had media again, of those that had lost it by this.
    pub recovered: Proportion,
    /// From the kill until each of them had media again, in milliseconds.
    pub recovery_ms: Distribution,
}

/// A time for which the media of a client was away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientOutage {
    /// When it noticed, in seconds since the first client began.
    pub at_s: f64,
    /// Where, and why.
    pub reason: String,
    /// Until media flowed again, in seconds; null where it did not.
    pub lasted_s: Option<f64>,
}

/// A figure and how good it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Of what.
    pub what: String,
    /// As it is read, with its unit.
    pub value: String,
    /// `good`, `warning` or `critical`; null where it was not measured.
    pub level: Option<String>,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// Of one CPU, in percent, over the whole of its time; null where it was looked at only once.
    pub cpu_percent: Option<f64>,
    /// The most of one CPU from one look to the next, about a second, in percent.
    pub cpu_percent_most: Option<f64>,
    /// The most resident memory, in bytes.
    pub memory_bytes_most: u64,
    /// The most open file descriptors.
    pub descriptors_most: u64,
}

/// One second of all clients together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the first client began, in seconds.
    pub at_s: f64,
    /// Media packets sent.
    pub sent: u64,
    /// Media packets received.
    pub received: u64,
    /// What senders were allowed by their estimates of the bandwidth, together, in bit/s; null without an estimate.
    pub target_bitrate: Option<f64>,
    /// What they sent, in bit/s of payload.
    pub sent_bitrate: f64,
    /// What the access links of senders carry towards the server by the settings, together, in bit/s of packets; null
    /// where nothing limits them, or a trace does.
    #[serde(default)]
    pub uplink_rate_bps: Option<f64>,
    /// The median from end to end, in milliseconds; null where nothing arrived.
    pub end_to_end_p50_ms: Option<f64>,
    /// The 95th percentile.
    pub end_to_end_p95_ms: Option<f64>,
}

/// One second of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientSecond {
    /// Since the first client began, in seconds.
    pub at_s: f64,
    /// Media packets sent.
    pub sent: u64,
    /// Media packets received, each once.
    pub received: u64,
    /// New gaps in the numbers of what came.
    pub missed: u64,
    /// What its estimate of the bandwidth allowed for video, in bit/s; null for who does not publish.
    pub target_bitrate: Option<f64>,
    /// The median from end to end of what came, in milliseconds; null where nothing did.
    pub end_to_end_p50_ms: Option<f64>,
    /// The 95th percentile.
    pub end_to_end_p95_ms: Option<f64>,
}

/// One client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// The host of the lab that it is on, whose access link it goes through.
    pub host: String,
    /// Whether it was connected.
    pub connected: bool,
    /// Where it failed and why, or what went wrong later.
    pub errors: Vec<String>,
    /// When its media was away after it had been up.
    #[serde(default)]
    pub outages: Vec<ClientOutage>,
    /// When it was killed, as asked, in seconds since the first client began; null where it was not.
    #[serde(default)]
    pub killed_s: Option<f64>,
    /// Media packets sent.
    pub sent: u64,
    /// Media packets received, each once.
    pub received: u64,
    /// Media packets that it should have got.
    pub expected: u64,
    /// From end to end, the median and the 95th percentile in milliseconds; null where nothing arrived.
    pub end_to_end_p50_ms: Option<f64>,
    /// The 95th percentile.
    pub end_to_end_p95_ms: Option<f64>,
    /// Second by second, of as many clients as a page shows, those that fared worst first; empty for the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over_time: Vec<ClientSecond>,
}
