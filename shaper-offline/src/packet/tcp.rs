//! TCP headers.

/// A TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number of the first payload byte.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags, FIN in bit 0 to CWR in bit 7.
    pub flags: u8,
    /// Receive window, unscaled.
    pub window: u16,
    /// Checksum field.
    pub checksum: u16,
    /// Header length with options.
    pub header_length: usize,
    options: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// FIN.
    pub const FIN: u8 = 1;
    /// SYN.
    pub const SYN: u8 = 2;
    /// RST.
    pub const RST: u8 = 4;
    /// ACK.
    pub const ACK: u8 = 16;

    /// `None` if the header is cut or its length is impossible.
    #[inline]
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<20>()?;
        let header_length = usize::from(header[12] >> 4) * 4;
        // Less than the fixed part has no place for options.
        let options = bytes.get(20..header_length)?;
        let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let long = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Some(Self {
            source: short(0),
            destination: short(2),
            sequence: long(4),
            acknowledgement: long(8),
            flags: header[13],
            window: short(14),
            checksum: short(16),
            header_length,
            options,
        })
    }

    /// TSval of the timestamps option (RFC 7323).
    #[must_use]
    #[inline]
    pub fn timestamp(&self) -> Option<u32> {
        self.timestamps().map(|(value, _)| value)
    }

    /// TSval and TSecr of the timestamps option (RFC 7323 section 3.2).
    #[must_use]
    #[inline]
    pub fn timestamps(&self) -> Option<(u32, u32)> {
        // Nearly every stack writes NOP NOP TS first.
        if let Some([1, 1, 8, 10, a, b, c, d, e, f, g, h]) = self.options.first_chunk::<12>() {
            return Some((u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h])));
        }
        match *self.option(8)? {
            [a, b, c, d, e, f, g, h] => Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))),
            _ => None,
        }
    }

    /// Maximum segment size in bytes (RFC 9293 section 3.7.1).
    #[must_use]
    pub fn mss(&self) -> Option<u16> {
        match *self.option(2)? {
            [a, b] => Some(u16::from_be_bytes([a, b])),
            _ => None,
        }
    }

    /// Shift of the window scale option (RFC 7323 section 2.2); more than 14 counts as 14.
    #[must_use]
    pub fn window_scale(&self) -> Option<u8> {
        match *self.option(3)? {
            [shift] => Some(shift.min(14)),
            _ => None,
        }
    }

    /// Whether the SACK-permitted option is there (RFC 2018 section 2).
    #[must_use]
    pub fn sack_permitted(&self) -> bool {
        self.option(4).is_some_and(<[u8]>::is_empty)
    }

    /// Whether the only option is the timestamps, as of nearly every segment.
    #[inline]
    pub(crate) fn has_timestamps_alone(&self) -> bool {
        matches!(self.options, [1, 1, 8, 10, rest @ ..] if rest.len() == 8)
    }

    /// Left and right edges of the SACK blocks (RFC 2018 section 3), at most four.
    #[inline]
    pub fn sack_blocks(&self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let (blocks, _) = self.option(5).unwrap_or_default().as_chunks::<8>();
        blocks
            .iter()
            .map(|&[a, b, c, d, e, f, g, h]| (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])))
    }

    /// Content of the first option of a kind. Options are 40 bytes at most, and each step takes one
    /// or more.
    fn option(&self, kind: u8) -> Option<&'a [u8]> {
        let mut rest = self.options;
        loop {
            match *rest {
                [1, ref tail @ ..] => rest = tail,
                [0, ..] | [] => return None,
                [found, length, ..] if length >= 2 => {
                    let option = rest.get(..usize::from(length))?;
                    if found == kind {
                        return option.get(2..);
                    }
                    rest = rest.get(usize::from(length)..)?;
                }
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tcp;

    fn header(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        bytes[12] = ((20 + options.len()) / 4 * 16) as u8;
        bytes.extend(options);
        bytes
    }

    #[test]
    fn options_are_found_in_any_order() {
        // MSS 1460, SACK permitted, timestamps 1 and 2, NOP, window scale 7: as Linux sends a SYN.
        let syn = header(&[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7]);
        let tcp = Tcp::parse(&syn).unwrap();
        assert_eq!((tcp.mss(), tcp.window_scale(), tcp.sack_permitted()), (Some(1460), Some(7), true));
        assert_eq!((tcp.timestamps(), tcp.timestamp()), (Some((1, 2)), Some(1)));
        assert_eq!(tcp.sack_blocks().count(), 0);
        let sack = header(&[1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]);
        let tcp = Tcp::parse(&sack).unwrap();
        assert_eq!(tcp.sack_blocks().collect::<Vec<_>>(), [(1, 2), (3, 4)]);
        assert_eq!((tcp.mss(), tcp.timestamps()), (None, None));
    }

    #[test]
    fn options_that_run_over_the_header_are_none() {
        for options in [&[8, 10, 0, 0][..], &[8, 0, 0, 0], &[8, 1, 0, 0], &[2, 3, 5, 0], &[1, 1, 1, 5], &[0, 8, 10, 0]]
        {
            let bytes = header(options);
            let tcp = Tcp::parse(&bytes).unwrap();
            assert_eq!((tcp.timestamps(), tcp.mss(), tcp.sack_blocks().count()), (None, None, 0), "{options:?}");
        }
    }
}
