//! Analyses without addresses, names and what sources call themselves.

use std::net::IpAddr;

use super::{Anonymizer, Key, digest};
use crate::analyze::{Analysis, Description, Ending, FlowKey, PacketRecord, Sink};

/// What a first and a second capture are called in place of their paths.
pub(crate) const NAMES: [&str; 2] = ["a", "b"];

impl Anonymizer {
    /// A flow, with its addresses mapped. What tells the ends of a tunnel apart is mapped too, to another number than that
    /// of the mapped ends.
    pub(crate) fn flow(&mut self, flow: &FlowKey) -> FlowKey {
        let mut map = |address: IpAddr| match address {
            IpAddr::V4(v4) => IpAddr::from(self.ipv4(v4)),
            IpAddr::V6(v6) => IpAddr::from(self.ipv6(v6)),
        };
        let addresses = flow.addresses.map(|(source, destination)| (map(source), map(destination)));
        let tunnel = flow.tunnel.map(|tunnel| tunnel.with_path(self.digest.number(digest::PATH, tunnel.path())));
        FlowKey { addresses, tunnel, ..*flow }
    }

    /// Takes out of the figures of one point what tells of hosts.
    pub(crate) fn description(&mut self, found: &mut Description) {
        found.path = NAMES[0].to_owned();
        for conversation in &mut found.conversations {
            conversation.flow = self.flow(&conversation.flow);
        }
        for flow in &mut found.flows {
            flow.flow = self.flow(&flow.flow);
        }
        for sender in &mut found.toast {
            sender.sender = self.flow(&sender.sender);
        }
        for stream in &mut found.rtp.streams {
            stream.flow = self.flow(&stream.flow);
            stream.ssrc = self.ssrc(stream.ssrc);
            if let Some(rtcp) = &mut stream.rtcp {
                rtcp.cname = None;
            }
        }
        for session in &mut found.ableton_link {
            // Its id is that of the peer who began it.
            session.session = self.name(&session.session);
            session.session.truncate(16);
        }
        // The order of addresses is none of the mapped ones.
        found.conversations.sort_by_key(|one| (std::cmp::Reverse(one.a_to_b.bytes + one.b_to_a.bytes), one.flow));
        found.flows.sort_by_key(|one| (std::cmp::Reverse(one.packets), one.flow));
        found.toast.sort_by_key(|one| (one.session, one.sender));
        found.rtp.streams.sort_by_key(|one| (one.flow, one.ssrc));
        found.ableton_link.sort_by(|one, other| one.session.cmp(&other.session));
    }
}

/// Hands packets on with their flows mapped.
pub(crate) struct Anonymous<'s, S> {
    sink: &'s mut S,
    by: Anonymizer,
    flows: Vec<FlowKey>,
}

impl<'s, S: Sink> Anonymous<'s, S> {
    pub(crate) fn new(sink: &'s mut S, key: &Key) -> Self {
        Self { sink, by: Anonymizer::new(key), flows: Vec::new() }
    }
}

impl<S: Sink> Sink for Anonymous<'_, S> {
    fn flow(&mut self, index: u32, key: &FlowKey) {
        let mapped = self.by.flow(key);
        self.flows.push(mapped);
        self.sink.flow(index, &mapped);
    }

    fn packet(&mut self, packet: &PacketRecord<'_>) {
        // Flows count from 0, each before its first packet.
        let flow = packet.flow.and_then(|(index, _)| Some((index, self.flows.get(index as usize)?)));
        self.sink.packet(&PacketRecord { flow, ..*packet });
    }

    fn finish(&mut self, analysis: &Analysis, ending: &Ending) {
        self.sink.finish(analysis, ending);
    }
}
