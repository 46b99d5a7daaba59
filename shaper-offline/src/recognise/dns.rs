//! DNS messages (RFC 1035 section 4), in the unicast and the multicast kind.

use super::Datagram;
use crate::bytes::u16_at;

const HEADER: usize = 12;
/// Records in one message, more than any that fits into a datagram with sense has.
const RECORDS: u16 = 256;
/// Labels of one name: 255 bytes hold no more.
const LABELS: usize = 128;

/// Whether it parses as DNS from its first byte to its last; where the capture cut it, as far as
/// it goes. Away from the `named` ports it has to be a whole query or answer of one usual question.
pub(super) fn plausible(datagram: &Datagram<'_>, named: bool) -> bool {
    parse(datagram, named).is_some()
}

fn parse(datagram: &Datagram<'_>, named: bool) -> Option<()> {
    let bytes = datagram.payload;
    let flags = u16_at(bytes, 2)?;
    let (opcode, code) = (flags >> 11 & 0xf, flags & 0xf);
    // Query, inverse query, status, notify, update, stateful (RFC 6895 section 2.2); the bit that must be 0.
    if !matches!(opcode, 0..=2 | 4..=6) || flags & 0x40 != 0 || code > 11 {
        return None;
    }
    let [questions, answers, authorities, additional] = [4, 6, 8, 10].map(|at| u16_at(bytes, at).unwrap_or(u16::MAX));
    if [questions, answers, authorities, additional].iter().any(|&count| count > RECORDS) {
        return None;
    }
    let records = answers + authorities + additional;
    if questions + records == 0 || !named && (questions != 1 || opcode != 0 || !datagram.whole()) {
        return None;
    }
    let mut at = HEADER;
    for _ in 0..questions {
        let Some(end) = name(bytes, at)? else { return cut(datagram) };
        let (Some(kind), Some(class)) = (u16_at(bytes, end), u16_at(bytes, end + 2)) else { return cut(datagram) };
        // The top bit asks for a unicast answer (RFC 6762 section 5.4).
        if kind == 0 || !matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255) || !named && kind > 300 {
            return None;
        }
        at = end + 4;
    }
    for _ in 0..records {
        let Some(end) = name(bytes, at)? else { return cut(datagram) };
        let Some(size) = u16_at(bytes, end + 8) else { return cut(datagram) };
        at = end + 10 + usize::from(size);
        if at > datagram.length as usize {
            return None;
        }
    }
    (at == datagram.length as usize).then_some(())
}

/// Past the end of what was captured: sound so far, if that is not the end of the message.
fn cut(datagram: &Datagram<'_>) -> Option<()> {
    (!datagram.whole() && datagram.payload.len() > HEADER).then_some(())
}

/// Where a name ends; `Some(None)` if its end is not there, `None` if it is no name.
fn name(bytes: &[u8], mut at: usize) -> Option<Option<usize>> {
    let from = at;
    for _ in 0..LABELS {
        let Some(&length) = bytes.get(at) else { return Some(None) };
        match length {
            0 => return Some(Some(at + 1)),
            1..=63 => at += 1 + usize::from(length),
            0xc0..=0xff => {
                let Some(&low) = bytes.get(at + 1) else { return Some(None) };
                let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                // A pointer leads back to a name in front.
                return (target >= HEADER && target < at).then_some(Some(at + 2));
            }
            _ => return None,
        }
        if at - from > 254 {
            return None;
        }
    }
    None
}
