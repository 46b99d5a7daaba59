//! Captures, records and logs put on one clock and joined packet by packet.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::Path;

use anyhow::Context;
use shaper_common::fate::Cause;
use shaper_common::layout::Record;
use shaper_common::parse::{self, Kind};
use shaper_common::rewrite;
use shaper_common::units::Nanos;
use shaper_delayline::Released;
use shaper_engine::DirectionOutcome;
use shaper_offline::annotate::{Annotation, annotate};
use shaper_offline::join::{
    self, CaptureIndex, ClockMap, ClockSample, EngineCopy, EngineLog, EngineRecord, Joined, Key, Point, Role,
};
use shaper_offline::packet::{self, Transport};
use shaper_offline::pcapfile::{Reader, Verdict};
use shaper_offline::toast::{Recognised, recognise};
use shaper_offline::writer::Statistics;
use shaper_report::html::{CommandPoint, DirectionPlot, Outcome, PacketPoint, Plots, Treated, Treatment};
use shaper_report::stats::{Distribution, Missing, Proportion};
use shaper_report::summary::{CaptureCounts, Join, Severity, Summary};

use super::directory::RunDirectory;
use super::execute::{Evidence, capture_name};
use super::plan::Plan;
use super::{commands, judge};
use crate::capture::Captured;
use crate::preview::configured_cdf;

/// What XDP programs return for a packet that is dropped, and for one handed to the delay line (linux/bpf.h).
const XDP_DROP: i64 = 1;
const XDP_REDIRECT: i64 = 4;

/// A TOAST datagram, named so that it can be found at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ToastPacket {
    pub(super) source: SocketAddrV4,
    pub(super) session: u32,
    pub(super) sequence: u32,
    pub(super) burst_index: u8,
}

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

/// Joins captures and records, writes the annotated captures, and fills in what follows from both.
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
    let ends: Vec<(usize, Point, &(String, Captured))> = match evidence.captured.as_slice() {
        [a, b] if evidence.links.len() == 1 => vec![(0, Point::A, a), (0, Point::B, b)],
        hosts => hosts.iter().enumerate().map(|(link, host)| (link, Point::A, host)).collect(),
    };
    // The taps ran from before the first reading until just before the last one.
    let wall = |sample: Option<&shaper_engine::clock::ClockSample>| i64::try_from(sample?.realtime).ok();
    let (began, ended) = (wall(evidence.clocks.first()), wall(evidence.clocks.last()));
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let boot = boot.as_deref().map(str::trim);
    let complete = evidence.captured.iter().all(|(_, captured)| captured.dropped == 0);
    for link in 0..evidence.links.len() {
        let pair = evidence.outcome.directions.get(2 * link..2 * link + 2).unwrap_or_default();
        let (mut records, copies) = engine_log(pair);
        let at = |point| ends.iter().find(|(of, end, _)| *of == link && *end == point).map(|(_, _, host)| &host.1);
        let (a, b) = (index(at(Point::A))?, index(at(Point::B))?);
        let joined = |records: &[EngineRecord]| {
            let log = EngineLog { records, copies: &copies };
            join::join(&log, &a, &b, &clock, &join::JoinOptions::default())
        };
        if has_changed(pair) {
            // First where they entered: only there it is known what they look like behind the change.
            let entered = joined(&records);
            change(pair, &mut records, &entered, [at(Point::A), at(Point::B)])?;
        }
        let joined = joined(&records);
        let log = EngineLog { records: &records, copies: &copies };
        let both = at(Point::B).is_some();
        add(&mut counted, &joined, both);
        if both {
            for (number, outcome) in pair.iter().enumerate() {
                counted.contradictions += early(number as u16, &log, &joined, &clock);
                fill_direction(number as u16, outcome, &records, &joined, summary);
            }
        }
        for (_, point, (host, captured)) in ends.iter().filter(|(of, ..)| *of == link) {
            let description = format!("host {host} of {}", plan.name);
            let annotation = Annotation {
                point: *point,
                name: host,
                description: Some(&description),
                filter: None,
                application: concat!("shaper ", env!("CARGO_PKG_VERSION")),
                verdict: &verdict,
                statistics: Some(Statistics {
                    received: Some(captured.received),
                    dropped: Some(captured.dropped),
                    start: began,
                    end: ended,
                }),
                clock: boot,
            };
            let out = capture_name(host);
            annotate(&captured.spool, directory.make(&out)?, &log, &joined, &clock, &annotation)
                .with_context(|| directory.unwritten(&out))?;
        }
    }
    if counted.contradictions > 0 {
        summary.find(
            Severity::Error,
            format!(
                "{} packets that the records call dropped, or that were still to be held, were captured behind the link",
                counted.contradictions
            ),
        );
    }
    // What a host's own device dropped, its tap has seen and no link. Packets whose record was lost, or was checked and
    // not kept, have none here either; nor have copies whose release was not kept.
    let before_the_link: u64 = evidence.device_drops.iter().map(|(_, dropped)| dropped).sum();
    let all_kept = evidence.outcome.directions.iter().all(|of| {
        let copies = of.copies.len() as u64 + of.account.dropped_by(Cause::FillRing);
        of.records.len() as u64 == of.account.arrived && copies >= of.account.copies
    });
    if all_kept && counted.unrecorded > before_the_link {
        summary.find(
            Severity::Error,
            format!(
                "{} captured packets have no record of a decision, and hosts' own devices dropped but {before_the_link}: \
                 something reached the hosts past the link",
                counted.unrecorded
            ),
        );
    }
    if complete && counted.not_in_a > 0 {
        summary.find(
            Severity::Warning,
            format!("{} packets that the link decided on are not in the capture where they entered", counted.not_in_a),
        );
    }
    if complete && counted.not_in_b > 0 {
        summary.find(
            Severity::Warning,
            format!(
                "{} packets left the link and never reached the tap behind it: lost in the receiving host",
                counted.not_in_b
            ),
        );
    }
    summary.join = Some(counted);
    for (_, captured) in &evidence.captured {
        fs::remove_file(&captured.spool).with_context(|| format!("{}: cannot be removed", captured.spool.display()))?;
    }
    Ok(Correlated { clock, toast })
}

