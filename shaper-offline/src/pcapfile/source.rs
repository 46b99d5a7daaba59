//! A window on the bytes still to be read, the same for maps, buffers and streams.

use std::io::{self, Cursor, Read};

use memmap2::Mmap;

/// How much a stream reads at a time; a claimed length never makes the buffer grow faster.
const CHUNK: usize = 256 * 1024;

pub(super) enum Bytes {
    Map(Mmap),
    Owned(Box<[u8]>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
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
    Whole { bytes: Bytes, at: usize },
    Stream {
        reader: Box<dyn Read + Send>,
        buffer: Vec<u8>,
        start: usize,
        consumed: u64,
        eof: bool,
        /// The stream ended before its time.
        cut: bool,
        /// Why there is no more, to be told once what came before is used up.
        failure: Option<io::Error>,
    },
}

impl Source {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole { bytes, at: 0 }
    }

    pub(super) fn stream(reader: Box<dyn Read + Send>) -> Self {
        Self::Stream { reader, buffer: Vec::new(), start: 0, consumed: 0, eof: false, cut: false, failure: None }
    }

    /// All bytes from the current position on, to be decompressed.
    pub(super) fn into_read(self) -> Box<dyn Read + Send> {
        match self {
            Self::Whole { bytes, at } => {
                let mut cursor = Cursor::new(bytes);
                cursor.set_position(at as u64);
                Box::new(cursor)
            }
            Self::Stream { reader, mut buffer, start, failure, .. } => {
                buffer.drain(..start);
                match failure {
                    None => Box::new(Cursor::new(buffer).chain(reader)),
                    Some(error) => Box::new(Cursor::new(buffer).chain(Failing(Some(error)))),
                }
            }
        }
    }

    /// Whether the stream ended before its time: a compressed file that is cut off.
    pub(super) fn cut(&self) -> bool {
        matches!(self, Self::Stream { cut: true, .. })
    }

    /// Byte offset of the window's first byte in the file.
    #[inline]
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

    /// Both at once.
    #[inline]
    pub(super) fn place(&self) -> (u64, &[u8]) {
        (self.offset(), self.window())
    }

    /// Makes the window `n` bytes long if the input has them; returns the length it has.
    #[inline]
    pub(super) fn ensure(&mut self, n: usize) -> io::Result<usize> {
        match self {
            Self::Whole { bytes, at } => Ok(bytes.as_slice().len().saturating_sub(*at)),
            Self::Stream { reader, buffer, start, eof, cut, failure, .. } => {
                if buffer.len() - *start < n && *start > 0 {
                    buffer.drain(..*start);
                    *start = 0;
                }
                while buffer.len() - *start < n && !*eof {
                    match reader.by_ref().take(CHUNK as u64).read_to_end(buffer) {
                        Ok(got) => *eof = got == 0,
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => (*eof, *cut) = (true, true),
                        Err(error) => (*eof, *failure) = (true, Some(error)),
                    }
                }
                if buffer.len() - *start < n
                    && let Some(error) = failure.take()
                {
                    return Err(error);
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

/// Fails once.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
