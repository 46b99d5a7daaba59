//! TCP as it looks at one point of the path: round-trip times, retransmissions, windows.
//!
//! The point sees a segment on its way to the receiver, and the acknowledgement on its way back.
//! What lies between is the round trip from the point over the receiver; that of the other
//! direction covers the rest of the path. Memory is bounded a connection.

mod figures;
mod holes;
mod leap;
#[cfg(test)]
mod leap_tests;
mod outstanding;
#[cfg(test)]
mod path_tests;
mod sequence;
#[cfg(test)]
mod tests;
mod way;

use crate::{
    packet::{Ip, Tcp},
    stats::Budget,
};
use way::Way;

pub use figures::{Counts, Figures, Handshake, WayFigures};

/// What is looked at of a segment; lengths are those on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segment {
    /// When it passed, in nanoseconds since the epoch.
    pub ts_ns: Option<i64>,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags, as in [`Tcp::flags`].
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Payload bytes.
    pub length: u32,
    /// TSval and TSecr.
    pub timestamps: Option<(u32, u32)>,
    /// IPv4 identification, where it is not 0: there may be an order in it.
    pub identification: Option<u16>,
    /// Highest right edge of its SACK blocks above the acknowledgement.
    pub sacked: Option<u32>,
    /// Whether its first SACK block reports a duplicate (RFC 2883 section 4).
    pub duplicate_reported: bool,
    /// Options of a SYN: maximum segment size.
    pub mss: Option<u16>,
    /// Shift of the window.
    pub window_scale: Option<u8>,
    /// Whether SACK may be used.
    pub sack_permitted: bool,
}

impl Segment {
    /// Takes a segment from its headers; `length` is the payload's on the wire.
    #[must_use]
    #[inline]
    pub fn of(tcp: &Tcp<'_>, ip: &Ip, length: u32, ts_ns: Option<i64>) -> Self {
        let mut segment = Self {
            ts_ns,
            sequence: tcp.sequence,
            acknowledgement: tcp.acknowledgement,
            flags: tcp.flags,
            window: tcp.window,
            length,
            timestamps: tcp.timestamps(),
            identification: ip.identification.filter(|&number| number != 0),
            ..Self::default()
        };
        if segment.has(Tcp::SYN) {
            segment.mss = tcp.mss();
            segment.window_scale = tcp.window_scale();
            segment.sack_permitted = tcp.sack_permitted();
        }
        if !tcp.has_timestamps_alone() {
            let mut blocks = tcp.sack_blocks();
            if let Some(first) = blocks.next() {
                segment.take_blocks(first, blocks);
            }
        }
        segment
    }

