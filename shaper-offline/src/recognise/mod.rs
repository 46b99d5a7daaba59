//! What protocol a datagram is of, told by its content.
//!
//! A protocol is named only where chance hardly makes the same bytes: by a magic number, by lengths
//! that have to agree, or by what the flow carried before.

mod dns;
mod dtls;
mod midi;
mod osc;
mod ptp;
mod quic;
mod stun;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::toast;

pub use ptp::{ETHERTYPE as PTP_ETHERTYPE, message as ptp_message};
pub use stun::{Message as StunMessage, message as stun_message};

/// Protocols that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// STUN (RFC 8489), TURN's messages (RFC 8656) included.
    Stun,
    /// TURN ChannelData (RFC 8656 section 12.4), on flows that carried TURN's messages.
    TurnChannelData,
    /// DTLS 1.0 and 1.2 records (RFC 6347), and DTLS 1.3 (RFC 9147) as long as they look the same.
    Dtls,
    /// QUIC 1 and 2 (RFC 9000, RFC 9369), version negotiation included.
    Quic,
    /// DNS (RFC 1035).
    Dns,
    /// DNS on port 5353 (RFC 6762).
    Mdns,
    /// PTP version 2 (IEEE 1588).
    Ptp,
    /// Ableton Link: discovery and measurement.
    AbletonLink,
    /// RTP-MIDI sessions as Apple has them, and the RTP of such a session (RFC 6295).
    RtpMidi,
    /// Streams of RTP (RFC 3550), which no single datagram tells.
    Rtp,
    /// RTCP (RFC 3550), encrypted as well, which counts by what else its hosts send each other.
    Rtcp,
    /// Open Sound Control 1.0.
    Osc,
    /// TOAST version 2 and its discovery.
    Toast,
    /// The protocol that shares TOAST's name and is not compatible.
    ToastIncompatible,
}

impl Protocol {
    /// All of them, in their order.
    pub const ALL: [Self; 14] = [
        Self::Stun,
        Self::TurnChannelData,
        Self::Dtls,
        Self::Quic,
        Self::Dns,
        Self::Mdns,
        Self::Ptp,
        Self::AbletonLink,
        Self::RtpMidi,
        Self::Rtp,
        Self::Rtcp,
        Self::Osc,
        Self::Toast,
        Self::ToastIncompatible,
    ];

    /// Whether it goes under TOAST's name.
    #[must_use]
    pub fn is_toast(self) -> bool {
        matches!(self, Self::Toast | Self::ToastIncompatible)
    }

    /// Its name as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stun => "STUN",
            Self::TurnChannelData => "TURN data",
            Self::Dtls => "DTLS",
            Self::Quic => "QUIC",
            Self::Dns => "DNS",
            Self::Mdns => "mDNS",
            Self::Ptp => "PTP",
            Self::AbletonLink => "Ableton Link",
            Self::RtpMidi => "RTP-MIDI",
            Self::Rtp => "RTP",
            Self::Rtcp => "RTCP",
            Self::Osc => "OSC",
            Self::Toast => "TOAST",
            Self::ToastIncompatible => "other TOAST",
        }
    }
}

/// A UDP payload.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// What was captured of it.
    pub payload: &'a [u8],
    /// Its length on the wire.
    pub length: u32,
    /// Source and destination port.
    pub ports: (u16, u16),
}

impl Datagram<'_> {
    fn port(&self, number: u16) -> bool {
        self.ports.0 == number || self.ports.1 == number
    }

    fn whole(&self) -> bool {
        self.payload.len() >= self.length as usize
    }
}

/// Datagrams in a row of which nothing is recognised before only their first bytes are looked at.
const TRIED: u8 = 64;
/// What a flow carried before, and what may therefore follow without a mark of its own.
const QUIC: u8 = 1;
const TURN: u8 = 2;
const MIDI: u8 = 4;

/// First bytes of protocols that are found by a mark at any time.
const MARKED: [bool; 256] = {
    let mut marked = [false; 256];
    let mut first = 0;
    while first < 256 {
        marked[first] = matches!(first as u8, 0..=3 | 20..=24 | b'#' | b'/' | b'S' | b'T' | b'_' | 0x80..=0xff);
        first += 1;
    }
    marked
};

/// What is known of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    counts: [u64; Protocol::ALL.len()],
    unrecognised: u8,
    context: u8,
    /// On a port that has a meaning.
    named: bool,
}

