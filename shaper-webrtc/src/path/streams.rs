//! All that is known of each stream, with whole numbers that mean the same at every point.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Inputs;
use super::capture::Point;
use super::clocks::Clocks;
use super::logs::{MapLog, PacketLog};
use super::series::{Ranges, Series};
use super::unwrap::{Guide, Unwrapper};

/// A stream from a client to the server.
#[derive(Debug, Default)]
pub(super) struct Up {
    pub(super) ssrc: u32,
    pub(super) name: String,
    pub(super) video: bool,
    /// Handed to the transport, CLOCK_MONOTONIC.
    pub(super) sent: Option<Series>,
    /// Number of the stream and of the track.
    pub(super) numbers: Vec<(i64, u32)>,
    pub(super) link: Link,
    /// Sent on to anybody, and when received, wall time.
    pub(super) taken: Option<Series>,
    /// What was to be sent on to anybody.
    pub(super) wanted: Ranges,
    guide: Guide,
}

/// A stream from the server to a client.
#[derive(Debug, Default)]
pub(super) struct Down {
    pub(super) ssrc: u32,
    pub(super) name: String,
    pub(super) video: bool,
    /// Where it comes from, by the mapping log.
    pub(super) flows: Vec<Flow>,
    pub(super) link: Link,
    /// Handed to the application, CLOCK_MONOTONIC.
    pub(super) received: Option<Series>,
    /// When the receiver last said anything of the stream, wall time; none if it never did.
    pub(super) ended: Option<i64>,
    /// The number that came first.
    pub(super) first_received: Option<i64>,
    /// Those of them that came as a retransmission.
    pub(super) repaired: BTreeSet<i64>,
    /// Sent again, by the mapping log.
    pub(super) retransmitted: u64,
    pub(super) guide: Guide,
}

/// The captures on both sides of a link, of one stream. None without a capture.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) near: Option<Series>,
    pub(super) far: Option<Series>,
    pub(super) near_again: Option<Series>,
    pub(super) far_again: Option<Series>,
    /// Times of the first and last packet of any kind in the far capture.
    pub(super) far_range: Option<(i64, i64)>,
    /// Whether one of the captures has lost packets or is damaged.
    pub(super) incomplete: bool,
}

/// A packet on its way through the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) number_in: i64,
    pub(super) number_out: i64,
    /// CLOCK_MONOTONIC of the server's log.
    pub(super) time_in: u64,
    pub(super) time_out: u64,
}

/// A part of a stream to whose numbers the server added the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// First and last number in.
    pub(super) range: (i64, i64),
    pub(super) added: i64,
    /// When the packets came in that it began and ended with, CLOCK_MONOTONIC, and their numbers in.
    began: (u64, i64),
    ended: (u64, i64),
}

impl Piece {
    /// First and last number out.
    pub(super) fn range_out(&self) -> (i64, i64) {
        (self.range.0.wrapping_add(self.added), self.range.1.wrapping_add(self.added))
    }
}

/// What of one stream became part of another.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) ssrc_in: u32,
    /// By number in.
    pub(super) hops: Vec<Hop>,
    /// What was to be sent on: all between two packets to whose numbers the server added the same, as it
    /// does within a piece.
    pub(super) wanted: Ranges,
    /// The pieces, by numbers in, and what was added.
    pub(super) pieces: Vec<Piece>,
}

impl Flow {
    fn new(ssrc_in: u32, mut hops: Vec<Hop>) -> Self {
        hops.sort_unstable_by_key(|hop| hop.number_in);
        hops.dedup_by_key(|hop| hop.number_in);
        let mut pieces = BTreeMap::<i64, Piece>::new();
        for hop in &hops {
            let added = hop.number_out.wrapping_sub(hop.number_in);
            let (number, came) = (hop.number_in, (hop.time_in, hop.number_in));
            let piece =
                pieces.entry(added).or_insert(Piece { range: (number, number), added, began: came, ended: came });
            piece.range.1 = number;
            piece.began = piece.began.min(came);
            piece.ended = piece.ended.max(came);
        }
        let mut pieces: Vec<Piece> = pieces.into_values().collect();
        pieces.sort_unstable_by_key(|piece| piece.range);
        let wanted = Ranges::union(pieces.iter().map(|piece| piece.range).collect());
        Self { ssrc_in, hops, wanted, pieces }
    }

