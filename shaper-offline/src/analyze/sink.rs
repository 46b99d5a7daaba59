//! What the comparison of two captures tells of each packet, for those who want more than figures.

use super::{
    flow::FlowKey,
    result::{Analysis, Way},
};

/// Takes the packets of [`two_points_into`](super::two_points_into) one by one.
///
/// Packets come in the order in which they are settled, one waiting time behind the captures: what
/// was sent in the order of sending over both directions, each further copy right behind its
/// original, and what only arrived where its waiting time ends. A packet found at both points comes
/// once.
pub trait Sink {
    /// A flow seen for the first time, before any packet of it. Indices count from 0; flows beyond
    /// the 65,536 that are followed one by one have none.
    fn flow(&mut self, index: u32, key: &FlowKey) {
        let _ = (index, key);
    }

    /// A packet settled.
    fn packet(&mut self, packet: &PacketRecord<'_>);

    /// The end, with what is known only there.
    fn finish(&mut self, analysis: &Analysis, ending: &Ending) {
        let _ = (analysis, ending);
    }
}

/// What is known only at the end, and changes what was told packet by packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// By how much all packets moved the clock's offset from what a sample of them said: subtract it
    /// from every stamp of B and from every delay from A to B, and add it to every delay from B to A.
    /// The figures have it in them.
    pub shift_ns: i64,
    /// B's capture lost packets nobody knows where: what was told as [`Fate::Lost`] from A to B is
    /// [`Fate::Unmatched`].
    pub a_to_b_unproven: bool,
    /// A's capture did: the same from B to A.
    pub b_to_a_unproven: bool,
}

/// A packet at one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its number in the file as Wireshark counts, from 1; `None` beyond 4,294,967,295.
    pub frame: Option<u64>,
    /// Index into the interfaces of the file.
    pub interface: u32,
    /// Nanoseconds since the epoch on the common clock, which is that of A.
    pub ts_ns: i64,
}

/// What became of a packet. The first five are packets sent; they add up to
/// [`Figures::sent`](super::Figures::sent).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// Seen intact at both points.
    Matched,
    /// Arrived with other content.
    Corrupted,
    /// Missing, while the other capture is known to be complete.
    Lost,
    /// Missing without proof of loss, or without a known direction.
    Unmatched,
    /// Missing, sent while the other capture did not run.
    Edge,
    /// A further copy of a packet that has its match: what stands for the sending point is the
    /// original.
    Duplicate,
    /// Arrived without having been seen sent.
    ArrivalOnly,
    /// Arrived, and in no figure: perhaps sent while the other capture did not run, cut, given up before
    /// its time, or TCP data that was sent in other segments.
    Uncounted,
}

/// How far a packet came out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// Reordering extent in packets (RFC 4737 section 4.2.1).
    pub extent: i64,
    /// Late time offset in nanoseconds (section 4.2.2).
    pub late_ns: i64,
}

/// One packet, as far as both captures tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketRecord<'a> {
    /// Which way it went; `None` if nothing tells.
    pub way: Option<Way>,
    /// Its flow as the sending point saw it, or the only point that did; `None` beyond the flows
    /// that are followed one by one.
    pub flow: Option<(u32, &'a FlowKey)>,
    /// What became of it.
    pub fate: Fate,
    /// Length on the wire with the link layer, at the sending point or where alone it was seen.
    pub bytes: u32,
    /// Where the first capture holds it.
    pub a: Option<Sighting>,
    /// Where the second one does.
    pub b: Option<Sighting>,
    /// One-way delay in nanoseconds where both points saw it and its direction is known; without a
    /// known offset of the clocks ([`ClockFound::offset_ns`](super::ClockFound::offset_ns)) only
    /// differences between delays mean something.
    pub delay_ns: Option<i64>,
    /// Whether it was reordered (RFC 4737 section 3.3), and how far; of matched packets only.
    pub reordered: Option<Displaced>,
}

impl PacketRecord<'_> {
    /// The packet at the sending point; `None` also without a direction.
    #[must_use]
    pub fn sent(&self) -> Option<Sighting> {
        match self.way? {
            Way::AToB => self.a,
            Way::BToA => self.b,
        }
    }

    /// The packet at the receiving point; `None` also without a direction.
    #[must_use]
    pub fn arrived(&self) -> Option<Sighting> {
        match self.way? {
            Way::AToB => self.b,
            Way::BToA => self.a,
        }
    }
}
