//! RTP headers (RFC 3550, section 5.1), and how RTCP is told from RTP on one port.

/// Length of the fixed header.
pub const FIXED: usize = 12;

/// What is read of an RTP header: all of it stays in clear under SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in units of the clock rate.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Contributing sources.
    pub csrc_count: u8,
    /// The 16 bits in front of the header extension, if there is one: 0xbede and 0x1000 to 0x100f
    /// are the one-byte and the two-byte form of RFC 8285.
    pub extension: Option<u16>,
    /// Length of the header with contributing sources and extension; of the extension nothing
    /// counts where the capture cut its length.
    pub length: u16,
}

impl Header {
    /// Reads a UDP payload; `length` is its length on the wire. `None` if this cannot be RTP: another
    /// version, a payload type that would be taken for RTCP (64 to 95: RFC 5761, section 4), or a
    /// header longer than the datagram.
    #[must_use]
    #[inline]
    pub fn parse(bytes: &[u8], length: u32) -> Option<Self> {
        let fixed = bytes.first_chunk::<FIXED>()?;
        let [first, second, s0, s1, t0, t1, t2, t3, a, b, c, d] = *fixed;
        if first >> 6 != 2 || matches!(second & 0x7f, 64..=95) {
            return None;
        }
        let csrc_count = first & 0x0f;
        let mut header = Self {
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([a, b, c, d]),
            csrc_count,
            extension: None,
            length: FIXED as u16 + u16::from(csrc_count) * 4,
        };
        if first & 0x3f != 0 {
            header.variable(bytes, first)?;
        }
        // Padding is at least one byte; how much it is, is encrypted under SRTP.
        let least = u32::from(header.length) + u32::from(first >> 5 & 1);
        (least <= length).then_some(header)
    }

    /// Extension, as far as captured.
    #[inline]
    fn variable(&mut self, bytes: &[u8], first: u8) -> Option<()> {
        if first & 0x10 == 0 {
            return Some(());
        }
        let at = usize::from(self.length);
        self.length = self.length.checked_add(4)?;
        if let Some([p0, p1, n0, n1]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            self.extension = Some(u16::from_be_bytes([*p0, *p1]));
            let words = u16::from_be_bytes([*n0, *n1]);
            self.length = words.checked_mul(4)?.checked_add(self.length)?;
        }
        Some(())
    }
}

/// Whether the second byte of a datagram of version 2 is a packet type of RTCP (RFC 5761, section 4).
#[must_use]
#[inline]
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(*bytes, [first, 192..=223, ..] if first >> 6 == 2)
}

#[cfg(test)]
mod tests {
    use super::{Header, is_rtcp};

    fn bytes(first: u8, second: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, second, 0x12, 0x34, 0, 0, 1, 0, 0xde, 0xad, 0xbe, 0xef];
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn fields_stand_where_rfc_3550_has_them() {
        let plain = Header::parse(&bytes(0x80, 0x88, &[]), 172).unwrap();
        let want = Header {
            payload_type: 8,
            marker: true,
            sequence: 0x1234,
            timestamp: 256,
            ssrc: 0xdead_beef,
            csrc_count: 0,
            extension: None,
            length: 12,
        };
        assert_eq!(plain, want);
        let long = bytes(0x92, 96, &[0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 9]);
        let long = Header::parse(&long, 29).unwrap();
        assert_eq!((long.csrc_count, long.extension, long.length), (2, Some(0xbede), 28));
    }

    #[test]
    fn what_does_not_fit_its_datagram_is_not_rtp() {
        assert_eq!(Header::parse(&bytes(0x40, 0, &[]), 12), None);
        assert_eq!(Header::parse(&bytes(0x80, 200, &[]), 12), None);
        assert_eq!(Header::parse(&bytes(0x80, 72, &[]), 12), None);
        assert_eq!(Header::parse(&bytes(0x8f, 0, &[0; 40]), 52), None);
        assert_eq!(Header::parse(&bytes(0x90, 0, &[0xbe, 0xde, 0, 9, 0, 0]), 18), None);
        assert_eq!(Header::parse(&bytes(0x90, 0, &[0xbe, 0xde, 0xff, 0xff]), 16), None);
        // One byte of padding at least.
        assert_eq!(Header::parse(&bytes(0xa0, 0, &[]), 12), None);
        assert_eq!(Header::parse(&[0x80; 11], 11), None);
        // Cut by the capture: what cannot be seen is not held against it.
        assert!(Header::parse(&bytes(0x9f, 0, &[]), 400).is_some());
    }

    #[test]
    fn rtcp_is_told_by_its_packet_type() {
        assert!(is_rtcp(&[0x81, 200]));
        assert!(is_rtcp(&[0x8f, 206]));
        assert!(!is_rtcp(&[0x81, 0x60]));
        assert!(!is_rtcp(&[0x01, 200]));
        assert!(!is_rtcp(&[0x81]));
    }
}
