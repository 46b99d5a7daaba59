//! Captures compressed with gzip and zstd: the same packets, also from several members and up to a cut.

use std::io::{Cursor, Read, Write};

use flate2::{Compression as Level, write::GzEncoder};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use shaper_offline::pcapfile::{Compression, Error, Fault, Reader, Tail};

use super::{
    Seen, drain,
    files::{Build, Order},
    read,
};

/// A capture of more than one block, whose packets are hardly compressible.
fn capture(packets: u32) -> Vec<u8> {
    let mut build = Build::classic(Order::Little, false, 1);
    let mut state = 1_u32;
    for number in 0..packets {
        let data: Vec<u8> = (0..1000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        build = build.record(number, 0, 1000, &data);
    }
    build.bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

type Compress = fn(&[u8]) -> Vec<u8>;
const BOTH: [(Compression, Compress); 2] = [(Compression::Gzip, gzip), (Compression::Zstd, zstd)];

#[test]
fn compressed_captures_give_the_same_packets() {
    let plain = capture(500);
    let (expected, _) = read(&plain);
    for (kind, compress) in BOTH {
        let (one, two) = plain.split_at(200_001);
        let several = [compress(one), compress(b""), compress(two)].concat();
        // A frame to be passed over first, as parallel compressors write it.
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &several].concat();
        let mut files = vec![compress(&plain), several];
        if kind == Compression::Zstd {
            files.push(skippable);
        }
        for bytes in files {
            let (seen, reader) = read(&bytes);
            assert!(seen == expected, "{kind}");
            assert_eq!((reader.tail(), reader.compression()), (Tail::Complete, Some(kind)));
        }
    }
}

#[test]
fn a_cut_file_is_read_up_to_the_cut() {
    let plain = capture(500);
    let (expected, _) = read(&plain);
    for (kind, compress) in BOTH {
        let whole = compress(&plain);
        for left in [whole.len() - 1, whole.len() / 2, whole.len() / 2 + 7, whole.len() - 9] {
            let (seen, reader) = read(&whole[..left]);
            assert!(seen.len() > 100 && seen[..] == expected[..seen.len()], "{kind} {}", seen.len());
            let Tail::Cut { offset, .. } = reader.tail() else { panic!("{kind} {left}: {:?}", reader.tail()) };
            assert_eq!(offset, 24 + seen.len() as u64 * 1016);
            if kind == Compression::Zstd {
                // All whole blocks, of at most 128 KiB.
                assert!(seen.len() * 1016 + (129 << 10) > left, "{}", seen.len());
            }
        }
        let error = Reader::from_bytes("cut", whole[..6].to_vec()).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Damaged { offset: 0, fault: Fault::CutHeader, .. }), "{error}");
    }
}

#[test]
fn damage_is_placed_in_the_decompressed_data() {
    let plain = capture(300);
    let mut wrong = plain.clone();
    wrong[24 + 1016 + 8..][..4].fill(0xff);
    for (kind, compress) in BOTH {
        // The capture is damaged, then compressed.
        let mut reader = Reader::from_bytes("w", compress(&wrong)).unwrap();
        let error = drain(&mut reader).unwrap_err();
        assert!(error.to_string().contains("at byte 1040 of the decompressed data: a packet record"), "{error}");
        let mut reader = Reader::from_bytes("w", compress(&wrong)).unwrap().ending_at_damage();
        assert_eq!((drain(&mut reader).unwrap().len(), reader.damage().map(|(at, _)| at)), (1, Some(1040)), "{kind}");
        // The compressed data is damaged: in its end, which is a checksum in both.
        let mut bytes = compress(&plain);
        let last = bytes.len() - if kind == Compression::Gzip { 5 } else { 1 };
        bytes[last] ^= 1;
        let mut reader = Reader::from_bytes("w", bytes).unwrap();
        let error = drain(&mut reader).unwrap_err();
        assert!(error.to_string().contains(&format!("the {kind} data cannot be read")), "{error}");
        // All but what is checked last was read: the packets are there.
        let mut bytes = compress(&plain);
        bytes[last] ^= 1;
        let mut reader = Reader::from_bytes("w", bytes).unwrap().ending_at_damage();
        let seen = drain(&mut reader).unwrap();
        assert!(seen.len() > 150 && seen[..] == read(&plain).0[..seen.len()], "{kind}: {}", seen.len());
        let (at, fault) = reader.damage().unwrap();
        assert_eq!(at, 24 + seen.len() as u64 * 1016, "{kind}");
        assert!(matches!(fault, Fault::Decompression { .. }), "{kind}: {fault}");
        // Something else follows.
        let mut reader = Reader::from_bytes("w", [&compress(&plain)[..], b"something else"].concat()).unwrap();
        assert!(matches!(drain(&mut reader), Err(Error::Damaged { fault: Fault::Decompression { .. }, .. })), "{kind}");
    }
}

