//! TOAST v2 headers in UDP payloads: what an analysis needs to recognise and match them.
//!
//! Little-endian, packed: magic, version, type, flags, sequence, timestamp (us), payload size,
//! burst id, burst index, burst total, CRC, session id.

use serde::Serialize;

/// Length of the header.
pub const HEADER: usize = 32;
/// "TOST" on the wire.
const MAGIC: [u8; 4] = *b"TOST";
/// The other protocol of the same name: magic 0x544F4153, in either byte order.
const OTHER_MAGIC: [[u8; 4]; 2] = [*b"TOAS", *b"SAOT"];
/// How discovery begins: text datagrams that name a peer and its clock.
const DISCOVERY: &[u8] = b"TOAST_DISCOVERY|";
const VERSION: u8 = 2;

/// One TOAST frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Message type: 1 MIDI to 8 BURST_HEADER, 9 and 10 by tools.
    pub kind: u8,
    /// Flags; bit 0 says burst.
    pub flags: u16,
    /// Sequence number, per sender.
    pub sequence: u32,
    /// Sender's clock in microseconds, low 32 bits.
    pub timestamp: u32,
    /// Payload size as told by the header.
    pub payload_size: u32,
    /// Burst id, 0 for none.
    pub burst_id: u32,
    /// Copy within the burst, from 0.
    pub burst_index: u8,
    /// Copies in the burst, 1 for a single frame.
    pub burst_total: u8,
    /// Checksum in the header.
    pub checksum: u16,
    /// Session id.
    pub session: u32,
    /// Payload bytes that were captured.
    pub payload: &'a [u8],
}

/// What a UDP payload is, as far as TOAST goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised<'a> {
    /// Version 2 of the protocol.
    Frame(Frame<'a>),
    /// A discovery text, `TOAST_DISCOVERY|name|us`.
    Discovery,
    /// The incompatible protocol that shares the name (ports 9000 to 9003, CRC-32).
    Incompatible,
}

/// Whether a frame's checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// CRC-16/MODBUS over header and payload.
    Crc,
    /// The legacy sum of payload bytes modulo 65536.
    Sum,
    /// Neither.
    Wrong,
    /// The capture cut the payload.
    Unknown,
}

/// Whether a UDP payload has the magic of a frame.
#[inline]
pub(crate) fn begins_frame(payload: &[u8]) -> bool {
    payload.first_chunk::<4>() == Some(&MAGIC)
}

/// Recognises a UDP payload; `None` if it is something else.
#[must_use]
#[inline]
pub fn recognise(payload: &[u8]) -> Option<Recognised<'_>> {
    let magic = *payload.first_chunk::<4>()?;
    if magic == MAGIC {
        return frame(payload).map(Recognised::Frame);
    }
    // Its first four letters are the other protocol's magic.
    if payload.starts_with(DISCOVERY) {
        return Some(Recognised::Discovery);
    }
    OTHER_MAGIC.contains(&magic).then_some(Recognised::Incompatible)
}

fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let header = bytes.first_chunk::<HEADER>()?;
    let u32_at = |at: usize| header.get(at..)?.first_chunk::<4>().map(|raw| u32::from_le_bytes(*raw));
    let u16_at = |at: usize| header.get(at..)?.first_chunk::<2>().map(|raw| u16::from_le_bytes(*raw));
    if header[4] != VERSION {
        return None;
    }
    Some(Frame {
        kind: header[5],
        flags: u16_at(6)?,
        sequence: u32_at(8)?,
        timestamp: u32_at(12)?,
        payload_size: u32_at(16)?,
        burst_id: u32_at(20)?,
        burst_index: header[24],
        burst_total: header[25],
        checksum: u16_at(26)?,
        session: u32_at(28)?,
        payload: bytes.get(HEADER..)?,
    })
}

