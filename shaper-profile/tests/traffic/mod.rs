//! Random frames and random filters that are about the same few values, so that they meet.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

const MACS: [[u8; 6]; 5] =
    [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [1, 0, 0x5e, 0, 0, 5], [0x33, 0x33, 0, 0, 0, 1], [0xff; 6]];
const V4: [[u8; 4]; 6] =
    [[10, 0, 0, 1], [10, 0, 0, 2], [10, 9, 8, 7], [192, 168, 1, 7], [224, 0, 0, 5], [255, 255, 255, 255]];
const V6: [[u16; 8]; 4] = [
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1],
    [0x2001, 0xdb8, 0, 1, 0, 0, 0, 2],
    [0xfe80, 0, 0, 0, 0, 0, 0, 1],
    [0xff02, 0, 0, 0, 0, 0, 0, 1],
];
const PORTS: [u16; 7] = [0, 53, 80, 443, 5000, 5004, 65535];
const PROTOCOLS: [u8; 8] = [1, 2, 6, 17, 47, 58, 132, 0];
const TOS: [u8; 5] = [0, 0xb8, 0x2a, 3, 0x02];
const TCP_FLAGS: [u8; 5] = [0x02, 0x12, 0x10, 0x11, 0x04];
const TYPES: [u8; 6] = [0, 8, 3, 128, 135, 143];

/// What frames there may be.
#[derive(Clone, Copy)]
pub(crate) struct Kinds {
    pub(crate) tags: bool,
    /// IPv6 extension headers, fragments among them.
    pub(crate) extensions: bool,
}

fn one<T: Copy + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(of)
}

/// Ports, or type and code of ICMP, or nothing of interest: long enough for any of them.
fn layer4(protocol: u8) -> impl Strategy<Value = Vec<u8>> {
    let parts = (one(&PORTS), one(&PORTS), one(&TCP_FLAGS), one(&TYPES), one(&[0u8, 1, 4]));
    parts.prop_map(move |(source, destination, flags, kind, code)| {
        let mut bytes = vec![9; 24];
        match protocol {
            1 | 58 => bytes[..2].copy_from_slice(&[kind, code]),
            _ => {
                bytes[..2].copy_from_slice(&source.to_be_bytes());
                bytes[2..4].copy_from_slice(&destination.to_be_bytes());
                bytes[12..14].copy_from_slice(&[0x50, flags]);
            }
        }
        bytes
    })
}

fn ipv4() -> impl Strategy<Value = Vec<u8>> {
    let fragment = one(&[0u16, 0, 0, 0x4000, 0x2000, 0x2001, 0x00b9]);
    let header = (one(&PROTOCOLS), one(&TOS), fragment, one(&V4), one(&V4), 0usize..3);
    header.prop_flat_map(|(protocol, tos, fragment, source, destination, options)| {
        layer4(protocol).prop_map(move |payload| {
            let mut packet = vec![0x45 + options as u8, tos, 0, 60, 0, 1];
            packet.extend(fragment.to_be_bytes());
            packet.extend([64, protocol, 0, 0]);
            packet.extend(source);
            packet.extend(destination);
            packet.extend(vec![1; 4 * options]);
            packet.extend(payload);
            packet
        })
    })
}

fn ipv6(extensions: bool) -> impl Strategy<Value = Vec<u8>> {
    // Hop-by-hop, destination options, a first fragment and a later one, and an atomic one.
    let extension = one(&[(0u8, 0u16), (60, 0), (44, 1), (44, 0xb8), (44, 0)]);
    let chain = prop::collection::vec(extension, 0..=if extensions { 3 } else { 0 });
    let header = (chain, one(&PROTOCOLS[..7]), one(&TOS), one(&V6), one(&V6));
    header.prop_flat_map(|(chain, protocol, class, source, destination)| {
        layer4(protocol).prop_map(move |payload| {
            let first = chain.first().map_or(protocol, |(kind, _)| *kind);
            let mut packet = vec![0x60 | class >> 4, class << 4, 0, 0, 0, 60, first, 64];
            for word in source.iter().chain(&destination) {
                packet.extend(word.to_be_bytes());
            }
            for (place, (kind, field)) in chain.iter().enumerate() {
                let next = chain.get(place + 1).map_or(protocol, |(kind, _)| *kind);
                packet.extend([next, 0]);
                let field = if *kind == 44 { *field } else { 0 };
                packet.extend(field.to_be_bytes());
                packet.extend([0; 4]);
            }
            packet.extend(payload);
            packet
        })
    })
}

