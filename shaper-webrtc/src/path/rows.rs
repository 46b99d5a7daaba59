//! One row for each packet and receiver: what became of it, and where its time went.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use shaper_offline::stats::{Budget, Distribution};

use super::Inputs;
use super::clocks::Clocks;
use super::figures::{CAPACITY, CLOCK_NS, budget, summary};
use super::legs::{Crossing, Judge};
use super::result::{Fates, Latency, Pair};
use super::streams::{Down, Flow, Hop, Streams, Up, server_clocks};

/// Further off than the clocks of a host are from each other: what is taken that long before it arrives was taken from
/// another packet.
const OVERTAKEN_NS: i64 = 100_000;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delivered,
    Repaired,
    LostSender,
    LostUplink,
    LostServer,
    LostDownlink,
    LostReceiver,
    LostSomewhere,
    AtChange,
    InFlight,
}

impl Fate {
    fn count(self, fates: &mut Fates) {
        fates.packets += 1;
        let counter = match self {
            Fate::Delivered => &mut fates.delivered,
            Fate::Repaired => &mut fates.repaired,
            Fate::LostSender => &mut fates.lost_sender,
            Fate::LostUplink => &mut fates.lost_uplink,
            Fate::LostServer => &mut fates.lost_server,
            Fate::LostDownlink => &mut fates.lost_downlink,
            Fate::LostReceiver => &mut fates.lost_receiver,
            Fate::LostSomewhere => &mut fates.lost_somewhere,
            Fate::AtChange => &mut fates.at_change,
            Fate::InFlight => &mut fates.in_flight,
        };
        *counter += 1;
    }

    fn name(self) -> &'static str {
        match self {
            Fate::Delivered => "delivered",
            Fate::Repaired => "repaired",
            Fate::LostSender => "lost_sender",
            Fate::LostUplink => "lost_uplink",
            Fate::LostServer => "lost_server",
            Fate::LostDownlink => "lost_downlink",
            Fate::LostReceiver => "lost_receiver",
            Fate::LostSomewhere => "lost_somewhere",
            Fate::AtChange => "at_change",
            Fate::InFlight => "in_flight",
        }
    }
}

/// Wall times of one packet at all points, each where it is known.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    sent: Option<i64>,
    sender: Option<i64>,
    server_in: Option<i64>,
    log_in: Option<i64>,
    log_out: Option<i64>,
    server_out: Option<i64>,
    receiver: Option<i64>,
    received: Option<i64>,
    /// By the tester's CLOCK_MONOTONIC.
    end_to_end: Option<i64>,
}

/// Differences between neighbouring times.
type Pieces = [i64; 5];

impl Times {
    /// Whether the server or the receiver had it before its original arrived.
    fn is_overtaken(&self) -> bool {
        let before = |taken: Option<i64>, arrived: Option<i64>| {
            taken.zip(arrived).is_some_and(|(taken, arrived)| taken < arrived.saturating_sub(OVERTAKEN_NS))
        };
        before(self.log_in, self.server_in) || before(self.received, self.receiver)
    }

    fn pieces(&self) -> Option<Pieces> {
        let times = [self.sent?, self.sender?, self.server_in?, self.server_out?, self.receiver?, self.received?];
        let mut pieces = Pieces::default();
        for (piece, two) in pieces.iter_mut().zip(times.windows(2)) {
            if let [before, after] = two {
                *piece = after.saturating_sub(*before);
            }
        }
        Some(pieces)
    }
}

/// Distributions of one pair, or of all.
struct Tally {
    fates: Fates,
    pieces: [Distribution; 5],
    forwarding: Distribution,
    end_to_end: Distribution,
    repaired: Vec<i64>,
    repaired_end_to_end: Distribution,
}

impl Tally {
    fn new(budget: &Budget) -> Self {
        let empty = || Distribution::within(CAPACITY, budget);
        Self {
            fates: Fates::default(),
            pieces: std::array::from_fn(|_| empty()),
            forwarding: empty(),
            end_to_end: empty(),
            repaired: Vec::new(),
            repaired_end_to_end: empty(),
        }
    }

