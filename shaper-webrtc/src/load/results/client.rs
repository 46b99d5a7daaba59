//! The result of each client, from what signalling and the workers know of it.

use std::collections::{BTreeMap, HashMap};

use super::expected::{Tracks, expected, tracks};
use super::stats::{self, of_leg};
use super::{ClientResult, Outage, Percentiles, Second, SlipOfClient, Subscription};
use crate::load::failure::Stage;
use crate::load::latency::Latency;
use crate::load::worker::leg::Slip;
use crate::load::worker::report::{LegReport, StreamReport};

/// What signalling knows of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signalled {
    pub(crate) client: usize,
    pub(crate) room: String,
    pub(crate) publishes: bool,
    /// In milliseconds, if it was.
    pub(crate) connected_after: Option<f64>,
    pub(crate) failed_stage: Option<Stage>,
    pub(crate) errors: Vec<String>,
    pub(crate) producers_created: u64,
    pub(crate) consumers_created: u64,
    pub(crate) reconnects: u64,
    pub(crate) ice_restarts: u64,
    pub(crate) rejoins: u64,
    pub(crate) outages: Vec<Outage>,
    pub(crate) killed_after: Option<f64>,
}

impl Percentiles {
    /// None where nothing was recorded.
    pub(crate) fn of(latency: &Latency) -> Option<Self> {
        Some(Self {
            count: latency.count(),
            mean_ms: latency.mean()?,
            p50_ms: latency.quantile(0.5)?,
            p90_ms: latency.quantile(0.9)?,
            p95_ms: latency.quantile(0.95)?,
            p99_ms: latency.quantile(0.99)?,
            max_ms: latency.most()?,
        })
    }
}

/// The results, in the order of clients. `producers` tells which track of which client a producer is.
pub(crate) fn clients(
    signalled: Vec<Signalled>,
    legs: &[LegReport],
    producers: &HashMap<String, (u32, u32)>,
    timestamp: f64,
) -> Vec<ClientResult> {
    let tracks = tracks(legs);
    let mut by_client: HashMap<usize, Vec<&LegReport>> = HashMap::new();
    for leg in legs {
        by_client.entry(leg.client).or_default().push(leg);
    }
    let mut results = Vec::with_capacity(signalled.len());
    for of in signalled {
        let legs = by_client.remove(&of.client).unwrap_or_default();
        results.push(client(of, &legs, &tracks, producers, timestamp));
    }
    results
}

fn client(
    of: Signalled,
    legs: &[&LegReport],
    tracks: &Tracks<'_>,
    producers: &HashMap<String, (u32, u32)>,
    timestamp: f64,
) -> ClientResult {
    let mut result = ClientResult {
        client_id: format!("client-{}", of.client),
        client: u32::try_from(of.client).unwrap_or(u32::MAX),
        room_id: of.room,
        publishes: of.publishes,
        connection_successful: of.connected_after.is_some(),
        connection_time_ms: of.connected_after,
        failed_stage: of.failed_stage,
        errors: of.errors,
        producers_created: of.producers_created,
        consumers_created: of.consumers_created,
        reconnects: of.reconnects,
        ice_restarts: of.ice_restarts,
        rejoins: of.rejoins,
        outages: of.outages,
        killed_after_seconds: of.killed_after,
        ..ClientResult::default()
    };
    let (mut slip, mut skipped, mut e2e) = (Slip::default(), 0, Latency::default());
    let mut acknowledged = false;
    for leg in legs {
        result.total_packets_sent += leg.sent;
        result.total_bytes_sent += leg.sent_bytes;
        result.send_failed += leg.send_failed;
        acknowledged |= leg.acknowledged;
        slip.add(&leg.slip);
        skipped += leg.skipped;
        e2e.add(&leg.e2e);
        for stream in &leg.streams {
            result.packets_discarded += stream.discarded;
            result.total_bytes_received += stream.bytes;
            result.subscriptions.push(subscription(stream, tracks, producers));
        }
        result.stats.extend(of_leg(leg, timestamp));
    }
    for subscription in &result.subscriptions {
        result.total_packets_received += subscription.received;
        result.packets_expected += subscription.expected;
        result.packets_lost += subscription.lost;
        result.packets_duplicated += subscription.duplicates;
        result.packets_out_of_order += subscription.out_of_order;
        result.packets_repaired += subscription.repaired;
    }
    // One that was up and then got nothing of what was sent to it was not connected.
    if result.packets_expected > 0 && result.total_packets_received == 0 {
        result.connection_successful = false;
        result.failed_stage.get_or_insert(Stage::Media);
        if result.errors.is_empty() {
            result.errors.push(format!("{}: nothing came of {} packets", Stage::Media, result.packets_expected));
        }
    }
    result.acknowledged = (result.total_packets_sent > 0).then_some(acknowledged);
    result.slip = SlipOfClient {
        frames: slip.frames,
        mean_ms: slip.sum.as_secs_f64() * 1e3 / slip.frames.max(1) as f64,
        max_ms: slip.most.as_secs_f64() * 1e3,
        skipped,
    };
    result.e2e = Percentiles::of(&e2e);
    result.time_series = joined(legs);
    result
}

fn subscription(stream: &StreamReport, tracks: &Tracks<'_>, producers: &HashMap<String, (u32, u32)>) -> Subscription {
    let from = producers.get(&stream.producer).copied();
    // Of several layers nobody knows which the server chooses: this is the smallest.
    let expected = expected(stream, from.and_then(|from| tracks.get(&from).copied()));
    Subscription {
        producer_id: stream.producer.clone(),
        kind: stats::kind(stream.kind),
        ssrc: stream.ssrc,
        from: from.or(stream.from).map(|(client, _)| client),
        expected,
        received: stream.unique,
        lost: expected - stream.unique,
        duplicates: stream.again,
        out_of_order: stream.late,
        repaired: stream.repaired,
        jitter: stream.jitter.as_secs_f64(),
    }
}

/// The time series of all legs of a client as one.
fn joined(legs: &[&LegReport]) -> Vec<Second> {
    let mut seconds: BTreeMap<u64, Second> = BTreeMap::new();
    for second in legs.iter().flat_map(|leg| &leg.seconds) {
        let into =
            seconds.entry(second.second).or_insert_with(|| Second { second: second.second, ..Second::default() });
        into.sent += second.sent;
        into.received += second.received;
        into.lost += second.lost;
        into.target_bitrate = into.target_bitrate.or(second.target_bitrate);
        // Of the legs of a client one receives.
        into.e2e_p50_ms = into.e2e_p50_ms.or(second.e2e_p50_ms);
        into.e2e_p95_ms = into.e2e_p95_ms.or(second.e2e_p95_ms);
    }
    seconds.into_values().collect()
}
