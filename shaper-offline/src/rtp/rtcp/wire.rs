//! RTCP packets in a datagram (RFC 3550, section 6 and appendix A.2; RFC 5506; RFC 3711, section 3.4).

use crate::bytes::u32_at;

/// What a datagram of RTCP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Begins with a report, and its packets fill it.
    Compound,
    /// Its packets fill it, but there is no report in front (RFC 5506).
    Reduced,
    /// One plausible header, then nothing that can be read: SRTCP leaves eight bytes in clear.
    Encrypted,
}

/// One RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Packet type.
    pub kind: u8,
    /// Count, subtype or format.
    pub count: u8,
    /// What follows the four bytes of the header.
    pub body: &'a [u8],
}

/// Packet types.
pub mod kind {
    /// Sender report.
    pub const SENDER_REPORT: u8 = 200;
    /// Receiver report.
    pub const RECEIVER_REPORT: u8 = 201;
    /// Source description.
    pub const SOURCE_DESCRIPTION: u8 = 202;
    /// Goodbye.
    pub const BYE: u8 = 203;
    /// Feedback on transport (RFC 4585).
    pub const TRANSPORT_FEEDBACK: u8 = 205;
    /// Feedback on payload (RFC 4585).
    pub const PAYLOAD_FEEDBACK: u8 = 206;
    /// Extended report (RFC 3611).
    pub const EXTENDED_REPORT: u8 = 207;
}

/// Least that SRTCP adds: index and a tag of 80 bits.
const PROTECTION: usize = 14;

/// Tells what a datagram is; `length` is its length on the wire. `None`: no RTCP. A datagram that
/// the capture cut is judged by the headers that are there.
#[must_use]
pub fn form(bytes: &[u8], length: u32) -> Option<Form> {
    let length = length as usize;
    let (first, first_length) = header(bytes)?;
    let mut at = 0;
    let whole = loop {
        if at == length {
            break true;
        }
        let Some((kind, size)) = bytes.get(at..).and_then(header) else {
            // Beyond what was captured nothing can be said.
            break at > 0
                && length.saturating_sub(at) >= 4
                && bytes.len() < at.saturating_add(4)
                && bytes.len() < length;
        };
        // Padding is for the last packet alone.
        let padded = bytes.get(at).is_some_and(|first| first & 0x20 != 0);
        if size < least(kind) || size > length - at || (padded && at + size != length) {
            break false;
        }
        at += size;
    };
    let report = matches!(first, kind::SENDER_REPORT | kind::RECEIVER_REPORT);
    if whole {
        return Some(if report { Form::Compound } else { Form::Reduced });
    }
    let plausible = (kind::SENDER_REPORT..=kind::EXTENDED_REPORT).contains(&first)
        && first_length >= least(first)
        && first_length + PROTECTION <= length;
    plausible.then_some(Form::Encrypted)
}

/// Type and length of the packet that begins here.
fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let [first, kind, high, low] = *bytes.first_chunk::<4>()?;
    (first >> 6 == 2 && (192..=223).contains(&kind))
        .then(|| (kind, (usize::from(u16::from_be_bytes([high, low])) + 1) * 4))
}

/// The least length of a packet of this type.
fn least(of: u8) -> usize {
    match of {
        kind::SENDER_REPORT => 28,
        kind::RECEIVER_REPORT | kind::EXTENDED_REPORT => 8,
        kind::TRANSPORT_FEEDBACK | kind::PAYLOAD_FEEDBACK => 12,
        _ => 4,
    }
}

/// The packets of a datagram that is not encrypted, those that were captured whole.
pub fn parts(bytes: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (kind, size) = header(rest)?;
        let packet = rest.get(..size)?;
        rest = rest.get(size..)?;
        Some(Part { kind, count: packet.first()? & 0x1f, body: packet.get(4..)? })
    })
}

/// One report block (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source it is about.
    pub ssrc: u32,
    /// Lost of expected since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the beginning, 24 bits with a sign.
    pub cumulative_lost: i32,
    /// Interarrival jitter in units of the clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP stamp of the last sender report, 0 if none came.
    pub last_report: u32,
    /// Since that came, in 1/65536 s.
    pub delay_since: u32,
}

impl ReportBlock {
    /// Length in bytes.
    pub const LENGTH: usize = 24;

    /// Reads a block.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let lost = u32_at(bytes, 4)?;
        Some(Self {
            ssrc: u32_at(bytes, 0)?,
            fraction_lost: (lost >> 24) as u8,
            // Shifted up and down again, the sign goes along.
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            jitter: u32_at(bytes, 12)?,
            last_report: u32_at(bytes, 16)?,
            delay_since: u32_at(bytes, 20)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, ReportBlock, form, kind, parts};

    fn packet(kind: u8, count: u8, body: &[u8]) -> Vec<u8> {
        let words = (body.len() / 4) as u16;
        let mut packet = vec![0x80 | count, kind];
        packet.extend(words.to_be_bytes());
        packet.extend(body);
        packet
    }

    fn form_of(bytes: &[u8]) -> Option<Form> {
        form(bytes, bytes.len() as u32)
    }

    #[test]
    fn compound_reduced_and_encrypted_are_told_apart() {
        let report = packet(kind::RECEIVER_REPORT, 0, &[0, 0, 0, 1]);
        let bye = packet(kind::BYE, 1, &[0, 0, 0, 1]);
        let both = [report.clone(), bye.clone()].concat();
        assert_eq!(form_of(&both), Some(Form::Compound));
        assert_eq!(parts(&both).map(|part| part.kind).collect::<Vec<_>>(), [201, 203]);
        assert_eq!(form_of(&bye), Some(Form::Reduced));
        let mut protected = packet(kind::SENDER_REPORT, 0, &[7; 24]);
        protected.extend([0x5a; 24]);
        assert_eq!(form_of(&protected), Some(Form::Encrypted));
        // Not even one packet fits, or nothing protects it.
        assert_eq!(form_of(&protected[..20]), None);
        assert_eq!(form_of(&protected[..34]), None);
    }

    #[test]
    fn padding_is_for_the_last_packet() {
        let mut report = packet(kind::RECEIVER_REPORT, 0, &[0, 0, 0, 1, 0, 0, 0, 4]);
        report[0] |= 0x20;
        assert_eq!(form_of(&report), Some(Form::Compound));
        report.extend(packet(kind::BYE, 1, &[0, 0, 0, 1]));
        assert_eq!(form_of(&report), None);
    }

    #[test]
    fn a_cut_datagram_is_judged_by_what_is_there() {
        let report = packet(kind::SENDER_REPORT, 0, &[7; 24]);
        let both = [report.clone(), packet(kind::SOURCE_DESCRIPTION, 1, &[0; 40])].concat();
        assert_eq!(form(&both[..40], both.len() as u32), Some(Form::Compound));
        assert_eq!(parts(&both[..40]).count(), 1);
        assert_eq!(form(&both[..30], both.len() as u32), Some(Form::Compound));
    }

    #[test]
    fn losses_have_a_sign() {
        let mut bytes = [0; 24];
        bytes[4..8].copy_from_slice(&[64, 0xff, 0xff, 0xfe]);
        let block = ReportBlock::parse(&bytes).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (64, -2));
    }
}