    fn piece(&self, number_in: i64) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.range.0 <= number_in);
        let piece = after.checked_sub(1).and_then(|at| self.pieces.get(at));
        piece.filter(|piece| number_in <= piece.range.1)
    }

    /// What a packet that was to be sent on goes out as.
    pub(super) fn number_out(&self, number_in: i64) -> Option<i64> {
        self.piece(number_in).map(|piece| number_in.wrapping_add(piece.added))
    }

    /// Whether a packet came before the one that its piece began with, although its number is higher, or
    /// behind the one that it ended with, although it is lower: the server was not sending it then.
    /// `far` is what came to the server.
    pub(super) fn is_outside(&self, number_in: i64, far: &Series) -> bool {
        let Some((piece, came)) = self.piece(number_in).zip(far.get(number_in)) else { return false };
        let (began, ended) = (far.get(piece.began.1), far.get(piece.ended.1));
        began.is_some_and(|began| came < began) || ended.is_some_and(|ended| came > ended)
    }

    pub(super) fn hop(&self, number_in: i64) -> Option<&Hop> {
        let at = self.hops.binary_search_by_key(&number_in, |hop| hop.number_in).ok()?;
        self.hops.get(at)
    }
}

/// All streams of a run, by SSRC.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) ups: BTreeMap<u32, Up>,
    pub(super) downs: BTreeMap<u32, Down>,
    /// SSRCs that stand for more than one stream: these are left out.
    pub(super) ambiguous: BTreeSet<u32>,
}

/// What a client is called.
pub(super) fn name_of(client: u32) -> String {
    format!("client {client}")
}

#[derive(Debug, Default)]
struct Known {
    client: Option<u32>,
    rtx: Option<u32>,
    video: bool,
    participant: Option<u64>,
}

impl Known {
    fn name(&self) -> String {
        match (self.client, self.participant) {
            (Some(client), _) => name_of(client),
            (None, Some(participant)) => format!("{participant:016x}"),
            (None, None) => "unknown".to_owned(),
        }
    }
}

/// Who is who, before anything is numbered.
#[derive(Debug, Default)]
struct Directory {
    ups: BTreeMap<u32, Known>,
    downs: BTreeMap<u32, Known>,
    ambiguous: BTreeSet<u32>,
}

impl Directory {
    fn note(&mut self, out: bool, ssrc: u32, client: u32, video: bool) -> &mut Known {
        let known = if out { &mut self.ups } else { &mut self.downs }.entry(ssrc).or_default();
        if known.client.replace(client).is_some_and(|before| before != client) {
            self.ambiguous.insert(ssrc);
        }
        known.video = video;
        known
    }

    fn new(map: Option<&MapLog>, packets: Option<&PacketLog>) -> Self {
        let mut directory = Self::default();
        if let Some(log) = packets {
            for stream in &log.streams {
                let known = directory.note(stream.out, stream.ssrc, stream.client, stream.video);
                known.rtx = Some(stream.rtx_ssrc).filter(|rtx| *rtx != 0);
            }
            for packet in &log.sent {
                directory.note(true, packet.ssrc, packet.client, packet.video);
            }
            for packet in &log.received {
                directory.note(false, packet.ssrc, packet.client, packet.video);
            }
        }
        if let Some(map) = map {
            for packet in &map.forwarded {
                for (known, ssrc, leg) in [
                    (&mut directory.ups, packet.ssrc_in, packet.leg_in),
                    (&mut directory.downs, packet.ssrc_out, packet.leg_out),
                ] {
                    let known = known.entry(ssrc).or_default();
                    known.video |= packet.video;
                    known.participant = map.participants.get(&leg).copied();
                }
            }
        }
        let both: Vec<u32> = directory.ups.keys().filter(|ssrc| directory.downs.contains_key(ssrc)).copied().collect();
        directory.ambiguous.extend(both);
        for ssrc in &directory.ambiguous {
            directory.ups.remove(ssrc);
            directory.downs.remove(ssrc);
        }
        directory
    }
}

impl Streams {
    pub(super) fn new(inputs: &Inputs) -> Self {
        let directory = Directory::new(inputs.map.as_ref(), inputs.packets.as_ref());
        let mut streams = Self { ambiguous: directory.ambiguous, ..Self::default() };
        let clocks = inputs.packets.as_ref().map(|log| &log.clocks);
        let mut sent = HashMap::<u32, Vec<(i64, i64, u16, u32)>>::new();
        for packet in inputs.packets.iter().flat_map(|log| &log.sent) {
            let time = i64::try_from(packet.time_ns).unwrap_or(i64::MAX);
            let wall = clocks.map_or(time, |clocks| clocks.wall(packet.time_ns));
            sent.entry(packet.ssrc).or_default().push((time, wall, packet.sequence, packet.number));
        }
        let mut hosts = HashMap::<u32, usize>::new();
        for (ssrc, known) in &directory.ups {
            let host = host_of(&inputs.clients, *ssrc, known.rtx);
            if let (Some(client), Some(host)) = (known.client, host) {
                hosts.insert(client, host);
            }
            let up = up(inputs, *ssrc, known, sent.remove(ssrc), host);
            streams.ups.insert(*ssrc, up);
        }
        streams.add_downs(inputs, &directory.downs, &hosts);
        streams.take(inputs);
        streams
    }

