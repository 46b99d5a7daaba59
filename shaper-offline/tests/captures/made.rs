//! Captures that were made of others: they can be made again, byte for byte, and say the same.

use std::{fs, io::Read, path::Path};

use shaper_offline::{
    analyze::{Clock, Options, two_points},
    pcapfile::{Compression, Format, Reader, Resolution},
};

use super::{
    at_root,
    goldens::pretty,
    variants::{Variant, variant},
};

/// By how much the clock of "skewed" is another one.
pub(crate) struct Skew {
    pub(crate) offset_ns: i64,
    pub(crate) skew_ppm: i64,
}

pub(crate) const SKEW: Skew = Skew { offset_ns: 1_500_000_000, skew_ppm: 80 };

/// From, how, to.
const FILES: [(&str, Variant, &str); 7] = [
    ("clean-a.pcapng", Variant::BigEndian, "big-endian-a.pcapng"),
    ("clean-b.pcapng", Variant::BigEndian, "big-endian-b.pcapng"),
    ("clean-a.pcapng", Variant::PowerOfTwo, "power-of-two-a.pcapng"),
    ("clean-b.pcapng", Variant::PowerOfTwo, "power-of-two-b.pcapng"),
    ("clean-a.pcapng", Variant::Microseconds, "microseconds-a.pcap"),
    ("clean-b.pcapng", Variant::Microseconds, "microseconds-b.pcap"),
    ("two-hosts-b.pcapng", Variant::Clock { offset_ns: SKEW.offset_ns, skew_ppm: SKEW.skew_ppm }, "skewed-b.pcapng"),
];

fn captures(name: &str) -> String {
    format!("captures/{name}")
}

#[test]
fn each_is_made_again_byte_for_byte() {
    at_root();
    for (from, how, to) in FILES {
        let made = variant(&fs::read(captures(from)).unwrap(), how).unwrap();
        assert!(made == fs::read(captures(to)).unwrap(), "{to} is not what {from} gives as {how:?}");
    }
}

#[test]
fn the_commands_that_make_them_stand_beside_them() {
    at_root();
    let list = fs::read_to_string("captures/README.md").unwrap();
    for (from, how, to) in FILES {
        let word = match how {
            Variant::BigEndian => "big-endian".to_owned(),
            Variant::PowerOfTwo => "power-of-two".to_owned(),
            Variant::Microseconds => "microseconds".to_owned(),
            Variant::Clock { offset_ns, skew_ppm } => format!("clock:{offset_ns}:{skew_ppm}"),
        };
        assert_eq!(word.parse::<Variant>().unwrap(), how);
        let command = format!("example variant -- {word} {} {}\n", captures(from), captures(to));
        assert!(list.contains(&command), "captures/README.md lacks: {command}");
    }
}

#[test]
fn what_is_compressed_is_the_same_byte_for_byte() {
    at_root();
    let mut plain = Vec::new();
    let packed = fs::File::open(captures("compressed-a.pcapng.gz")).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).unwrap();
    assert!(plain == fs::read(captures("clean-a.pcapng")).unwrap());
    let mut plain = Vec::new();
    let packed = fs::File::open(captures("compressed-b.pcapng.zst")).unwrap();
    ruzstd::decoding::StreamingDecoder::new(packed).unwrap().read_to_end(&mut plain).unwrap();
    assert!(plain == fs::read(captures("clean-b.pcapng")).unwrap());
}

#[test]
fn the_files_are_what_their_names_say() {
    at_root();
    let opened = |name: &str| {
        let mut reader = Reader::open(captures(name)).unwrap();
        while reader.next_packet().unwrap().is_some() {}
        reader
    };
    // The length of the first block: 28 bytes and options, in the byte order of the section.
    let section = fs::read(captures("big-endian-a.pcapng")).unwrap();
    assert_eq!(section[8..12], [0x1a, 0x2b, 0x3c, 0x4d]);
    assert_eq!(opened("power-of-two-a.pcapng").interfaces()[0].resolution, Resolution::Binary(30));
    let classic = opened("microseconds-a.pcap");
    assert_eq!((classic.format(), classic.interfaces()[0].resolution), (Format::Pcap, Resolution::MICROSECONDS));
    assert_eq!(opened("compressed-a.pcapng.gz").compression(), Some(Compression::Gzip));
    assert_eq!(opened("compressed-b.pcapng.zst").compression(), Some(Compression::Zstd));
}

/// The analysis of "clean", as if its files had these names and were compressed so.
fn clean_as([a, b]: [&str; 2], compressions: [Option<&str>; 2]) -> String {
    let golden = fs::read_to_string("captures/clean.json").unwrap();
    let mut of_files = compressions.into_iter();
    let mut made = String::new();
    for line in golden.lines() {
        made += &line.replace("clean-a.pcapng", a).replace("clean-b.pcapng", b);
        made.push('\n');
        if line.contains("\"interface\": null")
            && let Some(compression) = of_files.next().unwrap()
        {
            made += &format!("      \"compression\": \"{compression}\",\n");
        }
    }
    made
}

#[test]
fn byte_order_units_and_compression_leave_the_analysis_as_it_is_to_the_letter() {
    at_root();
    const PLAIN: [Option<&str>; 2] = [None; 2];
    for (files, compressions) in [
        (["big-endian-a.pcapng", "big-endian-b.pcapng"], PLAIN),
        (["power-of-two-a.pcapng", "power-of-two-b.pcapng"], PLAIN),
        (["big-endian-a.pcapng", "power-of-two-b.pcapng"], PLAIN),
        (["compressed-a.pcapng.gz", "compressed-b.pcapng.zst"], [Some("gzip"), Some("zstd")]),
    ] {
        let [a, b] = files.map(captures);
        let analysis = two_points(Path::new(&a), Path::new(&b), &Options::default()).unwrap();
        for (found, clean) in pretty(&analysis).lines().zip(clean_as(files, compressions).lines()) {
            assert_eq!(found, clean, "{a} {b}");
        }
    }
}

#[test]
fn microseconds_cut_each_delay_by_less_than_one() {
    at_root();
    let [fine, coarse] = ["captures/clean-{}.pcapng", "captures/microseconds-{}.pcap"].map(|form| {
        let [a, b] = ["a", "b"].map(|point| form.replace("{}", point));
        let options = Options { clock: Clock::Same, ..Options::default() };
        two_points(Path::new(&a), Path::new(&b), &options).unwrap().flows.remove(0)
    });
    assert_eq!(fine.flow.to_string(), coarse.flow.to_string());
    let (fine, coarse) = (fine.figures, coarse.figures);
    assert_eq!((fine.sent, fine.matched, fine.lost), (coarse.sent, coarse.matched, coarse.lost));
    assert_eq!(fine.sent, 120);
    let (fine, coarse) = (fine.delay_ns.unwrap(), coarse.delay_ns.unwrap());
    for (fine, coarse) in
        [(fine.min, coarse.min), (fine.p50, coarse.p50), (fine.p99, coarse.p99), (fine.max, coarse.max)]
    {
        assert!(coarse % 1_000 == 0 && (fine - coarse).abs() < 1_000, "{fine} {coarse}");
    }
}
