//! Conversations: what two ends sent each other.

use serde::Serialize;

use super::{
    super::flow::FlowKey,
    flows::{FlowSeen, Flows, Pair, ProtocolPackets, extend},
};
use crate::{
    packet::{Layers, Transport},
    stats::Budget,
    tcp::{Connection, Counts, Figures, Segment},
};

/// Samples of round trips kept one by one over all connections, 8 bytes each.
const SAMPLES: usize = 8 << 20;

/// Both directions between two ends.
#[derive(Clone, Debug, Serialize)]
pub struct Conversation {
    /// The direction a to b: a is who began.
    pub flow: FlowKey,
    /// How that is known.
    pub began_by: BeganBy,
    /// From a to b.
    pub a_to_b: Direction,
    /// From b to a.
    pub b_to_a: Direction,
    /// First stamp of both directions, nanoseconds since the epoch.
    pub first_ns: Option<i64>,
    /// Last stamp of both, nanoseconds since the epoch.
    pub last_ns: Option<i64>,
    /// From first to last, in nanoseconds.
    pub duration_ns: Option<i64>,
    /// Packets of both directions by protocol, the most first.
    pub protocols: Vec<ProtocolPackets>,
    /// Of TCP: what its numbers say.
    pub tcp: Option<Figures>,
}

/// What tells who began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BeganBy {
    /// A SYN, or the answer to one.
    Syn,
    /// The first packet that was captured.
    FirstPacket,
}

/// One direction of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Direction {
    /// Packets.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Those bytes over the duration of the whole conversation, in bit/s; `None` without a duration.
    pub mean_rate_bps: Option<f64>,
}

impl Conversation {
    /// Packets of both directions.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.a_to_b.packets + self.b_to_a.packets
    }

    /// Bytes on the wire of both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.a_to_b.bytes + self.b_to_a.bytes
    }
}

/// Counts of all TCP connections, those that are not listed included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TcpTotals {
    /// Conversations.
    pub conversations: u64,
    /// Connections that began with a SYN here.
    pub connections: u64,
    /// Segments with payload.
    pub data_segments: u64,
    /// Retransmissions.
    pub retransmissions: u64,
    /// Of those, segments with payload; the others have SYN or FIN alone.
    pub data_retransmissions: u64,
    /// Of those with payload, segments whose bytes had passed here before.
    pub data_repeated: u64,
    /// Of those, segments whose bytes had passed here before.
    pub repeated: u64,
    /// Of those, segments whose bytes had not passed here.
    pub lost_before: u64,
    /// Segments that came behind their turn and were sent in their turn.
    pub out_of_order: u64,
    /// Segments behind their turn of which neither is certain.
    pub unclear: u64,
    /// Bytes that receivers acknowledged and that did not pass here, or were not captured.
    pub unseen_bytes: u64,
    /// Segments that close a window.
    pub zero_windows: u64,
    /// Time for which windows were closed, summed up.
    pub zero_window_ns: u64,
    /// Segments with RST.
    pub resets: u64,
}

impl TcpTotals {
    fn add(&mut self, counts: &Counts) {
        self.data_segments += counts.data_segments;
        self.retransmissions += counts.retransmissions;
        self.data_retransmissions += counts.data_retransmissions;
        self.data_repeated += counts.data_repeated;
        self.repeated += counts.repeated;
        self.lost_before += counts.lost_before;
        self.out_of_order += counts.out_of_order;
        self.unclear += counts.unclear;
        self.unseen_bytes += counts.unseen_bytes;
        self.zero_windows += counts.zero_windows;
        self.zero_window_ns = self.zero_window_ns.saturating_add(counts.zero_window_ns);
        self.resets += counts.resets;
    }
}

/// TCP connections, each at the index of its conversation.
#[derive(Debug)]
pub(super) struct Connections {
    all: Vec<Option<Box<Connection>>>,
    budget: Budget,
}

impl Default for Connections {
    fn default() -> Self {
        Self { all: Vec::new(), budget: Budget::of(SAMPLES) }
    }
}

impl Connections {
    /// Takes a segment of a conversation.
    #[inline(always)]
    pub(super) fn see(&mut self, flows: &Flows, at: usize, layers: &Layers<'_>, ts: Option<i64>) {
        let (Transport::Tcp(tcp), Some(ip)) = (&layers.transport, &layers.ip) else { return };
        let segment = Segment::of(tcp, ip, layers.payload_length, ts);
        self.take(flows, at, &segment);
    }

