//! What can be wrong with a capture file, and where.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::compression::Compression;

/// A capture file that cannot be read, or not any further.
#[derive(Debug, Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("{}: cannot read at byte {offset}{}: {source}", path.display(), of(*decompressed))]
    Io {
        /// File as named by the caller.
        path: PathBuf,
        /// Byte offset of the block or record that was being read.
        offset: u64,
        /// Whether the offset is into what the file decompresses to.
        decompressed: bool,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is damaged, or is no capture.
    #[error("{}: at byte {offset}{}: {fault}", path.display(), of(*decompressed))]
    Damaged {
        /// File as named by the caller.
        path: PathBuf,
        /// Byte offset of the block, record or option that is wrong.
        offset: u64,
        /// Whether the offset is into what the file decompresses to.
        decompressed: bool,
        /// What is wrong there.
        fault: Fault,
    },
}

impl Error {
    /// Byte offset the error is about.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Self::Io { offset, .. } | Self::Damaged { offset, .. } => *offset,
        }
    }
}

/// Names what an offset is into, behind it, where that is not the file as it stands.
fn of(decompressed: bool) -> &'static str {
    if decompressed { " of the decompressed data" } else { "" }
}

/// Kinds of damage.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// Nothing, or less than the shortest file header.
    #[error("the file has {0} bytes, too few for a capture: check that the capture was started")]
    TooShort(usize),
    /// The file ends before anything can be read from it.
    #[error("the file ends here, within its header: check that the capture was started, and that it was copied whole")]
    CutHeader,
    /// The first bytes name no capture format.
    #[error("magic {0:#010x} is neither pcap nor pcapng: convert it with editcap, or check the name")]
    NotACapture(u32),
    /// The first bytes are those of a compressed file.
    #[error("the file is compressed with {0}: decompress it first")]
    Compressed(&'static str),
    /// The file decompresses to something else than a capture, or not at all.
    #[error("the {compression} data cannot be read: {said}")]
    Decompression {
        /// The compression.
        compression: Compression,
        /// What the decompressor said.
        said: String,
    },
    /// More of something than is kept.
    #[error("more than {most} {what}: split the capture with editcap, or leave out what describes it")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much is kept.
        most: usize,
    },
    /// A pcap variant with other record headers.
    #[error("{0}: convert it with editcap -F pcapng")]
    Variant(&'static str),
    /// Not version 2.x (pcap) or 1.x (pcapng).
    #[error("format version {0}.{1} is unknown: a newer shaper may read it")]
    Version(u16, u16),
    /// The byte-order magic of a section header.
    #[error("byte-order magic {0:#010x} of a section header is wrong: the file is damaged here")]
    ByteOrder(u32),
    /// A length that no block or record can have.
    #[error("{what} claims {claimed} bytes (allowed: {allowed}): the file is damaged here")]
    Length {
        /// What carries the length.
        what: &'static str,
        /// The length in the file.
        claimed: u64,
        /// What would be believed.
        allowed: &'static str,
    },
    /// A pcapng block whose two lengths differ.
    #[error("block lengths differ ({leading} at its start, {trailing} at its end): the file is damaged here")]
    Trailer {
        /// Length at the start.
        leading: u32,
        /// Length at the end.
        trailing: u32,
    },
    /// A packet refers to an interface that no block described.
    #[error("packet of interface {interface}, but the section describes {known}: the file is damaged here")]
    UnknownInterface {
        /// The interface's number in its section.
        interface: u32,
        /// How many the section has described so far.
        known: usize,
    },
    /// An option does not fit its block.
    #[error("option {code} of {length} bytes does not fit its block: the file is damaged here")]
    Option {
        /// Option code.
        code: u16,
        /// Length it claims.
        length: u16,
    },
}
