//! What musicians' programs use to find each other and to play: Ableton Link and RTP-MIDI.

use super::Datagram;
use crate::bytes::{u16_at, u32_at};

/// Discovery on 224.76.78.75:20808, and the measurement of clocks between peers.
const LINK: [&[u8; 8]; 2] = [b"_asdp_v\x01", b"_link_v\x01"];
const APPLE: u16 = 0xffff;
/// RFC 6295 leaves the payload type to sessions; Apple's have 97.
const MIDI_TYPE: u8 = 97;

/// A message of Ableton Link: alive, answer and farewell have a time to live, a group and a node
/// behind the type; ping and pong have entries.
pub(super) fn is_link(datagram: &Datagram<'_>) -> bool {
    let bytes = datagram.payload;
    match bytes.first_chunk::<8>() {
        Some(magic) if magic == LINK[0] => {
            datagram.length >= 20 && bytes.get(8).is_some_and(|kind| (1..=3).contains(kind))
        }
        Some(magic) if magic == LINK[1] => bytes.get(8).is_some_and(|kind| (1..=2).contains(kind)),
        _ => false,
    }
}

/// A command of Apple's MIDI Network Driver Protocol.
pub(super) fn is_apple(datagram: &Datagram<'_>) -> bool {
    apple(datagram).unwrap_or(false)
}

fn apple(datagram: &Datagram<'_>) -> Option<bool> {
    let bytes = datagram.payload;
    if u16_at(bytes, 0)? != APPLE {
        return Some(false);
    }
    let length = datagram.length;
    Some(match bytes.get(2..4)? {
        // Version, the initiator's token, the sender's SSRC, and the name of a session, ended by 0.
        b"IN" | b"OK" => {
            let ended = !datagram.whole() || length == 16 || bytes.last() == Some(&0);
            u32_at(bytes, 4)? == 2 && length >= 16 && ended
        }
        b"NO" | b"BY" => u32_at(bytes, 4)? == 2 && length >= 16,
        // SSRC, a count of 0 to 2 with padding, three stamps.
        b"CK" => *bytes.get(8)? <= 2 && length == 36,
        // SSRC and a sequence number, or a limit of the bit rate.
        b"RS" | b"RL" => length == 12,
        _ => false,
    })
}

/// RTP of a MIDI session.
pub(super) fn is_rtp(datagram: &Datagram<'_>) -> bool {
    let Some([first, kind]) = datagram.payload.first_chunk::<2>() else { return false };
    first >> 6 == 2 && kind & 0x7f == MIDI_TYPE && datagram.length > 12
}
