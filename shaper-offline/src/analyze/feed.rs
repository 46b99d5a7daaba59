//! One capture as the matcher reads it: keyed packets on a common clock.

use super::{
    capture::{Chosen, Predicate, asked},
    gaps::Gaps,
    key::{Keyed, Rules, Tier, keyed},
    leaps::{Leaps, Stamp},
    sightings::{self, Sightings},
};
use crate::{
    packet::Layers,
    pcapfile::{Error, Packet, Reader},
};

/// How one capture's clock becomes the common one: t - offset - skew * (t - origin).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Correction {
    /// Nanoseconds this clock is ahead at `origin`.
    pub(super) offset: i64,
    /// How much faster it runs, as a ratio (1e-6 is 1 ppm).
    pub(super) skew: f64,
    pub(super) origin: i64,
    /// From which packet of the file on the offset is another one, where the clock was set.
    pub(super) steps: Vec<(u64, i64)>,
}

impl Correction {
    /// The same with another offset.
    pub(super) fn with_offset(&self, offset: i64) -> Self {
        Self { offset, skew: self.skew, origin: self.origin, steps: Vec::new() }
    }

    /// Goes over to the offset of that packet.
    #[cold]
    fn step(&mut self, index: u64) {
        while let Some(&(from, offset)) = self.steps.first()
            && from <= index
        {
            self.offset = offset;
            self.steps.remove(0);
        }
    }

    #[inline]
    pub(super) fn apply(&self, ts: i64) -> i64 {
        let drift =
            if self.skew == 0.0 { 0 } else { (self.skew * ts.saturating_sub(self.origin) as f64).round() as i64 };
        ts.saturating_sub(self.offset).saturating_sub(drift)
    }
}

/// A packet and when it passed, on the common clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) ts: i64,
    /// Its number in the file as Wireshark counts, from 1; 0 where 32 bits do not hold it.
    pub(super) frame: u32,
    pub(super) interface: u32,
    /// Length on the wire.
    pub(super) bytes: u32,
    pub(super) packet: Keyed,
}

/// What a capture told about itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Packets without a stamp, which cannot be placed in time.
    pub(super) untimed: u64,
    /// Packets that a run of ours did not impair.
    pub(super) bypassed: u64,
    /// Packets that the filter of the analysis leaves out.
    pub(super) filtered: u64,
    /// Packets stamped far from those around them.
    pub(super) leapt: u64,
    /// Packets of link types we do not know.
    pub(super) unparsed: u64,
    pub(super) first: Option<i64>,
    pub(super) last: Option<i64>,
    /// Packets stamped earlier than the one before, and by how much at most.
    pub(super) backward: u64,
    pub(super) backward_most: i64,
    /// Drops told at a packet.
    pub(super) drops_at_packets: u64,
    /// Whether any packet is cut.
    pub(super) cuts: bool,
    /// Packets seen again on another interface.
    pub(super) seen_again: u64,
    /// Packets held shorter than what is compared of the others.
    pub(super) cut_short: u64,
}

