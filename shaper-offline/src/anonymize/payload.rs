//! What transport carries: headers of RTP, reports of RTCP and headers of TOAST stay, the rest is a digest.

use std::ops::Range;

use super::{
    Anonymizer,
    digest::{self, SHORT},
    frame::{Content, Frame},
};
use crate::{
    analyze::FlowKey,
    packet::{Layers, Transport},
    rtp::{
        header::{self, Header},
        rtcp::wire::{self, Form, kind},
    },
    toast::{self, Checksum, Recognised},
};

/// Bits of a digest's first byte that stay 0: what begins so is no IP, no RTP, no record of DTLS and no header of QUIC.
const FIRST: u8 = 0x0f;
/// RTCP of an application (RFC 3550 section 6.7): what is left out stands as such.
const APPLICATION: u8 = 204;
const ECHO: [u8; 4] = [0, 8, 128, 129];

/// Writes the payload of an IP packet; `covered` is what digests are of.
pub(super) fn write(
    by: &Anonymizer,
    frame: &mut Frame<'_>,
    layers: &Layers<'_>,
    covered: Range<usize>,
    content: &Content,
) {
    let at = covered.start;
    let length = layers.payload_length;
    let kept = match layers.transport {
        Transport::Udp { .. } => return datagram(by, frame, layers, covered, content),
        Transport::Icmp => {
            // Type and code, and number and sequence of an echo. Everything else may quote packets and addresses.
            frame.copy(at..at + 2);
            if frame.chunk(at).is_some_and(|[kind]: [u8; 1]| ECHO.contains(&kind)) {
                frame.copy(at + 4..at + 8);
                8
            } else {
                4
            }
        }
        // Its packets are found by their numbers, and content is often a key that was struck: one and the same must not
        // look equal wherever it comes. The flow is left out: behind a translator it is another.
        Transport::Tcp(tcp) => return conceal_beside(by, frame, tcp.sequence, covered.clone(), covered, length),
        Transport::Other => 0,
    };
    conceal(by, frame, covered.clone(), at + kept..covered.end, length);
}

fn datagram(by: &Anonymizer, frame: &mut Frame<'_>, layers: &Layers<'_>, covered: Range<usize>, content: &Content) {
    let at = covered.start;
    let (payload, length) = (layers.payload, layers.payload_length);
    let kept = if let Some(Recognised::Frame(_)) = toast::recognise(payload) {
        conceal(by, frame, covered.clone(), at + toast::HEADER..covered.end, length);
        return toast_header(frame, at, payload, length);
    } else if let Some(header) = Header::parse(payload, length) {
        if content.rtp.has(&FlowKey::of(layers), header.ssrc) { rtp_header(by, frame, at, &header) } else { 0 }
    } else if header::is_rtcp(payload) {
        match wire::form(payload, length) {
            Some(Form::Compound | Form::Reduced) => return reports(by, frame, at, payload.len(), &covered, length),
            Some(Form::Encrypted) => {
                frame.copy(at..at + 4);
                ssrc(by, frame, at + 4);
                8
            }
            None => 0,
        }
    } else {
        0
    };
    conceal(by, frame, covered.clone(), at + kept..covered.end, length);
}

/// Stands for content: `of` is what it was, and `to` where there is room. Equal content, of packets of equal `length`,
/// gives equal bytes. Short content is enciphered where it stands, longer one gives up to 16 bytes and zeros.
pub(super) fn conceal(by: &Anonymizer, frame: &mut Frame<'_>, of: Range<usize>, to: Range<usize>, length: u32) {
    conceal_beside(by, frame, 0, of, to, length);
}

