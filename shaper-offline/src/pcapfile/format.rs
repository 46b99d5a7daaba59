//! What a file is, and how it ends.

/// File format found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap, either resolution.
    Pcap,
    /// pcapng.
    PcapNg,
}

/// How the file ends, known once [`Reader::next_packet`](super::Reader::next_packet) has returned `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// There is more to read.
    Unread,
    /// The last block or record is whole.
    Complete,
    /// The file was cut off: the block or record at `offset` wants `wanted` bytes and has `left`.
    Cut {
        /// Byte offset of the incomplete block or record.
        offset: u64,
        /// Its length as claimed (at least; its header may itself be cut).
        wanted: u64,
        /// Bytes that are there.
        left: u64,
    },
    /// The block or record at `offset` is damaged ([`Reader::damage`](super::Reader::damage)) or could not be read.
    Damaged {
        /// Byte offset of that block or record.
        offset: u64,
    },
}