    fn add(&mut self, fate: Fate, times: &Times) {
        fate.count(&mut self.fates);
        let Some(end_to_end) = times.end_to_end else { return };
        match (fate, times.pieces()) {
            (Fate::Repaired, _) => {
                self.repaired_end_to_end.push(end_to_end);
                if self.repaired.len() < CAPACITY {
                    self.repaired.push(end_to_end);
                }
            }
            (Fate::Delivered, Some(pieces)) => {
                for (distribution, piece) in self.pieces.iter_mut().zip(pieces) {
                    distribution.push(piece);
                }
                if let (Some(came), Some(left)) = (times.log_in, times.log_out) {
                    self.forwarding.push(left.saturating_sub(came));
                }
                self.end_to_end.push(end_to_end);
            }
            _ => {}
        }
    }

    fn latency(mut self) -> Latency {
        let [sender, uplink, server, downlink, receiver] = self.pieces.each_mut().map(summary);
        let end_to_end = summary(&mut self.end_to_end);
        let mut wait = Distribution::with_capacity(CAPACITY);
        for late in end_to_end.iter().flat_map(|usual| self.repaired.iter().map(|late| late.saturating_sub(usual.p50)))
        {
            wait.push(late);
        }
        Latency {
            sender,
            uplink,
            server,
            server_forwarding: summary(&mut self.forwarding),
            downlink,
            receiver,
            end_to_end,
            repaired_end_to_end: summary(&mut self.repaired_end_to_end),
            repair_wait: summary(&mut wait),
        }
    }
}

/// What rows come to.
pub(super) struct Rows {
    pub(super) fates: Fates,
    pub(super) latency: Latency,
    pub(super) pairs: Vec<Pair>,
    pub(super) largest_residue: i64,
    pub(super) negative: u64,
}

/// The columns of the file of rows.
const HEADER: &str = "from,to,video,track_number,ssrc_in,sequence_in,ssrc_out,sequence_out,fate,sent_ns,sender_capture_ns,\
                      server_capture_in_ns,server_log_in_ns,server_log_out_ns,server_capture_out_ns,\
                      receiver_capture_ns,received_ns,end_to_end_ns";

