//! Network and transport headers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Anonymizer, digest, frame::Frame};
use crate::packet::{Layers, Transport, protocol};

/// No operation, of IPv4 and of TCP alike.
const NOP: u8 = 1;
const END: u8 = 0;
/// Options of TCP that stay: MSS, window scale, SACK permitted, SACK, timestamps. Others hold cookies and addresses.
const OPTIONS: [u8; 5] = [2, 3, 4, 5, 8];

/// Writes the headers of IP and of what it carries.
pub(super) fn write(by: &mut Anonymizer, frame: &mut Frame<'_>, layers: &Layers<'_>) {
    let Some(ip) = layers.ip else { return };
    let at = layers.network_offset as usize;
    let end = at + ip.header_length;
    if ip.source.is_ipv4() {
        ipv4(by, frame, at, end)
    } else {
        ipv6(by, frame, at, end)
    }
    match layers.transport {
        Transport::Udp { .. } => frame.copy(end..end + 8),
        Transport::Tcp(tcp) => {
            frame.copy(end..end + 20);
            tcp_options(frame, end + 20, end + tcp.header_length);
        }
        Transport::Icmp | Transport::Other => {}
    }
}

fn ipv4(by: &mut Anonymizer, frame: &mut Frame<'_>, at: usize, end: usize) {
    frame.copy(at..at + 12);
    for place in [at + 12, at + 16] {
        if let Some(address) = frame.chunk::<4>(place) {
            frame.put(place, &by.ipv4(Ipv4Addr::from(address)).octets());
        }
    }
    let options = at + frame.chunk(at).map_or(20, |[first]: [u8; 1]| usize::from(first & 0xf) * 4);
    // Routes that were recorded are addresses.
    for place in at + 20..options.min(end) {
        frame.put(place, &[NOP]);
    }
    extensions(by, frame, protocol::AUTHENTICATION, options, end);
}

fn ipv6(by: &mut Anonymizer, frame: &mut Frame<'_>, at: usize, end: usize) {
    // Version and traffic class; the flow label is made from addresses and ports, and is left out.
    frame.copy(at..at + 1);
    if let Some([class]) = frame.chunk(at + 1) {
        frame.put(at + 1, &[class & 0xf0]);
    }
    frame.copy(at + 4..at + 8);
    for place in [at + 8, at + 24] {
        if let Some(address) = frame.chunk::<16>(place) {
            frame.put(place, &by.ipv6(Ipv6Addr::from(address)).octets());
        }
    }
    if let Some([next]) = frame.chunk(at + 6) {
        extensions(by, frame, next, at + 40, end);
    }
}

/// Extension headers (RFC 8200 section 4, RFC 4302): how they follow each other stays, and what makes fragments whole, by a
/// number that hosts may count up over all that they send.
fn extensions(by: &Anonymizer, frame: &mut Frame<'_>, mut kind: u8, mut at: usize, end: usize) {
    while at < end {
        let Some([next, length]) = frame.chunk(at) else { return };
        let size = match kind {
            protocol::FRAGMENT => 8,
            protocol::AUTHENTICATION => (usize::from(length) + 2) * 4,
            0 | 43 | 60 | 135 | 139 | 140 => (usize::from(length) + 1) * 8,
            _ => return,
        };
        let kept = match kind {
            protocol::FRAGMENT => 4,
            // Type of routing, and how many segments are left.
            43 => 4,
            _ => 2,
        };
        frame.copy(at..(at + kept).min(end));
        if let (protocol::FRAGMENT, Some(number)) = (kind, frame.chunk(at + 4).filter(|_| at + size <= end)) {
            let mapped = by.digest.number(digest::FRAGMENT, u32::from_be_bytes(number));
            frame.put(at + 4, &mapped.to_be_bytes());
        }
        (kind, at) = (next, at + size);
    }
}

fn tcp_options(frame: &mut Frame<'_>, mut at: usize, end: usize) {
    while at < end {
        let Some([kind]) = frame.chunk(at) else { return };
        if kind == END {
            return;
        }
        let length = match frame.chunk(at + 1) {
            _ if kind == NOP => 1,
            Some([length]) if length >= 2 && at + usize::from(length) <= end => usize::from(length),
            // What runs over the header is no option.
            _ => return,
        };
        if OPTIONS.contains(&kind) {
            frame.copy(at..at + length);
        } else {
            (at..at + length).for_each(|place| frame.put(place, &[NOP]));
        }
        at += length;
    }
}

/// ARP of IPv4 over Ethernet (RFC 826); of any other only what it is of.
pub(super) fn arp(by: &mut Anonymizer, frame: &mut Frame<'_>, at: usize) {
    frame.copy(at..at + 8);
    if frame.chunk(at + 4) != Some([6, 4]) {
        return;
    }
    for place in [at + 8, at + 18] {
        if let Some(address) = frame.chunk(place) {
            frame.put(place, &by.mac(address));
        }
    }
    for place in [at + 14, at + 24] {
        if let Some(address) = frame.chunk::<4>(place) {
            frame.put(place, &by.ipv4(Ipv4Addr::from(address)).octets());
        }
    }
}
