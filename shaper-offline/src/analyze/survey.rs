//! A first look at both captures: how much of each packet both hold, whether addresses differ,
//! and pairs from all over the files to relate the clocks.
//!
//! The sample keeps the packets whose key hashes below a threshold, which is halved whenever the
//! sample is full: both files keep the same packets without knowing of each other.

use super::{
    capture::Chosen,
    flow::FlowKey,
    hash::{self, HashedMap},
    key::{Rules, keyed},
    sightings::{self, Sightings},
};
use crate::{
    packet::Layers,
    pcapfile::{Direction, Error, Reader},
    writer::Comment,
};

/// Packets kept per file and kind of key.
const SAMPLE: usize = 60_000;
/// Packets held, of both samples and of those they had before, until the latter are dropped.
const MOST_SEEN: usize = 4 * SAMPLE;
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
}

#[derive(Clone, Copy)]
struct Seen {
    ts: i64,
    index: u64,
    flow: FlowKey,
    ttl: u8,
    /// 1 if sent by the host at this point, -1 if received by it, 0 if not told.
    sent: i8,
}

/// The first packet with a key.
#[derive(Clone, Copy)]
struct Kept {
    /// Its place among the packets seen.
    at: u32,
    /// A key that occurs twice identifies nothing.
    repeated: bool,
}

struct Sample {
    kept: HashedMap<Kept>,
    threshold: u64,
}

impl Sample {
    fn of(limit: u64) -> Self {
        let capacity = usize::try_from(limit).unwrap_or(SAMPLE).min(SAMPLE);
        Self { kept: HashedMap::with_capacity_and_hasher(capacity, Default::default()), threshold: u64::MAX }
    }

    /// What stands for a key, if it is of the sample.
    #[inline]
    fn rank(&self, key: u64) -> Option<u64> {
        Some(hash::mix(key, 0x5a5a)).filter(|&rank| rank <= self.threshold)
    }

    fn keep(&mut self, rank: u64, at: u32) {
        let again = |known: &mut Kept| known.repeated = true;
        self.kept.entry(rank).and_modify(again).or_insert(Kept { at, repeated: false });
        while self.kept.len() > SAMPLE {
            self.threshold >>= 1;
            let threshold = self.threshold;
            self.kept.retain(|&rank, _| rank <= threshold);
        }
    }
}

/// One file's part.
pub(super) struct Surveyed {
    /// Packets that one of the samples has, or had: both have most of them, and they are large.
    seen: Vec<Seen>,
    loose: Sample,
    strict: Sample,
}

impl Surveyed {
    fn of(limit: u64) -> Self {
        Self { seen: Vec::new(), loose: Sample::of(limit), strict: Sample::of(limit) }
    }

    #[inline]
    fn add(&mut self, strict: u64, loose: u64, seen: impl FnOnce() -> Seen) {
        let (strict, loose) = (self.strict.rank(strict), self.loose.rank(loose));
        if strict.is_none() && loose.is_none() {
            return;
        }
        let at = self.seen.len() as u32;
        self.seen.push(seen());
        for (sample, rank) in [(&mut self.strict, strict), (&mut self.loose, loose)] {
            if let Some(rank) = rank {
                sample.keep(rank, at);
            }
        }
        if self.seen.len() > MOST_SEEN {
            self.forget();
        }
    }

    /// Drops the packets that no sample has any more.
    #[cold]
    fn forget(&mut self) {
        let mut moved: Vec<Option<u32>> = vec![None; self.seen.len()];
        let mut left = Vec::new();
        for kept in self.strict.kept.values_mut().chain(self.loose.kept.values_mut()) {
            let (Some(seen), Some(to)) = (self.seen.get(kept.at as usize), moved.get_mut(kept.at as usize)) else {
                continue;
            };
            kept.at = *to.get_or_insert_with(|| {
                left.push(*seen);
                left.len() as u32 - 1
            });
        }
        self.seen = left;
    }
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
        let mut layers = Layers::empty();
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
    let mut surveyed = Surveyed::of(limit);
    let mut strict = keyed(&Layers::EMPTY, Rules { cover, rewritten: false });
    let mut taken = 0;
    let mut sightings = Sightings::default();
    while taken < limit && reader.advance()? {
        let packet = reader.packet();
        let Some(ts) = packet.ts_ns.filter(|&ts| ts >= from && chosen.has(packet.interface)) else { continue };
        let mut layers = Layers::empty();
        if !layers.read(packet.linktype, packet.data, packet.origlen) {
            continue;
        }
        if !chosen.takes(&packet, Some(&layers)) {
            continue;
        }
        taken += 1;
        let loose = strict.read_either_way(&layers, cover);
        if let Some(place) = sightings::place(packet.linktype, packet.data, &layers)
            && sightings.again(ts, &strict, place)
        {
            continue;
        }
        let seen = || {
            let sent = match packet.direction() {
                Some(Direction::Outbound) => 1,
                Some(Direction::Inbound) => -1,
                None => 0,
            };
            Seen { ts, index: packet.index, flow: strict.flow, ttl: strict.ttl, sent }
        };
        surveyed.add(strict.key, loose, seen);
    }
    Ok(surveyed)
}

