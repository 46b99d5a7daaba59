//! What tester and path say, as a run's summary has it.

use std::collections::{BTreeMap, BTreeSet};

use shaper_common::units::Nanos;
use shaper_profile::Link;
use shaper_profile::quantity::Duration;
use shaper_report::stats::{Distribution, Missing, Proportion};
use shaper_report::summary::{
    Client, ClientOutage, ClientSecond, LatencySplit, LegLosses, Second, ServerOutage, Severity, Stage, Threshold,
    Used, WebRtc,
};
use shaper_webrtc::load::results::{ClientResult, Outage, Percentiles, Second as LoadSecond, Summary as Loaded};
use shaper_webrtc::path::{self, Direction, Leg, PathReport};

use crate::run::roles as run;
use crate::run::usage::{Sample, Usage};
use crate::run::workload::WebRtcPlan;

const NS_PER_MS: f64 = 1e6;
const NS_PER_S: f64 = 1e9;
/// A client may notice a kill before the run has seen the process to be gone.
const NOTICED_AHEAD_S: f64 = 0.25;
/// Clients that a summary has second by second; the tester's own results have all.
const CLIENTS_OVER_TIME: usize = 16;

/// A distribution by its percentiles; what it does not have stays unknown.
fn distribution(of: Option<&Percentiles>) -> Distribution {
    let Some(of) = of else { return Distribution::default() };
    Distribution {
        n: of.count,
        missing: 0,
        missing_as: Missing::Excluded,
        mean: Some(of.mean_ms),
        min: None,
        p50: Some(of.p50_ms),
        p95: Some(of.p95_ms),
        p99: Some(of.p99_ms),
        p999: None,
        max: Some(of.max_ms),
    }
}

/// What the tester says by itself.
pub(super) fn by_tester(loaded: &Loaded, clients: &[ClientResult], plan: &WebRtcPlan) -> WebRtc {
    let failed = loaded.failed_stages.iter().map(|(stage, count)| (stage.to_string(), *count));
    let mut webrtc = WebRtc {
        connected: Some(Proportion::of(loaded.successful_connections, loaded.total_clients)),
        failed: failed.collect(),
        connection_time_ms: distribution(loaded.connection_time.as_ref()),
        sent: loaded.total_packets_sent,
        received: loaded.total_packets_received,
        received_of_expected: Some(Proportion::of(loaded.total_packets_received, loaded.packets_expected)),
        end_to_end_ms: distribution(loaded.e2e.as_ref()),
        slip_ms: distribution(loaded.schedule_slip.as_ref()),
        clients: clients.iter().map(|client| of_client(client, plan)).collect(),
        ..WebRtc::default()
    };
    let worst = webrtc.worst_first().into_iter().take(CLIENTS_OVER_TIME);
    let worst: BTreeSet<String> = worst.map(|client| client.name.clone()).collect();
    for (client, result) in webrtc.clients.iter_mut().zip(clients).filter(|(client, _)| worst.contains(&client.name)) {
        client.over_time = result.time_series.iter().map(second).collect();
    }
    webrtc
}

/// A second of the tester's is named by its end.
fn second(of: &LoadSecond) -> ClientSecond {
    ClientSecond {
        at_s: of.second.saturating_sub(1) as f64,
        sent: of.sent,
        received: of.received,
        missed: of.lost,
        target_bitrate: of.target_bitrate.map(|target| target as f64),
        end_to_end_p50_ms: of.e2e_p50_ms,
        end_to_end_p95_ms: of.e2e_p95_ms,
    }
}

/// The access link of a client, from 0: they take turns on them.
fn link_of(client: &ClientResult, plan: &WebRtcPlan) -> usize {
    client.client as usize % plan.links.max(1)
}