/// Verifies the checksum of a recognised frame. `bytes` is the UDP payload as captured and
/// `length` its length on the wire.
///
/// The payload is what the datagram carries, not what `payload_size` says: some senders write a
/// size of 0 in front of a payload that the checksum covers.
#[must_use]
pub fn verify(bytes: &[u8], length: usize) -> Checksum {
    if bytes.len() < length || bytes.len() < HEADER {
        return Checksum::Unknown;
    }
    let Some(Recognised::Frame(frame)) = recognise(bytes) else { return Checksum::Wrong };
    let (header, payload) = bytes.split_at(HEADER);
    let mut crc = 0xffff;
    for (at, &byte) in header.iter().enumerate() {
        crc = crc16_step(crc, if at == 26 || at == 27 { 0 } else { byte });
    }
    crc = payload.iter().fold(crc, |crc, &byte| crc16_step(crc, byte));
    if crc == frame.checksum {
        return Checksum::Crc;
    }
    let sum = payload.iter().fold(0_u16, |sum, &byte| sum.wrapping_add(byte.into()));
    if sum == frame.checksum { Checksum::Sum } else { Checksum::Wrong }
}

/// CRC-16/MODBUS: polynomial 0xA001 reflected, initial value 0xFFFF, no final exclusive or.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, &byte| crc16_step(crc, byte))
}

fn crc16_step(crc: u16, byte: u8) -> u16 {
    let [low, high] = crc.to_le_bytes();
    let index = usize::from(low ^ byte);
    u16::from(high) ^ CRC_TABLE[index]
}

const CRC_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend([2, 5, 1, 0]);
        bytes.extend(7_u32.to_le_bytes());
        bytes.extend(0xffff_fff0_u32.to_le_bytes());
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(99_u32.to_le_bytes());
        bytes.extend([2, 3, 0, 0]);
        bytes.extend(0x5e55_1041_u32.to_le_bytes());
        bytes.extend(payload);
        let crc = crc16(&bytes);
        bytes[26..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn crc_has_the_published_check_value() {
        assert_eq!(crc16(b"123456789"), 0x4b37);
    }

    #[test]
    fn fields_are_where_the_format_says() {
        let bytes = sample(b"{}");
        let Some(Recognised::Frame(frame)) = recognise(&bytes) else { panic!("not recognised") };
        assert_eq!((frame.kind, frame.flags, frame.sequence), (5, 1, 7));
        assert_eq!((frame.timestamp, frame.payload_size), (0xffff_fff0, 2));
        assert_eq!((frame.burst_id, frame.burst_index, frame.burst_total), (99, 2, 3));
        assert_eq!((frame.session, frame.payload), (0x5e55_1041, &b"{}"[..]));
        assert_eq!(verify(&bytes, bytes.len()), Checksum::Crc);
    }

    #[test]
    fn a_flipped_bit_anywhere_breaks_the_checksum() {
        let bytes = sample(b"PLAY");
        for at in 5..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(verify(&damaged, damaged.len()), Checksum::Wrong, "byte {at}");
        }
    }

    #[test]
    fn a_size_of_zero_over_a_payload_still_verifies() {
        let mut bytes = sample(b"PLAY");
        bytes[16..20].fill(0);
        bytes[26..28].fill(0);
        let crc = crc16(&bytes);
        bytes[26..28].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(verify(&bytes, bytes.len()), Checksum::Crc);
    }

    #[test]
    fn legacy_sums_cuts_and_the_other_toast_are_told_apart() {
        let mut bytes = sample(b"AB");
        bytes[26..28].copy_from_slice(&131_u16.to_le_bytes());
        assert_eq!(verify(&bytes, bytes.len()), Checksum::Sum);
        assert_eq!(verify(&bytes[..33], bytes.len()), Checksum::Unknown);
        assert_eq!(recognise(b"TOAS\x01\x02"), Some(Recognised::Incompatible));
        assert_eq!(recognise(b"TOAST_DISCOVER"), Some(Recognised::Incompatible));
        assert_eq!(recognise(b"TOAST_DISCOVERY|desk|left|12345"), Some(Recognised::Discovery));
        assert_eq!(recognise(b"TOAST_DISCOVERY|"), Some(Recognised::Discovery));
        assert_eq!(recognise(b"GET / HTTP/1.1"), None);
        assert_eq!(recognise(b"TO"), None);
    }
}