/// Goes through all packets, and writes a row for each if there is a place for them. Without a mapping
/// log there is nothing to go through.
pub(super) fn rows(inputs: &Inputs, streams: &Streams, mut csv: Option<&mut dyn Write>) -> io::Result<Rows> {
    let walk = Walk::new(inputs);
    if let Some(csv) = &mut csv {
        writeln!(csv, "{HEADER}")?;
    }
    let budget = budget();
    let mut all = Tally::new(&budget);
    let mut pairs = BTreeMap::<(String, String), Tally>::new();
    let (mut largest_residue, mut negative) = (0, 0);
    for down in streams.downs.values() {
        let judge = Judge::new(&down.link);
        let ended = down.ended.unwrap_or(walk.tester_end);
        let last_flow = down.flows.iter().max_by_key(|flow| flow.hops.iter().map(|hop| hop.time_out).max());
        for flow in &down.flows {
            let Some(up) = streams.ups.get(&flow.ssrc_in) else { continue };
            let pair = pairs.entry((up.name.clone(), down.name.clone())).or_insert_with(|| Tally::new(&budget));
            let up_judge = Judge::new(&up.link);
            let numbers: HashMap<i64, u32> = match csv {
                Some(_) => up.numbers.iter().copied().collect(),
                None => HashMap::new(),
            };
            let mut of_flow = 0;
            let mut each = |number: i64, csv: &mut Option<&mut dyn Write>| -> io::Result<()> {
                of_flow += 1;
                let hop = flow.hop(number);
                // A packet that left is no loss of the server's, whether or not its log has it.
                let left = |out: &i64| down.link.near.as_ref().is_some_and(|near| near.has(*out));
                let out = hop.map(|hop| hop.number_out).or_else(|| flow.number_out(number).filter(left));
                let times = walk.times(up, down, number, hop, out);
                let mut fate = fate(up, down, number, out, up_judge.as_ref(), judge.as_ref());
                fate = match fate {
                    // What was taken before it arrived came as a retransmission, and the original behind it.
                    Fate::Delivered if times.is_overtaken() => Fate::Repaired,
                    // A client that has left takes nothing.
                    Fate::LostReceiver if times.receiver.is_some_and(|time| time >= ended) => Fate::InFlight,
                    Fate::LostReceiver if down.first_received.zip(out).is_some_and(|(first, out)| out < first) => {
                        Fate::AtChange
                    }
                    Fate::LostServer if up.link.far.as_ref().is_some_and(|far| flow.is_outside(number, far)) => {
                        Fate::AtChange
                    }
                    fate => fate,
                };
                pair.add(fate, &times);
                all.add(fate, &times);
                if let (Fate::Delivered, Some(pieces), Some(end_to_end)) = (fate, times.pieces(), times.end_to_end) {
                    let residue = pieces
                        .iter()
                        .fold(0_i64, |sum, piece| sum.saturating_add(*piece))
                        .saturating_sub(end_to_end)
                        .saturating_abs();
                    largest_residue = largest_residue.max(residue);
                    negative += u64::from(pieces.iter().any(|piece| *piece < -CLOCK_NS));
                }
                match csv {
                    Some(csv) => write_row(*csv, up, down, number, out, numbers.get(&number), fate, &times),
                    None => Ok(()),
                }
            };
            // What the tester sent; without its log, what the server sent on.
            match &up.sent {
                Some(sent) => {
                    let behind = last_flow.filter(|last| last.ssrc_in == flow.ssrc_in).map(|_| unseen_end(up, flow));
                    let behind = behind.unwrap_or_default().iter().filter(|(_, time)| walk.of_tester(*time) < ended);
                    for (number, _) in flow.wanted.iter().flat_map(|range| sent.within(range)).chain(behind) {
                        each(*number, &mut csv)?;
                    }
                }
                None => {
                    for hop in &flow.hops {
                        each(hop.number_in, &mut csv)?;
                    }
                }
            }
            let not_forwarded = up.sent.as_ref().map_or(0, |sent| sent.len().saturating_sub(of_flow));
            pair.fates.not_forwarded += not_forwarded;
            all.fates.not_forwarded += not_forwarded;
        }
    }
    let pairs = pairs.into_iter();
    let pairs = pairs.map(|((from, to), tally)| Pair { from, to, fates: tally.fates, latency: tally.latency() });
    Ok(Rows { fates: all.fates, pairs: pairs.collect(), latency: all.latency(), largest_residue, negative })
}

/// Packets that were sent behind the last that the server sent on, if nothing arrived there any more: where they got lost the
/// captures of the uplink tell. What did arrive the server may have had a reason to keep.
fn unseen_end<'s>(up: &'s Up, flow: &Flow) -> &'s [(i64, i64)] {
    let (Some(sent), Some(_), Some(far)) = (&up.sent, &up.link.near, &up.link.far) else { return &[] };
    let Some((_, last)) = flow.wanted.iter().last() else { return &[] };
    if far.range().is_some_and(|(_, arrived)| arrived > last) {
        &[]
    } else {
        sent.within((last.saturating_add(1), i64::MAX))
    }
}

struct Walk {
    tester: Clocks,
    server: Clocks,
    /// When the tester last sent or received anything.
    tester_end: i64,
}

impl Walk {
    fn new(inputs: &Inputs) -> Self {
        let tester = inputs.packets.as_ref().map(|log| log.clocks.clone()).unwrap_or_default();
        let logs = || inputs.packets.iter();
        let sent = logs().flat_map(|log| &log.sent).map(|packet| packet.time_ns);
        let last = sent.chain(logs().flat_map(|log| &log.received).map(|packet| packet.time_ns)).max();
        let tester_end = last.map_or(i64::MAX, |last| tester.wall(last));
        Self { tester, server: server_clocks(inputs), tester_end }
    }

    /// Wall time of a moment in the tester's log.
    fn of_tester(&self, moment: i64) -> i64 {
        self.tester.wall(u64::try_from(moment).unwrap_or(0))
    }

