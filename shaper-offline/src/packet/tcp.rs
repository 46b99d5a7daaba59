//! TCP headers.

use etherparse::TcpHeaderSlice;

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

    /// `None` if the header is cut or its length is impossible.
    #[inline]
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = TcpHeaderSlice::from_slice(bytes).ok()?;
        let slice = header.slice();
        Some(Self {
            source: header.source_port(),
            destination: header.destination_port(),
            sequence: header.sequence_number(),
            acknowledgement: header.acknowledgment_number(),
            flags: *slice.get(13)?,
            window: header.window_size(),
            checksum: header.checksum(),
            header_length: slice.len(),
            options: slice.get(20..)?,
        })
    }

    /// TSval of the timestamps option (RFC 7323).
    #[must_use]
    #[inline]
    pub fn timestamp(&self) -> Option<u32> {
        // Nearly every stack writes NOP NOP TS first.
        if let Some([1, 1, 8, 10, a, b, c, d]) = self.options.first_chunk::<8>() {
            return Some(u32::from_be_bytes([*a, *b, *c, *d]));
        }
        let mut rest = self.options;
        loop {
            match *rest {
                [1, ref tail @ ..] => rest = tail,
                [8, 10, a, b, c, d, ..] => return Some(u32::from_be_bytes([a, b, c, d])),
                [0, ..] | [] => return None,
                [_, length, ..] if length >= 2 => rest = rest.get(usize::from(length)..)?,
                _ => return None,
            }
        }
    }
}
