//! A window on the bytes still to be read, the same for maps, buffers and streams.

use std::io::{self, Read};

use memmap2::Mmap;

/// How much a stream reads at a time; a claimed length never makes the buffer grow faster.
const CHUNK: usize = 256 * 1024;

pub(super) enum Bytes {
    Map(Mmap),
    Owned(Box<[u8]>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Map(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

pub(super) enum Source {
    /// Everything is in memory, or mapped; `at` is where the window starts.
    Whole {
        bytes: Bytes,
        at: usize,
    },
    Stream {
        reader: Box<dyn Read + Send>,
        buffer: Vec<u8>,
        start: usize,
        consumed: u64,
        eof: bool,
    },
}

impl Source {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole { bytes, at: 0 }
    }

    pub(super) fn stream(reader: Box<dyn Read + Send>) -> Self {
        Self::Stream { reader, buffer: Vec::new(), start: 0, consumed: 0, eof: false }
    }

    /// Byte offset of the window's first byte in the file.
    pub(super) fn offset(&self) -> u64 {
        match self {
            Self::Whole { at, .. } => *at as u64,
            Self::Stream { consumed, .. } => *consumed,
        }
    }

    /// Bytes from the current position on; at least `n` after an [`ensure`](Self::ensure) that
    /// found as many.
    #[inline]
    pub(super) fn window(&self) -> &[u8] {
        match self {
            Self::Whole { bytes, at } => bytes.as_slice().get(*at..).unwrap_or_default(),
            Self::Stream { buffer, start, .. } => buffer.get(*start..).unwrap_or_default(),
        }
    }

    /// Makes the window `n` bytes long if the input has them; returns the length it has.
    #[inline]
    pub(super) fn ensure(&mut self, n: usize) -> io::Result<usize> {
        match self {
            Self::Whole { bytes, at } => Ok(bytes.as_slice().len().saturating_sub(*at)),
            Self::Stream { reader, buffer, start, eof, .. } => {
                if buffer.len() - *start < n && *start > 0 {
                    buffer.drain(..*start);
                    *start = 0;
                }
                while buffer.len() - *start < n && !*eof {
                    let got = reader.by_ref().take(CHUNK as u64).read_to_end(buffer)?;
                    *eof = got == 0;
                }
                Ok(buffer.len() - *start)
            }
        }
    }

    /// Moves on by `n` bytes, which must be in the window.
    #[inline]
    pub(super) fn consume(&mut self, n: usize) {
        match self {
            Self::Whole { bytes, at } => *at = at.saturating_add(n).min(bytes.as_slice().len()),
            Self::Stream { buffer, start, consumed, .. } => {
                let n = n.min(buffer.len() - *start);
                *start += n;
                *consumed += n as u64;
            }
        }
    }
}
