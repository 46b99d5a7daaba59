//! STUN (RFC 8489) and what TURN adds to it (RFC 8656).

use super::Datagram;
use crate::bytes::{u16_at, u32_at};

const COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
const FINGERPRINT: u16 = 0x8028;
/// Allocate, Refresh, Send, Data, CreatePermission, ChannelBind.
const TURN: [u16; 6] = [3, 4, 6, 7, 8, 9];
/// Attributes walked over: more than any message has.
const ATTRIBUTES: usize = 64;

/// A STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Method: 1 is Binding.
    pub method: u16,
    /// Class: 0 request, 1 indication, 2 success, 3 error.
    pub class: u8,
    /// Transaction id.
    pub transaction: u128,
}

impl Message {
    /// Whether its method is one of TURN's.
    #[must_use]
    pub fn is_turn(&self) -> bool {
        TURN.contains(&self.method)
    }
}

/// Takes a UDP payload of a length on the wire for a STUN message; `None` if it is none. Where
/// the capture cut it, what is missing is not looked at.
#[must_use]
pub fn message(bytes: &[u8], length: u32) -> Option<Message> {
    if u32_at(bytes, 4)? != COOKIE {
        return None;
    }
    let (kind, told) = (u16_at(bytes, 0)?, u16_at(bytes, 2)?);
    if kind >> 14 != 0 || !told.is_multiple_of(4) || u32::from(told) + HEADER as u32 != length {
        return None;
    }
    let mut at = HEADER;
    for _ in 0..ATTRIBUTES {
        let (Some(name), Some(size)) = (u16_at(bytes, at), u16_at(bytes, at + 2)) else { break };
        let next = at + 4 + usize::from(size).next_multiple_of(4);
        if next > length as usize {
            return None;
        }
        if name == FINGERPRINT && next == length as usize {
            let sum = bytes.get(..at).zip(u32_at(bytes, at + 4));
            if sum.is_some_and(|(covered, told)| crc32(covered) ^ 0x5354_554e != told) {
                return None;
            }
        }
        at = next;
    }
    let id = bytes.get(8..)?.first_chunk::<12>()?;
    let transaction = id.iter().fold(0_u128, |id, &byte| id << 8 | u128::from(byte));
    // RFC 8489 section 5: the class is bits 4 and 8 among those of the method.
    let class = (kind >> 4 & 1 | kind >> 7 & 2) as u8;
    Some(Message { method: kind & 0xf | kind >> 1 & 0x70 | kind >> 2 & 0xf80, class, transaction })
}

/// Whether it can be ChannelData: a channel number, and a length that fits, padded or not.
pub(super) fn is_channel_data(datagram: &Datagram<'_>) -> bool {
    let (Some(channel), Some(told)) = (u16_at(datagram.payload, 0), u16_at(datagram.payload, 2)) else { return false };
    let told = u32::from(told) + 4;
    (0x4000..=0x4fff).contains(&channel) && (told == datagram.length || told.next_multiple_of(4) == datagram.length)
}

/// CRC-32 of ITU V.42, as Ethernet has it.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        let index = usize::from(crc as u8 ^ byte);
        crc >> 8 ^ CRC_TABLE[index]
    })
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};
