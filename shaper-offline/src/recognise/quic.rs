//! QUIC long headers (RFC 9000 section 17.2, RFC 9369), which say their version.

use super::Datagram;
use crate::bytes::u32_at;

const V1: u32 = 1;
const V2: u32 = 0x6b33_43cf;
/// RFC 9000 section 17.2: connection ids of both versions.
const LONGEST_ID: u8 = 20;
/// A short header's first byte, a packet number and a sample behind it for header protection
/// (RFC 9001 section 5.4.2).
pub(super) const SHORTEST: u32 = 21;

/// Whether a version stands where long headers have it.
#[inline]
pub(super) fn has_version(datagram: &Datagram<'_>) -> bool {
    matches!(u32_at(datagram.payload, 1), Some(0 | V1 | V2))
}

/// Whether it begins with a long header.
pub(super) fn is_long(datagram: &Datagram<'_>) -> bool {
    long(datagram).unwrap_or(false)
}

#[inline]
fn long(datagram: &Datagram<'_>) -> Option<bool> {
    if !has_version(datagram) {
        return Some(false);
    }
    header(datagram, u32_at(datagram.payload, 1)?)
}

fn header(datagram: &Datagram<'_>, version: u32) -> Option<bool> {
    let bytes = datagram.payload;
    let first = *bytes.first()?;
    let destination = *bytes.get(5)?;
    let at = 6 + usize::from(destination);
    let source = *bytes.get(at)?;
    let at = at + 1 + usize::from(source);
    if version == 0 {
        // Version negotiation: what is left are versions, of which there is one at least.
        let left = (datagram.length as usize).checked_sub(at)?;
        let known = (at..bytes.len()).step_by(4).take(64).any(|at| known(u32_at(bytes, at)));
        return Some(left >= 4 && left.is_multiple_of(4) && known);
    }
    if first & 0x40 == 0 || destination > LONGEST_ID || source > LONGEST_ID {
        return Some(false);
    }
    // Version 2 counts its types from another start (RFC 9369 section 3.2).
    let kind = (first >> 4 & 3).wrapping_sub(u8::from(version == V2)) & 3;
    let at = match kind {
        0 => {
            let (token, at) = varint(bytes, at)?;
            at.checked_add(usize::try_from(token).ok()?)?
        }
        // Retry: a token and its integrity tag.
        3 => return Some(datagram.length as usize > at + 16),
        _ => at,
    };
    if at >= bytes.len() && !datagram.whole() {
        return Some(at < datagram.length as usize);
    }
    let (length, at) = varint(bytes, at)?;
    let left = u64::from(datagram.length).checked_sub(at as u64)?;
    Some(length >= 20 && length <= left)
}

/// A version that somebody speaks: 1, 2, drafts, and those that are reserved to be unknown
/// (RFC 9000 section 15).
fn known(version: Option<u32>) -> bool {
    version.is_some_and(|version| {
        matches!(version, V1 | V2) || version >> 8 == 0x00ff_0000 || version & 0x0f0f_0f0f == 0x0a0a_0a0a
    })
}

/// RFC 9000 section 16: the value and what follows it.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    let size = 1_usize << (first >> 6);
    let rest = bytes.get(at + 1..at + size)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, &byte| value << 8 | u64::from(byte));
    Some((value, at + size))
}