#[test]
fn what_is_no_capture_within_says_so() {
    let fault = |bytes: Vec<u8>| match Reader::from_bytes("f", bytes) {
        Err(Error::Damaged { fault, .. }) => fault,
        other => panic!("{:?}", other.map(|reader| reader.format())),
    };
    for (_, compress) in BOTH {
        assert!(matches!(fault(compress(&[b'P'; 30])), Fault::NotACapture(_)));
        assert_eq!(fault(compress(b"")), Fault::TooShort(0));
        assert_eq!(fault(compress(&gzip(&capture(1)))), Fault::Compressed("gzip"));
    }
    assert_eq!(fault(vec![0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), Fault::Compressed("xz"));
    assert_eq!(fault(b"BZh91AY".to_vec()), Fault::Compressed("bzip2"));
}

#[test]
fn windows_beyond_the_bound_are_refused() {
    // Frame header: no checksum, no content size, a window of 2^(10 + 20) bytes; then a block of "a", repeated.
    let frame = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 3 | 100 << 3, 3, 0, b'a'].to_vec();
    let Err(Error::Damaged { fault, .. }) = Reader::from_bytes("w", frame(20)) else { panic!("it was read") };
    assert!(fault.to_string().contains("a window of 1073741824 bytes"), "{fault}");
    // 2^26 is within.
    let Err(Error::Damaged { fault, .. }) = Reader::from_bytes("w", frame(16)) else { panic!("it was read") };
    assert!(matches!(fault, Fault::NotACapture(0x6161_6161)), "{fault}");
}

/// Gives out a little at a time, and fails in the end.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let few = into.len().min(777);
        match self.0.read(&mut into[..few])? {
            0 => Err(std::io::Error::other("the cable is out")),
            got => Ok(got),
        }
    }
}

#[test]
fn a_stream_that_fails_gives_what_came_before() {
    let plain = capture(300);
    let (expected, _) = read(&plain);
    let files = [plain.clone(), gzip(&plain), zstd(&plain)];
    for bytes in files {
        let mut reader = Reader::from_stream("s", Failing(Cursor::new(bytes))).unwrap();
        let mut seen = 0;
        let error = loop {
            match reader.next_packet() {
                Ok(Some(_)) => seen += 1,
                Ok(None) => panic!("the end of it is not known"),
                Err(error) => break error,
            }
        };
        assert_eq!(seen, expected.len());
        assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("the cable is out"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Damage of the compressed data never panics, and reads the same from memory and from a stream.
    #[test]
    fn damaged_compression_ends_in_packets_or_in_an_error(
        pick in 0_usize..2,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let plain = Build::ng(Order::Little).section().interface(1, 0, &[]).enhanced(0, 1, 3, b"abc", &[]).bytes();
        let mut bytes = BOTH[pick].1(&plain);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let ended = |reader: Result<Reader, Error>| -> (Vec<Seen>, String) {
            match reader.and_then(|mut reader| Ok((drain(&mut reader)?, format!("{:?}", reader.tail())))) {
                Ok(found) => found,
                Err(error) => (Vec::new(), error.to_string()),
            }
        };
        let whole = ended(Reader::from_bytes("m", bytes.clone()));
        let stream = ended(Reader::from_stream("m", Cursor::new(bytes)));
        prop_assert_eq!(whole, stream);
    }
}