fn of_client(client: &ClientResult, plan: &WebRtcPlan) -> Client {
    Client {
        name: client.client_id.clone(),
        host: format!("c{}", link_of(client, plan) + 1),
        connected: client.connection_successful,
        errors: client.errors.clone(),
        outages: client.outages.iter().map(away).collect(),
        killed_s: client.killed_after_seconds,
        sent: client.total_packets_sent,
        received: client.total_packets_received,
        expected: client.packets_expected,
        end_to_end_p50_ms: client.e2e.map(|e2e| e2e.p50_ms),
        end_to_end_p95_ms: client.e2e.map(|e2e| e2e.p95_ms),
        over_time: Vec::new(),
    }
}

fn away(outage: &Outage) -> ClientOutage {
    ClientOutage { at_s: outage.at_seconds, reason: outage.reason.clone(), lasted_s: outage.seconds }
}

/// What clients made of a server that was killed. `started` is when the first of them began, in the same nanoseconds.
pub(super) fn server_outage(killed: &run::ServerOutage, started: u64, clients: &[ClientResult]) -> ServerOutage {
    let since_start = |at: Nanos| at.0.cast_signed().saturating_sub(started.cast_signed()) as f64 / NS_PER_S;
    let killed_s = since_start(killed.killed);
    // Who had lost media before that, and not had it again, has not lost it by this.
    let by_this = |outage: &&Outage| outage.at_seconds >= killed_s - NOTICED_AHEAD_S;
    let lost: Vec<&Outage> = clients.iter().filter_map(|client| client.outages.iter().find(by_this)).collect();
    let back = lost.iter().filter_map(|outage| Some((outage.at_seconds + outage.seconds? - killed_s) * 1e3));
    let back: Vec<f64> = back.collect();
    ServerOutage {
        killed_s,
        listened_s: killed.listened.map(since_start),
        recovered: Proportion::of(back.len() as u64, lost.len() as u64),
        recovery_ms: Distribution::of(back),
    }
}

/// What the access links of those who publish carry towards the server together, in each second since `first_client`;
/// both times are in the same nanoseconds. Nothing where nothing limits them, or a trace does.
pub(super) fn uplink_rates(
    link: &Link,
    plan: &WebRtcPlan,
    clients: &[ClientResult],
    link_start: Nanos,
    first_client: Nanos,
    seconds: &mut [Second],
) {
    let of_publishers = clients.iter().filter(|client| client.publishes);
    let links: BTreeSet<usize> = of_publishers.map(|client| link_of(client, plan)).collect();
    for second in seconds.iter_mut().filter(|_| link.a_to_b.trace.is_none()) {
        // What holds in its middle; the link's settings begin to change before the first client is there.
        let at = Nanos(first_client.0 + ((second.at_s + 0.5) * NS_PER_S) as u64).saturating_sub(link_start);
        let rate = link.at(Duration(at)).0.rate;
        second.uplink_rate_bps = (!rate.is_unlimited()).then_some(rate.0.0 as f64 * links.len() as f64);
    }
}

/// What senders were allowed together, by the second.
pub(super) fn target_bitrate(clients: &[ClientResult]) -> BTreeMap<u64, f64> {
    let mut seconds = BTreeMap::new();
    for second in clients.iter().flat_map(|client| &client.time_series) {
        if let Some(target) = second.target_bitrate {
            *seconds.entry(second.second.saturating_sub(1)).or_insert(0.0) += target as f64;
        }
    }
    seconds
}

/// Adds what captures and logs say together.
pub(super) fn by_path(webrtc: &mut WebRtc, report: &PathReport) {
    let is_joined = report.joined_by == path::JoinedBy::MappingLog;
    webrtc.received_but_for_link = webrtc
        .received_of_expected
        .as_ref()
        .filter(|_| is_joined)
        .map(|received| but_for_link(received, &report.fates));
    webrtc.split = split(&report.latency);
    webrtc.lost_by_server = is_joined.then_some(report.fates.lost_server);
    webrtc.losses = [(Direction::Uplink, "uplink"), (Direction::Downlink, "downlink")]
        .into_iter()
        .filter_map(|(direction, name)| {
            let mut legs = report.legs.iter().filter(|leg| leg.direction == direction).peekable();
            legs.peek()?;
            Some(losses(name, legs))
        })
        .collect();
    let waits = report.playout.iter().filter_map(|playout| Some((playout.packets, playout.delay?.mean)));
    let (packets, sum) = waits.fold((0, 0.0), |(n, sum), (packets, mean)| (n + packets, sum + packets as f64 * mean));
    webrtc.jitter_buffer_modelled_ms = (packets > 0).then(|| sum / packets as f64 / NS_PER_MS);
}

