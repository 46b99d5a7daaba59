//! What the figures mean, in words.

use std::collections::{BTreeMap, BTreeSet};

use super::Inputs;
use super::capture::Point;
use super::figures::CLOCK_NS;
use super::result::{Direction, Finding, JoinedBy, Leg, PathReport, Severity};
use super::stops::stops;
use super::streams::{Streams, name_of};

/// Packets that arrived and were not received: no more than one in so many may be those that a link has made too late.
const LATE_ONE_IN: u64 = 200;

/// A tester that wakes later than this, at its 99th percentile, is late: half a packet of audio.
const LATE_NS: u64 = 10_000_000;
/// Packets that wait longer than this in the tester's or the server's host, at the 99th percentile, are its
/// own doing.
const SLOW_NS: i64 = 20_000_000;

/// Findings as they come.
pub(super) struct Notes(Vec<Finding>);

impl Notes {
    pub(super) fn add(&mut self, severity: Severity, kind: &str, text: String) {
        self.0.push(Finding { severity, kind: kind.to_owned(), text });
    }
}

/// The worst first.
pub(super) fn findings(inputs: &Inputs, streams: &Streams, report: &PathReport) -> Vec<Finding> {
    let mut notes = Notes(Vec::new());
    media(inputs, report, &mut notes);
    tester(inputs, report, &mut notes);
    completeness(inputs, streams, report, &mut notes);
    stops(inputs, streams, &mut notes);
    losses(report, &mut notes);
    checks(report, &mut notes);
    let mut findings = notes.0;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Whether there was media at all, and both ways.
fn media(inputs: &Inputs, report: &PathReport, notes: &mut Notes) {
    let Some(log) = &inputs.packets else { return };
    let mut sent = BTreeMap::<u32, u64>::new();
    let mut received = BTreeMap::<u32, u64>::new();
    let mut heard = BTreeSet::new();
    for packet in &log.sent {
        *sent.entry(packet.client).or_default() += 1;
    }
    for packet in &log.received {
        *received.entry(packet.client).or_default() += 1;
        heard.insert(packet.from);
    }
    if sent.is_empty() && received.is_empty() {
        notes.add(Severity::Error, "no_media", "no media: nothing was sent and nothing received".to_owned());
        return;
    }
    if received.is_empty() {
        let count: u64 = sent.values().sum();
        let text = format!("no media: {count} packets were sent, and nobody received any");
        notes.add(Severity::Error, "no_media", text);
        return;
    }
    // A server that makes payloads of its own; strangers among others are not that.
    let unknown = heard.iter().all(|from| *from == crate::packet_log::UNKNOWN);
    let wants: BTreeSet<u32> = log.streams.iter().filter(|stream| !stream.out).map(|stream| stream.client).collect();
    for (client, count) in &sent {
        // One that is alone in its room has nobody to hear or to be heard by.
        let name = name_of(*client);
        if !received.contains_key(client) && wants.contains(client) {
            let why = whereabouts(report, &name, Direction::Downlink);
            let text = format!("one-way: {name} sends ({count} packets) and gets nothing{why}");
            notes.add(Severity::Error, "one_way", text);
        }
        if !heard.contains(client) && !unknown {
            let wanted = report.pairs.iter().any(|pair| pair.from == name && pair.fates.packets > 0);
            let stopped = crossed(report, &name, Direction::Uplink).is_some_and(|(left, came)| left > 0 && came == 0);
            let severity = if wanted || stopped { Severity::Error } else { Severity::Warning };
            let why = whereabouts(report, &name, Direction::Uplink);
            let sent_on = if wanted { "" } else { "; the server sent none on" };
            let text = format!("one-way: nobody gets what {name} sends ({count} packets){why}{sent_on}");
            notes.add(severity, "one_way", text);
        }
    }
    for client in wants.iter().filter(|client| !sent.contains_key(client) && !received.contains_key(client)) {
        notes.add(
            Severity::Error,
            "no_media",
            format!("no media: {} sends nothing and gets nothing", name_of(*client)),
        );
    }
}

/// Packets of a client's link that left and that arrived, by its captures.
fn crossed(report: &PathReport, client: &str, direction: Direction) -> Option<(u64, u64)> {
    let legs = report.legs.iter().filter(|leg| leg.client == client && leg.direction == direction);
    let sum = |sum: (u64, u64), column: super::result::ByCaptures| (sum.0 + column.left, sum.1 + column.arrived);
    legs.filter_map(|leg| leg.captures).fold(None, |all, column| Some(sum(all.unwrap_or_default(), column)))
}

/// Where the captures last saw what did not come through.
fn whereabouts(report: &PathReport, client: &str, direction: Direction) -> String {
    let Some((left, arrived)) = crossed(report, client, direction) else { return String::new() };
    let (near, far) = match direction {
        Direction::Uplink => ("its host", "the server's"),
        Direction::Downlink => ("the server's host", "its own"),
    };
    match (left, arrived) {
        (0, 0) => format!(": none left {near}"),
        (_, 0) => format!(": {left} left {near}, none arrived at {far}: the link"),
        _ => format!(": {arrived} arrived at {far}"),
    }
}

/// Whether the tester itself, or the server, is what was measured.
fn tester(inputs: &Inputs, report: &PathReport, notes: &mut Notes) {
    if let Some(slip) = inputs.slip_p99_ns.filter(|slip| *slip > LATE_NS) {
        let text =
            format!("the tester was late: slip p99 {}: latencies are its own in part", milliseconds(slip as f64));
        notes.add(Severity::Warning, "tester_late", text);
    }
    for (what, piece) in [("sending", report.latency.sender), ("receiving", report.latency.receiver)] {
        if let Some(piece) = piece.filter(|piece| piece.p99 > SLOW_NS) {
            let (p99, p50) = (milliseconds(piece.p99 as f64), milliseconds(piece.p50 as f64));
            let text =
                format!("the tester was slow: {what} took p50 {p50}, p99 {p99} within its host, not on the link");
            notes.add(Severity::Warning, "tester_slow", text);
        }
    }
    if let Some(piece) = report.latency.server.filter(|piece| piece.p99 > SLOW_NS) {
        let (p99, p50) = (milliseconds(piece.p99 as f64), milliseconds(piece.p50 as f64));
        let text = format!("the server was slow: p50 {p50}, p99 {p99} within its host, not on a link");
        notes.add(Severity::Warning, "server_slow", text);
    }
    // Of a client that got nothing at all that is said, and its transport may never have come up.
    let got: BTreeSet<String> =
        inputs.packets.iter().flat_map(|log| &log.received).map(|packet| name_of(packet.client)).collect();
    let of_them = report.pairs.iter().filter(|pair| !got.contains(&pair.to)).map(|pair| pair.fates.lost_receiver);
    let not_taken = report.fates.lost_receiver.saturating_sub(of_them.sum());
    if not_taken > 0 {
        let text = format!(
            "the tester lost {not_taken} packets of its own ({}): they arrived at its host and were not received",
            percent(not_taken, report.fates.packets)
        );
        // RTP stacks take nothing that is a hundred numbers late: on a link that reorders as much, that is some.
        let few = not_taken.saturating_mul(LATE_ONE_IN) <= report.fates.packets;
        notes.add(if few { Severity::Warning } else { Severity::Error }, "tester_loss", text);
    }
    let not_left = report.fates.lost_sender;
    if not_left > 0 {
        let text =
            format!("{not_left} packets ({}) never left the sender's host", percent(not_left, report.fates.packets));
        notes.add(Severity::Warning, "sender_loss", text);
    }
}

/// Whether what figures are made of is whole.
fn completeness(inputs: &Inputs, streams: &Streams, report: &PathReport, notes: &mut Notes) {
    for point in inputs.server.iter().chain(&inputs.clients) {
        if point.dropped > 0 {
            let text = format!(
                "captures incomplete: the one at {} has lost {} packets: losses by captures may be its own",
                point.name, point.dropped
            );
            notes.add(Severity::Warning, "capture_incomplete", text);
        }
        if let Some(damage) = &point.damage {
            let text = format!("captures incomplete: the one at {} is damaged at {damage}", point.name);
            notes.add(Severity::Warning, "capture_incomplete", text);
        }
    }
    for point in inputs.server.iter().chain(&inputs.clients).filter(|point| is_of_another_time(inputs, point)) {
        let text = format!(
            "the capture at {} was not running while the packet log was written: it is of another run, or of another \
             clock",
            point.name
        );
        notes.add(Severity::Error, "foreign_capture", text);
    }
    let missed = report.legs.iter().filter_map(|leg| leg.captures).map(|column| column.missed_near).sum::<u64>();
    if missed > 0 {
        let text = format!(
            "captures incomplete: {missed} packets arrived at one end of a link that the capture at the other has not"
        );
        notes.add(Severity::Warning, "capture_incomplete", text);
    }
    let lost =
        |log: &str, records: u64| format!("the {log} lost {records} records: figures that need it are not whole");
    if let Some(map) = inputs.map.as_ref().filter(|map| map.lost > 0) {
        notes.add(Severity::Warning, "map_log_incomplete", lost("mapping log", map.lost));
    }
    if let Some(log) = inputs.packets.as_ref().filter(|log| log.lost > 0) {
        notes.add(Severity::Warning, "packet_log_incomplete", lost("packet log", log.lost));
    }
    if report.joined_by == JoinedBy::Nothing {
        let text =
            "no mapping log: each leg by itself; what the server lost, and its time, cannot be told from others'";
        notes.add(Severity::Info, "foreign_server", text.to_owned());
    }
    if !streams.ambiguous.is_empty() {
        let count = streams.ambiguous.len();
        let (severity, text) = if report.legs.is_empty() {
            let text = format!("all {count} SSRCs stand for more than one stream: nothing is told of any");
            (Severity::Error, text)
        } else {
            (Severity::Warning, format!("{count} SSRCs stand for more than one stream: they are left out"))
        };
        notes.add(severity, "ambiguous_ssrc", text);
    }
    let residue = report.largest_residue_ns;
    if residue > CLOCK_NS || report.negative > 0 {
        let text = format!(
            "clocks do not agree: the pieces differ from the latency end to end by up to {}, and {} packets have a piece that is clearly below zero",
            milliseconds(residue as f64),
            report.negative
        );
        notes.add(Severity::Error, "clocks", text);
    }
}

/// Whether a capture has nothing of the time of the packet log.
fn is_of_another_time(inputs: &Inputs, point: &Point) -> bool {
    let Some(log) = inputs.packets.as_ref().filter(|log| !log.clocks.is_empty()) else { return false };
    let times = || {
        let sent = log.sent.iter().map(|packet| packet.time_ns);
        sent.chain(log.received.iter().map(|packet| packet.time_ns)).map(|time_ns| log.clocks.wall(time_ns))
    };
    let Some(((first, last), (from, to))) = times().min().zip(times().max()).zip(point.range) else { return false };
    to < first || from > last
}

/// Who lost how much.
fn losses(report: &PathReport, notes: &mut Notes) {
    let (mut lost, mut forwarded) = (0, 0);
    let mut not_left = 0;
    for server in report.legs.iter().filter_map(|leg| leg.server) {
        lost += server.lost;
        forwarded += server.forwarded;
        not_left += server.not_left;
    }
    if lost > 0 {
        let share = percent(lost, forwarded + lost);
        let text = format!("the server lost {lost} packets of its own ({share}): they arrived and were not sent on");
        notes.add(Severity::Error, "server_loss", text);
    }
    if not_left > 0 {
        let text =
            format!("{not_left} packets that the server sent ({}) never left its host", percent(not_left, forwarded));
        notes.add(Severity::Warning, "server_host_loss", text);
    }
    let somewhere = report.fates.lost_somewhere;
    if somewhere > 0 {
        let share = percent(somewhere, report.fates.packets);
        let text = format!("{somewhere} packets ({share}) did not come, and no capture tells where they were lost");
        notes.add(Severity::Warning, "loss", text);
    }
    let at_change = report.fates.at_change;
    if at_change > 0 {
        let text = format!(
            "{at_change} packets ({}) came out of order where a stream began or changed, and were not taken: server and \
             receivers begin with the first packet that they get",
            percent(at_change, report.fates.packets)
        );
        notes.add(Severity::Info, "at_change", text);
    }
    let mut by_link = BTreeMap::<(Direction, &str), (u64, u64, Option<u64>)>::new();
    for leg in &report.legs {
        let Some(column) = leg.captures else { continue };
        let sum = by_link.entry((leg.direction, &leg.client)).or_default();
        sum.0 += column.lost;
        sum.1 += column.left;
        if let Some(joined) = leg.joined {
            *sum.2.get_or_insert(0) += joined.repaired;
        }
    }
    for ((direction, client), (lost, left, repaired)) in by_link {
        if lost == 0 {
            continue;
        }
        let way = match direction {
            Direction::Uplink => "up",
            Direction::Downlink => "down",
        };
        let share = percent(lost, left);
        let repaired = repaired.map_or_else(
            || "whether they were repaired no log tells".to_owned(),
            |repaired| format!("{repaired} were repaired"),
        );
        let text = format!("the link of {client} lost {lost} packets {way} ({share}); {repaired}");
        notes.add(Severity::Info, "link_loss", text);
    }
}

/// Where columns do not add up.
fn checks(report: &PathReport, notes: &mut Notes) {
    for leg in &report.legs {
        for check in leg.checks.iter().filter(|check| !check.holds) {
            let (least, most) = check.right;
            let right = if least == most { least.to_string() } else { format!("{least} to {most}") };
            let text = format!("{} does not add up: {}: {}, not {right}", leg_name(leg), check.what, check.left);
            notes.add(Severity::Warning, "does_not_add_up", text);
        }
    }
}

/// A leg in words.
pub(super) fn leg_name(leg: &Leg) -> String {
    let (kind, way) = match (leg.video, leg.direction) {
        (true, Direction::Uplink) => ("video", "from"),
        (true, Direction::Downlink) => ("video", "to"),
        (false, Direction::Uplink) => ("audio", "from"),
        (false, Direction::Downlink) => ("audio", "to"),
    };
    format!("{kind} {way} {} (SSRC {})", leg.client, leg.ssrc)
}

/// Nanoseconds in milliseconds.
pub(super) fn milliseconds(ns: f64) -> String {
    format!("{:.3} ms", ns / 1e6)
}

/// A share in per cent.
pub(super) fn percent(part: u64, of: u64) -> String {
    if of == 0 { "0 %".to_owned() } else { format!("{:.2} %", 100.0 * part as f64 / of as f64) }
}
