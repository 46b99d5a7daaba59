//! A frame written anew, from its link header up.

use std::{collections::BTreeSet, ops::Range};

use super::{Anonymizer, address, network, payload, sums};
use crate::{
    analyze::FlowKey,
    packet::{self, Level, TunnelKind},
    pcapfile::linktype,
    rtp::RtpStream,
};

const ARP: u16 = 0x0806;
/// Flag of GRE for a checksum, which is over what it carries.
const GRE_CHECKSUM: u8 = 0x80;

/// Which sources are RTP: only of their packets the header stays. Other datagrams may look the same.
#[derive(Clone, Debug, Default)]
pub struct RtpSources {
    known: BTreeSet<(Option<FlowKey>, u32)>,
    /// Whether addresses differ between captures, so that sources are known by their number alone.
    anywhere: bool,
}

impl RtpSources {
    /// Of these streams; `anywhere`: in whatever flow.
    #[must_use]
    pub fn new<'a>(streams: impl Iterator<Item = &'a RtpStream>, anywhere: bool) -> Self {
        let known = streams.map(|stream| (Self::scope(&stream.flow, anywhere), stream.ssrc)).collect();
        Self { known, anywhere }
    }

    #[cfg(test)]
    pub(super) fn learn(&mut self, flow: &FlowKey, ssrc: u32) {
        self.known.insert((Self::scope(flow, self.anywhere), ssrc));
    }

    fn scope(flow: &FlowKey, anywhere: bool) -> Option<FlowKey> {
        (!anywhere).then_some(FlowKey { tunnel: None, ..*flow })
    }

    pub(super) fn has(&self, flow: &FlowKey, ssrc: u32) -> bool {
        !self.known.is_empty() && self.known.contains(&(Self::scope(flow, self.anywhere), ssrc))
    }
}

/// What is known of the content of frames.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Sources of RTP.
    pub rtp: RtpSources,
    /// Bytes of each packet, from the network layer on, that digests are of: what all captures hold that are to be compared.
    /// `None` for all.
    pub cover: Option<usize>,
}

/// What is being written.
pub(super) struct Frame<'a> {
    /// The frame as it was.
    pub(super) data: &'a [u8],
    /// The same number of bytes.
    pub(super) out: &'a mut [u8],
}

impl Frame<'_> {
    /// Takes bytes over as they are, as far as there are such.
    pub(super) fn copy(&mut self, range: Range<usize>) {
        let end = range.end.min(self.data.len());
        if let (Some(from), Some(to)) = (self.data.get(range.start..end), self.out.get_mut(range.start..end)) {
            to.copy_from_slice(from);
        }
    }

    /// Writes bytes, all or none.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(slot) = self.out.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
            slot.copy_from_slice(bytes);
        }
    }

    /// The bytes at a place, as they were.
    pub(super) fn chunk<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.data.get(at..)?.first_chunk::<N>().copied()
    }

    fn mac(&mut self, by: &Anonymizer, at: usize) {
        if let Some(address) = self.chunk::<6>(at) {
            self.put(at, &by.mac(address));
        }
    }
}

impl Anonymizer {
    /// Writes a frame anew: addresses mapped, content in digests, checksums right where they were right and 0 elsewhere.
    /// Its length and where its parts stand do not change. `origlen` is its length on the wire; what it was in `out` before
    /// is gone.
    pub fn frame(&mut self, linktype: u16, data: &[u8], origlen: u32, content: &Content, out: &mut Vec<u8>) {
        out.clear();
        out.resize(data.len(), 0);
        let levels = packet::levels(linktype, data, origlen);
        let mut frame = Frame { data, out };
        for (number, level) in levels.iter().enumerate() {
            let next = levels.get(number + 1);
            network::write(self, &mut frame, &level.layers);
            self.link(&mut frame, if number == 0 { Some(linktype) } else { None }, level);
            match next {
                Some(next) => tunnel(&mut frame, level, next),
                None => self.innermost(&mut frame, linktype, level, content),
            }
        }
        for level in levels.iter().rev() {
            sums::write(&mut frame, &level.layers, content.cover);
        }
    }