/// Adds the join of one link to that of the run. In a star only the host's end is captured.
fn add(counted: &mut Join, joined: &Joined, both: bool) {
    counted.unrecorded += joined.a.without_record + joined.b.without_record;
    for (direction, counts) in joined.directions.iter().enumerate() {
        let seen_entering = both || direction == 0;
        let seen_leaving = both || direction == 1;
        counted.ambiguous += counts.ambiguous;
        counted.contradictions += counts.dropped_but_seen;
        if seen_entering {
            counted.not_in_a += counts.without_entry;
        }
        if seen_leaving {
            counted.not_in_b += counts.passed_not_seen + counts.copies_not_seen;
        }
        counted.joined += match (seen_entering, seen_leaving) {
            (true, true) => counts.joined,
            (true, false) => counts.records - counts.without_entry,
            _ => counts.passed - counts.passed_not_seen,
        };
    }
}

/// Packets and copies of a direction captured behind the link before they were to leave it, whatever the two clocks may
/// be off by.
fn early(direction: u16, log: &EngineLog<'_>, joined: &Joined, clock: &ClockMap) -> u64 {
    let of_it = log.records.iter().zip(&joined.records).filter(|(record, _)| record.direction == direction);
    let packets = of_it.filter(|(_, found)| !found.ambiguous).filter_map(|(record, found)| {
        let left = if direction == 0 { found.b_ts_ns } else { found.a_ts_ns };
        left.zip(record.intended_ns)
    });
    let copies = log.copies.iter().zip(&joined.copies).filter_map(|(copy, found)| {
        let record = log.records.get(copy.record as usize)?;
        let ambiguous = joined.records.get(copy.record as usize)?.ambiguous;
        let left = found.ts_ns.filter(|_| record.direction == direction && !ambiguous)?;
        Some((left, copy.intended_ns))
    });
    let early = packets.chain(copies).filter(|(left, intended)| {
        let uncertain = i64::try_from(clock.uncertainty(*intended)).unwrap_or(i64::MAX);
        left.saturating_add(uncertain) < clock.to_epoch(*intended)
    });
    early.count() as u64
}