/// A whole frame.
pub(crate) fn frame(kinds: Kinds) -> impl Strategy<Value = Vec<u8>> {
    let other = one(&[0x0806u16, 0x88cc]).prop_map(|ethertype| (ethertype, vec![0; 46]));
    let packet = prop_oneof![
        5 => ipv4().prop_map(|packet| (0x0800, packet)),
        4 => ipv6(kinds.extensions).prop_map(|packet| (0x86dd, packet)),
        1 => other,
    ];
    let tags = prop::collection::vec(one(&[1u16, 2, 100]), 0..=if kinds.tags { 2 } else { 0 });
    (one(&MACS), one(&MACS[..2]), tags, packet).prop_map(|(destination, source, tags, (ethertype, packet))| {
        let mut frame = [destination, source].concat();
        for (place, tag) in tags.iter().enumerate() {
            frame.extend(if place + 1 < tags.len() { [0x88, 0xa8] } else { [0x81, 0] });
            frame.extend((0x2000 | tag).to_be_bytes());
        }
        frame.extend(u16::to_be_bytes(ethertype));
        frame.extend(packet);
        frame
    })
}

/// Conditions that mean the same to libpcap, on frames without tags and extension headers that are no control packets.
pub(crate) const COMMON: [&str; 62] = [
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "igmp",
    "esp",
    "proto 47",
    "proto 17",
    "ip proto 6",
    "ip proto 47",
    "ip proto 0",
    "ip6 proto 58",
    "ip6 proto 17",
    "ether proto 0x88cc",
    "ether proto 0x800",
    "host 10.0.0.1",
    "src host 10.0.0.2",
    "dst 10.9.8.7",
    "ip host 10.0.0.1",
    "src and dst host 10.0.0.1",
    "src or dst host 192.168.1.7",
    "host 10.0.0.1 or 10.0.0.2",
    "host 2001:db8::1",
    "dst host fe80::1",
    "ip6 src host 2001:db8:0:1::2",
    "net 10.0.0.0/8",
    "net 192.168",
    "src net 10.0.0.0 mask 255.255.255.0",
    "dst net 0.0.0.0/0",
    "src net 10",
    "net 2001:db8::/32",
    "dst net ff00::/8",
    "port 53",
    "tcp port 80",
    "udp dst port 5004",
    "sctp src port 443",
    "src and dst port 80",
    "port 80 or 443",
    "tcp dst port (80 or 443)",
    "portrange 53-80",
    "udp portrange 5000-5010",
    "tcp src portrange 1-65534",
    "dst portrange 0-1023",
    "ether host 02:00:00:00:00:01",
    "ether dst ff:ff:ff:ff:ff:ff",
    "ether src host 02:00:00:00:00:02",
    "multicast",
    "broadcast",
    "ether multicast",
    "ip multicast",
    "ip6 multicast",
    "icmp[icmptype] = icmp-echo",
    "icmp[icmptype] != 8",
    "icmp[icmpcode] = 4",
    "icmp6[icmp6type] = icmp6-echo",
    "(ip and tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn)",
    "(ip and tcp[tcpflags] & (tcp-syn|tcp-fin) != 0)",
    "(ip and tcp[13] = 18)",
];

/// Conditions joined at random.
pub(crate) fn joined(conditions: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    conditions.prop_recursive(3, 6, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) and ({right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) or ({right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("{left} or {right}")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("{left} && {right}")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("{left} and not ({right})")),
            inner.prop_map(|denied| format!("not ({denied})")),
        ]
    })
}

/// A filter that libpcap understands as we do.
pub(crate) fn common_filter() -> impl Strategy<Value = String> {
    joined(one(&COMMON).prop_map(str::to_owned))
}
