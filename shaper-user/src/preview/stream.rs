//! The steady stream that a preview sends through a link.

use std::collections::HashMap;

use serde::Serialize;
use shaper_channel::{Channel, Rules};
use shaper_common::fate::{Cause, Fate};
use shaper_common::pipeline::Packet;
use shaper_common::rules::{self, RuleKey};
use shaper_common::units::Nanos;
use shaper_profile::CompiledDirection;

/// When the first packet arrives: outages and changes count from here.
const START: Nanos = Nanos(1_000_000_000);
/// Of Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;
/// The ECN field of ECT(0), RFC 3168.
const ECT_0: u8 = 2;

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
    /// Whether packets are ECT(0), so that they may be marked.
    pub(crate) ect: bool,
}

/// What became of one packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    /// Its arrival since the first one's, in nanoseconds.
    pub(crate) at_ns: u64,
    /// What was decided.
    pub(crate) fate: Fate,
    /// From its arrival to its release, in nanoseconds; none for one that was dropped.
    pub(crate) delay_ns: Option<u64>,
    /// From its arrival until it was through the bottleneck, in nanoseconds; none where there is no bottleneck, or it
    /// was dropped before.
    pub(crate) queueing_ns: Option<u64>,
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
        let ecn = if self.ect { ECT_0 } else { 0 };
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

    /// Sends the stream through a direction and says what became of each packet, in the order of arrival.
    pub(crate) fn through(&self, direction: &CompiledDirection, flows: &[Flow]) -> Vec<Came> {
        let mut channels: HashMap<Option<u32>, Channel> = HashMap::new();
        let turns = flows.iter().cycle();
        (0..u64::from(self.packets))
            .zip(turns)
            .filter_map(|(number, flow)| {
                let at_ns = number.saturating_mul(self.interval_ns);
                let packet = Packet { now: START.saturating_add(Nanos(at_ns)), ..flow.packet };
                let spec = match flow.rule {
                    None => &direction.channel,
                    Some(rule) => direction.rules.channels.get(rule as usize)?,
                };
                let channel = channels.entry(flow.rule).or_insert_with(|| {
                    let mut spec = spec.clone();
                    spec.begin(START);
                    Channel::new(spec)
                });
                let fate = channel.decide(&packet);
                let since = |time: Nanos| time.saturating_sub(packet.now).0;
                let delay_ns = (fate.cause == Cause::None).then(|| since(fate.release));
                let queueing_ns = (fate.served > 0).then(|| since(channel.state().work.service.after.free_at));
                Some(Came { at_ns, fate, delay_ns, queueing_ns })
            })
            .collect()
    }
}
