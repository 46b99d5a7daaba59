//! Zstandard (RFC 8878), frame by frame and block by block: a file that is cut off gives all of its whole blocks.

use std::io::{self, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::compression::{Compression, fault};

/// Largest window that is given memory; `zstd` needs `--ultra` or `--long` to go beyond 8 MiB.
const WINDOW: u64 = 100 << 20;
/// Largest block, by section 3.1.1.2.4.
const BLOCK: usize = 128 << 10;
const MAGIC: u32 = 0xfd2f_b528;
/// First of sixteen magics of frames to be passed over.
const SKIPPABLE: u32 = 0x184d_2a50;

/// Decompresses frames one behind the other.
pub(super) struct Zstd<R> {
    input: R,
    decoder: FrameDecoder,
    /// The frame being read; `None` between frames.
    frame: Option<Frame>,
    block: Vec<u8>,
    /// The input ended before its time.
    cut: bool,
}

#[derive(Clone, Copy)]
struct Frame {
    checksum: bool,
}

impl<R: Read> Zstd<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, decoder: FrameDecoder::new(), frame: None, block: Vec::new(), cut: false }
    }

    fn decompress(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(frame) = self.frame else {
                if self.cut {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if !self.begin()? {
                    return Ok(0);
                }
                continue;
            };
            let got = self.decoder.read(into)?;
            if got > 0 || into.is_empty() {
                return Ok(got);
            }
            if self.decoder.is_finished() {
                let told = self.decoder.get_checksum_from_data();
                if frame.checksum && !self.cut && told != self.decoder.get_calculated_checksum() {
                    return Err(wrong("the checksum of a frame is wrong"));
                }
                self.frame = None;
                continue;
            }
            self.next_block(frame)?;
            self.decoder
                .decode_blocks(&mut self.block.as_slice(), BlockDecodingStrategy::UptoBlocks(1))
                .map_err(|error| wrong(error.to_string()))?;
        }
    }

    /// Begins the next frame; whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            let mut word = [0; 4];
            match fill(&mut self.input, &mut word)? {
                0 => return Ok(false),
                4 => {}
                _ => return self.cut_here(),
            }
            let magic = u32::from_le_bytes(word);
            if magic & !0xf == SKIPPABLE {
                if fill(&mut self.input, &mut word)? < 4 {
                    return self.cut_here();
                }
                let length = u64::from(u32::from_le_bytes(word));
                if io::copy(&mut self.input.by_ref().take(length), &mut io::sink())? < length {
                    return self.cut_here();
                }
                continue;
            }
            if magic != MAGIC {
                return Err(wrong("what follows a frame is none"));
            }
            return self.header(word);
        }
    }

    /// Reads a frame header (section 3.1.1.1).
    fn header(&mut self, magic: [u8; 4]) -> io::Result<bool> {
        let mut header = magic.to_vec();
        if !self.more(&mut header, 1)? {
            return self.cut_here();
        }
        let descriptor = header.last().copied().unwrap_or(0);
        let single = descriptor & 0x20 != 0;
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content = match descriptor >> 6 {
            0 => usize::from(single),
            flag => 1 << flag,
        };
        let window = usize::from(!single);
        if !self.more(&mut header, window + dictionary + content)? {
            return self.cut_here();
        }
        let fields = header.get(5 + window..).unwrap_or_default();
        if fields.iter().take(dictionary).any(|&byte| byte != 0) {
            return Err(wrong("it was compressed with a dictionary"));
        }
        let wanted = match header.get(5) {
            Some(&octet) if !single => {
                let base = 1_u64 << (10 + (octet >> 3));
                base + base / 8 * u64::from(octet & 7)
            }
            _ => {
                let size = fields.iter().skip(dictionary).rev().fold(0, |sum: u64, &byte| sum << 8 | u64::from(byte));
                if content == 2 { size + 256 } else { size }
            }
        };
        if wanted > WINDOW {
            return Err(wrong(format!(
                "it takes a window of {wanted} bytes (allowed: up to {WINDOW}); decompress it with zstd --long=31 -d"
            )));
        }
        self.decoder.reset(header.as_slice()).map_err(|error| wrong(error.to_string()))?;
        self.frame = Some(Frame { checksum: descriptor & 4 != 0 });
        Ok(true)
    }

    /// Holds the next block whole, with the checksum behind the last one; where the input is cut, an empty last block in
    /// its place, so that the decoder gives out what it has.
    fn next_block(&mut self, frame: Frame) -> io::Result<()> {
        self.block.clear();
        let mut block = std::mem::take(&mut self.block);
        let mut whole = self.more(&mut block, 3)?;
        if let [a, b, c] = *block {
            let header = u32::from_le_bytes([a, b, c, 0]);
            let size = match header >> 1 & 3 {
                0 | 2 => (header >> 3) as usize,
                1 => 1,
                _ => return Err(wrong("a block is of no known type")),
            };
            if size > BLOCK {
                return Err(wrong(format!("a block claims {size} bytes (allowed: up to {BLOCK})")));
            }
            whole = self.more(&mut block, size)?;
        }
        if !whole {
            self.cut = true;
            block = vec![1, 0, 0];
        }
        let last = block.first().is_some_and(|octet| octet & 1 == 1);
        if last && frame.checksum {
            let length = block.len() + 4;
            self.cut |= self.cut || !self.more(&mut block, 4)?;
            block.resize(length, 0);
        }
        self.block = block;
        Ok(())
    }

    /// Appends `n` bytes of the input, which is little; whether there were as many.
    fn more(&mut self, to: &mut Vec<u8>, n: usize) -> io::Result<bool> {
        Ok(self.input.by_ref().take(n as u64).read_to_end(to)? == n)
    }

    fn cut_here(&mut self) -> io::Result<bool> {
        self.cut = true;
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.decompress(into).map_err(|error| fault(Compression::Zstd, error))
    }
}

/// Fills the buffer as far as the input goes.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut held = Vec::with_capacity(buffer.len());
    let got = input.take(buffer.len() as u64).read_to_end(&mut held)?;
    for (slot, byte) in buffer.iter_mut().zip(held) {
        *slot = byte;
    }
    Ok(got)
}

fn wrong(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
