//! Captures that are compressed, and those that can be read once only.

use std::{fs, io::Write, path::Path, process::Command, thread};

use flate2::{Compression as Level, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use shaper_offline::{
    analyze::{AnalyzeError, Options, one_point, two_points},
    pcapfile::Compression,
};

use super::path::{MS, Points, forward};

fn points() -> Points {
    let mut points = Points::default();
    for number in 0..300_u64 {
        let sent = number as i64 * MS;
        points.a.push((sent, forward(number)));
        if number % 10 != 7 {
            points.b.push((sent + MS / 2, forward(number)));
        }
    }
    points
}

#[test]
fn compressed_captures_compare_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = points().write(folder.path());
    let plain = two_points(&a, &b, &Options::default()).unwrap();
    let (zipped, zstd) = (folder.path().join("a.gz"), folder.path().join("b.zst"));
    let mut encoder = GzEncoder::new(fs::File::create(&zipped).unwrap(), Level::fast());
    encoder.write_all(&fs::read(&a).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::write(&zstd, compress_to_vec(fs::read(&b).unwrap().as_slice(), CompressionLevel::Fastest)).unwrap();
    let found = two_points(&zipped, &zstd, &Options::default()).unwrap();
    assert_eq!((found.total.matched, found.total.lost), (plain.total.matched, plain.total.lost));
    assert_eq!(found.a_to_b.delay_ns.map(|delay| delay.mean), plain.a_to_b.delay_ns.map(|delay| delay.mean));
    assert_eq!(found.files.map(|file| file.compression), [Some(Compression::Gzip), Some(Compression::Zstd)]);
    // Cut: what is whole is compared, and where it ends is said.
    let bytes = fs::read(&zipped).unwrap();
    fs::write(&zipped, &bytes[..bytes.len() - 3]).unwrap();
    let found = two_points(&zipped, &zstd, &Options::default()).unwrap();
    assert!(found.findings.iter().any(|finding| finding.text.contains("of the decompressed data: read up")));
}

#[test]
fn a_pipe_is_read_once_and_refused_for_a_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = points().write(folder.path());
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (one, other) in [(&*fifo, &*b), (&*a, &*fifo), (Path::new("-"), &*b)] {
        let error = two_points(one, other, &Options::default()).unwrap_err();
        assert!(matches!(error, AnalyzeError::NotAFile(_)), "{error}");
        assert!(error.to_string().contains("write it to a file first"), "{error}");
    }
    let (to, bytes) = (fifo.clone(), fs::read(&a).unwrap());
    let writer = thread::spawn(move || fs::write(to, bytes).unwrap());
    let found = one_point(&fifo, &Options::default()).unwrap();
    writer.join().unwrap();
    assert_eq!((found.packets, found.cut_at), (300, None));
}
