//! A first look at both captures: how much of each packet both hold, whether addresses differ,
//! and pairs from all over the files to relate the clocks.
//!
//! The sample keeps the packets whose key hashes below a threshold, which is halved whenever the
//! sample is full: both files keep the same packets without knowing of each other.

use super::{
    capture::Chosen,
    flow::FlowKey,
    hash::{self, HashedMap},
    key::keyed_either_way,
    sightings::{self, Sightings},
};
use crate::{
    packet::Layers,
    pcapfile::{Direction, Error, Reader},
    writer::Comment,
};

/// Packets kept per file and kind of key.
const SAMPLE: usize = 60_000;
/// Snapshot lengths from here on cut no packet that IP allows.
const NEVER_CUTS: u32 = 65_535;
/// The link header that a snapshot length holds in a file whose first packets show none.
const ETHERNET_HEADER: usize = 14;
/// Packets of which the earliest is the first.
const FIRST: u64 = 16;

/// A packet seen at both points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) a: i64,
    pub(super) b: i64,
    pub(super) flow: FlowKey,
    /// Hops from the first to the second point, if TTLs tell.
    pub(super) hops: i16,
    /// The path as the second point saw it.
    pub(super) other_path: u64,
    /// Positive if the captures' flags say that it left the first host or came to the second,
    /// negative for the other way round.
    pub(super) sent: i8,
    /// Number of the packet in the second file.
    pub(super) index: u64,
    /// Whether both points saw the same addresses and ports.
    same_flow: bool,
}

#[derive(Clone, Copy)]
struct Seen {
    ts: i64,
    index: u64,
    flow: FlowKey,
    ttl: u8,
    /// 1 if sent by the host at this point, -1 if received by it, 0 if not told.
    sent: i8,
    /// A key that occurs twice identifies nothing.
    repeated: bool,
}

struct Sample {
    seen: HashedMap<Seen>,
    threshold: u64,
}

impl Sample {
    fn new() -> Self {
        Self { seen: HashedMap::default(), threshold: u64::MAX }
    }

    #[inline]
    fn add(&mut self, key: u64, seen: impl FnOnce() -> Seen) {
        let rank = hash::mix(key, 0x5a5a);
        if rank <= self.threshold {
            self.keep(rank, seen());
        }
    }

    fn keep(&mut self, rank: u64, seen: Seen) {
        self.seen.entry(rank).and_modify(|known| known.repeated = true).or_insert(seen);
        while self.seen.len() > SAMPLE {
            self.threshold >>= 1;
            let threshold = self.threshold;
            self.seen.retain(|&rank, _| rank <= threshold);
        }
    }
}

/// One file's part.
pub(super) struct Surveyed {
    loose: Sample,
    strict: Sample,
    pub(super) first: Option<i64>,
}

/// What the first packets of a capture show.
pub(super) struct Glance {
    /// Bytes from the network layer on that it holds of every packet, by the snapshot lengths that
    /// it tells and by the packets seen; `usize::MAX` if it cuts none.
    pub(super) cover: usize,
    pub(super) first: Option<i64>,
    /// Which clock stamped it, if every section names the same.
    pub(super) clock: Option<String>,
    /// Whether packets carry ids, as those do that a run of ours impaired.
    pub(super) ids: bool,
}

/// Looks at the first `limit` packets.
pub(super) fn glance(chosen: &Chosen<'_>, limit: u64) -> Result<Glance, Error> {
    let mut reader = chosen.open()?;
    let mut cover = usize::MAX;
    let mut first = None;
    let mut ids = false;
    let mut link = 0;
    let mut looked_at = 0;
    while looked_at < limit && reader.advance()? {
        let packet = reader.packet();
        if !chosen.has(packet.interface) {
            continue;
        }
        let mut layers = Layers::EMPTY;
        let known = layers.read(packet.linktype, packet.data, packet.origlen);
        if !chosen.takes(&packet, known.then_some(&layers)) {
            continue;
        }
        looked_at += 1;
        // The very first stamp may be none that means anything.
        if let Some(ts) = packet.ts_ns.filter(|_| looked_at <= FIRST) {
            first = Some(first.map_or(ts, |first: i64| first.min(ts)));
        }
        ids = ids || packet.packetid().is_some();
        if !known {
            continue;
        }
        link = link.max(layers.network_offset as usize);
        if packet.caplen < packet.origlen && (layers.network.len() as u64) < u64::from(layers.network_length) {
            cover = cover.min(layers.network.len());
        }
    }
    // Later packets may be the first that are long enough to be cut.
    let told = chosen.interfaces_of(&reader).map(|interface| interface.snaplen);
    if let Some(shortest) = told.filter(|snaplen| (1..NEVER_CUTS).contains(snaplen)).min() {
        let link = if link == 0 { ETHERNET_HEADER } else { link };
        cover = cover.min((shortest as usize).saturating_sub(link));
    }
    Ok(Glance { cover, first, clock: named_clock(&reader), ids })
}

