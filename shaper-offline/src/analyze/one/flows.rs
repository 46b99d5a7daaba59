//! Flows of one capture, and which of them are the two directions of one conversation.

use serde::Serialize;

use super::super::{flow::FlowKey, hash::HashedMap};
use crate::{packet::Layers, pcapfile::Packet, recognise::Protocol};

/// Flows followed one by one.
pub(super) const FLOWS: usize = 65_536;
/// Flows found without the map.
const RECENT: usize = 256;

/// One flow, in one direction.
#[derive(Clone, Debug, Serialize)]
pub struct FlowSeen {
    /// Addresses, ports and protocol.
    pub flow: FlowKey,
    /// Its packets.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// First stamp, nanoseconds since the epoch.
    pub first_ns: Option<i64>,
    /// Last stamp, nanoseconds since the epoch.
    pub last_ns: Option<i64>,
    /// The protocol that most of its recognised packets are of.
    pub protocol: Option<Protocol>,
    /// Packets by protocol, the most first; a flow may carry several.
    pub protocols: Vec<ProtocolPackets>,
    /// Where its first packet was, and whether there are some elsewhere.
    #[serde(skip)]
    interface: u32,
    #[serde(skip)]
    pub(super) several: bool,
}

/// Packets of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProtocolPackets {
    /// Which.
    pub protocol: Protocol,
    /// How many.
    pub packets: u64,
}

/// Where a flow belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of its conversation.
    pub(super) conversation: usize,
    /// Whether it is the direction that was seen first.
    pub(super) forward: bool,
}

/// Both directions, as indices of flows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) forward: usize,
    pub(super) backward: Option<usize>,
}

/// All flows, each at an index that stays its own.
#[derive(Debug)]
pub(super) struct Flows {
    pub(super) all: Vec<FlowSeen>,
    /// Parallel to the flows.
    pub(super) places: Vec<Place>,
    pub(super) pairs: Vec<Pair>,
    /// Packets of flows beyond those that are followed.
    pub(super) untracked: u64,
    index: HashedMap<usize>,
    /// Hashes and indices of flows that were met last, by a part of the hash.
    recent: Box<[(u64, usize); RECENT]>,
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            places: Vec::new(),
            pairs: Vec::new(),
            untracked: 0,
            index: HashedMap::default(),
            recent: Box::new([(0, usize::MAX); RECENT]),
        }
    }
}

impl Flows {
    /// Counts a packet; the index of its flow, `None` beyond those that are followed.
    #[inline]
    pub(super) fn count(&mut self, layers: &Layers<'_>, packet: &Packet<'_>) -> Option<usize> {
        let hash = FlowKey::of(layers).hash();
        let recent = self.recent.get(hash as usize % RECENT).filter(|recent| recent.0 == hash);
        let at = match recent.map(|recent| recent.1).filter(|&at| at < self.all.len()) {
            Some(at) => at,
            None => self.find(FlowKey::of(layers), hash)?,
        };
        let seen = self.all.get_mut(at)?;
        if seen.packets == 0 {
            seen.interface = packet.interface;
        }
        seen.several |= seen.interface != packet.interface;
        seen.packets += 1;
        seen.bytes += u64::from(packet.origlen);
        extend(&mut seen.first_ns, &mut seen.last_ns, packet.ts_ns);
        Some(at)
    }

    fn find(&mut self, flow: FlowKey, hash: u64) -> Option<usize> {
        let at = match self.index.get(&hash) {
            Some(&at) => at,
            None if self.all.len() < FLOWS => self.add(flow, hash),
            None => {
                self.untracked += 1;
                return None;
            }
        };
        if let Some(recent) = self.recent.get_mut(hash as usize % RECENT) {
            *recent = (hash, at);
        }
        Some(at)
    }

    fn add(&mut self, flow: FlowKey, hash: u64) -> usize {
        let at = self.all.len();
        self.all.push(FlowSeen {
            flow,
            packets: 0,
            bytes: 0,
            first_ns: None,
            last_ns: None,
            protocol: None,
            protocols: Vec::new(),
            interface: 0,
            several: false,
        });
        self.index.insert(hash, at);
        let back = self.index.get(&flow.turned().hash()).filter(|&&back| back != at);
        let known = back.and_then(|&back| self.places.get(back)).map(|place| place.conversation);
        match known.and_then(|conversation| Some((conversation, self.pairs.get_mut(conversation)?))) {
            Some((conversation, pair)) => {
                pair.backward = Some(at);
                self.places.push(Place { conversation, forward: false });
            }
            None => {
                self.places.push(Place { conversation: self.pairs.len(), forward: true });
                self.pairs.push(Pair { forward: at, backward: None });
            }
        }
        at
    }

    /// The index of the other direction.
    pub(super) fn other(&self, at: usize) -> Option<usize> {
        let place = self.places.get(at)?;
        let pair = self.pairs.get(place.conversation)?;
        if place.forward { pair.backward } else { Some(pair.forward) }
    }
}

/// Widens a span of time by a stamp.
#[inline]
pub(super) fn extend(first: &mut Option<i64>, last: &mut Option<i64>, ts: Option<i64>) {
    let Some(ts) = ts else { return };
    if first.is_none_or(|first| ts < first) {
        *first = Some(ts);
    }
    if last.is_none_or(|last| ts > last) {
        *last = Some(ts);
    }
}
