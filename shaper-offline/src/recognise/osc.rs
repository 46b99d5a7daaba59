//! Open Sound Control 1.0: messages with a type tag string, and bundles of them.

use super::Datagram;
use crate::bytes::u32_at;

/// Bytes of an address pattern or a string that are looked at.
const LONGEST: usize = 512;
/// Bundles within bundles that are looked into.
const DEPTH: u8 = 4;
/// Elements of a bundle that are looked at.
const ELEMENTS: usize = 256;

/// Whether it is a message or a bundle from its first byte to its last.
pub(super) fn plausible(datagram: &Datagram<'_>) -> bool {
    let length = datagram.length as usize;
    if !length.is_multiple_of(4) {
        return false;
    }
    if datagram.whole() {
        return datagram.payload.get(..length).is_some_and(|bytes| packet(bytes, DEPTH).is_some());
    }
    // Cut: as much as there is of the head.
    datagram.payload.starts_with(b"#bundle\0") || tags(datagram.payload).is_some()
}

fn packet(bytes: &[u8], depth: u8) -> Option<()> {
    let Some(mut rest) = bytes.strip_prefix(b"#bundle\0") else { return message(bytes) };
    // A time tag, then sizes with elements.
    rest = rest.get(8..)?;
    for _ in 0..ELEMENTS {
        if rest.is_empty() {
            return Some(());
        }
        let size = u32_at(rest, 0)? as usize;
        let element = rest.get(4..size.checked_add(4)?)?;
        if size == 0 || !size.is_multiple_of(4) {
            return None;
        }
        packet(element, depth.checked_sub(1)?)?;
        rest = rest.get(4 + size..)?;
    }
    None
}

/// The type tags of a message, and what follows them.
fn tags(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (address, rest) = string(bytes)?;
    // Section "OSC Address Patterns": printable, without space and '#'.
    if address.first() != Some(&b'/') || !address.iter().all(|&byte| (0x21..0x7f).contains(&byte) && byte != b'#') {
        return None;
    }
    let (tags, rest) = string(rest)?;
    Some((tags.strip_prefix(b",")?, rest))
}

fn message(bytes: &[u8]) -> Option<()> {
    let (tags, mut rest) = tags(bytes)?;
    for tag in tags {
        rest = match tag {
            b'i' | b'f' | b'c' | b'r' | b'm' => rest.get(4..)?,
            b'h' | b't' | b'd' => rest.get(8..)?,
            b's' | b'S' => string(rest)?.1,
            b'b' => rest.get(4 + (u32_at(rest, 0)? as usize).checked_next_multiple_of(4)?..)?,
            b'T' | b'F' | b'N' | b'I' | b'[' | b']' => rest,
            _ => return None,
        };
    }
    rest.is_empty().then_some(())
}

/// A string without its end, and what follows its padding.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().take(LONGEST).position(|&byte| byte == 0)?;
    let next = (end + 1).next_multiple_of(4);
    let padding = bytes.get(end..next)?;
    padding.iter().all(|&byte| byte == 0).then_some((bytes.get(..end)?, bytes.get(next..)?))
}
