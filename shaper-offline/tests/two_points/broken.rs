//! Captures that are damaged in the middle: what stands before is compared, what stands behind is known to nobody.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression as Level, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use shaper_offline::{
    analyze::{Analysis, Clock, FindingKind, Options, Severity, one_point, two_points},
    pcapfile::Reader,
};

use super::{
    conserved,
    path::{MS, Points, forward},
};

const PACKETS: u64 = 300;
/// The packets of each capture that stand in front of the damage.
const BEFORE: u64 = 200;

/// 300 packets, 1 ms apart; every tenth lost, the others after 5 ms.
fn points() -> Points {
    let mut points = Points::default();
    for number in 0..PACKETS {
        let sent = number as i64 * MS;
        points.a.push((sent, forward(number)));
        if number % 10 != 7 {
            points.b.push((sent + 5 * MS, forward(number)));
        }
    }
    points
}

/// Damages the block of the packet behind `before` others, and says where that is.
fn broken(path: &Path, before: u64) -> u64 {
    let mut reader = Reader::open(path).unwrap();
    let offset = loop {
        let packet = reader.next_packet().unwrap().unwrap();
        if packet.index == before {
            break packet.offset;
        }
    };
    let mut bytes = fs::read(path).unwrap();
    bytes[offset as usize + 20..][..4].fill(0xee);
    fs::write(path, bytes).unwrap();
    offset + 20
}

/// The same capture as classic pcap in microseconds, damaged at the same packet.
fn classic(path: &Path, to: &Path, before: u64) -> u64 {
    let mut reader = Reader::open(path).unwrap();
    let words = |words: &[u32]| words.iter().copied().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    let mut bytes = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1]);
    let mut at = 0;
    while let Some(packet) = reader.next_packet().unwrap() {
        let mut caplen = packet.caplen;
        if packet.index == before {
            (at, caplen) = (bytes.len() as u64, u32::MAX);
        }
        let us = packet.ts_ns.unwrap() / 1_000;
        bytes.extend(words(&[(us / 1_000_000) as u32, (us % 1_000_000) as u32, caplen, packet.origlen]));
        bytes.extend(packet.data);
    }
    fs::write(to, bytes).unwrap();
    at
}

fn gzip(from: &Path, to: &Path) {
    let mut encoder = GzEncoder::new(fs::File::create(to).unwrap(), Level::fast());
    encoder.write_all(&fs::read(from).unwrap()).unwrap();
    encoder.finish().unwrap();
}

/// The capture, damaged behind that many packets: as pcapng, as pcap, and each compressed; and where.
fn forms(whole: &Path, folder: &Path, before: u64) -> Vec<(PathBuf, u64)> {
    let pcap = folder.join("broken.pcap");
    let in_pcap = classic(whole, &pcap, before);
    let ng = folder.join("broken.pcapng");
    fs::copy(whole, &ng).unwrap();
    let in_ng = broken(&ng, before);
    let (zipped, zstd) = (folder.join("broken.gz"), folder.join("broken.zst"));
    gzip(&ng, &zipped);
    fs::write(&zstd, compress_to_vec(fs::read(&pcap).unwrap().as_slice(), CompressionLevel::Fastest)).unwrap();
    vec![(pcap, in_pcap), (ng, in_ng), (zipped, in_ng), (zstd, in_pcap)]
}

fn same_clock(a: &Path, b: &Path) -> Analysis {
    two_points(a, b, &Options { clock: Clock::Same, ..Options::default() }).unwrap()
}

#[test]
fn one_capture_is_told_up_to_the_damage_and_the_damage_first() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = points().write(folder.path());
    for (path, at) in forms(&a, folder.path(), BEFORE) {
        let found = one_point(&path, &Options::default()).unwrap();
        assert_eq!((found.packets, found.cut_at), (BEFORE, None), "{}", path.display());
        assert_eq!(found.damage.as_ref().map(|damage| damage.at), Some(at), "{}", path.display());
        assert!(found.findings[0].text.contains(&format!("byte {at}")), "{:?}", found.findings);
        assert_eq!(found.flows[0].packets, BEFORE);
    }
}

#[test]
fn what_the_other_capture_sent_behind_the_damage_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = points().write(folder.path());
    for (path, at) in forms(&b, folder.path(), BEFORE) {
        let analysis = same_clock(&a, &path);
        let figures = &analysis.a_to_b;
        conserved(figures);
        // 200 arrivals are those of 222 packets, of which every tenth was lost.
        assert_eq!((figures.sent, figures.matched), (PACKETS, BEFORE), "{}", path.display());
        assert_eq!((figures.lost, figures.edge + figures.unmatched), (22, 78), "{}", path.display());
        let [whole, damaged] = &analysis.files;
        assert_eq!((whole.damage.is_none(), damaged.damage.as_ref().map(|damage| damage.at)), (true, Some(at)));
        let first = &analysis.findings[0];
        assert_eq!((first.kind, first.severity), (FindingKind::Damaged, Severity::Error));
        assert!(first.text.contains(&format!("byte {at}")), "{}", first.text);
    }
}

#[test]
fn what_arrived_of_what_stands_behind_the_damage_is_no_arrival_from_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = points().write(folder.path());
    for (path, _) in forms(&a, folder.path(), BEFORE) {
        let analysis = same_clock(&path, &b);
        let figures = &analysis.a_to_b;
        conserved(figures);
        assert_eq!((figures.sent, figures.matched, figures.lost), (BEFORE, 180, 20), "{}", path.display());
        assert_eq!((figures.arrivals_only, analysis.b_to_a.sent), (0, 0), "{}", path.display());
    }
}

#[test]
fn a_capture_without_a_packet_before_the_damage_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = points().write(folder.path());
    for (path, at) in forms(&b, folder.path(), 0) {
        let place = format!("at byte {at}");
        let one = one_point(&path, &Options::default()).map(|found| found.packets).unwrap_err();
        let two = two_points(&a, &path, &Options::default()).map(|found| found.total.sent).unwrap_err();
        assert!(one.to_string().contains(&place) && two.to_string().contains(&place), "{one}; {two}");
    }
}
