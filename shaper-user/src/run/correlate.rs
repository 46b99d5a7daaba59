//! Captures, records and logs put on one clock and joined packet by packet.

mod datagrams;
mod joined;
mod packets;

use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;

use anyhow::Context;
use shaper_offline::annotate::{Annotation, CapturePoint, annotate};
use shaper_offline::join::{CaptureIndex, ClockMap, ClockSample, Point};
use shaper_offline::pcapfile::Reader;
use shaper_offline::writer::Statistics;
use shaper_report::summary::{CaptureCounts, Join, Severity, Summary};

pub(super) use datagrams::ToastPacket;

use self::joined::{add_link, early, fill_direction, tell};
use super::directory::RunDirectory;
use super::execute::{Evidence, capture_name};
use super::plan::Plan;
use crate::capture::Captured;
use crate::fates::{Decision, Departure, Log, key, verdict};
use datagrams::toast_packets;
use packets::{Of, Packets};

/// What was found when everything was put together.
pub(super) struct Correlated {
    pub(super) clock: ClockMap,
    /// When a host's tap saw a datagram for the first time, by host.
    pub(super) toast: HashMap<String, HashMap<ToastPacket, i64>>,
}

impl Correlated {
    /// The wall clock's reading at a CLOCK_MONOTONIC time.
    pub(super) fn epoch(&self, monotonic: u64) -> i64 {
        self.clock.to_epoch(monotonic)
    }

    /// When the tap of `host` first saw the datagram.
    pub(super) fn seen(&self, host: &str, packet: &ToastPacket) -> Option<i64> {
        self.toast.get(host)?.get(packet).copied()
    }

    /// When the tap of `host` saw each datagram of others than the host itself, which is at `address`.
    pub(super) fn of_others(&self, host: &str, address: Ipv4Addr) -> impl Iterator<Item = i64> {
        let seen = self.toast.get(host).into_iter().flatten();
        seen.filter(move |(packet, _)| *packet.source.ip() != address).map(|(_, at)| *at)
    }
}

/// Joins captures and records, writes the annotated captures and a row for each packet, and fills in what follows from
/// both.
pub(super) fn correlate(
    plan: &Plan,
    evidence: &Evidence,
    directory: &RunDirectory,
    summary: &mut Summary,
) -> anyhow::Result<Correlated> {
    let samples = evidence.clocks.iter().map(|sample| ClockSample {
        before: sample.before,
        realtime: i64::try_from(sample.realtime).unwrap_or(i64::MAX),
        after: sample.after,
    });
    let clock = ClockMap::new(samples.collect()).context("the clocks read during the run make no sense")?;
    let mut toast = HashMap::new();
    for (host, captured) in &evidence.captured {
        toast.insert(host.clone(), toast_packets(&captured.spool)?);
        summary.captures.insert(
            host.clone(),
            CaptureCounts { received: captured.received, dropped: captured.dropped, written: captured.written },
        );
        if captured.dropped > 0 {
            summary.find(
                Severity::Warning,
                format!(
                    "the capture at {host} dropped {} of {} packets: they are no loss of the link; enlarge --capture-buffer",
                    captured.dropped, captured.received
                ),
            );
        }
    }
    let mut counted = Join::default();
    let ends: Vec<(usize, Point, &(String, Captured))> = evidence
        .captured
        .iter()
        .filter_map(|captured| plan.end_of(&captured.0).map(|(link, point)| (link, point, captured)))
        .collect();
    // The taps ran from before the first reading until just before the last one.
    let wall = |sample: Option<&shaper_engine::clock::ClockSample>| i64::try_from(sample?.realtime).ok();
    let (began, ended) = (wall(evidence.clocks.first()), wall(evidence.clocks.last()));
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let boot = boot.as_deref().map(str::trim);
    let mut packets = Packets::begin(plan, evidence, &summary.run, &clock, directory)?;
    for link in 0..evidence.links.len() {
        let pair = evidence.outcome.directions.get(2 * link..2 * link + 2).unwrap_or_default();
        let mut log = Log::of_ended(evidence.ending.0);
        for (number, outcome) in (0..).zip(pair) {
            let decisions = outcome.records.iter().map(|record| Decision::of(number, record));
            log.add(decisions, outcome.releases.iter().chain(&outcome.copies).filter_map(Departure::of));
        }
        let at = |point| ends.iter().find(|(of, end, _)| *of == link && *end == point).map(|(_, _, host)| &host.1);
        let captured = [at(Point::A), at(Point::B)];
        let [a, b] = captured.map(index);
        let (a, b) = (a?, b?);
        let joined = log.join([&a, &b], captured.map(|captured| Some(captured?.spool.as_path())), &clock)?;
        let log = log.engine();
        let seen = [Point::A, Point::B].map(|point| at(point).is_some());
        add_link(&mut counted, &joined, seen);
        if seen == [true, true] {
            for (number, outcome) in pair.iter().enumerate() {
                counted.contradictions += early(number as u16, &log, &joined, &clock);
                fill_direction(number as u16, outcome, plan.recording, log.records, &joined, summary);
            }
        }
        for (_, point, (host, captured)) in ends.iter().filter(|(of, ..)| *of == link) {
            let point_is = if plan.scene.at.is_some() { "point" } else { "host" };
            let description = format!("{point_is} {host} of {}", plan.name);
            let point = CapturePoint {
                point: *point,
                name: host,
                description: Some(&description),
                filter: plan.scene.capture.filter.as_deref(),
                statistics: Some(Statistics {
                    received: Some(captured.received),
                    dropped: Some(captured.dropped),
                    start: began,
                    end: ended,
                }),
            };
            let annotation = Annotation {
                points: &[point],
                of: &[0],
                application: concat!("shaper ", env!("CARGO_PKG_VERSION")),
                verdict: &verdict,
                clock: boot,
            };
            let out = capture_name(host);
            annotate(&captured.spool, directory.make(&out)?, &log, &joined, &clock, &annotation)
                .with_context(|| directory.unwritten(&out))?;
        }
        let directions = [0, 1].map(|number| pair.get(number).map_or("", |outcome| outcome.spec.name.as_str()));
        let captured = [at(Point::A), at(Point::B)];
        packets.add(&Of { link, directions, captured, log: &log, joined: &joined })?;
    }
    packets.finish()?;
    tell(plan.recording, &counted, evidence, plan.scene.capture.filter.is_none(), summary);
    summary.join = (!ends.is_empty()).then_some(counted);
    for (_, captured) in &evidence.captured {
        fs::remove_file(&captured.spool).with_context(|| format!("{}: cannot be removed", captured.spool.display()))?;
    }
    Ok(Correlated { clock, toast })
}

fn index(captured: Option<&Captured>) -> anyhow::Result<CaptureIndex> {
    let Some(captured) = captured else { return Ok(CaptureIndex::default()) };
    let mut reader = Reader::open(&captured.spool)?;
    Ok(CaptureIndex::read(&mut reader, key)?)
}
