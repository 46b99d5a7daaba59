//! Captures made of the captures of a run: the same packets in another byte order, in other units of time, or by the
//! clock of another host. What comes out depends on what goes in alone, so each file can be made again byte for byte.
//!
//! This walks over the blocks by itself: the reader that is tested on these files has no part in making them.

use std::{error::Error, str::FromStr};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const COMMENT: u16 = 1;
const IF_TSRESOL: u16 = 9;
/// `if_tsresol` of 2^-30 s: finer than a nanosecond, so that no time is rounded.
const BINARY_30: u8 = 0x80 | 30;
/// The clock that section comments name, where it is that of another host.
const OTHER_CLOCK: &[u8] = b"shaper clock=another-host";

/// How a capture is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Big-endian blocks.
    BigEndian,
    /// Stamps in units of 2^-30 s.
    PowerOfTwo,
    /// Classic pcap with microseconds; what lies below them is cut off.
    Microseconds,
    /// Stamps by the clock of another host: `offset_ns` ahead at the first packet, and faster by `skew_ppm`. The times
    /// within comments stay those of the first clock.
    Clock {
        /// Nanoseconds.
        offset_ns: i64,
        /// Parts in a million.
        skew_ppm: i64,
    },
}

impl FromStr for Variant {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["big-endian"] => Ok(Self::BigEndian),
            ["power-of-two"] => Ok(Self::PowerOfTwo),
            ["microseconds"] => Ok(Self::Microseconds),
            ["clock", offset, skew] => Ok(Self::Clock { offset_ns: offset.parse()?, skew_ppm: skew.parse()? }),
            _ => Err(format!("{text}: not big-endian, power-of-two, microseconds or clock:OFFSET_NS:SKEW_PPM").into()),
        }
    }
}

/// Fields of a little-endian block.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("a block ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    /// Bytes that are filled up to words of four.
    fn padded(&mut self, length: usize) -> Result<&'a [u8]> {
        let taken = self.bytes(length.next_multiple_of(4))?;
        taken.get(..length).ok_or_else(|| "a block ends too early".into())
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.bytes(2)?.try_into()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.bytes(4)?.try_into()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.bytes(8)?.try_into()?))
    }

    /// A stamp: its upper half stands first.
    fn stamp(&mut self) -> Result<u64> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }
}

/// A file that is made.
struct Made {
    big_endian: bool,
    bytes: Vec<u8>,
}

