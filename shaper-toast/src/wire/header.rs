//! The 32-byte header and its checksum.

use serde::{Deserialize, Serialize};

use super::crc;

/// Bytes of the header.
pub const HEADER_LEN: usize = 32;
/// First field of every frame; "TOST" as bytes on the wire.
pub const MAGIC: u32 = 0x5453_4F54;
/// The one protocol version understood.
pub const VERSION: u8 = 2;
/// Bit of [`Header::flags`] that marks a copy of a burst.
pub const FLAG_BURST: u16 = 1;

/// What a frame carries (header offset 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageType {
    /// MIDI bytes.
    Midi,
    /// Audio.
    Audio,
    /// Video.
    Video,
    /// Clock exchange: a u64 request or a 28-byte reply.
    Sync,
    /// A transport command or a state reply, as JSON.
    Transport,
    /// Presence.
    Discovery,
    /// Presence, each second.
    Heartbeat,
    /// Announces a burst.
    BurstHeader,
    /// A transport command as some tools send it.
    RedundantTransport,
    /// A transport command as the burst tool sends it.
    BurstTransport,
}

impl MessageType {
    /// Every type, in the order of its number.
    pub const ALL: [MessageType; 10] = [
        MessageType::Midi,
        MessageType::Audio,
        MessageType::Video,
        MessageType::Sync,
        MessageType::Transport,
        MessageType::Discovery,
        MessageType::Heartbeat,
        MessageType::BurstHeader,
        MessageType::RedundantTransport,
        MessageType::BurstTransport,
    ];

    /// The number on the wire, 1 to 10.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The type of a number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Option<MessageType> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Whether the payload is transport JSON (types 5, 9 and 10).
    #[must_use]
    pub const fn is_transport(self) -> bool {
        matches!(self, MessageType::Transport | MessageType::RedundantTransport | MessageType::BurstTransport)
    }
}

/// What the checksum field holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumMode {
    /// CRC-16/MODBUS over the header with the field 0, then the payload.
    #[default]
    Crc16,
    /// Legacy: the sum of the payload's bytes modulo 65536.
    Sum16,
}

impl ChecksumMode {
    /// The checksum of a frame whose header bytes are `header` (its checksum field is ignored).
    #[must_use]
    pub fn of(self, header: &[u8; HEADER_LEN], payload: &[u8]) -> u16 {
        match self {
            ChecksumMode::Crc16 => {
                let mut blank = *header;
                blank[26] = 0;
                blank[27] = 0;
                crc::update(crc::update(crc::INITIAL, &blank), payload)
            }
            ChecksumMode::Sum16 => payload.iter().fold(0u16, |sum, &byte| sum.wrapping_add(u16::from(byte))),
        }
    }
}

/// The header's fields apart from magic, version, payload size and checksum, which follow from
/// the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// What the frame carries.
    pub message_type: MessageType,
    /// [`FLAG_BURST`] and bits not yet defined.
    pub flags: u16,
    /// Counts the sender's messages; all copies of a burst carry the same.
    pub sequence: u32,
    /// Low 32 bits of the sender's clock in microseconds when this copy was sent.
    pub timestamp: u32,
    /// Random and shared by the copies of one burst; 0 is none.
    pub burst_id: u32,
    /// Which copy, from 0.
    pub burst_index: u8,
    /// How many copies; 1 is single.
    pub burst_total: u8,
    /// [`super::session_id`] of the session's name.
    pub session: u32,
}

impl Header {
    /// Writes the header with a zero checksum.
    pub(super) fn write(&self, payload_size: u32, out: &mut [u8; HEADER_LEN]) {
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4] = VERSION;
        out[5] = self.message_type.number();
        out[6..8].copy_from_slice(&self.flags.to_le_bytes());
        out[8..12].copy_from_slice(&self.sequence.to_le_bytes());
        out[12..16].copy_from_slice(&self.timestamp.to_le_bytes());
        out[16..20].copy_from_slice(&payload_size.to_le_bytes());
        out[20..24].copy_from_slice(&self.burst_id.to_le_bytes());
        out[24] = self.burst_index;
        out[25] = self.burst_total;
        out[26..28].copy_from_slice(&[0, 0]);
        out[28..32].copy_from_slice(&self.session.to_le_bytes());
    }

    /// Reads the fields of a header whose type has been resolved.
    pub(super) fn read(message_type: MessageType, bytes: &[u8; HEADER_LEN]) -> Header {
        Header {
            message_type,
            flags: u16::from_le_bytes([bytes[6], bytes[7]]),
            sequence: word(bytes, 8),
            timestamp: word(bytes, 12),
            burst_id: word(bytes, 20),
            burst_index: bytes[24],
            burst_total: bytes[25],
            session: word(bytes, 28),
        }
    }
}

/// The little-endian u32 at a fixed offset of the header.
pub(super) fn word(bytes: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