/// What only the captures know of a direction: the delay from tap to tap, and the order of arrival.
fn fill_direction(
    number: u16,
    outcome: &DirectionOutcome,
    records: &[EngineRecord],
    joined: &Joined,
    summary: &mut Summary,
) {
    let Some(direction) = summary.directions.get_mut(&outcome.spec.name) else { return };
    let mut delays = Vec::new();
    let mut arrivals = Vec::new();
    let mut lost = 0u64;
    for (record, found) in records.iter().zip(&joined.records).filter(|(record, _)| record.direction == number) {
        let left = if number == 0 { found.b_ts_ns } else { found.a_ts_ns };
        // What the harness or a capture lost is no loss of the link: it has a delay that nobody knows.
        lost += u64::from(record.cause.is_drop());
        if let Some(link) = found.link_ns {
            delays.push(link as f64 / 1e6);
        }
        if let Some(left) = left.filter(|_| !record.cause.is_drop()) {
            arrivals.push((left, record.seq));
        }
    }
    direction.measured.one_way_delay_ms = Some(Distribution::with_missing(delays, lost, Missing::Excluded));
    arrivals.sort_unstable();
    // RFC 4737, section 3.3: reordered when the number is below the next one expected.
    let mut next_expected = 0;
    let mut reordered = 0;
    for (_, sequence) in &arrivals {
        if *sequence < next_expected {
            reordered += 1;
        } else {
            next_expected = sequence + 1;
        }
    }
    direction.measured.reordered = Some(Proportion::of(reordered, arrivals.len() as u64));
}

/// The decisions of a link, and the copies that left.
fn engine_log(pair: &[DirectionOutcome]) -> (Vec<EngineRecord>, Vec<EngineCopy>) {
    let (mut all, mut copies) = (Vec::new(), Vec::new());
    for (number, outcome) in (0u16..).zip(pair) {
        copies.extend(engine_copies(outcome, all.len()));
        let actual: HashMap<u64, Nanos> = outcome
            .releases
            .iter()
            .filter(|release| release.sent)
            .map(|release| (release.id, release.actual))
            .collect();
        all.extend(outcome.records.iter().map(|record| engine_record(number, record, &actual)));
    }
    (all, copies)
}

/// The copies of a direction that left, ascending by record and number, where the direction's records are to stand from
/// `first` on. What has no record is left out: like its packet it is one that no record knows of.
fn engine_copies(outcome: &DirectionOutcome, first: usize) -> Vec<EngineCopy> {
    if outcome.copies.is_empty() {
        return Vec::new();
    }
    let positions: HashMap<u64, u32> =
        (first as u32..).zip(&outcome.records).map(|(at, record)| (record.id(), at)).collect();
    let left = outcome.copies.iter().filter(|release| release.sent);
    let mut copies: Vec<EngineCopy> = left
        .filter_map(|release| {
            Some(EngineCopy {
                record: *positions.get(&release.id)?,
                number: release.copy.into(),
                intended_ns: release.intended.0,
                actual_ns: release.actual.0,
            })
        })
        .collect();
    copies.sort_unstable_by_key(|copy| (copy.record, copy.number));
    copies
}

/// Whether the link changed any packet on its way.
fn has_changed(pair: &[DirectionOutcome]) -> bool {
    pair.iter().any(|outcome| outcome.records.iter().any(|record| !record.fate.damage.is_none()))
}

/// Fills in what changed packets look like when they leave: from the captures where they entered.
fn change(
    pair: &[DirectionOutcome],
    records: &mut [EngineRecord],
    joined: &Joined,
    captured: [Option<&Captured>; 2],
) -> anyhow::Result<()> {
    let all: Vec<&Record> = pair.iter().flat_map(|outcome| &outcome.records).collect();
    for (point, captured) in [Point::A, Point::B].into_iter().zip(captured) {
        let Some(captured) = captured else { continue };
        let mut reader = Reader::open(&captured.spool)?;
        while let Some(packet) = reader.next_packet()? {
            let entered = joined.link(point, packet.index).filter(|link| link.role == Role::Entered);
            let Some(of) = entered.map(|link| link.record as usize) else { continue };
            let Some(record) = all.get(of).filter(|record| !record.fate.damage.is_none()) else { continue };
            let mut frame = packet.data.to_vec();
            let parts = parse::summary(&frame[..]).parts;
            if rewrite::damage(&mut frame[..], record.packet.len, &parts, &record.fate.damage).is_some()
                && let Some(place) = records.get_mut(of)
            {
                place.changed = key(&frame);
            }
        }
    }
    Ok(())
}

