//! PTP version 2 (IEEE 1588-2019 section 13), over UDP and over Ethernet.

use super::Datagram;
use crate::bytes::u16_at;

/// EtherType of PTP over Ethernet.
pub const ETHERTYPE: u16 = 0x88f7;
const EVENT: u16 = 319;

/// Message type and domain; `None` if it is no message. `length` is the length on the wire; what
/// is behind the message is padding.
#[must_use]
pub fn message(bytes: &[u8], length: u32) -> Option<(u8, u8)> {
    let (kind, version, domain) = (bytes.first()? & 0xf, bytes.get(1)? & 0xf, *bytes.get(4)?);
    // Table 36: the shortest of each type.
    let shortest = match kind {
        // Sync, Delay_Req, Follow_Up.
        0x0 | 0x1 | 0x8 => 44,
        // Pdelay_Req, Pdelay_Resp, Delay_Resp, Pdelay_Resp_Follow_Up.
        0x2 | 0x3 | 0x9 | 0xa => 54,
        // Announce.
        0xb => 64,
        // Signaling, Management.
        0xc => 44,
        0xd => 48,
        _ => return None,
    };
    let told = u32::from(u16_at(bytes, 2)?);
    (version == 2 && told >= shortest && told <= length).then_some((kind, domain))
}

/// Whether a datagram is one: event messages go to port 319, the others to 320.
pub(super) fn on_udp(datagram: &Datagram<'_>) -> bool {
    // UDP over IPv6 has two bytes of padding (annex D), Ethernet's is not in the datagram.
    let Some((kind, _)) = message(datagram.payload, datagram.length) else { return false };
    let told = u16_at(datagram.payload, 2).map_or(0, u32::from);
    datagram.length - told <= 2 && (kind < 8) == (datagram.ports.1 == EVENT)
}
