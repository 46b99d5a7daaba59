//! Loss on each link in three columns, and whether they add up.

use std::collections::{BTreeMap, HashMap};

use shaper_offline::stats::Distribution;

use super::Inputs;
use super::figures::{CAPACITY, summary};
use super::result::{ByCaptures, ByReceiver, ByRtcp, ByServer, Check, Direction, Joined, Leg};
use super::rtcp::{Said, missing, said_of_down, said_of_up};
use super::series::{Ranges, Series, span};
use super::streams::{Down, Flow, Link, Piece, Streams, Up};

/// How a packet that left the near end ended at the far one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crossing {
    Arrived,
    Lost,
    /// On its way when the far capture began or ended.
    AtEdge,
}

/// What becomes of packets on a link, by its captures.
pub(super) struct Judge<'a> {
    far: &'a Series,
    far_range: Option<(i64, i64)>,
    /// The longest that a packet of the stream took.
    longest: i64,
}

impl<'a> Judge<'a> {
    /// None without captures on both sides.
    pub(super) fn new(link: &'a Link) -> Option<Self> {
        let (near, far) = (link.near.as_ref()?, link.far.as_ref()?);
        let delays = far.iter().filter_map(|(number, time)| Some(time.saturating_sub(near.get(number)?)));
        Some(Self { far, far_range: link.far_range, longest: delays.max().unwrap_or(0).max(0) })
    }

    pub(super) fn crossing(&self, number: i64, left: i64) -> Crossing {
        if self.far.has(number) {
            return Crossing::Arrived;
        }
        match self.far_range {
            Some((first, last)) if left >= first && left.saturating_add(self.longest) < last => Crossing::Lost,
            _ => Crossing::AtEdge,
        }
    }
}

/// Counts what the captures say, and hands over the numbers that are lost or cannot be told.
fn by_captures(link: &Link, mut gone: impl FnMut(i64, i64, Crossing)) -> Option<ByCaptures> {
    let (near, far) = (link.near.as_ref()?, link.far.as_ref()?);
    let judge = Judge::new(link)?;
    let mut column = ByCaptures { left: near.len(), arrived: far.len(), ..ByCaptures::default() };
    column.duplicates = far.duplicates;
    for (number, time) in near.iter() {
        let crossing = judge.crossing(number, time);
        match crossing {
            Crossing::Arrived => continue,
            Crossing::Lost => column.lost += 1,
            Crossing::AtEdge => column.at_edge += 1,
        }
        gone(number, time, crossing);
    }
    column.missed_near = far.iter().filter(|(number, _)| !near.has(*number)).count() as u64;
    if let (Some(left), Some(arrived)) = (&link.near_again, &link.far_again) {
        column.retransmissions_left = left.len();
        column.retransmissions_lost = left.iter().filter(|(number, _)| !arrived.has(*number)).count() as u64;
    }
    Some(column)
}

fn delay(link: &Link) -> Option<super::result::Summary> {
    let (near, far) = (link.near.as_ref()?, link.far.as_ref()?);
    let mut delays = Distribution::with_capacity(CAPACITY);
    for (number, time) in far.iter() {
        if let Some(left) = near.get(number) {
            delays.push(time.saturating_sub(left));
        }
    }
    summary(&mut delays)
}

/// Drops that the engine tells, by SSRC.
type Drops<'a> = HashMap<(Direction, u32), Vec<&'a super::EngineDrop>>;

/// All legs, uplinks first.
pub(super) fn legs(inputs: &Inputs, streams: &Streams) -> Vec<Leg> {
    let mut drops: Drops<'_> = HashMap::new();
    for drop in inputs.drops.iter().chain(inputs.clients.iter().flat_map(|point| &point.drops)) {
        drops.entry((drop.direction, drop.ssrc)).or_default().push(drop);
    }
    let up_said = said_of_up(inputs);
    let down_said = said_of_down(inputs);
    let ups = streams.ups.values().map(|up| up_leg(up, up_said.get(&up.ssrc), &drops));
    let downs = streams.downs.values();
    let clocks = inputs.packets.as_ref().map(|log| &log.clocks);
    let wall = |moment: i64| clocks.map_or(moment, |clocks| clocks.wall(u64::try_from(moment).unwrap_or(0)));
    ups.chain(downs.map(|down| down_leg(down, streams, down_said.get(&down.ssrc), &drops, &wall))).collect()
}

