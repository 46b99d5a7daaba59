//! Compressed captures, recognised by their first bytes and decompressed as they are read.

use std::{
    fmt,
    io::{self, BufReader, Read},
};

use flate2::bufread::MultiGzDecoder;
use serde::Serialize;

use super::{error::Fault, zstd::Zstd};

/// How much compressed data is read at a time.
const CHUNK: usize = 64 * 1024;

/// Compression of a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// gzip (RFC 1952), also of several members.
    Gzip,
    /// Zstandard (RFC 8878), also of several frames.
    Zstd,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// By the first four bytes, as a big-endian number.
    ///
    /// # Errors
    /// [`Fault::Compressed`] names compressions that are not read.
    pub(super) fn of(magic: u32) -> Result<Option<Self>, Fault> {
        Ok(match magic {
            0x1f8b_0000..=0x1f8b_ffff => Some(Self::Gzip),
            0x28b5_2ffd => Some(Self::Zstd),
            // A skippable frame: parallel compressors begin with one.
            _ if magic & 0xf0ff_ffff == 0x502a_4d18 => Some(Self::Zstd),
            0xfd37_7a58 => return Err(Fault::Compressed("xz")),
            0x0422_4d18 => return Err(Fault::Compressed("lz4")),
            0x425a_6800..=0x425a_68ff => return Err(Fault::Compressed("bzip2")),
            _ => None,
        })
    }

    /// What `input` decompresses to. A read fails with [`io::ErrorKind::UnexpectedEof`] where the input is cut off, and
    /// with a [`Fault`] inside where it is damaged.
    pub(super) fn decompressed(self, input: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        let input = BufReader::with_capacity(CHUNK, Inner(input));
        match self {
            Self::Gzip => Box::new(Gzip(MultiGzDecoder::new(input))),
            Self::Zstd => Box::new(Zstd::new(input)),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Keeps what the operating system said apart from what a decompressor says.
struct Inner(Box<dyn Read + Send>);

impl Read for Inner {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, Failed(error)),
        })
    }
}

/// Reading failed, not decompressing.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failed(io::Error);

/// The decompressor's error as a [`Fault`], unless the input is cut or could not be read.
pub(super) fn fault(compression: Compression, error: io::Error) -> io::Error {
    let failed = error.get_ref().is_some_and(|inner| inner.is::<Failed>());
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted => error,
        _ if failed => error,
        _ => io::Error::other(Fault::Decompression { compression, said: error.to_string() }),
    }
}

struct Gzip<R>(MultiGzDecoder<R>);

impl<R: io::BufRead> Read for Gzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into).map_err(|error| fault(Compression::Gzip, error))
    }
}
