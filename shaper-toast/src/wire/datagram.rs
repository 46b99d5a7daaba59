//! Whole datagrams: header, payload and checksum together, or the discovery text.

use super::OTHER_TOAST_MAGIC;
use super::header::{ChecksumMode, HEADER_LEN, Header, MAGIC, MessageType, VERSION, word};

const DISCOVERY_PREFIX: &[u8] = b"TOAST_DISCOVERY|";

/// A datagram that decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A framed message.
    Frame {
        /// Its header.
        header: Header,
        /// Its payload, as long as the header says.
        payload: &'a [u8],
    },
    /// `TOAST_DISCOVERY|name|us`.
    Discovery(DiscoveryText<'a>),
}

/// The discovery text, sent beside the framed messages and without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscoveryText<'a> {
    /// Name of the sender.
    pub name: &'a str,
    /// The sender's clock in microseconds.
    pub micros: u64,
}

/// Why a datagram is not TOAST v2 of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than a header.
    #[error("datagram of {len} bytes is shorter than the {HEADER_LEN}-byte header")]
    Truncated {
        /// Bytes present.
        len: usize,
    },
    /// The incompatible protocol of the same name.
    #[error(
        "magic 0x544F4153: another protocol named TOAST (CRC32, groups 239.192.0-3, ports \
         9000-9003), not TOAST v2"
    )]
    OtherToast,
    /// Not TOAST at all.
    #[error("magic {found:#010x} at offset 0 is not TOAST v2's {MAGIC:#010x}")]
    Magic {
        /// The first four bytes, little-endian.
        found: u32,
    },
    /// A version this crate does not speak.
    #[error("version {found} at offset 4 is not {VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// A type number outside 1 to 10.
    #[error("type {found} at offset 5 is not one of 1 to 10")]
    Type {
        /// The number found.
        found: u8,
    },
    /// payload size 0 although a payload follows: a known fault of senders that fill the size in
    /// too early.
    #[error(
        "payload size 0 at offset 16 but {present} payload bytes follow (checksum covers them: \
         {checksum_covers_payload}): the sender must set the size before it sends"
    )]
    UndeclaredPayload {
        /// Bytes after the header.
        present: usize,
        /// Whether the checksum was made over the payload all the same.
        checksum_covers_payload: bool,
    },
    /// The size field disagrees with the datagram.
    #[error("payload size {declared} at offset 16 but {present} bytes follow the header")]
    PayloadSize {
        /// What the header says.
        declared: u32,
        /// Bytes after the header.
        present: usize,
    },
    /// The checksum does not fit.
    #[error("checksum {found:#06x} at offset 26, computed {computed:#06x}")]
    Checksum {
        /// The field's value.
        found: u16,
        /// What the receiver computes.
        computed: u16,
    },
    /// Discovery text that does not read `TOAST_DISCOVERY|name|us`.
    #[error("discovery text is not TOAST_DISCOVERY|name|us: {part}")]
    Discovery {
        /// The part that is wrong.
        part: &'static str,
    },
}

/// A buffer too small for what is encoded into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {needed} bytes does not fit the buffer of {available}")]
pub struct BufferTooSmall {
    /// Bytes the frame takes.
    pub needed: usize,
    /// Bytes of the buffer.
    pub available: usize,
}

/// Encodes a frame into the front of `out`; returns its length.
///
/// # Errors
/// [`BufferTooSmall`] when `out` cannot hold header and payload.
pub fn encode(header: &Header, payload: &[u8], mode: ChecksumMode, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let needed = HEADER_LEN + payload.len();
    let available = out.len();
    let small = BufferTooSmall { needed, available };
    let size = u32::try_from(payload.len()).map_err(|_| small)?;
    let (head, rest) = out.split_first_chunk_mut::<HEADER_LEN>().ok_or(small)?;
    let body = rest.get_mut(..payload.len()).ok_or(small)?;
    header.write(size, head);
    body.copy_from_slice(payload);
    let checksum = mode.of(head, payload);
    head[26..28].copy_from_slice(&checksum.to_le_bytes());
    Ok(needed)
}

/// Decodes a datagram, borrowing its payload.
///
/// # Errors
/// [`DecodeError`], which names the field, its offset and what stood there.
pub fn decode(datagram: &[u8], mode: ChecksumMode) -> Result<Datagram<'_>, DecodeError> {
    // The text begins with the other protocol's magic ("TOAS"), so it is looked for first.
    if let Some(text) = datagram.strip_prefix(DISCOVERY_PREFIX) {
        return decode_discovery(text).map(Datagram::Discovery);
    }
    if let Some(first) = datagram.first_chunk::<4>() {
        let found = u32::from_le_bytes(*first);
        if found == OTHER_TOAST_MAGIC || found.swap_bytes() == OTHER_TOAST_MAGIC {
            return Err(DecodeError::OtherToast);
        }
        if found != MAGIC {
            return Err(DecodeError::Magic { found });
        }
    }
    let len = datagram.len();
    let (head, payload) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(DecodeError::Truncated { len })?;
    if head[4] != VERSION {
        return Err(DecodeError::Version { found: head[4] });
    }
    let message_type = MessageType::from_number(head[5]).ok_or(DecodeError::Type { found: head[5] })?;
    let declared = word(head, 16);
    let found = u16::from_le_bytes([head[26], head[27]]);
    let present = payload.len();
    if usize::try_from(declared) != Ok(present) {
        if declared == 0 {
            return Err(DecodeError::UndeclaredPayload {
                present,
                checksum_covers_payload: mode.of(head, payload) == found,
            });
        }
        return Err(DecodeError::PayloadSize { declared, present });
    }
    let computed = mode.of(head, payload);
    if computed != found {
        return Err(DecodeError::Checksum { found, computed });
    }
    Ok(Datagram::Frame { header: Header::read(message_type, head), payload })
}

/// Encodes `TOAST_DISCOVERY|name|us` into the front of `out`; returns its length.
///
/// # Errors
/// [`BufferTooSmall`] when `out` cannot hold the text.
pub fn encode_discovery(text: &DiscoveryText<'_>, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
    use std::io::Write as _;
    let available = out.len();
    let mut cursor = &mut *out;
    let written = cursor.write_all(DISCOVERY_PREFIX).and_then(|()| write!(cursor, "{}|{}", text.name, text.micros));
    match written {
        Ok(()) => Ok(available - cursor.len()),
        Err(_) => Err(BufferTooSmall {
            // 20 digits is the longest u64.
            needed: DISCOVERY_PREFIX.len() + text.name.len() + 1 + 20,
            available,
        }),
    }
}

fn decode_discovery(text: &[u8]) -> Result<DiscoveryText<'_>, DecodeError> {
    let bad = |part| DecodeError::Discovery { part };
    let text = std::str::from_utf8(text).map_err(|_| bad("not UTF-8"))?;
    let (name, micros) = text.rsplit_once('|').ok_or(bad("no second bar"))?;
    let micros = micros.trim_end_matches(['\0', '\n']).parse().map_err(|_| bad("the time is not a whole number"))?;
    Ok(DiscoveryText { name, micros })
}