    /// The link header; that of the frame itself, or of one in a tunnel.
    fn link(&self, frame: &mut Frame<'_>, outermost: Option<u16>, level: &Level<'_>) {
        let (from, to) = (level.link_at, level.layers.network_offset as usize);
        let addresses: &[usize] = match outermost {
            Some(linktype::ETHERNET) => &[0, 6],
            None if level.bridged => &[0, 6],
            Some(linktype::LINUX_SLL) => {
                frame.copy(0..6);
                frame.copy(14..to);
                // Other addresses than those of Ethernet are IP's, of tunnels.
                if frame.chunk(4) == Some([0, 6]) {
                    frame.mac(self, 6);
                }
                return;
            }
            Some(linktype::LINUX_SLL2) => {
                frame.copy(0..12);
                frame.copy(20..to);
                if frame.chunk(11) == Some([6]) {
                    frame.mac(self, 12);
                }
                return;
            }
            Some(
                kind @ (linktype::IEEE802_11 | linktype::RADIOTAP | linktype::PRISM | linktype::AVS | linktype::PPI),
            ) => return self.wireless(frame, kind, to),
            _ => &[],
        };
        frame.copy(from..to);
        for at in addresses {
            frame.mac(self, from + at);
        }
        if let (Some(group), false, Some(was)) =
            (self.group(frame, level), addresses.is_empty(), frame.chunk::<6>(from))
            && level.layers.ip.and_then(|ip| address::group_of(ip.destination)) == Some(was)
        {
            frame.put(from, &group);
        }
    }

    /// The group address that belongs to where the packet goes now.
    fn group(&self, frame: &Frame<'_>, level: &Level<'_>) -> Option<[u8; 6]> {
        let ip = level.layers.ip?;
        let at = level.layers.network_offset as usize;
        let destination = if ip.destination.is_ipv4() {
            std::net::IpAddr::from(*frame.out.get(at + 16..)?.first_chunk::<4>()?)
        } else {
            std::net::IpAddr::from(*frame.out.get(at + 24..)?.first_chunk::<16>()?)
        };
        address::group_of(destination)
    }

    fn wireless(&self, frame: &mut Frame<'_>, linktype: u16, to: usize) {
        let data = frame.data;
        let Some(at) = packet::kept_of_wireless(linktype, data, &mut |range| frame.copy(range)) else { return };
        // Of what is no data frame in clear only the kind is told.
        if to <= at {
            return;
        }
        frame.copy(at..to);
        let four = frame.chunk(at + 1).is_some_and(|[flags]| flags & 3 == 3);
        for place in [4, 10, 16].into_iter().chain(four.then_some(24)) {
            frame.mac(self, at + place);
        }
    }

    /// What the innermost packet carries.
    fn innermost(&mut self, frame: &mut Frame<'_>, linktype: u16, level: &Level<'_>, content: &Content) {
        let layers = &level.layers;
        let cover = content.cover.unwrap_or(usize::MAX);
        // As much as the other capture holds too.
        let headers = layers.network.len() - layers.payload.len();
        let covered = cover.saturating_sub(headers).min(layers.payload.len());
        let at = packet::payload_offset(layers);
        if layers.ip.is_some() {
            payload::write(self, frame, layers, at..at + covered, content);
        } else if layers.ethertype == ARP {
            network::arp(self, frame, at);
        } else {
            let begins = packet::kept_of_wireless(linktype, frame.data, &mut |_| {});
            let wireless = level.link_at == 0 && begins == Some(at);
            let kind = if wireless { 2 } else { 0 };
            frame.copy(at..at + kind);
            payload::conceal(self, frame, at..at + covered, at + kind..at + covered, layers.payload_length);
        }
    }
}

/// The header of a tunnel, from the outer payload to what is inside.
fn tunnel(frame: &mut Frame<'_>, outer: &Level<'_>, inner: &Level<'_>) {
    let (from, to) = (packet::payload_offset(&outer.layers), inner.link_at);
    match inner.tunnel {
        // Behind its fixed header it has options with anything in them.
        Some(TunnelKind::Geneve) => frame.copy(from..(from + 8).min(to)),
        kind => {
            frame.copy(from..to);
            let gre = matches!(kind, Some(TunnelKind::Gre | TunnelKind::Erspan));
            if gre && frame.chunk(from).is_some_and(|[flags]: [u8; 1]| flags & GRE_CHECKSUM != 0) {
                frame.put(from + 4, &[0; 2]);
            }
        }
    }
}
