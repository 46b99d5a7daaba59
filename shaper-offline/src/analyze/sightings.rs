//! Captures on Linux's "any" show a packet once for each interface that it passes: on the bridge and
//! on its port, on the bond, on the VLAN, on both sides of a router. At one capture point that is
//! one packet.

use std::collections::VecDeque;

use super::{hash::HashedMap, key::Keyed};
use crate::packet::{self, Layers};

/// How far apart two sightings of one packet may be, in nanoseconds.
const APART: i64 = 1_000_000;
/// Packets remembered, however many share a stamp.
const REMEMBERED: usize = 1 << 16;

#[derive(Clone, Copy, Debug)]
struct Sighting {
    ts: i64,
    identification: u16,
    place: u64,
}

/// What passed last, by key.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    seen: HashedMap<Sighting>,
    order: VecDeque<(i64, u64)>,
}

/// Interface and packet type, and the tags, where the link type tells them.
#[inline]
pub(super) fn place(linktype: u16, data: &[u8], layers: &Layers<'_>) -> Option<u64> {
    let [outer, inner] = layers.vlans.map(u64::from);
    packet::cooked_place(linktype, data).map(|place| super::mix(place, outer << 16 | inner))
}

impl Sightings {
    /// Whether this is a packet that was seen just now at another place. The same place again is
    /// a copy, and a copy counts.
    pub(super) fn again(&mut self, ts: i64, keyed: &Keyed, place: u64) -> bool {
        while self.order.len() >= REMEMBERED
            || self.order.front().is_some_and(|(seen, _)| ts.abs_diff(*seen) > APART.unsigned_abs())
        {
            let Some((seen, key)) = self.order.pop_front() else { break };
            if self.seen.get(&key).is_some_and(|sighting| sighting.ts == seen) {
                self.seen.remove(&key);
            }
        }
        let now = Sighting { ts, identification: keyed.identification, place };
        let same = |seen: &&Sighting| {
            seen.identification == now.identification
                && seen.place != place
                && seen.ts.abs_diff(ts) <= APART.unsigned_abs()
        };
        if self.seen.get(&keyed.key).as_ref().is_some_and(same) {
            return true;
        }
        self.seen.insert(keyed.key, now);
        self.order.push_back((ts, keyed.key));
        false
    }
}
