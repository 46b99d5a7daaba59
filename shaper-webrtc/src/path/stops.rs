//! Streams that end before their senders do, and logs that end before the captures do. No number is missing between two
//! others there, so nothing else here sees it.

use std::collections::{BTreeSet, HashMap};

use super::Inputs;
use super::findings::Notes;
use super::result::Severity;
use super::series::Series;
use super::streams::{Down, Streams, Up, server_clocks};

/// What ends this much before it should has stopped: a sender that is silent sends comfort noise more often.
const STOPPED_NS: i64 = 2_000_000_000;
/// Streams that a finding names.
const NAMED: usize = 8;

/// How far one stream to a client got, wall times.
struct Way<'s> {
    down: &'s Down,
    from: &'s str,
    /// Left the server, by its log or its capture, or came behind that.
    left: i64,
    /// Sent by whoever sends it.
    sent: i64,
    /// Arrived at the server's host; none without its capture.
    arrived: Option<i64>,
}

pub(super) fn stops(inputs: &Inputs, streams: &Streams, notes: &mut Notes) {
    logs(inputs, streams, notes);
    let ways: Vec<Way<'_>> = streams.downs.values().filter_map(|down| Way::of(inputs, streams, down)).collect();
    let mut last_left = HashMap::<&str, i64>::new();
    for way in &ways {
        let last = last_left.entry(&way.down.name).or_insert(way.left);
        *last = (*last).max(way.left);
    }
    let clocks = server_clocks(inputs);
    let replaced: Vec<i64> = inputs.map.iter().flat_map(|map| &map.replaced).map(|end| clocks.wall(*end)).collect();
    let last_of_all = last_left.values().copied().max().unwrap_or(i64::MIN);
    let (mut before, mut by_server, mut severity) = (BTreeSet::new(), Vec::new(), Severity::Warning);
    for way in &ways {
        let behind = |end: i64| end.min(way.down.ended.unwrap_or(i64::MAX)).saturating_sub(way.left);
        let (unsent, kind) = (behind(way.sent), if way.down.video { "video" } else { "audio" });
        if unsent <= STOPPED_NS {
            continue;
        }
        match way.arrived.map(behind) {
            Some(arrived) if arrived > STOPPED_NS => {
                let packets = way.arrived_behind(streams);
                let (from, to, gone) = (way.from, &way.down.name, seconds(arrived));
                by_server.push(format!("{kind} from {from} to {to}: {packets} packets in the last {gone}"));
                // A receiver to which nothing at all is sent any more may have lost its transport.
                let to_it = last_left.get(to.as_str()).copied().unwrap_or(way.left);
                let is_gone =
                    to_it.saturating_sub(way.left) <= STOPPED_NS && last_of_all.saturating_sub(way.left) > STOPPED_NS;
                // With a server that another one replaced its streams end.
                let is_replaced = replaced.iter().any(|end| end.abs_diff(way.left) <= STOPPED_NS.unsigned_abs());
                if !is_gone && !is_replaced {
                    severity = Severity::Error;
                }
            }
            Some(_) => {
                before.insert(format!(
                    "{kind} from {}: nothing arrived at the server's host in the last {}",
                    way.from,
                    seconds(unsent)
                ));
            }
            None => {
                before.insert(format!(
                    "{kind} from {} to {}: nothing was sent on in the last {}; without the server's capture nobody \
                     knows why",
                    way.from,
                    way.down.name,
                    seconds(unsent)
                ));
            }
        }
    }
    if !by_server.is_empty() {
        let text = format!(
            "the server stopped sending on {} while {} packets went on arriving: {}",
            if by_server.len() == 1 { "1 stream".to_owned() } else { format!("{} streams", by_server.len()) },
            if by_server.len() == 1 { "its" } else { "their" },
            listed(&by_server)
        );
        notes.add(severity, "server_stopped", text);
    }
    if !before.is_empty() {
        let text = format!("streams ended while their senders went on: {}", listed(&before));
        notes.add(Severity::Warning, "stopped", text);
    }
}