/// What was received of what was expected and not lost on a link. A link also loses what was never expected, such as what
/// is sent before a subscription begins: no more counts than what others did not lose.
fn but_for_link(received: &Proportion, fates: &path::Fates) -> Proportion {
    let lost = received.of.saturating_sub(received.count);
    let by_others = fates.lost_sender + fates.lost_server + fates.lost_receiver;
    let by_link = (fates.lost_uplink + fates.lost_downlink).min(lost.saturating_sub(by_others));
    Proportion::of(received.count, received.of.saturating_sub(by_link))
}

fn split(latency: &path::Latency) -> Option<LatencySplit> {
    let stage = |name: &str, summary: Option<path::Summary>| {
        let ms = |ns: i64| ns as f64 / NS_PER_MS;
        Stage {
            stage: name.to_owned(),
            n: summary.map_or(0, |summary| summary.count),
            min_ms: summary.map(|summary| ms(summary.min)),
            p50_ms: summary.map(|summary| ms(summary.p50)),
            p99_ms: summary.map(|summary| ms(summary.p99)),
        }
    };
    latency.end_to_end?;
    Some(LatencySplit {
        stages: vec![
            stage("sender", latency.sender),
            stage("uplink", latency.uplink),
            stage("server", latency.server),
            stage("downlink", latency.downlink),
            stage("receiver", latency.receiver),
        ],
        total: stage("end_to_end", latency.end_to_end),
        unjoined: 0,
        unanswered: 0,
    })
}

/// A sum of what is known; of nothing nothing is known.
fn sum<T: std::iter::Sum<T>>(of: impl Iterator<Item = T>) -> Option<T> {
    let mut of = of.peekable();
    of.peek()?;
    Some(of.sum())
}

fn losses<'a>(name: &str, legs: impl Iterator<Item = &'a Leg>) -> LegLosses {
    let legs: Vec<&Leg> = legs.collect();
    let checks: Vec<bool> = legs.iter().flat_map(|leg| &leg.checks).map(|check| check.holds).collect();
    let captures = || legs.iter().filter_map(|leg| leg.captures.as_ref());
    let joined = || legs.iter().filter_map(|leg| leg.joined.as_ref());
    let by_captures = sum(captures().map(|captures| captures.lost));
    let by_receiver = sum(legs.iter().filter_map(|leg| leg.receiver.as_ref()).map(|receiver| receiver.missing));
    let by_rtcp = sum(legs.iter().filter_map(|leg| leg.rtcp.as_ref()).map(|rtcp| rtcp.lost));
    let is_known = by_captures.is_some() && by_receiver.is_some() && by_rtcp.is_some();
    let all_hold = checks.iter().all(|holds| *holds);
    LegLosses {
        leg: name.to_owned(),
        sent: captures().map(|captures| captures.left).sum(),
        by_captures,
        repaired: sum(joined().map(|joined| joined.repaired)),
        not_witnessed: sum(joined().map(|joined| joined.not_witnessed)),
        by_receiver,
        by_rtcp,
        causes: legs.iter().flat_map(|leg| &leg.causes).fold(BTreeMap::new(), |mut causes, (cause, count)| {
            *causes.entry(cause.clone()).or_default() += count;
            causes
        }),
        // Two columns that agree do not tell of the third.
        adds_up: (!checks.is_empty() && (is_known || !all_hold)).then_some(all_hold),
    }
}

