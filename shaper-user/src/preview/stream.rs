//! The steady stream that a preview sends through a link.

use std::collections::HashMap;

use serde::Serialize;
use shaper_channel::Rules;
use shaper_common::pipeline::Packet;
use shaper_common::rules::{self, RuleKey};
use shaper_common::units::Nanos;
use shaper_profile::CompiledDirection;

use super::channels::{Channels, Through};
use crate::workload::ect::Ect;

/// When the first packet arrives: outages and changes count from here.
const START: Nanos = Nanos(1_000_000_000);
/// Of Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;

/// UDP datagrams over IPv4, one every interval, between the addresses of a lab's first two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Offered {
    /// From one packet's arrival to the next one's, in nanoseconds.
    pub(crate) interval_ns: u64,
    /// Bytes of each, layer 2 header included.
    pub(crate) packet_bytes: u32,
    /// How many.
    pub(crate) packets: u32,
    /// Flows that take turns; each has the next source port.
    pub(crate) flows: u32,
    /// The source port of the first flow.
    pub(crate) source_port: u16,
    /// The destination port.
    pub(crate) destination_port: u16,
    /// Which of ECT(0) and ECT(1) packets are, so that they may be marked; null for neither.
    pub(crate) ect: Option<Ect>,
}

/// A flow's packets: what the decision knows of them, and the rule that they go by.
pub(crate) struct Flow {
    packet: Packet,
    /// By number in the direction.
    pub(crate) rule: Option<u32>,
}

impl Offered {
    /// The flows, as the rules of a direction see them.
    pub(crate) fn of(&self, rules: &Rules, forward: bool) -> Vec<Flow> {
        let table: HashMap<RuleKey, u32> = rules.entries.iter().copied().collect();
        let flow = |number| {
            let frame = self.headers(number, forward);
            let (summary, key) = rules::summary_and_key(&frame[..]);
            let rule = key.and_then(|key| {
                rules::classify(&key, 0, &rules.shapes, &mut RuleKey::default(), |masked| table.get(masked).copied())
            });
            Flow { packet: summary.packet(START, self.packet_bytes), rule }
        };
        (0..self.flows).map(flow).collect()
    }

    /// The beginning of a packet. No checksum is set: no rule and no decision looks at one.
    fn headers(&self, flow: u32, forward: bool) -> [u8; HEADERS] {
        let [a, b] = [1u8, 2].map(|host| ([2, 0, 0, 0, 0, host], [10, 77, 0, host]));
        let ((from_mac, from), (to_mac, to)) = if forward { (a, b) } else { (b, a) };
        let ip_bytes = (self.packet_bytes.saturating_sub(14) as u16).to_be_bytes();
        let udp_bytes = (self.packet_bytes.saturating_sub(34) as u16).to_be_bytes();
        let source = self.source_port.wrapping_add(flow as u16).to_be_bytes();
        let ecn = self.ect.map_or(0, Ect::field);
        let mut frame = [0; HEADERS];
        let parts: [&[u8]; 10] = [
            &to_mac,
            &from_mac,
            &[0x08, 0x00, 0x45, ecn],
            &ip_bytes,
            // No fragment, 64 hops, UDP.
            &[0, 0, 0x40, 0, 64, 17, 0, 0],
            &from,
            &to,
            &source,
            &self.destination_port.to_be_bytes(),
            &udp_bytes,
        ];
        for (byte, value) in frame.iter_mut().zip(parts.concat()) {
            *byte = value;
        }
        frame
    }

    /// Sends the stream through a direction.
    pub(crate) fn through(&self, direction: &CompiledDirection, flows: &[Flow]) -> Through {
        let mut channels = Channels::new(direction, START);
        let packets = (0..u64::from(self.packets)).zip(flows.iter().cycle());
        let came = packets.filter_map(|(number, flow)| {
            let now = START.saturating_add(Nanos(number.saturating_mul(self.interval_ns)));
            channels.decide(flow.rule, &Packet { now, ..flow.packet }, START)
        });
        Through { came: came.collect(), flows_evicted: channels.flows_evicted(None) }
    }
}