impl Watch {
    /// Whether a datagram of the flow has nothing that is worth a look: nothing was recognised for
    /// long, and it does not begin as any protocol does that has a mark.
    #[inline]
    #[must_use]
    pub fn passes_over(&self, datagram: &Datagram<'_>) -> bool {
        if self.unrecognised < TRIED || self.context != 0 || self.named {
            return false;
        }
        match datagram.payload.first() {
            None => true,
            // So begin streams of RTP as well, which are many.
            Some(0x80..=0xfe) => !quic::has_version(datagram),
            Some(&first) => !MARKED[usize::from(first)],
        }
    }

    /// Looks at a datagram of the flow.
    #[inline(never)]
    pub fn see(&mut self, datagram: &Datagram<'_>) -> Option<Protocol> {
        let found = self.recognise(datagram);
        match found {
            Some(protocol) => {
                if let Some(count) = self.counts.get_mut(protocol as usize) {
                    *count += 1;
                }
                self.unrecognised = 0;
            }
            None => self.unrecognised = self.unrecognised.saturating_add(1),
        }
        found
    }

    /// Counts a packet that was recognised otherwise.
    pub fn add(&mut self, protocol: Protocol) {
        if let Some(count) = self.counts.get_mut(protocol as usize) {
            *count += 1;
        }
    }

    /// What the other direction has to know: shared by both.
    #[must_use]
    pub fn context(&self) -> u8 {
        self.context
    }

    /// Takes what the other direction knows.
    pub fn share(&mut self, context: u8) {
        self.context |= context;
    }

    /// Forgets what the flow carried, but for the counts.
    pub fn forget(&mut self) {
        self.context = 0;
        self.unrecognised = 0;
    }

    /// Packets by protocol, the most first.
    #[must_use]
    pub fn found(&self) -> Vec<(Protocol, u64)> {
        let all = Protocol::ALL.into_iter().zip(self.counts);
        let mut found: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
        found.sort_by_key(|&(protocol, count)| (std::cmp::Reverse(count), protocol));
        found
    }

    /// The first byte tells who may be asked; all of these have marks that are quickly missed.
    #[inline]
    fn recognise(&mut self, datagram: &Datagram<'_>) -> Option<Protocol> {
        let &first = datagram.payload.first()?;
        let marked = match first {
            0..=3 => self.stun(datagram),
            b'#' | b'/' if osc::plausible(datagram) => Some(Protocol::Osc),
            20..=24 => dtls::plausible(datagram).then_some(Protocol::Dtls),
            b'S' | b'T' | b'_' | b'@'..=b'O' => self.lettered(first, datagram),
            0x80..=0xff => self.long(first, datagram),
            _ => None,
        };
        if marked.is_some() {
            return marked;
        }
        if self.context != 0
            && let Some(protocol) = self.in_context(first, datagram)
        {
            return Some(protocol);
        }
        if datagram.port(319) || datagram.port(320) {
            self.named = true;
            return ptp::on_udp(datagram).then_some(Protocol::Ptp);
        }
        let named = datagram.port(53) || datagram.port(5353) || datagram.port(5355);
        self.named |= named;
        if (named || self.unrecognised < TRIED) && dns::plausible(datagram, named) {
            return Some(if datagram.port(5353) { Protocol::Mdns } else { Protocol::Dns });
        }
        None
    }

    fn stun(&mut self, datagram: &Datagram<'_>) -> Option<Protocol> {
        let message = stun::message(datagram.payload, datagram.length)?;
        if message.is_turn() {
            self.context |= TURN;
        }
        Some(Protocol::Stun)
    }

    #[inline]
    fn lettered(&self, first: u8, datagram: &Datagram<'_>) -> Option<Protocol> {
        match first {
            b'_' => midi::is_link(datagram).then_some(Protocol::AbletonLink),
            b'S' | b'T' => match toast::recognise(datagram.payload)? {
                toast::Recognised::Incompatible => Some(Protocol::ToastIncompatible),
                _ => Some(Protocol::Toast),
            },
            _ => (self.context & TURN != 0 && stun::is_channel_data(datagram)).then_some(Protocol::TurnChannelData),
        }
    }

    #[inline]
    fn long(&mut self, first: u8, datagram: &Datagram<'_>) -> Option<Protocol> {
        if first == 0xff && midi::is_apple(datagram) {
            self.context |= MIDI;
            return Some(Protocol::RtpMidi);
        }
        if !quic::is_long(datagram) {
            return None;
        }
        self.context |= QUIC;
        Some(Protocol::Quic)
    }

    fn in_context(&self, first: u8, datagram: &Datagram<'_>) -> Option<Protocol> {
        // The fixed bit without the long header's, and room for what has to be there.
        if self.context & QUIC != 0 && first & 0xc0 == 0x40 && datagram.length >= quic::SHORTEST {
            return Some(Protocol::Quic);
        }
        (self.context & MIDI != 0 && midi::is_rtp(datagram)).then_some(Protocol::RtpMidi)
    }
}