/// What a process used.
pub(super) fn used(usage: &Usage) -> Used {
    let share = |one: &Sample, other: &Sample| {
        let time = other.at.saturating_sub(one.at).0 as f64;
        (time > 0.0).then(|| 100.0 * other.cpu.saturating_sub(one.cpu).0 as f64 / time)
    };
    let samples = &usage.samples;
    let whole = samples.first().zip(samples.last()).and_then(|(first, last)| share(first, last));
    let each = samples.windows(2).filter_map(|pair| share(pair.first()?, pair.last()?));
    Used {
        cpu_percent: whole,
        cpu_percent_most: each.max_by(f64::total_cmp),
        memory_bytes_most: samples.iter().map(|sample| sample.memory).max().unwrap_or(0),
        descriptors_most: samples.iter().map(|sample| sample.descriptors).max().unwrap_or(0),
    }
}

/// How good a figure is by whether it is within the bound of good, and within that of warning.
fn level(is_good: bool, is_warning: bool) -> String {
    let level = if is_good {
        "good"
    } else if is_warning {
        "warning"
    } else {
        "critical"
    };
    level.to_owned()
}

/// The thresholds of a run: those of connections, errors, CPU and memory of the server, of what was received but for
/// what the link dropped, and of the tester's own schedule.
pub(super) fn thresholds(webrtc: &WebRtc, loaded: &Loaded) -> Vec<Threshold> {
    let threshold =
        |what: &str, value: String, level: Option<String>| Threshold { what: what.to_owned(), value, level };
    let share = |of: Option<&Proportion>| of.and_then(|of| of.ratio).map(|ratio| 100.0 * ratio);
    let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.2} %"));
    let connected = share(webrtc.connected.as_ref());
    let errors = loaded.total_errors;
    let received = share(webrtc.received_but_for_link.as_ref().or(webrtc.received_of_expected.as_ref()));
    // The worse one of a server that was killed and of that in its place.
    let servers =
        || [WebRtcPlan::SERVER, WebRtcPlan::SECOND_SERVER].into_iter().filter_map(|name| webrtc.used.get(name));
    let cpu = servers().filter_map(|server| server.cpu_percent).max_by(f64::total_cmp);
    let memory = servers().map(|server| server.memory_bytes_most).max().map(|bytes| bytes as f64 / 1e9);
    let slip = loaded.thresholds.iter().filter(|threshold| ["slip", "skipped"].contains(&&*threshold.name));
    let slip = slip.map(|of| {
        threshold(&of.name, format!("{:.1} {}", of.value, of.unit).trim_end().to_owned(), Some(of.level.to_string()))
    });
    let mut thresholds = vec![
        threshold("connections", percent(connected), connected.map(|share| level(share >= 100.0, share >= 95.0))),
        threshold("errors", errors.to_string(), Some(level(errors == 0, errors <= 5))),
        threshold("received", percent(received), received.map(|share| level(share >= 99.9, share >= 95.0))),
        threshold("server CPU", percent(cpu), cpu.map(|cpu| level(cpu < 70.0, cpu < 90.0))),
        threshold(
            "server memory",
            memory.map_or_else(|| "-".to_owned(), |memory| format!("{memory:.3} GB")),
            memory.map(|memory| level(memory < 1.0, memory < 4.0)),
        ),
    ];
    thresholds.extend(slip);
    thresholds
}

/// How bad a finding is, in a run's words.
pub(super) const fn severity(of: path::Severity) -> Severity {
    match of {
        path::Severity::Info => Severity::Note,
        path::Severity::Warning => Severity::Warning,
        path::Severity::Error => Severity::Error,
    }
}

#[cfg(test)]
mod tests {
    use shaper_common::units::BitsPerSec;
    use shaper_profile::quantity::Rate;
    use shaper_profile::{Change, Direction as OneWay};

    use super::*;