    fn add_downs(&mut self, inputs: &Inputs, downs: &BTreeMap<u32, Known>, hosts: &HashMap<u32, usize>) {
        let clocks = server_clocks(inputs);
        let mut forwarded = HashMap::<u32, Vec<&crate::serve::Forwarded>>::new();
        for packet in inputs.map.iter().flat_map(|map| &map.forwarded) {
            forwarded.entry(packet.ssrc_out).or_default().push(packet);
        }
        let mut again = HashMap::<u32, u64>::new();
        for packet in inputs.map.iter().flat_map(|map| &map.retransmitted) {
            *again.entry(packet.ssrc_out).or_default() += 1;
        }
        let mut received = HashMap::<u32, Vec<&crate::packet_log::Received>>::new();
        for packet in inputs.packets.iter().flat_map(|log| &log.received) {
            received.entry(packet.ssrc).or_default().push(packet);
        }
        let mut ended = HashMap::<u32, i64>::new();
        for (said, log) in inputs.packets.iter().flat_map(|log| log.reported.iter().map(move |said| (said, log))) {
            if !said.out {
                let end = ended.entry(said.ssrc).or_insert(i64::MIN);
                *end = (*end).max(log.clocks.wall(said.time_ns));
            }
        }
        for (ssrc, known) in downs {
            let host = host_of(&inputs.clients, *ssrc, known.rtx)
                .or_else(|| known.client.and_then(|client| hosts.get(&client).copied()));
            let mut packets = forwarded.remove(ssrc).unwrap_or_default();
            packets.sort_by_key(|packet| packet.time_out_ns);
            let mut unwrapper = Unwrapper::default();
            let mut reached = Vec::with_capacity(packets.len());
            let mut hops = BTreeMap::<u32, Vec<Hop>>::new();
            for packet in packets {
                let number_out = unwrapper.next(packet.sequence_out);
                reached.push((clocks.wall(packet.time_out_ns), number_out));
                let up = self.ups.get(&packet.ssrc_in);
                let whole = |up: &Up| up.guide.whole(clocks.wall(packet.time_in_ns), packet.sequence_in);
                let Some(number_in) = up.and_then(whole) else { continue };
                let (time_in, time_out) = (packet.time_in_ns, packet.time_out_ns);
                hops.entry(packet.ssrc_in).or_default().push(Hop { number_in, number_out, time_in, time_out });
            }
            let mut down = Down {
                ssrc: *ssrc,
                name: known.name(),
                video: known.video,
                flows: hops.into_iter().map(|(ssrc_in, hops)| Flow::new(ssrc_in, hops)).collect(),
                guide: Guide::new(reached),
                retransmitted: known.rtx.and_then(|rtx| again.get(&rtx).copied()).unwrap_or(0),
                ..Down::default()
            };
            let far = host.and_then(|host| inputs.clients.get(host));
            let guide = Some(&down.guide).filter(|guide| !guide.is_empty());
            down.link = Link::new(inputs.server.as_ref(), far, *ssrc, known.rtx, guide);
            if down.guide.is_empty() {
                let seen = down.link.near.as_ref().or(down.link.far.as_ref());
                down.guide = seen.map(Series::guide).unwrap_or_default();
            }
            // Of somebody who is not of the tester it says nothing, which is not that nothing came.
            if let Some(log) = inputs.packets.as_ref().filter(|_| known.client.is_some()) {
                down.receive(&received.remove(ssrc).unwrap_or_default(), &log.clocks);
                down.ended = ended.get(ssrc).copied();
            }
            self.downs.insert(*ssrc, down);
        }
    }

    /// Tells the streams that come in what was made of them.
    fn take(&mut self, inputs: &Inputs) {
        if inputs.map.is_none() {
            return;
        }
        let clocks = server_clocks(inputs);
        let mut taken = BTreeMap::<u32, (Vec<(i64, i64)>, Vec<(i64, i64)>)>::new();
        for flow in self.downs.values().flat_map(|down| &down.flows) {
            let (numbers, wanted) = taken.entry(flow.ssrc_in).or_default();
            numbers.extend(flow.hops.iter().map(|hop| (hop.number_in, clocks.wall(hop.time_in))));
            wanted.extend(flow.wanted.iter());
        }
        for (ssrc, up) in &mut self.ups {
            let (numbers, wanted) = taken.remove(ssrc).unwrap_or_default();
            up.taken = Some(Series::new(numbers));
            up.wanted = Ranges::union(wanted);
        }
    }
}

