//! Blocks of pcapng, each with a body that is the input's: the lengths around it are right, so that its own parser gets it.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::capture;
use crate::draw::Draw;

/// Section header, interface description, obsolete, simple, name resolution, interface statistics, enhanced, two that are
/// custom, the secrets of TLS, the journal of systemd, and one that nobody knows.
const KINDS: [u32; 12] = [0x0a0d_0d0a, 1, 2, 3, 4, 5, 6, 0x0bad, 0x4000_0bad, 0x0a, 0x09, 0x7777_7777];
/// Blocks of a file at most.
const MOST: usize = 64;

/// Reads a capture of such blocks, as it is and compressed, to the same packets.
pub fn read(bytes: &[u8]) {
    let mut draw = Draw(bytes);
    let how = draw.byte();
    let big = how & 1 != 0;
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let length = word(12 + body.len().next_multiple_of(4) as u32);
        file.extend(word(kind));
        file.extend(length);
        file.extend(body);
        file.resize(file.len().next_multiple_of(4), 0);
        file.extend(length);
    };
    let section = [&word(0x1a2b_3c4d)[..], &word(if big { 0x0001_0000 } else { 1 }), &[0xff; 8]].concat();
    // A file begins with a section and an interface, unless the input is to begin it.
    if how & 2 == 0 {
        block(KINDS[0], &section);
        block(KINDS[1], &[word(if big { 0x0001_0000 } else { 1 }), [0; 4]].concat());
    }
    for _ in 0..MOST {
        let Some([kind, length]) = draw.take() else { break };
        let number = KINDS[usize::from(kind & 0x0f) % KINDS.len()];
        let body = draw.slice(length.into());
        if number == KINDS[0] && kind & 0x80 == 0 {
            block(number, &[&section, body].concat());
        } else {
            block(number, body);
        }
    }
    let plain = capture::packets(&file);
    capture::read(&file);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    if gzip.write_all(&file).is_ok()
        && let Ok(zipped) = gzip.finish()
    {
        assert_eq!(capture::packets(&zipped), plain, "in gzip");
    }
    assert_eq!(capture::packets(&compress_to_vec(&file[..], CompressionLevel::Fastest)), plain, "in zstd");
}