    fn leg(rtcp: Option<path::ByRtcp>, holds: bool) -> Leg {
        Leg {
            direction: Direction::Uplink,
            client: "client 0".to_owned(),
            ssrc: 1,
            video: false,
            captures: Some(path::ByCaptures { left: 9, lost: 1, ..path::ByCaptures::default() }),
            receiver: Some(path::ByReceiver { received: 8, missing: 1, ..path::ByReceiver::default() }),
            rtcp,
            server: None,
            joined: None,
            checks: vec![path::Check { what: "a".to_owned(), left: 1, right: (1, 1), holds }],
            incomplete: false,
            causes: BTreeMap::new(),
            delay: None,
        }
    }

    #[test]
    fn columns_add_up_if_all_three_are_known() {
        let adds_up = |legs: &[Leg]| losses("uplink", legs.iter()).adds_up;
        let rtcp = Some(path::ByRtcp { lost: 1, ..path::ByRtcp::default() });
        assert_eq!(adds_up(&[leg(None, true)]), None);
        assert_eq!(adds_up(&[leg(None, false)]), Some(false), "two that differ tell");
        assert_eq!(adds_up(&[leg(rtcp, true), leg(None, true)]), Some(true));
        assert_eq!(adds_up(&[leg(rtcp, true), leg(None, false)]), Some(false));
        assert_eq!(adds_up(&[]), None);
    }

    #[test]
    fn what_links_carry_follows_their_changes_and_counts_links_of_publishers_alone() {
        let limited = |bits: u64| OneWay { rate: Rate(BitsPerSec(bits)), ..OneWay::default() };
        let change = |at: u64, bits: u64| Change {
            at: Duration(Nanos(at * 1_000_000_000)),
            a_to_b: limited(bits),
            b_to_a: OneWay::default(),
        };
        let mut link = Link { a_to_b: limited(1_000), changes: vec![change(4, 500), change(6, 0)], ..Link::default() };
        let plan = WebRtcPlan { clients: 4, links: 2, sending_ns: 0, tester: Vec::new(), kill: None };
        let client = |client, publishes| ClientResult { client, publishes, ..ClientResult::default() };
        // 0 and 2 share a link.
        let clients = [client(0, true), client(1, true), client(2, true), client(3, false)];
        let of = |link: &Link, clients: &[ClientResult]| {
            let mut seconds: Vec<Second> =
                (0..5).map(|at| Second { at_s: f64::from(at), ..Second::default() }).collect();
            let (start, first) = (Nanos(10_000_000_000), Nanos(12_000_000_000));
            uplink_rates(link, &plan, clients, start, first, &mut seconds);
            seconds.iter().map(|second| second.uplink_rate_bps).collect::<Vec<_>>()
        };
        let whole = [Some(2_000.0), Some(2_000.0), Some(1_000.0), Some(1_000.0), None];
        assert_eq!(of(&link, &clients), whole);
        assert_eq!(of(&link, &clients[2..])[0], Some(1_000.0));
        link.repeat = Some(Duration(Nanos(7_000_000_000)));
        link.changes.pop();
        let again = |at: u64| link.at(Duration(Nanos(at * 1_000_000_000))).0.rate.0.0;
        assert_eq!([3, 4, 6, 7, 10, 11, 14].map(again), [1_000, 500, 500, 1_000, 1_000, 500, 1_000]);
    }

    #[test]
    fn what_a_link_lost_does_not_hide_what_others_did() {
        let received = Proportion::of(900, 1_000);
        let of = |fates| but_for_link(&received, &fates);
        let fates = path::Fates { lost_uplink: 60, lost_downlink: 40, ..path::Fates::default() };
        assert_eq!(of(fates).of, 900, "all of it is the link's");
        assert_eq!(of(path::Fates { lost_server: 50, ..fates }).of, 950, "some of it was never expected");
        assert_eq!(of(path::Fates { lost_downlink: 400, lost_server: 25, ..fates }).of, 925);
        assert_eq!(of(path::Fates::default()).of, 1_000);
        let mut webrtc = WebRtc { received_of_expected: Some(received), ..WebRtc::default() };
        by_path(&mut webrtc, &PathReport { fates, ..PathReport::default() });
        assert_eq!(webrtc.received_but_for_link, None, "without a mapping log nobody knows");
    }
}