/// Why numbers that the captures miss were dropped, as far as the engine says.
fn causes(drops: Option<&Vec<&super::EngineDrop>>, link: &Link, lost: &[i64]) -> BTreeMap<String, u64> {
    let mut causes = BTreeMap::new();
    let (Some(drops), Some(near)) = (drops, &link.near) else { return causes };
    let guide = near.guide();
    let mut by_number = HashMap::new();
    for drop in drops {
        if let Some(number) = guide.whole(drop.time_ns, drop.sequence) {
            by_number.entry(number).or_insert(drop.cause.as_str());
        }
    }
    for number in lost {
        let cause = by_number.get(number).copied().unwrap_or("not told by the engine");
        *causes.entry(cause.to_owned()).or_default() += 1;
    }
    causes
}

fn up_leg(up: &Up, said: Option<&Said>, drops: &Drops<'_>) -> Leg {
    let mut joined = Joined::default();
    let mut lost = Vec::new();
    let mut unseen_gaps = 0_u64;
    let taken = up.taken.as_ref();
    let is_taken = |number| taken.is_some_and(|taken| taken.has(number));
    let captures = by_captures(&up.link, |number, _, crossing| {
        let wanted = up.wanted.has(number);
        if crossing == Crossing::Lost {
            lost.push(number);
            match (is_taken(number), wanted) {
                (true, _) => joined.repaired += 1,
                (false, true) => joined.lost_for_good += 1,
                (false, false) => joined.not_witnessed += 1,
            }
        } else if wanted && !is_taken(number) {
            unseen_gaps += 1;
        }
    });
    if let (Some(sent), Some(near)) = (&up.sent, &up.link.near) {
        let far = |number| up.link.far.as_ref().is_some_and(|far| far.has(number));
        joined.not_left = sent.iter().filter(|(number, _)| !near.has(*number) && !far(*number)).count() as u64;
    }
    let mut checks = Vec::new();
    let receiver = taken.map(|taken| {
        let wanted: u64 = up.wanted.iter().map(span).sum();
        ByReceiver { received: taken.len(), repaired: None, missing: wanted.saturating_sub(taken.len()) }
    });
    if let (Some(far), Some(taken)) = (&up.link.far, taken) {
        let arrived = far.iter().filter(|(number, _)| up.wanted.has(*number) && !taken.has(*number));
        joined.not_taken = arrived.count() as u64;
        let in_capture = |number| far.has(number) || up.link.near.as_ref().is_some_and(|near| near.has(number));
        joined.unseen = taken.iter().filter(|(number, _)| !in_capture(*number)).count() as u64;
    }
    if let (Some(captures), Some(receiver)) = (&captures, &receiver) {
        let again = captures.retransmissions_left.saturating_sub(captures.retransmissions_lost);
        checks.push(Check::between(
            "repaired, of retransmissions that arrived",
            signed(joined.repaired),
            (0, signed(again)),
        ));
        let not_left = up.sent.as_ref().zip(up.link.near.as_ref()).map_or(0, |(sent, near)| {
            let silent = |number: i64| !near.has(number) && up.wanted.has(number) && !is_taken(number);
            let far = up.link.far.as_ref();
            sent.iter().filter(|(n, _)| silent(*n) && !far.is_some_and(|far| far.has(*n))).count() as u64
        });
        // The server's log alone on one side, captures and the tester's log on the other.
        let explained = joined.lost_for_good + joined.not_taken + unseen_gaps + not_left;
        checks.push(Check::equal(
            "missing at the server = lost for good + arrived and not sent on + never left",
            signed(receiver.missing),
            signed(explained),
        ));
    }
    let got = up.link.far.as_ref().map(|far| {
        let again = taken.into_iter().flat_map(Series::iter).filter(|(number, _)| !far.has(*number));
        far.iter().chain(again).collect::<Vec<_>>()
    });
    let doubt = signed(joined.not_witnessed);
    let rtcp = said.map(|said| column(said, got, up.video, &mut checks, doubt));
    Leg {
        direction: Direction::Uplink,
        client: up.name.clone(),
        ssrc: up.ssrc,
        video: up.video,
        captures,
        receiver,
        rtcp,
        server: None,
        joined: captures.map(|_| joined),
        checks,
        incomplete: up.link.incomplete,
        causes: causes(drops.get(&(Direction::Uplink, up.ssrc)), &up.link, &lost),
        delay: delay(&up.link),
    }
}