/// When a capture began, as its statistics tell: they stand at its end.
pub(super) fn told_start(chosen: &Chosen<'_>) -> Result<Option<i64>, Error> {
    let mut reader = chosen.open()?;
    while reader.next_packet()?.is_some() {}
    Ok(chosen.statistics(&reader).filter_map(|statistics| statistics.start).min())
}

/// Which clock stamped a capture, if every section read so far names the same.
pub(crate) fn named_clock(reader: &Reader) -> Option<String> {
    let of_section = |comments: &Vec<String>| {
        comments.iter().find_map(|comment| Comment::parse(comment).ok().flatten().and_then(|comment| comment.clock))
    };
    // Of sections beyond those whose comments are kept nothing is known.
    if reader.sections() != reader.section_comments().len() as u64 {
        return None;
    }
    let mut sections = reader.section_comments().iter().map(of_section);
    let clock = sections.next()??;
    sections.all(|other| other.as_ref() == Some(&clock)).then_some(clock)
}

/// Samples up to `limit` packets stamped `from` or later.
pub(super) fn survey(chosen: &Chosen<'_>, cover: usize, from: i64, limit: u64) -> Result<Surveyed, Error> {
    let mut reader = chosen.open()?;
    let mut surveyed = Surveyed { loose: Sample::new(), strict: Sample::new(), first: None };
    let mut taken = 0;
    let mut sightings = Sightings::default();
    while taken < limit && reader.advance()? {
        let packet = reader.packet();
        let Some(ts) = packet.ts_ns.filter(|&ts| ts >= from && chosen.has(packet.interface)) else { continue };
        let mut layers = Layers::EMPTY;
        if !layers.read(packet.linktype, packet.data, packet.origlen) {
            continue;
        }
        if !chosen.takes(&packet, Some(&layers)) {
            continue;
        }
        taken += 1;
        let (strict, loose) = keyed_either_way(&layers, cover);
        if let Some(place) = sightings::place(packet.linktype, packet.data, &layers)
            && sightings.again(ts, &strict, place)
        {
            continue;
        }
        surveyed.first = surveyed.first.or(Some(ts));
        let seen = || {
            let sent = match packet.direction() {
                Some(Direction::Outbound) => 1,
                Some(Direction::Inbound) => -1,
                None => 0,
            };
            Seen { ts, index: packet.index, flow: strict.flow, ttl: strict.ttl, sent, repeated: false }
        };
        surveyed.strict.add(strict.key, seen);
        surveyed.loose.add(loose, seen);
    }
    Ok(surveyed)
}

/// Pairs, in the order of the first file's time, and whether addresses are rewritten.
pub(super) fn pair(a: &Surveyed, b: &Surveyed) -> (Vec<Pair>, bool) {
    let loose = meet(&a.loose, &b.loose);
    let strict = meet(&a.strict, &b.strict);
    let rewritten = loose.iter().filter(|pair| !pair.same_flow).count();
    // Under translation strict keys meet at most for what is not translated.
    if rewritten > strict.len() { (loose, true) } else { (strict, false) }
}

fn meet(a: &Sample, b: &Sample) -> Vec<Pair> {
    let threshold = a.threshold.min(b.threshold);
    let mut pairs: Vec<_> = a
        .seen
        .iter()
        .filter(|(rank, seen)| **rank <= threshold && !seen.repeated)
        .filter_map(|(rank, one)| {
            let other = b.seen.get(rank).filter(|seen| !seen.repeated)?;
            Some(Pair {
                a: one.ts,
                b: other.ts,
                index: other.index,
                flow: one.flow,
                hops: i16::from(one.ttl) - i16::from(other.ttl),
                other_path: other.flow.path(),
                sent: one.sent - other.sent,
                same_flow: one.flow.bare() == other.flow.bare(),
            })
        })
        .collect();
    pairs.sort_unstable_by_key(|pair| (pair.a, pair.b));
    pairs
}