/// Pairs, in the order of the first file's time, and whether addresses are rewritten. Not `all`: those alone that tell
/// a direction by themselves.
pub(super) fn pair(a: &Surveyed, b: &Surveyed, all: bool) -> (Vec<Pair>, bool) {
    let loose = || meet(a, b, |surveyed| &surveyed.loose);
    let strict = || meet(a, b, |surveyed| &surveyed.strict);
    let moved = loose().filter(|(one, other)| one.flow.bare() != other.flow.bare()).count();
    // Under translation strict keys meet at most for what is not translated.
    let rewritten = moved > 0 && moved > strict().count();
    let pairs = if rewritten { in_order(loose(), all) } else { in_order(strict(), all) };
    (pairs, rewritten)
}

/// What both files have of one of their samples.
fn meet<'s>(
    a: &'s Surveyed,
    b: &'s Surveyed,
    sample: fn(&Surveyed) -> &Sample,
) -> impl Iterator<Item = (&'s Seen, &'s Seen)> {
    let (of_a, of_b) = (sample(a), sample(b));
    let threshold = of_a.threshold.min(of_b.threshold);
    let once = move |rank: u64, kept: &Kept| rank <= threshold && !kept.repeated;
    let met = of_a.kept.iter().filter(move |(rank, kept)| once(**rank, kept)).filter_map(move |(rank, one)| {
        let other = of_b.kept.get(rank).filter(|kept| !kept.repeated)?;
        Some((one.at, other.at))
    });
    met.filter_map(|(one, other)| a.seen.get(one as usize).zip(b.seen.get(other as usize)))
}

fn in_order<'s>(met: impl Iterator<Item = (&'s Seen, &'s Seen)>, all: bool) -> Vec<Pair> {
    let pairs = met.map(|(one, other)| Pair {
        a: one.ts,
        b: other.ts,
        index: other.index,
        flow: one.flow,
        hops: i16::from(one.ttl) - i16::from(other.ttl),
        other_path: other.flow.path(),
        sent: one.sent - other.sent,
    });
    let mut pairs: Vec<_> = pairs.filter(|pair| all || pair.hops != 0 || pair.sent != 0).collect();
    pairs.sort_unstable_by_key(|pair| (pair.a, pair.b, pair.index));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million packets, whose loose keys are others than their strict ones.
    fn long_file(first: u64) -> Surveyed {
        let flow = keyed(&Layers::EMPTY, Rules { cover: 0, rewritten: false }).flow;
        let mut surveyed = Surveyed::of(u64::MAX);
        for number in first..first + 1_000_000 {
            let seen = || Seen { ts: number.cast_signed(), index: number, flow, ttl: 64, sent: 0 };
            surveyed.add(hash::mix(number, 1), hash::mix(number, 2), seen);
        }
        surveyed
    }

    #[test]
    fn long_files_keep_few_packets_and_the_same_ones() {
        let (a, b) = (long_file(0), long_file(500_000));
        for surveyed in [&a, &b] {
            // Of both samples together more than these were kept at some time.
            assert!(surveyed.seen.len() < 3 * SAMPLE, "{}", surveyed.seen.len());
            for sample in [&surveyed.strict, &surveyed.loose] {
                // The last halving may have been just now: half of the sample, six sigma of 60,000 coins less.
                assert!((29_000..=SAMPLE).contains(&sample.kept.len()), "{}", sample.kept.len());
            }
        }
        let (pairs, rewritten) = pair(&a, &b, true);
        // Half of each file's packets are in the other one.
        assert!(!rewritten && pairs.len() > 14_000, "{}", pairs.len());
        let same = |pair: &Pair| pair.a == pair.b && pair.a == pair.index.cast_signed();
        assert!(pairs.iter().all(|pair| same(pair) && (500_000..1_000_000).contains(&pair.a)));
        assert!(pairs.is_sorted_by_key(|pair| pair.a));
        assert!(pair(&a, &b, false).0.is_empty(), "nothing tells where they went");
    }
}