fn down_leg(down: &Down, streams: &Streams, said: Option<&Said>, drops: &Drops<'_>, wall: &dyn Fn(i64) -> i64) -> Leg {
    let mut joined = Joined::default();
    let mut lost = Vec::new();
    let (mut lost_outside, mut edge_inside) = (0_u64, 0_u64);
    let received = down.received.as_ref();
    let range = received.and_then(Series::range);
    let inside = |number: i64| range.is_some_and(|(first, last)| (first..=last).contains(&number));
    let is_received = |number| received.is_some_and(|received| received.has(number));
    let captures = by_captures(&down.link, |number, _, crossing| {
        if crossing == Crossing::Lost {
            lost.push(number);
            match is_received(number) {
                true => joined.repaired += 1,
                false => joined.lost_for_good += 1,
            }
            lost_outside += u64::from(!is_received(number) && !inside(number));
        } else {
            edge_inside += u64::from(inside(number) && !is_received(number));
        }
    });
    let mut checks = Vec::new();
    let column_received = received.map(|received| ByReceiver {
        received: received.len(),
        repaired: Some(down.repaired.len() as u64),
        missing: received.gaps(),
    });
    if let (Some(captures), Some(own)) = (&captures, &column_received) {
        add_joined(down, &mut joined, inside, lost_outside);
        let repaired = signed(own.repaired.unwrap_or(0)) - signed(joined.overtaken);
        let unseen = received.into_iter().flat_map(Series::iter).filter(|(number, _)| is_unseen(down, *number));
        let unseen_repaired = unseen.filter(|(number, _)| down.repaired.contains(number)).count() as u64;
        let at_edge = repaired_at_edge(down);
        // The captures alone on one side; on the other the receiver's own figures, less what was not
        // lost on this link.
        let for_good = signed(own.missing) - signed(joined.not_taken) - signed(joined.skipped) - signed(edge_inside);
        checks.push(Check::equal(
            "lost by captures = repaired + lost for good, by the receiver",
            signed(captures.lost),
            repaired - signed(unseen_repaired) - signed(at_edge) + for_good + signed(lost_outside),
        ));
    }
    let server = by_server(down, streams);
    if let (Some(server), Some(near)) = (&server, &down.link.near) {
        checks.push(Check::equal(
            "numbers that never left = the server's own losses + losses before it + out of order at a change + not seen to leave",
            signed(near.gaps()),
            signed(server.lost + server.lost_before + server.at_change + server.not_left),
        ));
    }
    let got = match (received, &down.link.far) {
        (Some(received), _) => Some(received.iter().map(|(number, moment)| (number, wall(moment))).collect()),
        (None, Some(far)) => Some(far.iter().collect::<Vec<_>>()),
        (None, None) => None,
    };
    let rtcp = said.map(|said| column(said, got, down.video, &mut checks, 0));
    Leg {
        direction: Direction::Downlink,
        client: down.name.clone(),
        ssrc: down.ssrc,
        video: down.video,
        captures,
        receiver: column_received,
        rtcp,
        server,
        joined: captures.filter(|_| received.is_some()).map(|_| joined),
        checks,
        incomplete: down.link.incomplete,
        causes: causes(drops.get(&(Direction::Downlink, down.ssrc)), &down.link, &lost),
        delay: delay(&down.link),
    }
}

fn is_unseen(down: &Down, number: i64) -> bool {
    let seen = |series: &Option<Series>| series.as_ref().is_some_and(|series| series.has(number));
    !seen(&down.link.near) && !seen(&down.link.far)
}

/// Numbers received as a retransmission of which the captures cannot tell that they were lost.
fn repaired_at_edge(down: &Down) -> u64 {
    let (Some(near), Some(judge)) = (&down.link.near, Judge::new(&down.link)) else { return 0 };
    let left = down.repaired.iter().filter_map(|number| Some((*number, near.get(*number)?)));
    left.filter(|(number, left)| judge.crossing(*number, *left) == Crossing::AtEdge).count() as u64
}

fn add_joined(down: &Down, joined: &mut Joined, inside: impl Fn(i64) -> bool, lost_outside: u64) {
    let (Some(near), Some(far), Some(received)) = (&down.link.near, &down.link.far, &down.received) else { return };
    let (mut taken_outside, mut known) = (0_u64, received.len());
    for (number, _) in far.iter().filter(|(number, _)| !received.has(*number)) {
        let counter = if inside(number) { &mut joined.not_taken } else { &mut taken_outside };
        *counter += 1;
        known += u64::from(inside(number));
    }
    let silent = |number: i64| !received.has(number) && !far.has(number) && inside(number);
    known += near.iter().filter(|(number, _)| silent(*number)).count() as u64;
    joined.skipped = received.range().map_or(0, span).saturating_sub(known);
    joined.overtaken = down.repaired.iter().filter(|number| far.has(**number)).count() as u64;
    joined.unseen = received.iter().filter(|(number, _)| is_unseen(down, *number)).count() as u64;
    joined.outside = lost_outside + taken_outside;
}

