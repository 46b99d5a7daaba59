//! What identifies a packet at both points, in tiers; never the IP identifier alone.

use serde::Serialize;

use super::{flow::FlowKey, hash};
use crate::{
    packet::{Ip, Layers, Transport},
    toast,
};

/// How a packet is recognised, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// SSRC, payload type, sequence and timestamp of RTP, which SRTP leaves in clear, and an equal
    /// payload; damaged packets by the numbers alone.
    Rtp,
    /// Session, sender, sequence and burst index of TOAST.
    Toast,
    /// Sequence, acknowledgement, flags, length and timestamp of TCP.
    Tcp,
    /// Hash of the transport payload.
    Payload,
    /// Hash of the network layer without what routers change.
    Network,
}

impl Tier {
    /// Number of tiers.
    pub(super) const COUNT: usize = 5;

    pub(super) fn index(self) -> usize {
        match self {
            Self::Rtp => 0,
            Self::Toast => 1,
            Self::Tcp => 2,
            Self::Payload => 3,
            Self::Network => 4,
        }
    }
}

/// What keys may use, the same for both captures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Bytes from the network layer on that both captures hold.
    pub(super) cover: usize,
    /// Whether addresses and ports differ between the points.
    pub(super) rewritten: bool,
}

/// A packet as the matcher sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed {
    /// Equal at both points, different for different packets.
    pub(super) key: u64,
    /// Flow as seen here, and its hash.
    pub(super) flow: FlowKey,
    pub(super) flow_hash: u64,
    /// Equal for a packet and its corrupted self.
    pub(super) header: u64,
    /// Hash of the payload that both captures hold.
    pub(super) content: u32,
    /// First sequence number and length of TCP data, 0 for what is none; of RTP what stands for its
    /// numbers, and no length.
    pub(super) segment: (u32, u32),
    /// IPv4 identification, 0 without: only ever tells equals apart.
    pub(super) identification: u16,
    pub(super) tier: Tier,
    pub(super) ttl: u8,
    /// The capture holds less of it than of others: content, and what is made of it, says nothing.
    pub(super) cut: bool,
}

/// Offsets into a header that routers may change: DSCP and ECN, TTL, checksum; in IPv6 traffic
/// class (with the version nibble), flow label and hop limit.
const MASK_V4: [usize; 4] = [1, 8, 10, 11];
const MASK_V6: [usize; 5] = [0, 1, 2, 3, 7];
const ARP: u16 = 0x0806;
const ARP_LENGTH: usize = 28;

/// Keys one frame.
#[inline(always)]
pub(super) fn keyed(layers: &Layers<'_>, rules: Rules) -> Keyed {
    both(layers, rules, false).0
}

impl Keyed {
    /// Keys one frame in place: a processor waits for what it wrote in parts and then copies as a whole.
    #[inline(never)]
    pub(super) fn read(&mut self, layers: &Layers<'_>, rules: Rules) {
        *self = keyed(layers, rules);
    }

    /// The same as if the points saw the same addresses; tells its key for the case that they do not.
    #[inline(never)]
    pub(super) fn read_either_way(&mut self, layers: &Layers<'_>, cover: usize) -> u64 {
        let (strict, loose) = both(layers, Rules { cover, rewritten: false }, true);
        *self = strict;
        loose
    }
}

/// Keys one frame; with `loose` also its key without addresses.
#[inline(always)]
fn both(layers: &Layers<'_>, rules: Rules, loose: bool) -> (Keyed, u64) {
    let flow = FlowKey::of(layers);
    // Not the tunnel: one point may be within it, and the other outside.
    let bare = flow.bare_hash();
    let anywhere = u64::from(flow.protocol);
    let scope = if rules.rewritten { anywhere } else { bare };
    let held = layers.network.len();
    let cut = held < rules.cover && held < layers.network_length as usize;
    let identified = layers.ip.and_then(|ip| Some((ip, identity(layers, ip, &flow, rules)?)));
    let Some((ip, identity)) = identified else {
        let whole = |scope, rules| match layers.ip {
            Some(_) => network(layers, flow, scope, rules),
            None => other(layers, flow, rules),
        };
        let without = if loose { whole(anywhere, Rules { rewritten: true, ..rules }).key } else { 0 };
        return (Keyed { cut, ..whole(scope, rules) }, without);
    };
    let identification = ip.identification.unwrap_or(0);
    let length = u64::from(layers.payload_length);
    let keyed = Keyed {
        key: identity.key(scope),
        flow,
        flow_hash: flow.hash_in_tunnel(bare),
        header: hash::mix(hash::mix(scope, length), u64::from(identification) ^ identity.extra << 16),
        content: identity.content as u32,
        segment: identity.segment,
        identification,
        tier: identity.tier,
        ttl: ip.ttl,
        cut,
    };
    (keyed, if loose { identity.key(anywhere) } else { 0 })
}

/// What tells a packet from others of its scope.
struct Identity {
    tier: Tier,
    numbers: u64,
    /// Numbers beyond those, of TCP.
    more: Option<u64>,
    /// What the header key has besides.
    extra: u64,
    content: u64,
    segment: (u32, u32),
}

impl Identity {
    #[inline(always)]
    fn key(&self, scope: u64) -> u64 {
        let key = hash::mix(scope, self.numbers);
        self.more.map_or(key, |more| hash::mix(key, more))
    }
}