pub(super) struct Feed<'a> {
    reader: Reader,
    chosen: Chosen<'a>,
    /// What the analysis is about, where not all.
    only: Option<&'a Predicate<'a>>,
    rules: Rules,
    correction: Correction,
    /// Whether packets without an id are left out.
    impaired_only: bool,
    /// When the capture began, where that is told.
    pub(super) began: Option<i64>,
    /// The packet that comes next, if there is one: it is written in place, as it is too large to be handed on.
    next: Head,
    holds: bool,
    pub(super) told: Told,
    latest: i64,
    /// Whether the last packet's stamp lies far from the others', with nothing to tell if it is a time.
    unsure: bool,
    leaps: Leaps,
    sightings: Sightings,
    /// When the capture said it lost packets, or cannot tell which ones passed.
    pub(super) gaps: Gaps,
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        chosen: &Chosen<'a>,
        only: Option<&'a Predicate<'a>>,
        rules: Rules,
        correction: Correction,
        impaired_only: bool,
    ) -> Result<Self, Error> {
        let nothing = keyed(&Layers::EMPTY, rules);
        Ok(Self {
            reader: chosen.open()?,
            chosen: chosen.clone(),
            only,
            rules,
            correction,
            impaired_only,
            began: None,
            next: Head { ts: 0, frame: 0, interface: 0, bytes: 0, packet: nothing },
            holds: false,
            told: Told::default(),
            latest: i64::MIN,
            unsure: false,
            leaps: Leaps::default(),
            sightings: Sightings::default(),
            gaps: Gaps::default(),
        })
    }

    /// The interface that was named for this point.
    pub(super) fn named(&self) -> Option<&str> {
        self.chosen.named
    }

    /// Its number in the file.
    pub(super) fn number(&self) -> Option<usize> {
        self.chosen.number()
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The packet that comes next; `None` at the end.
    #[inline]
    pub(super) fn head(&self) -> Option<&Head> {
        self.holds.then_some(&self.next)
    }

    /// Reads the next packet into `head`.
    #[inline(never)]
    pub(super) fn advance(&mut self) -> Result<(), Error> {
        self.holds = false;
        while self.reader.advance()? {
            let packet = self.reader.packet();
            if !self.chosen.has(packet.interface) {
                continue;
            }
            let mut layers = Layers::empty();
            let known = layers.read(packet.linktype, packet.data, packet.origlen);
            if !self.chosen.takes(&packet, known.then_some(&layers)) {
                continue;
            }
            self.told.packets += 1;
            self.told.bytes += u64::from(packet.origlen);
            let Some(ts) = packet.ts_ns else {
                self.told.untimed += 1;
                continue;
            };
            match self.leaps.stamp(&self.chosen, packet.index, ts)? {
                Stamp::Time => {}
                // The last one: it may be a time, and may be no end.
                Stamp::Unsure => self.unsure = true,
                Stamp::Away => {
                    self.told.leapt += 1;
                    continue;
                }
            }
            if self.correction.steps.first().is_some_and(|step| step.0 <= packet.index) {
                self.correction.step(packet.index);
            }
            let ts = self.correction.apply(ts);
            if let Some(count) = packet.dropcount.filter(|&count| count > 0) {
                self.told.drops_at_packets = self.told.drops_at_packets.saturating_add(count);
                self.gaps.note(self.told.last.unwrap_or(i64::MIN), ts);
            }
            if ts < self.latest {
                self.told.backward += 1;
                self.told.backward_most = self.told.backward_most.max(self.latest.saturating_sub(ts));
            }
            if !self.unsure {
                self.latest = self.latest.max(ts);
                self.told.first = Some(self.told.first.map_or(ts, |first| first.min(ts)));
                self.told.last = Some(self.latest);
            }
            if self.impaired_only && !has_id(packet) {
                self.told.bypassed += 1;
                continue;
            }
            if !known {
                self.told.unparsed += 1;
                continue;
            }
            if self.only.is_some_and(|only| !asked(only, packet, &layers)) {
                self.told.filtered += 1;
                continue;
            }
            self.next.packet.read(&layers, self.rules);
            let keyed = &self.next.packet;
            if let Some(place) = sightings::place(packet.linktype, packet.data, &layers)
                && self.sightings.again(ts, keyed, place)
            {
                self.told.seen_again += 1;
                continue;
            }
            self.told.cuts |= packet.caplen < packet.origlen;
            if keyed.cut {
                self.told.cut_short += 1;
                // Known by its content, it may be any packet that is missing about then.
                if matches!(keyed.tier, Tier::Rtp | Tier::Payload | Tier::Network) {
                    self.gaps.note(ts, ts);
                }
            }
            self.next.ts = ts;
            self.next.frame = u32::try_from(packet.index.saturating_add(1)).unwrap_or(0);
            self.next.interface = packet.interface;
            self.next.bytes = packet.origlen;
            self.holds = true;
            return Ok(());
        }
        Ok(())
    }

    /// Start of the capture: its first packet, or what is told if earlier.
    pub(super) fn start(&self) -> Option<i64> {
        self.told.first.into_iter().chain(self.began).min()
    }

    /// Whether the end of the capture is known: no packet follows that would set it.
    pub(super) fn is_over(&self) -> bool {
        !self.holds || self.unsure
    }

    /// End of the capture: its last packet, or the end that its statistics tell if later.
    pub(super) fn end(&self) -> i64 {
        let told = self.chosen.statistics(&self.reader).filter_map(|statistics| statistics.end);
        told.map(|end| self.correction.apply(end)).fold(self.latest, i64::max)
    }

    /// Drops that the interfaces' statistics tell, over all interfaces.
    pub(super) fn drops_in_statistics(&self) -> u64 {
        let each = self.chosen.statistics(&self.reader);
        each.fold(0, |sum: u64, told| sum.saturating_add(told.lost()))
    }
}

/// Asked of a copy, so that packets need be nowhere in memory where it is not asked.
fn has_id(packet: Packet<'_>) -> bool {
    packet.packetid().is_some()
}