/// What the server did, by the mapping log, the capture of what came to it and that of what left.
fn by_server(down: &Down, streams: &Streams) -> Option<ByServer> {
    if down.flows.is_empty() {
        return None;
    }
    let mut server = ByServer { retransmitted: down.retransmitted, ..ByServer::default() };
    let near = down.link.near.as_ref();
    let bounds = near.and_then(Series::range);
    for flow in &down.flows {
        server.forwarded += flow.hops.len() as u64;
        let far = streams.ups.get(&flow.ssrc_in).and_then(|up| up.link.far.as_ref());
        let wanted: u64 = flow.wanted.iter().map(span).sum();
        let silent = wanted.saturating_sub(flow.hops.len() as u64);
        let (mut arrived, mut at_change) = (0_u64, 0_u64);
        if let Some(far) = far {
            let all = flow.wanted.iter().flat_map(|range| far.within(range));
            for (number, _) in all.filter(|(number, _)| flow.hop(*number).is_none()) {
                arrived += 1;
                let left = || flow.number_out(*number).zip(near).is_some_and(|(out, near)| near.has(out));
                at_change += u64::from(flow.is_outside(*number, far) && !left());
            }
        }
        server.at_change += at_change;
        // What left is no loss, whether or not the log has it.
        let (unlogged, unlogged_arrived) = near.map_or((0, 0), |near| unlogged(flow, near, far));
        server.unlogged += unlogged;
        server.lost += arrived.saturating_sub(unlogged_arrived + at_change);
        server.lost_before += silent.saturating_sub(arrived).saturating_sub(unlogged.saturating_sub(unlogged_arrived));
        let inside = |number: i64| bounds.is_some_and(|(first, last)| (first..=last).contains(&number));
        let gone = flow.hops.iter().filter(|hop| inside(hop.number_out));
        server.not_left += gone.filter(|hop| near.is_some_and(|near| !near.has(hop.number_out))).count() as u64;
    }
    // A piece goes on where the one before it ended, so what lies between was given a number and not sent.
    let pieces: Vec<(i64, i64)> = down.flows.iter().flat_map(|flow| flow.pieces.iter().map(Piece::range_out)).collect();
    let all = pieces.iter().copied().reduce(|all, piece| (all.0.min(piece.0), all.1.max(piece.1)));
    let within: u64 = Ranges::union(pieces).iter().map(span).sum();
    server.lost += all.map_or(0, span).saturating_sub(within);
    Some(server)
}

/// Packets that left the server and are not in its log, by their numbers; and those of them that are
/// seen to arrive there.
fn unlogged(flow: &Flow, near: &Series, far: Option<&Series>) -> (u64, u64) {
    let mut pieces: Vec<_> = flow.pieces.iter().map(|piece| (piece.range_out(), piece.added)).collect();
    pieces.sort_unstable();
    let (mut all, mut arrived, mut next) = (0, 0, i64::MIN);
    for ((first, last), added) in pieces {
        // Pieces of a sound log do not overlap; those of another are not gone through twice.
        for (number_out, _) in near.within((first.max(next), last)) {
            let number = number_out.wrapping_sub(added);
            if flow.hop(number).is_none() {
                all += 1;
                arrived += u64::from(far.is_some_and(|far| far.has(number)));
            }
        }
        next = next.max(last.saturating_add(1));
    }
    (all, arrived)
}

/// The column of RTCP, held against what was missing when the report was made.
fn column(said: &Said, got: Option<Vec<(i64, i64)>>, video: bool, checks: &mut Vec<Check>, doubt: i64) -> ByRtcp {
    let within = got.and_then(|got| missing(got, said, video));
    if let Some((least, most)) = within {
        let right = (least.saturating_sub(doubt), most);
        checks.push(Check::between("lost by RTCP = missing when the report was made", said.lost, right));
    }
    ByRtcp {
        lost: said.lost,
        at_ns: said.at,
        jitter_ns: said.jitter_ns,
        round_trip_ns: said.round_trip_ns,
        least: within.map(|within| within.0.saturating_sub(doubt)),
        most: within.map(|within| within.1),
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
