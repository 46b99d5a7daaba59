//! Which protocols the flows of a capture carry.

use serde::Serialize;

use super::{
    super::hash::HashedMap,
    details::Details,
    flows::{Flows, ProtocolPackets},
};
use crate::{
    packet::Layers,
    recognise::{self, Datagram, Protocol, Watch},
    rtp::RtpStream,
};

/// One protocol in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProtocolSeen {
    /// Which.
    pub protocol: Protocol,
    /// Its packets.
    pub packets: u64,
    /// Flows that have some, each direction by itself.
    pub flows: u64,
}

/// What is known of each flow, at its index.
#[derive(Debug, Default)]
pub(super) struct Protocols {
    watches: Vec<Watch>,
    /// Packets of flows beyond those that are followed.
    beyond: Watch,
    pub(super) details: Details,
}

impl Protocols {
    /// Looks at a UDP datagram of a flow.
    #[inline]
    pub(super) fn datagram(
        &mut self,
        flows: &Flows,
        at: Option<usize>,
        layers: &Layers<'_>,
        ts: Option<i64>,
    ) -> Option<Protocol> {
        let datagram = Datagram { payload: layers.payload, length: layers.payload_length, ports: layers.ports() };
        let Some(at) = at else {
            self.beyond.forget();
            return self.beyond.see(&datagram);
        };
        if self.watches.len() <= at {
            self.watch(flows, at);
        }
        let watch = self.watches.get_mut(at)?;
        if watch.passes_over(&datagram) {
            return None;
        }
        let before = watch.context();
        let found = watch.see(&datagram)?;
        let context = watch.context();
        if context != before
            && let Some(other) = flows.other(at).and_then(|other| self.watches.get_mut(other))
        {
            other.share(context);
        }
        self.details.see(found, layers.payload, layers.payload_length, ts);
        Some(found)
    }

    /// A datagram of a flow was RTCP.
    pub(super) fn rtcp(&mut self, at: usize) {
        if let Some(watch) = self.watches.get_mut(at) {
            watch.add(Protocol::Rtcp);
        }
    }

    /// Looks at a frame that is neither UDP nor TCP.
    pub(super) fn frame(&mut self, at: usize, layers: Layers<'_>, ts: Option<i64>) {
        if layers.ethertype != recognise::PTP_ETHERTYPE
            || recognise::ptp_message(layers.payload, layers.payload_length).is_none()
        {
            return;
        }
        self.watches.resize(self.watches.len().max(at + 1), Watch::default());
        if let Some(watch) = self.watches.get_mut(at) {
            watch.add(Protocol::Ptp);
        }
        self.details.see(Protocol::Ptp, layers.payload, layers.payload_length, ts);
    }

    /// A new flow knows what its other direction carried.
    #[cold]
    fn watch(&mut self, flows: &Flows, at: usize) {
        self.watches.resize(at + 1, Watch::default());
        let context = flows.other(at).and_then(|other| self.watches.get(other)).map(Watch::context);
        if let (Some(watch), Some(context)) = (self.watches.get_mut(at), context) {
            watch.share(context);
        }
    }

    /// Tells each flow its protocols, streams of RTP among them; all of them together.
    pub(super) fn finished(&mut self, flows: &mut Flows, streams: &[RtpStream]) -> Vec<ProtocolSeen> {
        let mut of_streams: HashedMap<u64> = HashedMap::default();
        for stream in streams {
            *of_streams.entry(stream.flow.hash()).or_default() += stream.received;
        }
        self.watches.resize(flows.all.len(), Watch::default());
        let mut all = Protocol::ALL.map(|protocol| ProtocolSeen { protocol, packets: 0, flows: 0 });
        let mut count = |protocol: Protocol, packets: u64, flows: u64| {
            if let Some(sum) = all.get_mut(protocol as usize) {
                sum.packets += packets;
                sum.flows += flows;
            }
        };
        for (watch, flow) in self.watches.iter().zip(&mut flows.all) {
            let mut found = watch.found();
            // What is RTP-MIDI is counted as such.
            if let Some(&packets) = of_streams.get(&flow.flow.hash())
                && !found.iter().any(|(protocol, _)| *protocol == Protocol::RtpMidi)
            {
                found.push((Protocol::Rtp, packets));
                found.sort_by_key(|&(protocol, packets)| (std::cmp::Reverse(packets), protocol));
            }
            found.iter().for_each(|&(protocol, packets)| count(protocol, packets, 1));
            flow.protocol = found.first().map(|first| first.0);
            flow.protocols =
                found.into_iter().map(|(protocol, packets)| ProtocolPackets { protocol, packets }).collect();
        }
        self.beyond.found().iter().for_each(|&(protocol, packets)| count(protocol, packets, 0));
        let mut all = Vec::from(all);
        all.retain(|seen| seen.packets > 0);
        all.sort_by_key(|seen| (std::cmp::Reverse(seen.packets), seen.protocol));
        all
    }
}