/// What identifies the packet by its transport; `None` where only the network layer as a whole does.
#[inline(always)]
fn identity(layers: &Layers<'_>, ip: Ip, flow: &FlowKey, rules: Rules) -> Option<Identity> {
    if ip.fragment {
        return None;
    }
    let held = rules.cover.saturating_sub(layers.network.len() - layers.payload.len());
    // What this capture holds, but never more than the other one.
    let payload = layers.payload.get(..held).unwrap_or(layers.payload);
    let length = u64::from(layers.payload_length);
    let content = hash::bytes(length, payload);
    let by_content = Identity { tier: Tier::Payload, numbers: content, more: None, extra: 0, content, segment: (0, 0) };
    match layers.transport {
        Transport::Udp { .. } => {
            if let Some(numbers) = toast_numbers(payload) {
                return Some(Identity { tier: Tier::Toast, numbers, ..by_content });
            }
            if length == 0 {
                return None;
            }
            Some(match rtp_numbers(payload, length, flow) {
                // Other protocols begin like RTP too: only what is equal throughout is one packet. The
                // numbers find its damaged self.
                Some(numbers) => Identity { tier: Tier::Rtp, segment: (numbers as u32, 0), ..by_content },
                None => by_content,
            })
        }
        Transport::Tcp(tcp) => {
            let numbers = u64::from(tcp.sequence) << 32 | u64::from(tcp.acknowledgement);
            let rest = u64::from(tcp.timestamp().unwrap_or(0)) << 32 | length << 8 | u64::from(tcp.flags);
            let segment = (tcp.sequence, layers.payload_length);
            // Behind a translator the flows differ, and with them the byte ranges.
            let segment = if rules.rewritten { (0, 0) } else { segment };
            let extra = u64::from(tcp.sequence);
            Some(Identity { tier: Tier::Tcp, numbers, more: Some(rest), extra, content, segment })
        }
        Transport::Icmp => Some(by_content),
        Transport::Other if length > 0 => Some(by_content),
        Transport::Other => None,
    }
}

/// What numbers a TOAST frame.
#[inline]
fn toast_numbers(payload: &[u8]) -> Option<u64> {
    if !toast::begins_frame(payload) {
        return None;
    }
    let Some(toast::Recognised::Frame(frame)) = toast::recognise(payload) else { return None };
    let numbers = u64::from(frame.session) << 32 | u64::from(frame.sequence);
    let burst = u64::from(frame.burst_id) << 16 | u64::from(frame.burst_index) << 8 | u64::from(frame.kind);
    Some(hash::mix(numbers, burst))
}

/// What numbers an RTP packet: SSRC, payload type, sequence, timestamp.
#[inline]
fn rtp_numbers(payload: &[u8], length: u64, flow: &FlowKey) -> Option<u64> {
    let header = payload.first_chunk::<12>()?;
    // RFC 7983: 128 to 191 is RTP or RTCP; RFC 5761: RTCP's packet types are 192 to 223.
    let rtp = (128..192).contains(&header[0]) && !(192..224).contains(&header[1]);
    // Services whose own headers would often look like it.
    const NEVER: [u16; 5] = [53, 67, 123, 443, HIGHEST];
    const HIGHEST: u16 = 5353;
    let (one, other) = (flow.source_port, flow.destination_port);
    if !rtp || one.min(other) <= HIGHEST && (NEVER.contains(&one) || NEVER.contains(&other)) {
        return None;
    }
    // The sequence number, the timestamp, and the payload type in place of what follows.
    let [_, kind, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = *header;
    let numbers = u64::from_be_bytes([s0, s1, t0, t1, t2, t3, r0, r1]) & !0xffff | u64::from(kind & 0x7f) << 8;
    let ssrc = u64::from(u32::from_be_bytes([r0, r1, r2, r3]));
    Some(hash::mix(numbers, ssrc << 16 | length))
}

/// The network layer with the fields masked that change on the way.
#[inline(never)]
fn network(layers: &Layers<'_>, flow: FlowKey, scope: u64, rules: Rules) -> Keyed {
    let held = layers.network.get(..rules.cover).unwrap_or(layers.network);
    let mut head = [0; 40];
    let masked: &[usize] = if layers.ethertype == 0x0800 { &MASK_V4 } else { &MASK_V6 };
    let size = if layers.ethertype == 0x0800 { 20 } else { 40 };
    for (at, (slot, &byte)) in head.iter_mut().zip(held.iter().take(size)).enumerate() {
        // Behind a translator addresses differ too.
        let address = rules.rewritten && at >= if size == 20 { 12 } else { 8 };
        *slot = if masked.contains(&at) || address { 0 } else { byte };
    }
    let body = held.get(size..).unwrap_or_default();
    let content = hash::bytes(u64::from(layers.network_length), body);
    Keyed {
        key: hash::mix(hash::bytes(scope, &head), content),
        flow,
        flow_hash: flow.hash(),
        header: hash::mix(scope, hash::bytes(u64::from(layers.network_length), &head)),
        content: content as u32,
        segment: (0, 0),
        identification: layers.ip.and_then(|ip| ip.identification).unwrap_or(0),
        tier: Tier::Network,
        ttl: layers.ip.map_or(0, |ip| ip.ttl),
        cut: false,
    }
}

/// Frames without IP: ARP, LLDP and the like.
#[inline(never)]
fn other(layers: &Layers<'_>, flow: FlowKey, rules: Rules) -> Keyed {
    // Ethernet pads ARP on some links and not on others.
    let limit = if layers.ethertype == ARP { ARP_LENGTH } else { usize::MAX };
    let limit = limit.min(rules.cover);
    let held = layers.network.get(..limit).unwrap_or(layers.network);
    let content = hash::bytes(u64::from(layers.ethertype), held);
    Keyed {
        key: content,
        flow,
        flow_hash: flow.hash(),
        header: hash::mix(content, 1),
        content: content as u32,
        segment: (0, 0),
        identification: 0,
        tier: Tier::Network,
        ttl: 0,
        cut: false,
    }
}