impl<'s> Way<'s> {
    /// None of what never was sent on, or whose receiver has no log, so that nobody knows when it left.
    fn of(inputs: &Inputs, streams: &'s Streams, down: &'s Down) -> Option<Self> {
        down.received.as_ref().filter(|received| !received.is_empty())?;
        let clocks = server_clocks(inputs);
        let by_log = down.flows.iter().flat_map(|flow| &flow.hops).map(|hop| hop.time_out).max()?;
        let by_capture = down.link.near.as_ref().and_then(Series::last_time);
        let ups = || down.flows.iter().filter_map(|flow| streams.ups.get(&flow.ssrc_in));
        let wall = |moment: i64| {
            let log = inputs.packets.as_ref();
            log.map_or(moment, |log| log.clocks.wall(u64::try_from(moment).unwrap_or(0)))
        };
        let sent_of = |up: &Up| match &up.sent {
            Some(sent) => sent.last_time().map(wall),
            None => [&up.link.near, &up.link.far].into_iter().flatten().filter_map(Series::last_time).max(),
        };
        let arrived = |up: &'s Up| up.link.far.as_ref();
        let is_captured = ups().any(|up| arrived(up).is_some());
        Some(Self {
            down,
            from: ups().next().map_or("unknown", |up| &up.name),
            left: [Some(clocks.wall(by_log)), by_capture, received_behind(inputs, down)].into_iter().max().flatten()?,
            sent: ups().filter_map(sent_of).max()?,
            arrived: is_captured
                .then(|| ups().filter_map(arrived).filter_map(Series::last_time).max().unwrap_or(i64::MIN)),
        })
    }

    /// Packets that arrived at the server's host, for this receiver, behind the last that left.
    fn arrived_behind(&self, streams: &Streams) -> usize {
        let ups = self.down.flows.iter().filter_map(|flow| streams.ups.get(&flow.ssrc_in));
        let times = ups.filter_map(|up| up.link.far.as_ref()).flat_map(Series::iter).map(|(_, time)| time);
        let until = self.down.ended.unwrap_or(i64::MAX);
        times.filter(|time| (self.left..=until).contains(time)).count()
    }
}

/// Logs that end before what the captures saw of the same streams.
fn logs(inputs: &Inputs, streams: &Streams, notes: &mut Notes) {
    let mut told = |name: &str, kind: &str, log: Option<i64>, seen: Option<i64>| {
        let Some(missing) = log.zip(seen).map(|(log, seen)| seen.saturating_sub(log)) else { return };
        if missing > STOPPED_NS {
            let text = format!(
                "the {name} ends {} before the last packet of its streams that others saw: whoever wrote it was ended, \
                 and what came behind is not accounted for",
                seconds(missing)
            );
            notes.add(Severity::Error, kind, text);
        }
    };
    if let Some(map) = &inputs.map {
        let log = map.forwarded.iter().map(|packet| packet.time_out_ns).max();
        let by_capture = last(streams.downs.values().map(|down| down.link.near.as_ref()));
        let by_receiver = streams.downs.values().filter_map(|down| received_behind(inputs, down)).max();
        let seen = by_capture.max(by_receiver);
        told("mapping log", "map_log_incomplete", log.map(|last| server_clocks(inputs).wall(last)), seen);
    }
    if let Some(log) = &inputs.packets {
        let times = log.sent.iter().map(|packet| packet.time_ns);
        let times = times.chain(log.received.iter().map(|packet| packet.time_ns)).max();
        let ups = streams.ups.values().map(|up| up.link.near.as_ref());
        let seen = last(ups.chain(streams.downs.values().map(|down| down.link.far.as_ref())));
        told("packet log", "packet_log_incomplete", times.map(|last| log.clocks.wall(last)), seen);
    }
}

/// When a receiver got the last packet of a stream, if that has a higher number than any in the mapping log.
fn received_behind(inputs: &Inputs, down: &Down) -> Option<i64> {
    let logged = down.flows.iter().flat_map(|flow| &flow.hops).map(|hop| hop.number_out).max()?;
    let received = down.received.as_ref().filter(|received| received.range().is_some_and(|(_, last)| last > logged))?;
    let last = u64::try_from(received.last_time()?).unwrap_or(0);
    inputs.packets.as_ref().map(|log| log.clocks.wall(last))
}

/// When anything was last seen of some series.
fn last<'s>(series: impl Iterator<Item = Option<&'s Series>>) -> Option<i64> {
    series.flatten().filter_map(Series::last_time).max()
}

fn listed<'t>(all: impl IntoIterator<Item = &'t String, IntoIter: ExactSizeIterator>) -> String {
    let all = all.into_iter();
    let more = all.len().saturating_sub(NAMED);
    let named: Vec<&str> = all.take(NAMED).map(String::as_str).collect();
    let named = named.join("; ");
    if more > 0 { format!("{named}; and {more} more") } else { named }
}

fn seconds(ns: i64) -> String {
    format!("{:.1} s", ns as f64 / 1e9)
}
