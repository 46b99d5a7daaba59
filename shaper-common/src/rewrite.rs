//! What a fate changes in a packet: the mark Congestion Experienced, and damage with or without its checksums brought
//! right.
//!
//! Checksums are brought up to date by the difference of what changed (RFC 1624), so that a checksum that was wrong stays
//! as wrong as it was.

use crate::corrupt::{Damage, MOST_BYTES};
use crate::parse::{Bytes, Parts};

/// Bounds-checked writing to the bytes of a frame.
pub trait BytesMut: Bytes {
    /// Writes the big-endian 16-bit word at `at`; nothing beyond the end.
    fn set_u16(&mut self, at: usize, word: u16);
    /// Writes the big-endian 32-bit word at `at`; nothing beyond the end.
    fn set_u32(&mut self, at: usize, word: u32);
}

impl BytesMut for [u8] {
    fn set_u16(&mut self, at: usize, word: u16) {
        if let Some(place) = self.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *place = word.to_be_bytes();
        }
    }

    fn set_u32(&mut self, at: usize, word: u32) {
        if let Some(place) = self.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *place = word.to_be_bytes();
        }
    }
}

/// Where the checksum of an IPv4 header lies in it.
const IPV4_CHECKSUM: u32 = 10;
/// Where the addresses lie in an IPv4 header: the transport checksum covers them.
const IPV4_ADDRESSES: (u32, u32) = (12, 20);
/// And in one of IPv6.
const IPV6_ADDRESSES: (u32, u32) = (8, 40);

/// A sum of 16-bit words in ones' complement, in which bytes may be swapped before adding or behind it.
#[inline(always)]
const fn fold(words: u32) -> u32 {
    let sum = (words >> 16) + (words & 0xffff);
    (sum & 0xffff) + (sum >> 16)
}

/// By how much four bytes change a checksum, of which the first is the upper byte of its word, or the lower one where
/// `odd` is one.
#[inline(always)]
const fn difference(old: u32, new: u32, odd: u32) -> u32 {
    // Taking away is adding what is left to 0xffff, which is zero in this arithmetic.
    let sum = fold(fold(new) + 0xffff - fold(old));
    if odd == 0 { sum } else { (sum << 8 | sum >> 8) & 0xffff }
}

/// A checksum brought up to date by a difference.
#[inline(always)]
const fn over(checksum: u16, difference: u32) -> u16 {
    !(fold((!checksum) as u32 + difference) as u16)
}

/// Of the four bytes from `start` on, the first highest, those in `from <= place < to`.
#[inline(always)]
fn within(start: u32, from: u32, to: u32) -> u32 {
    let behind = |place: u32| {
        let skipped = place.saturating_sub(start);
        let skipped = if skipped < MOST_BYTES { skipped } else { MOST_BYTES };
        ((u32::MAX as u64) >> (8 * skipped)) as u32
    };
    behind(from) & !behind(to)
}

/// Marks a packet whose ECN field is not zero: its lower bits both become one.
#[inline(always)]
pub fn mark<B: BytesMut + ?Sized>(frame: &mut B, parts: &Parts) -> Option<()> {
    let network = parts.network as usize;
    let old = frame.u16(network)?;
    if old >> 12 != 4 {
        frame.set_u16(network, old | 0x30);
        return Some(());
    }
    frame.set_u16(network, old | 3);
    let checksum = frame.u16(network + IPV4_CHECKSUM as usize)?;
    let sum = difference(old as u32, (old | 3) as u32, 0);
    frame.set_u16(network + IPV4_CHECKSUM as usize, over(checksum, sum));
    Some(())
}

/// Damages a packet of `len` bytes.
#[inline(always)]
pub fn damage<B: BytesMut + ?Sized>(frame: &mut B, len: u32, parts: &Parts, damage: &Damage) -> Option<()> {
    // At the end of the frame the word that is changed is the last one: what would lie behind it is not flipped.
    let last = len.wrapping_sub(MOST_BYTES);
    let beyond = (damage.at as u32).saturating_sub(last);
    let start = damage.at as u32 - beyond;
    let flips = damage.flips >> ((8 * beyond) & 31);
    // Before the damage, which may be to this very word: a packet is repaired as what it was.
    let first = frame.u16(parts.network as usize)?;
    let old = frame.u32(start as usize)?;
    frame.set_u32(start as usize, old ^ flips);
    if damage.repair == 0 {
        return Some(());
    }
    let Parts { network, transport, checksum, .. } = *parts;
    let (network, transport, checksum) = (network as u32, transport as u32, checksum as u32);
    let change = |bytes: u32, origin: u32| difference(old & bytes, (old ^ flips) & bytes, (start ^ origin) & 1);
    let ipv4 = first >> 12 == 4;
    if ipv4 {
        let (field, end) = (network + IPV4_CHECKSUM, network + ((first >> 8 & 0xf) as u32) * 4);
        let bytes = within(start, network, end) & !within(start, field, field + 2);
        repair(frame, start, flips, field, change(bytes, network), false)?;
    }
    if checksum == 0 {
        return Some(());
    }
    let (from, to) = match (ipv4, checksum == transport + 2) {
        // ICMP's checksum covers no addresses, ICMPv6's does.
        (true, true) => (0, 0),
        (true, false) => IPV4_ADDRESSES,
        (false, _) => IPV6_ADDRESSES,
    };
    let covered = within(start, transport, u32::MAX) & !within(start, checksum, checksum + 2);
    let sum = change(covered, transport) + change(within(start, network + from, network + to), network);
    repair(frame, start, flips, checksum, fold(sum), checksum == transport + 6)
}

/// Brings a checksum right: as it was before the damage, and then up to date. In UDP zero means that there is none.
#[inline(always)]
fn repair<B: BytesMut + ?Sized>(frame: &mut B, start: u32, flips: u32, at: u32, sum: u32, is_udp: bool) -> Option<()> {
    // The part of the flips that hit the two bytes of the field: of six bytes, two of them before the flips.
    let distance = at.wrapping_add(2).wrapping_sub(start);
    let hit = if distance < 6 { ((flips as u64) << 16 >> ((48 - 8 * distance) & 63)) as u16 } else { 0 };
    let checksum = frame.u16(at as usize)? ^ hit;
    let repaired = over(checksum, sum);
    let repaired = if is_udp && repaired == 0 { 0xffff } else { repaired };
    frame.set_u16(at as usize, if is_udp && checksum == 0 { 0 } else { repaired });
    Some(())
}