/// As [`conceal`], but short content is equal beside an equal number alone.
fn conceal_beside(
    by: &Anonymizer,
    frame: &mut Frame<'_>,
    beside: u32,
    of: Range<usize>,
    to: Range<usize>,
    length: u32,
) {
    let Some(content) = frame.data.get(of.clone()).filter(|content| !content.is_empty()) else { return };
    if of == to && content.len() <= SHORT {
        let mut short = [0; SHORT];
        let Some(short) = short.get_mut(..content.len()) else { return };
        short.copy_from_slice(content);
        by.digest.permute(digest::CONTENT, beside, short);
        return frame.put(to.start, short);
    }
    let mut stands = by.digest.of(digest::CONTENT, length.into(), content);
    if to.start == of.start {
        stands[0] &= FIRST;
    }
    let room = to.end.saturating_sub(to.start).min(stands.len());
    frame.put(to.start, stands.get(..room).unwrap_or_default());
}

fn ssrc(by: &Anonymizer, frame: &mut Frame<'_>, at: usize) {
    if let Some(ssrc) = frame.chunk(at) {
        frame.put(at, &by.ssrc(u32::from_be_bytes(ssrc)).to_be_bytes());
    }
}

/// The header of RTP without what extensions hold; its length.
fn rtp_header(by: &Anonymizer, frame: &mut Frame<'_>, at: usize, header: &Header) -> usize {
    frame.copy(at..at + 8);
    let sources = usize::from(header.csrc_count);
    for number in 0..=sources {
        ssrc(by, frame, at + 8 + 4 * number);
    }
    if header.extension.is_some() {
        let extension = at + header::FIXED + 4 * sources;
        frame.copy(extension..extension + 4);
    }
    header.length.into()
}

/// RTCP, packet by packet: sender and receiver reports and goodbyes stay; others become packets of an application with a
/// digest in them, since what they hold (names, addresses of relays, feedback in words of its own) is not known to be
/// harmless.
fn reports(
    by: &Anonymizer,
    frame: &mut Frame<'_>,
    mut at: usize,
    captured: usize,
    covered: &Range<usize>,
    length: u32,
) {
    let end = at + captured;
    while let Some([first, packet_type, high, low]) = frame.chunk(at).filter(|_| at + 4 <= end) {
        let next = at + (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let count = usize::from(first & 0x1f);
        let body = at + 4;
        frame.copy(at..body);
        match packet_type {
            kind::SENDER_REPORT | kind::RECEIVER_REPORT => {
                let blocks = if packet_type == kind::SENDER_REPORT { body + 24 } else { body + 4 };
                let blocks_end = (blocks + count * wire::ReportBlock::LENGTH).min(next).min(end);
                frame.copy(body..blocks_end);
                ssrc(by, frame, body);
                for block in (blocks..blocks_end).step_by(wire::ReportBlock::LENGTH) {
                    ssrc(by, frame, block);
                }
            }
            kind::BYE => {
                for number in 0..count.min((next - body) / 4) {
                    ssrc(by, frame, body + 4 * number);
                }
            }
            _ => {
                frame.put(at + 1, &[APPLICATION]);
                if next > body {
                    ssrc(by, frame, body);
                    conceal(by, frame, covered.clone(), body + 4..next.min(covered.end), length);
                }
            }
        }
        at = next;
    }
}

/// The header of TOAST, and a checksum that holds, or does not, as before.
fn toast_header(frame: &mut Frame<'_>, at: usize, payload: &[u8], length: u32) {
    let checksum = at + 26;
    frame.copy(at..checksum);
    frame.copy(checksum + 2..at + toast::HEADER);
    let whole = |frame: &Frame<'_>| {
        let written = frame.out.get(at..at + payload.len()).unwrap_or_default();
        let sum = written.iter().skip(toast::HEADER).fold(0_u16, |sum, &byte| sum.wrapping_add(byte.into()));
        (toast::crc16(written), sum)
    };
    let (crc, sum) = whole(frame);
    let right = match toast::verify(payload, length as usize) {
        Checksum::Crc => crc,
        Checksum::Sum => sum,
        Checksum::Wrong => (1..4).map(|by| crc ^ by).find(|&wrong| wrong != sum).unwrap_or(crc ^ 1),
        Checksum::Unknown => 0,
    };
    frame.put(checksum, &right.to_le_bytes());
}