    #[inline(never)]
    fn take(&mut self, flows: &Flows, at: usize, segment: &Segment) {
        let Some(place) = flows.places.get(at) else { return };
        if self.all.len() <= place.conversation {
            self.all.resize_with(place.conversation + 1, || None);
        }
        let Some(slot) = self.all.get_mut(place.conversation) else { return };
        let connection = slot.get_or_insert_with(|| Box::new(Connection::within(&self.budget)));
        connection.see(place.forward, segment);
    }

    /// The largest conversations, how many are left out, and what TCP comes to.
    pub(super) fn finished(mut self, flows: &Flows, listed: usize) -> (Vec<Conversation>, u64, Option<TcpTotals>) {
        let mut totals: Option<TcpTotals> = None;
        let mut all = Vec::with_capacity(flows.pairs.len());
        for (number, pair) in flows.pairs.iter().enumerate() {
            let connection = self.all.get_mut(number).and_then(Option::as_mut);
            let Some(conversation) = conversation(flows, *pair, connection.and_then(|found| found.began_forward()))
            else {
                continue;
            };
            all.push((number, conversation));
        }
        for connection in self.all.iter().flatten() {
            let totals = totals.get_or_insert_default();
            totals.conversations += 1;
            totals.connections += connection.connections();
            connection.counts().iter().for_each(|counts| totals.add(counts));
        }
        let left_out = all.len().saturating_sub(listed) as u64;
        all.sort_by(|(_, x), (_, y)| (y.bytes(), x.flow).cmp(&(x.bytes(), y.flow)));
        all.truncate(listed);
        let all = all.into_iter().map(|(number, mut conversation)| {
            let forward = flows.pairs.get(number).and_then(|pair| flows.all.get(pair.forward)).map(|seen| seen.flow);
            let turned = forward != Some(conversation.flow);
            let figures = self.all.get_mut(number).and_then(Option::as_mut).map(|found| found.figures());
            conversation.tcp = figures.map(|figures| if turned { figures.turned() } else { figures });
            conversation
        });
        (all.collect(), left_out, totals)
    }
}

fn conversation(flows: &Flows, pair: Pair, began_forward: Option<bool>) -> Option<Conversation> {
    let forward = flows.all.get(pair.forward)?;
    let backward = pair.backward.and_then(|at| flows.all.get(at));
    let (mut first_ns, mut last_ns) = (forward.first_ns, forward.last_ns);
    if let Some(backward) = backward {
        extend(&mut first_ns, &mut last_ns, backward.first_ns);
        extend(&mut first_ns, &mut last_ns, backward.last_ns);
    }
    let duration_ns = first_ns.zip(last_ns).map(|(from, to)| to.saturating_sub(from));
    let direction = |seen: Option<&FlowSeen>| {
        let (packets, bytes) = seen.map_or((0, 0), |seen| (seen.packets, seen.bytes));
        let seconds = duration_ns.filter(|&span| span > 0).map(|span| span as f64 / 1e9);
        Direction { packets, bytes, mean_rate_bps: seconds.map(|seconds| bytes as f64 * 8.0 / seconds) }
    };
    let (ahead, back) = (direction(Some(forward)), direction(backward));
    let turned = began_forward == Some(false);
    Some(Conversation {
        flow: if turned { forward.flow.turned() } else { forward.flow },
        began_by: if began_forward.is_some() { BeganBy::Syn } else { BeganBy::FirstPacket },
        a_to_b: if turned { back } else { ahead },
        b_to_a: if turned { ahead } else { back },
        first_ns,
        last_ns,
        duration_ns,
        protocols: together(&forward.protocols, backward.map_or(&[], |seen| &seen.protocols)),
        tcp: None,
    })
}

/// Protocols of both directions, the most first.
fn together(one: &[ProtocolPackets], other: &[ProtocolPackets]) -> Vec<ProtocolPackets> {
    let mut all = one.to_vec();
    for more in other {
        match all.iter_mut().find(|known| known.protocol == more.protocol) {
            Some(known) => known.packets += more.packets,
            None => all.push(*more),
        }
    }
    all.sort_by_key(|found| (std::cmp::Reverse(found.packets), found.protocol));
    all
}
