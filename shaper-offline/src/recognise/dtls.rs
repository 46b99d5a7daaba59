//! DTLS records (RFC 6347 section 4.1).

use super::Datagram;
use crate::bytes::u16_at;

const HEADER: usize = 13;
/// Records in a datagram; a longer chain is not looked at to its end.
const RECORDS: usize = 16;
/// RFC 6347 section 4.1.1: 2^14 bytes, and what ciphers add.
const LONGEST: u16 = (1 << 14) + 2048;

/// Whether it is a chain of records that ends where the datagram ends.
pub(super) fn plausible(datagram: &Datagram<'_>) -> bool {
    let bytes = datagram.payload;
    let mut at = 0;
    for number in 0..RECORDS {
        let (Some(&kind), Some(version), Some(size)) = (bytes.get(at), u16_at(bytes, at + 1), u16_at(bytes, at + 11))
        else {
            // The capture's cut, behind a record that is sound.
            return number > 0 && !datagram.whole();
        };
        // Change cipher spec, alert, handshake, application data, heartbeat; DTLS 1.0 and 1.2.
        if !(20..=24).contains(&kind) || !matches!(version, 0xfeff | 0xfefd) || size == 0 || size > LONGEST {
            return false;
        }
        at += HEADER + usize::from(size);
        if at >= datagram.length as usize {
            return at == datagram.length as usize;
        }
    }
    true
}