/// The clock of the server's log; where it has none, that of the tester's, which is on the same machine
/// in a lab.
pub(super) fn server_clocks(inputs: &Inputs) -> Clocks {
    let own = inputs.map.as_ref().map(|map| &map.clocks).filter(|clocks| !clocks.is_empty());
    own.or(inputs.packets.as_ref().map(|log| &log.clocks)).cloned().unwrap_or_default()
}

/// Which of the clients' captures shows the most of a stream.
fn host_of(points: &[Point], ssrc: u32, rtx: Option<u32>) -> Option<usize> {
    let seen = |point: &Point| {
        [Some(ssrc), rtx].into_iter().flatten().map(|ssrc| point.streams.get(&ssrc).map_or(0, Vec::len)).sum::<usize>()
    };
    let counted = points.iter().enumerate().map(|(index, point)| (seen(point), index));
    counted.filter(|(seen, _)| *seen > 0).max_by_key(|(seen, index)| (*seen, std::cmp::Reverse(*index))).map(|it| it.1)
}

fn up(inputs: &Inputs, ssrc: u32, known: &Known, sent: Option<Vec<(i64, i64, u16, u32)>>, host: Option<usize>) -> Up {
    let mut up = Up { ssrc, name: known.name(), video: known.video, ..Up::default() };
    let near = host.and_then(|host| inputs.clients.get(host));
    if let Some(mut sent) = sent {
        sent.sort_by_key(|packet| packet.0);
        let mut unwrapper = Unwrapper::default();
        let numbers: Vec<i64> = sent.iter().map(|packet| unwrapper.next(packet.2)).collect();
        let with = || numbers.iter().zip(&sent);
        up.sent = Some(Series::new(with().map(|(number, packet)| (*number, packet.0)).collect()));
        up.guide = Guide::new(with().map(|(number, packet)| (packet.1, *number)).collect());
        up.numbers = with().map(|(number, packet)| (*number, packet.3)).collect();
        up.numbers.sort_unstable();
        up.link = Link::new(near, inputs.server.as_ref(), ssrc, known.rtx, Some(&up.guide));
        return up;
    }
    up.link = Link::new(near, inputs.server.as_ref(), ssrc, known.rtx, None);
    let seen = up.link.near.as_ref().or(up.link.far.as_ref()).filter(|seen| !seen.is_empty());
    up.guide = match seen {
        Some(seen) => seen.guide(),
        // Nothing but the mapping log.
        None => {
            let clocks = server_clocks(inputs);
            let packets = inputs.map.iter().flat_map(|map| &map.forwarded).filter(|packet| packet.ssrc_in == ssrc);
            let seen = packets.map(|packet| (clocks.wall(packet.time_in_ns), packet.sequence_in)).collect();
            Series::seen(seen, None).guide()
        }
    };
    up
}

impl Link {
    fn new(near: Option<&Point>, far: Option<&Point>, ssrc: u32, rtx: Option<u32>, guide: Option<&Guide>) -> Self {
        let series =
            |point: Option<&Point>, ssrc, guide: Option<&Guide>| point.map(|point| Series::seen(point.of(ssrc), guide));
        let near_series = series(near, ssrc, guide);
        let by_near = near_series.as_ref().filter(|near| !near.is_empty()).map(Series::guide);
        let far_series = series(far, ssrc, guide.or(by_near.as_ref()));
        let near_again = rtx.and_then(|rtx| series(near, rtx, None));
        let again = near_again.as_ref().filter(|near| !near.is_empty()).map(Series::guide);
        let far_again = rtx.and_then(|rtx| series(far, rtx, again.as_ref()));
        let bad = |point: &Point| point.dropped > 0 || point.damage.is_some();
        Self {
            near: near_series,
            far: far_series,
            near_again,
            far_again,
            far_range: far.and_then(|far| far.range),
            incomplete: near.is_some_and(bad) || far.is_some_and(bad),
        }
    }
}

impl Down {
    fn receive(&mut self, packets: &[&crate::packet_log::Received], clocks: &Clocks) {
        // A receiver has no other order than its own where nothing was seen before it.
        let guided = !self.guide.is_empty();
        let mut in_order = packets.to_vec();
        in_order.sort_by_key(|packet| packet.time_ns);
        let mut unwrapper = Unwrapper::default();
        let mut received = Vec::with_capacity(packets.len());
        for packet in in_order {
            let number = match guided {
                true => self.guide.whole(clocks.wall(packet.time_ns), packet.sequence),
                false => Some(unwrapper.next(packet.sequence)),
            };
            let Some(number) = number else { continue };
            if packet.repaired && !packet.duplicate {
                self.repaired.insert(number);
            }
            self.first_received.get_or_insert(number);
            received.push((number, i64::try_from(packet.time_ns).unwrap_or(i64::MAX)));
        }
        self.received = Some(Series::new(received));
    }
}