impl Made {
    fn u16(&mut self, value: u16) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn stamp(&mut self, value: u64) {
        self.u32((value >> 32) as u32);
        self.u32(value as u32);
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// How the value of an option is stored.
enum Value {
    Bytes,
    U32,
    U64,
    Stamp,
    /// An octet, then a number.
    Verdict,
}

/// By block and code (draft-ietf-opsawg-pcapng, sections 3.5 and 4).
fn value_of(block: u32, code: u16) -> Value {
    match (block, code) {
        (PACKET, 2) => Value::U32,
        (PACKET, 4 | 5) | (STATISTICS, 4..=8) | (INTERFACE, 14) => Value::U64,
        (STATISTICS, 2 | 3) => Value::Stamp,
        (PACKET, 7) => Value::Verdict,
        _ => Value::Bytes,
    }
}

/// Changes a little-endian pcapng of nanoseconds, as runs leave it.
///
/// # Errors
/// What is no such capture, and blocks that runs do not write.
pub(crate) fn variant(capture: &[u8], how: Variant) -> Result<Vec<u8>> {
    let mut made = Made { big_endian: how == Variant::BigEndian, bytes: Vec::new() };
    let mut rest = Fields(capture);
    let mut first = None;
    while !rest.0.is_empty() {
        let (kind, length) = (rest.u32()?, rest.u32()? as usize);
        let mut fields = Fields(rest.bytes(length.checked_sub(12).ok_or("a block is too short")?)?);
        if rest.u32()? as usize != length {
            return Err("a block has two lengths".into());
        }
        let stamp = |raw: u64, first: u64| moved(raw, first, how);
        if how == Variant::Microseconds {
            classic(kind, &mut fields, &mut made)?;
            continue;
        }
        let start = made.bytes.len();
        made.u32(kind);
        made.u32(0);
        match kind {
            SECTION => {
                if fields.u32()? != BYTE_ORDER_MAGIC {
                    return Err("not little-endian".into());
                }
                made.u32(BYTE_ORDER_MAGIC);
                made.u16(fields.u16()?);
                made.u16(fields.u16()?);
                made.u64(fields.u64()?);
            }
            INTERFACE => {
                made.u16(fields.u16()?);
                made.u16(fields.u16()?);
                made.u32(fields.u32()?);
            }
            PACKET => {
                made.u32(fields.u32()?);
                let raw = fields.stamp()?;
                made.stamp(stamp(raw, *first.get_or_insert(raw))?);
                let length = fields.u32()?;
                made.u32(length);
                made.u32(fields.u32()?);
                made.padded(fields.padded(length as usize)?);
            }
            STATISTICS => {
                made.u32(fields.u32()?);
                let raw = fields.stamp()?;
                made.stamp(stamp(raw, first.unwrap_or(raw))?);
            }
            other => return Err(format!("runs write no block of type {other}").into()),
        }
        while !fields.0.is_empty() {
            let (code, length) = (fields.u16()?, usize::from(fields.u16()?));
            let value = fields.padded(length)?;
            option(kind, code, value, how, first, &mut made)?;
        }
        let length = (made.bytes.len() - start + 4) as u32;
        made.u32(length);
        let told = if made.big_endian { length.to_be_bytes() } else { length.to_le_bytes() };
        made.bytes.splice(start + 4..start + 8, told);
    }
    Ok(made.bytes)
}

fn option(kind: u32, code: u16, value: &[u8], how: Variant, first: Option<u64>, made: &mut Made) -> Result<()> {
    let value = match (kind, code, how) {
        (INTERFACE, IF_TSRESOL, Variant::PowerOfTwo) => &[BINARY_30],
        (SECTION, COMMENT, Variant::Clock { .. }) => OTHER_CLOCK,
        _ => value,
    };
    made.u16(code);
    made.u16(u16::try_from(value.len())?);
    let mut fields = Fields(value);
    match value_of(kind, code) {
        Value::Bytes => made.padded(value),
        Value::U32 => made.u32(fields.u32()?),
        Value::U64 => made.u64(fields.u64()?),
        Value::Stamp => {
            let raw = fields.stamp()?;
            made.stamp(moved(raw, first.unwrap_or(raw), how)?);
        }
        Value::Verdict => {
            made.bytes.extend(fields.bytes(1)?);
            made.u64(fields.u64()?);
            made.padded(&[]);
        }
    }
    Ok(())
}

/// A stamp of nanoseconds as the variant has it.
fn moved(ns: u64, first: u64, how: Variant) -> Result<u64> {
    match how {
        Variant::BigEndian | Variant::Microseconds => Ok(ns),
        // Rounded up: cut off again, that is the same nanosecond.
        Variant::PowerOfTwo => Ok((u128::from(ns) << 30).div_ceil(1_000_000_000).try_into()?),
        Variant::Clock { offset_ns, skew_ppm } => {
            let since = i128::from(ns) - i128::from(first);
            let moved = i128::from(ns) + i128::from(offset_ns) + (since * i128::from(skew_ppm)).div_euclid(1_000_000);
            Ok(moved.try_into()?)
        }
    }
}

/// A block as classic pcap has it.
fn classic(kind: u32, fields: &mut Fields<'_>, made: &mut Made) -> Result<()> {
    match kind {
        INTERFACE => {
            let linktype = fields.u16()?;
            fields.u16()?;
            let snaplen = fields.u32()?;
            // Magic of microseconds, version 2.4, no zone, no accuracy.
            for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, snaplen, linktype.into()] {
                made.u32(word);
            }
        }
        PACKET => {
            fields.u32()?;
            let stamp = fields.stamp()?;
            let (length, on_the_wire) = (fields.u32()?, fields.u32()?);
            let words = [u32::try_from(stamp / 1_000_000_000)?, (stamp % 1_000_000_000 / 1_000) as u32];
            for word in words.into_iter().chain([length, on_the_wire]) {
                made.u32(word);
            }
            made.bytes.extend(fields.padded(length as usize)?);
        }
        _ => {}
    }
    Ok(())
}