    fn times(&self, up: &Up, down: &Down, number: i64, hop: Option<&Hop>, out: Option<i64>) -> Times {
        let wall = |moment: i64| self.of_tester(moment);
        let sent = up.sent.as_ref().and_then(|sent| sent.get(number));
        let received = down.received.as_ref().zip(out).and_then(|(received, out)| received.get(out));
        Times {
            sent: sent.map(wall),
            sender: up.link.near.as_ref().and_then(|near| near.get(number)),
            server_in: up.link.far.as_ref().and_then(|far| far.get(number)),
            log_in: hop.map(|hop| self.server.wall(hop.time_in)),
            log_out: hop.map(|hop| self.server.wall(hop.time_out)),
            server_out: down.link.near.as_ref().zip(out).and_then(|(near, out)| near.get(out)),
            receiver: down.link.far.as_ref().zip(out).and_then(|(far, out)| far.get(out)),
            received: received.map(wall),
            end_to_end: received.zip(sent).map(|(received, sent)| received.saturating_sub(sent)),
        }
    }
}

fn fate(
    up: &Up,
    down: &Down,
    number: i64,
    out: Option<i64>,
    up_judge: Option<&Judge<'_>>,
    judge: Option<&Judge<'_>>,
) -> Fate {
    let arrived = up.link.far.as_ref().map(|far| far.has(number));
    let Some(out) = out else {
        return match (up.link.near.as_ref().map(|near| near.get(number)), arrived, up_judge) {
            (_, Some(true), _) => Fate::LostServer,
            (Some(None), _, _) => Fate::LostSender,
            (Some(Some(left)), _, Some(judge)) if judge.crossing(number, left) == Crossing::AtEdge => Fate::InFlight,
            (Some(Some(_)), Some(false), _) => Fate::LostUplink,
            _ => Fate::LostSomewhere,
        };
    };
    let has = |series: &Option<super::series::Series>| series.as_ref().map(|series| series.has(out));
    let (left, reached) = (has(&down.link.near), has(&down.link.far));
    match has(&down.received) {
        Some(true) => {
            let again =
                down.repaired.contains(&out) || arrived == Some(false) || left == Some(true) && reached == Some(false);
            if again { Fate::Repaired } else { Fate::Delivered }
        }
        // No log of the receiver: its capture stands for it.
        None if reached == Some(true) => Fate::Delivered,
        // Nobody looked where it was to arrive.
        None if reached.is_none() && left != Some(false) => Fate::InFlight,
        _ => match (down.link.near.as_ref().map(|near| near.get(out)), reached, judge) {
            (_, Some(true), _) => Fate::LostReceiver,
            (Some(None), _, _) => Fate::LostServer,
            (Some(Some(left)), _, Some(judge)) if judge.crossing(out, left) == Crossing::AtEdge => Fate::InFlight,
            (Some(Some(_)), Some(false), _) => Fate::LostDownlink,
            _ => Fate::LostSomewhere,
        },
    }
}

#[expect(clippy::too_many_arguments, reason = "the columns of a row")]
fn write_row(
    csv: &mut dyn Write,
    up: &Up,
    down: &Down,
    number: i64,
    out: Option<i64>,
    track_number: Option<&u32>,
    fate: Fate,
    times: &Times,
) -> io::Result<()> {
    let or_nothing = |value: Option<i64>| value.map_or_else(String::new, |value| value.to_string());
    // The wire has the lower 16 bits.
    let (sequence_in, sequence_out) = (number as u16, out.map(|out| i64::from(out as u16)));
    write!(csv, "{},{},{},", up.name, down.name, up.video)?;
    write!(csv, "{},{},{sequence_in},", or_nothing(track_number.map(|of| i64::from(*of))), up.ssrc)?;
    write!(csv, "{},{},{}", down.ssrc, or_nothing(sequence_out), fate.name())?;
    let columns = [
        times.sent,
        times.sender,
        times.server_in,
        times.log_in,
        times.log_out,
        times.server_out,
        times.receiver,
        times.received,
        times.end_to_end,
    ];
    for column in columns {
        write!(csv, ",{}", or_nothing(column))?;
    }
    writeln!(csv)
}
