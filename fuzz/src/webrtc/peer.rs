//! A peer of the server's: its offers, and datagrams that are as they should be.

use std::net::SocketAddr;
use std::time::Instant;

use shaper_webrtc::serve::{LoneShard, LoneTransport};

use super::clear::{DTLS, TAG};

/// Payload types of the dialect.
pub(super) const OPUS: u8 = 111;
pub(super) const VP8: u8 = 96;
/// SSRCs that a peer sends under: sound, video, and its retransmissions.
pub(super) const SSRCS: [u32; 3] = [1001, 2001, 2002];
/// The extension that tells the media section.
const MID: u8 = 1;

/// An offer of sound and video in this direction; `layers` are restriction identifiers.
pub(super) fn offer(direction: &str, layers: &[&str]) -> String {
    let fingerprint = ["00"; 32].join(":");
    let mut offer = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-ufrag:peer\r\n\
         a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n"
    );
    let section = |kind: &str, types: &str, mid: u8| {
        format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {types}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\n\
             a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
             a=extmap:5 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
        )
    };
    offer += &section("audio", "111", 0);
    offer += "a=extmap:10 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=rtpmap:111 opus/48000/2\r\n\
              a=rtcp-fb:111 transport-cc\r\n";
    offer += &section("video", "96 97", 1);
    offer += "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
              a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\na=rtpmap:96 VP8/90000\r\n\
              a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\n\
              a=fmtp:97 apt=96\r\n";
    if layers.is_empty() {
        if direction != "recvonly" {
            let [_, video, rtx] = SSRCS;
            offer += &format!("a=ssrc-group:FID {video} {rtx}\r\na=ssrc:{video} cname:c\r\na=ssrc:{rtx} cname:c\r\n");
        }
    } else {
        for rid in layers {
            offer += &format!("a=rid:{rid} send\r\n");
        }
        offer += &format!("a=simulcast:send {}\r\n", layers.join(";"));
    }
    offer
}

/// A Binding request as a client sends them (RFC 8445, section 7.2.2), with `more` attributes.
pub(super) fn check(ufrag: &str, more: &[u8]) -> Vec<u8> {
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend([7; 12]);
    let mut attribute = |kind: u16, value: &[u8]| {
        request.extend(kind.to_be_bytes());
        request.extend((value.len() as u16).to_be_bytes());
        request.extend(value);
        request.resize(request.len().next_multiple_of(4), 0);
    };
    attribute(0x0006, format!("{ufrag}:peer").as_bytes());
    attribute(0x0024, &0x6e00_01ff_u32.to_be_bytes());
    attribute(0x802a, &[1; 8]);
    attribute(0x0025, &[]);
    if !more.is_empty() {
        attribute(u16::from(more.first().copied().unwrap_or_default()), more);
    }
    // Message integrity, which is zeros.
    attribute(0x0008, &[0; 20]);
    let length = (request.len() - 20) as u16;
    if let Some(place) = request.get_mut(2..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    request
}

/// An RTP packet of the media section, in which `extension` is behind the one that names that.
pub(super) fn rtp(payload_type: u8, ssrc: u32, sequence: u16, extension: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 960).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    let mid = if payload_type & 0x7f == OPUS { b'0' } else { b'1' };
    let mut extensions = vec![MID << 4, mid];
    extensions.extend(extension);
    extensions.resize(extensions.len().next_multiple_of(4), 0);
    packet.extend([0xbe, 0xde]);
    packet.extend((extensions.len() as u16 / 4).to_be_bytes());
    packet.extend(extensions);
    packet.extend(payload);
    packet.extend([0; TAG]);
    packet
}

/// An RTCP packet as SRTCP has it (RFC 7714, section 9.3): the tag, the flag of encryption and the index behind it.
pub(super) fn rtcp(packet: &[u8], index: u32) -> Vec<u8> {
    let mut sealed = packet.to_vec();
    sealed.extend([0; TAG]);
    sealed.extend((0x8000_0000 | index).to_be_bytes());
    sealed
}

/// What brings a transport up.
pub(super) fn connect(server: &mut LoneShard, transport: &LoneTransport, from: SocketAddr, now: Instant) {
    server.receive(from, &check(&transport.ice.username_fragment, &[]), now);
    server.receive(from, &[DTLS, 254, 253], now);
}

/// A VP8 payload that begins a key frame.
pub(super) const KEY_FRAME: [u8; 8] = [0x90, 0x80, 0x80, 0x01, 0x10, 0, 0, 0];
