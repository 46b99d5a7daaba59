//! What of an RTP packet is in the clear.

/// SSRC and sequence number of an RTP packet, which are in the clear under SRTP (RFC 3711, section
/// 3.1); none for RTCP, DTLS and STUN (RFC 7983; RFC 5761, section 4).
pub(crate) fn rtp_numbers(datagram: &[u8]) -> Option<(u32, u16)> {
    let header: &[u8; 12] = datagram.first_chunk()?;
    let [first, second, sequence_0, sequence_1, _, _, _, _, ssrc @ ..] = *header;
    let is_rtp = (128..192).contains(&first) && !(192..=223).contains(&second);
    is_rtp.then(|| (u32::from_be_bytes(ssrc), u16::from_be_bytes([sequence_0, sequence_1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_is_told_from_rtcp_dtls_and_stun() {
        let mut packet = [0; 12];
        packet[..4].copy_from_slice(&[0x80, 96, 1, 2]);
        packet[8..].copy_from_slice(&[1, 0, 0, 2]);
        assert_eq!(rtp_numbers(&packet), Some((0x0100_0002, 0x0102)));
        packet[1] = 0x80 | 96;
        assert!(rtp_numbers(&packet).is_some(), "with the marker bit");
        packet[1] = 200;
        assert_eq!(rtp_numbers(&packet), None, "RTCP");
        packet[0] = 22;
        assert_eq!(rtp_numbers(&packet), None, "DTLS");
        assert_eq!(rtp_numbers(&packet[..11]), None);
    }
}