/// What the engine's own parser finds in a frame to know it again by; `None` for control packets.
fn key(frame: &[u8]) -> Option<Key> {
    let summary = parse::summary(frame);
    (summary.kind == Kind::Data).then_some(Key { flow_hash: summary.flow_hash, l4_checksum: summary.l4_checksum })
}

fn engine_record(direction: u16, record: &Record, actual: &HashMap<u64, Nanos>) -> EngineRecord {
    let cause = record.cause().map_or(join::Cause { code: record.fate.cause as u8, name: "unknown" }, |cause| {
        join::Cause { code: cause as u8, name: cause.name() }
    });
    EngineRecord {
        direction,
        seq: record.sequence,
        id: record.id(),
        arrival_ns: record.arrival().0,
        cause,
        rule: record.rule,
        intended_ns: (record.fate.cause == Cause::None as u32).then_some(record.release().0),
        actual_ns: actual.get(&record.id()).map(|actual| actual.0),
        len: record.packet.len,
        flow_hash: record.packet.flow_hash,
        l4_checksum: record.l4_checksum,
        changed: None,
    }
}

fn index(captured: Option<&Captured>) -> anyhow::Result<CaptureIndex> {
    let Some(captured) = captured else { return Ok(CaptureIndex::default()) };
    let mut reader = Reader::open(&captured.spool)?;
    Ok(CaptureIndex::read(&mut reader, key)?)
}

/// What the program at the port returned for a packet.
#[expect(clippy::unnecessary_wraps, reason = "the signature of `Annotation::verdict`")]
fn verdict(record: &EngineRecord) -> Option<Verdict> {
    Some(Verdict::Xdp(if record.cause.is_drop() { XDP_DROP } else { XDP_REDIRECT }))
}

/// Every TOAST datagram of a capture and when it was first seen.
fn toast_packets(spool: &Path) -> anyhow::Result<HashMap<ToastPacket, i64>> {
    let mut seen = HashMap::new();
    let mut reader = Reader::open(spool)?;
    while let Some(captured) = reader.next_packet()? {
        let Some(ts) = captured.ts_ns else { continue };
        let Some(layers) = packet::parse(captured.linktype, captured.data, captured.origlen) else { continue };
        let (Some(ip), Transport::Udp { source, .. }) = (layers.ip, layers.transport) else { continue };
        let (IpAddr::V4(address), Some(Recognised::Frame(frame))) = (ip.source, recognise(layers.payload)) else {
            continue;
        };
        let key = ToastPacket {
            source: SocketAddrV4::new(address, source),
            session: frame.session,
            sequence: frame.sequence,
            burst_index: frame.burst_index,
        };
        seen.entry(key).or_insert(ts);
    }
    Ok(seen)
}

/// What the report draws.
pub(super) fn plots(plan: &Plan, evidence: &Evidence) -> Plots {
    let compiled = evidence.links.iter().flat_map(|link| [&link.a_to_b, &link.b_to_a]);
    let directions: BTreeMap<String, DirectionPlot> = evidence
        .outcome
        .directions
        .iter()
        .zip(compiled)
        .map(|(outcome, compiled)| {
            let plot = DirectionPlot {
                packets: packets(outcome, evidence.start),
                treated: treated(outcome, evidence.start),
                intended_ns: judge::forwarded(outcome).map(judge::delay_ns).collect(),
                configured_cdf: configured_cdf(&compiled.expected, &compiled.channel),
                lateness_us: judge::lateness_ns(outcome).iter().map(|ns| *ns as f64 / 1e3).collect(),
            };
            (outcome.spec.name.clone(), plot)
        })
        .collect();
    let commands = commands::times_to_state(evidence, &plan.peer_names())
        .into_iter()
        .map(|(at_ns, time_to_state_ns)| CommandPoint { at_ns, time_to_state_ns })
        .collect();
    Plots { directions, commands }
}