    fn take_blocks(&mut self, first: (u32, u32), others: impl Iterator<Item = (u32, u32)>) {
        let acknowledged = self.acknowledgement;
        let above = |edge: u32| sequence::before(acknowledged, edge);
        self.duplicate_reported = !above(first.1);
        self.sacked = Some(first.1).filter(|&edge| above(edge));
        for (number, (left, right)) in others.enumerate() {
            // A duplicate above the acknowledgement lies within the second block.
            self.duplicate_reported |=
                number == 0 && !sequence::before(first.0, left) && !sequence::before(right, first.1);
            if above(right) {
                self.sacked = Some(self.sacked.map_or(right, |edge| sequence::later(edge, right)));
            }
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Length in sequence numbers: SYN and FIN take one each.
    fn span(&self) -> u32 {
        self.length.wrapping_add(u32::from(self.has(Tcp::SYN))).wrapping_add(u32::from(self.has(Tcp::FIN)))
    }
}

/// Both directions between two ends; more than one connection if they use their ports again.
#[derive(Debug)]
pub struct Connection {
    forward: Way,
    backward: Way,
    connections: u64,
    opening: Option<Opening>,
    handshake: Option<Handshake>,
    /// Whether who began it went forward, as far as a SYN told.
    began_forward: Option<bool>,
}

/// A handshake that is under way.
#[derive(Clone, Copy, Debug)]
struct Opening {
    forward: bool,
    syn: Option<i64>,
    syn_ack: Option<(i64, u32)>,
}

impl Connection {
    /// A connection whose samples take their memory from the budget.
    #[must_use]
    pub fn within(budget: &Budget) -> Self {
        Self {
            forward: Way::within(budget),
            backward: Way::within(budget),
            connections: 0,
            opening: None,
            handshake: None,
            began_forward: None,
        }
    }

    /// Takes a segment, in the order in which they passed.
    pub fn see(&mut self, forward: bool, segment: &Segment) {
        if segment.has(Tcp::SYN) && !segment.has(Tcp::RST) {
            self.open(forward, segment);
        } else if self.opening.is_some() {
            self.opened(forward, segment);
        }
        let ends = (&mut self.forward, &mut self.backward);
        let (own, other) = if forward { ends } else { (ends.1, ends.0) };
        // Of each end's windows; not known without both SYNs.
        let offered = [&*own, &*other].map(|way| way.initial.and(Some(way.counts.window_scale)));
        // Only leaps ask for it.
        let shift = |[one, two]: [Option<Option<u8>>; 2]| Some(leap::shift(two?, one?));
        if segment.has(Tcp::ACK) && !segment.has(Tcp::RST) {
            other.acknowledged(segment, &mut own.counts, || shift(offered));
        }
        let [one, two] = offered;
        own.sent(segment, other.shortest(), || shift([two, one]));
    }

    /// A SYN begins a connection, unless it is one that passed before.
    fn open(&mut self, forward: bool, segment: &Segment) {
        let ends = (&mut self.forward, &mut self.backward);
        let (own, other) = if forward { ends } else { (ends.1, ends.0) };
        let again = own.initial == Some(segment.sequence);
        if segment.has(Tcp::ACK) {
            self.began_forward.get_or_insert(!forward);
            if again {
                // Which of the two an answer is to cannot be known.
                self.opening = None;
                return;
            }
            own.begin(segment);
            if let (Some(opening), Some(ts)) = (&mut self.opening, segment.ts_ns) {
                opening.syn_ack = Some((ts, segment.sequence.wrapping_add(1)));
            }
            return;
        }
        self.began_forward.get_or_insert(forward);
        if again {
            if let Some(opening) = &mut self.opening {
                opening.syn = None;
            }
            return;
        }
        self.connections += 1;
        own.begin(segment);
        other.restart();
        self.opening = Some(Opening { forward, syn: segment.ts_ns, syn_ack: None });
    }

    /// The third segment of a handshake.
    fn opened(&mut self, forward: bool, segment: &Segment) {
        let Some(opening) = self.opening else { return };
        let Some((syn_ack, expected)) = opening.syn_ack.filter(|_| forward == opening.forward) else { return };
        if !segment.has(Tcp::ACK) || segment.acknowledgement != expected {
            return;
        }
        self.opening = None;
        // Where the clock went back there is no time.
        let since = |from: i64, to: i64| to.checked_sub(from).filter(|time| *time >= 0);
        let to_initiator = segment.ts_ns.and_then(|ts| since(syn_ack, ts));
        let to_responder = opening.syn.and_then(|syn| since(syn, syn_ack));
        let (own, other) =
            if forward { (&mut self.forward, &mut self.backward) } else { (&mut self.backward, &mut self.forward) };
        own.handshake(to_responder);
        other.handshake(to_initiator);
        self.handshake.get_or_insert(Handshake {
            to_responder_ns: to_responder,
            to_initiator_ns: to_initiator,
            whole_ns: to_responder.zip(to_initiator).map(|(one, other)| one.saturating_add(other)),
        });
    }

    /// Whether who began the connection went forward; `None` if no SYN passed.
    #[must_use]
    pub fn began_forward(&self) -> Option<bool> {
        self.began_forward
    }

    /// Connections that began with a SYN.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Counts of both directions, forward first.
    #[must_use]
    pub fn counts(&self) -> [&Counts; 2] {
        [&self.forward.counts, &self.backward.counts]
    }

    /// What was found, forward first.
    pub fn figures(&mut self) -> Figures {
        Figures {
            connections: self.connections,
            handshake: self.handshake,
            a_to_b: self.forward.figures(),
            b_to_a: self.backward.figures(),
        }
    }
}