fn packets(outcome: &DirectionOutcome, start: Nanos) -> Vec<PacketPoint> {
    let actual: HashMap<u64, Nanos> =
        outcome.releases.iter().filter(|release| release.sent).map(|release| (release.id, release.actual)).collect();
    outcome
        .records
        .iter()
        .map(|record| {
            let at_ns = record.arrival().saturating_sub(start).0;
            let outcome = match (record.cause(), actual.get(&record.id())) {
                (Some(shaper_common::fate::Cause::None), Some(actual)) => {
                    Outcome::Delivered { delay_ns: actual.saturating_sub(record.arrival()).0 }
                }
                (Some(shaper_common::fate::Cause::None), None) => Outcome::Dropped { cause: "harness".into() },
                (Some(cause), _) => Outcome::Dropped { cause: cause.name().into() },
                (None, _) => Outcome::Dropped { cause: "unknown".into() },
            };
            PacketPoint { at_ns, outcome }
        })
        .collect()
}

/// What was done to packets that left, and the copies that did, in the order of arrival.
fn treated(outcome: &DirectionOutcome, start: Nanos) -> Vec<Treated> {
    let is_treated = |record: &Record| record.fate.marked != 0 || !record.fate.damage.is_none();
    if outcome.copies.is_empty() && !outcome.records.iter().any(is_treated) {
        return Vec::new();
    }
    let all = outcome.releases.iter().chain(&outcome.copies).filter(|release| release.sent);
    let mut released: HashMap<u64, Vec<&Released>> = HashMap::new();
    for release in all {
        released.entry(release.id).or_default().push(release);
    }
    let of_record = |record: &Record| {
        let changed = (!record.fate.damage.is_none()).then_some(Treatment::Changed);
        let marked = (record.fate.marked != 0).then_some(Treatment::Marked);
        let done: Vec<Treatment> = changed.into_iter().chain(marked).collect();
        let arrival = record.arrival();
        let mut treated = Vec::new();
        for release in released.get(&record.id()).into_iter().flatten() {
            let how = if release.copy == 0 { done.as_slice() } else { &[Treatment::Copied] };
            treated.extend(how.iter().map(|how| Treated {
                at_ns: arrival.saturating_sub(start).0,
                delay_ns: release.actual.saturating_sub(arrival).0,
                how: *how,
            }));
        }
        treated
    };
    outcome.records.iter().flat_map(of_record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use shaper_common::layout::RawFate;
    use shaper_engine::{ChannelSpec, DirectionSpec};

    /// A direction of three packets, of which the second has these releases: copy number and whether it was sent.
    fn direction(number: u16, copies: &[(u8, bool)]) -> DirectionOutcome {
        let record = |sequence| {
            let fate = RawFate { release: Nanos(sequence), ..RawFate::default() };
            Record { sequence, direction: number, channel: number.into(), fate, ..Record::default() }
        };
        let records: Vec<Record> = (0..3).map(record).collect();
        let released = |copy, sent| {
            let intended = Nanos(1 + 10 * u64::from(copy));
            let actual = Nanos(intended.0 + 5);
            Released { id: records[1].id(), intended, actual, direction: number.into(), copy, sent }
        };
        let spec = DirectionSpec { name: "x".into(), channel: ChannelSpec::default(), ..DirectionSpec::default() };
        DirectionOutcome {
            spec,
            account: shaper_engine::Account::default(),
            oracle: shaper_engine::Verdict::default(),
            by_rule: Vec::new(),
            records_lost: 0,
            releases: vec![released(0, true)],
            copies: copies.iter().map(|&(copy, sent)| released(copy, sent)).collect(),
            records,
            lateness: Histogram::new(3).unwrap(),
        }
    }

    #[test]
    fn copies_that_left_stand_by_their_record_in_order() {
        let mut pair = [direction(0, &[(2, true), (1, true), (3, false)]), direction(1, &[(1, true)])];
        // One whose packet has no record.
        let stranger = Released { id: 77, ..pair[0].copies[0] };
        pair[0].copies.push(stranger);
        let (records, copies) = engine_log(&pair);
        assert_eq!(records.len(), 6);
        let copy = |record, number, intended_ns| EngineCopy { record, number, intended_ns, actual_ns: intended_ns + 5 };
        assert_eq!(copies, [copy(1, 1, 11), copy(1, 2, 21), copy(4, 1, 11)]);
        assert_eq!((records[4].direction, records[4].seq, records[4].actual_ns), (1, 1, Some(6)));
    }
}
