//! Captures of runs, those made of them, and both of a pair in one: Wireshark's tools see all that we wrote.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use shaper_offline::{
    analyze::{Capture, Comparison, Options, one_point, two_points},
    merged::{Marks, Writing, write},
    pcapfile::{Reader, Verdict},
};

use super::{
    rtp::{near, rows},
    run,
};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name)
}

/// Holds each packet's time, length, number, verdict and comments, and each interface's counts, against what tshark and
/// capinfos say of them; returns how many packets have a comment, how many a verdict.
fn visible(path: &Path) -> [usize; 2] {
    let file = path.to_str().unwrap();
    let fields = ["frame.time_epoch", "frame.len", "frame.packet_id", "frame.verdict.ebpf_xdp", "frame.comment"];
    let mut arguments = vec!["-n", "-r", file, "-T", "fields", "-E", "aggregator=;"];
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    let table = run("tshark", &arguments);
    let mut lines = table.lines();
    let mut reader = Reader::open(path).unwrap();
    let mut seen = [0; 2];
    while let Some(packet) = reader.next_packet().unwrap() {
        let ts = packet.ts_ns.unwrap();
        let or_nothing = |number: Option<String>| number.unwrap_or_default();
        let verdict = packet.verdicts().next().map(|verdict| match verdict {
            Verdict::Xdp(value) | Verdict::Tc(value) => value.to_string(),
        });
        let comments: Vec<&str> = packet.comments().collect();
        seen[0] += usize::from(!comments.is_empty());
        seen[1] += usize::from(verdict.is_some());
        let ours = [
            format!("{}.{:09}", ts / 1_000_000_000, ts % 1_000_000_000),
            packet.origlen.to_string(),
            or_nothing(packet.packetid().map(|id| id.to_string())),
            or_nothing(verdict),
            comments.join(";"),
        ];
        assert_eq!(lines.next(), Some(ours.join("\t").as_str()), "{file}, packet {}", packet.index + 1);
    }
    assert_eq!(lines.next(), None, "{file}");
    // Read as blocks instead of packets, the file shows its interface statistics.
    let blocks = ["-X", "read_format:MIME Files Format", "-r", file, "-T", "fields", "-E", "aggregator=;"];
    let counts = ["received", "dropped"].map(|name| format!("pcapng.options.option.data.interface.{name}"));
    let table = run("tshark", &[&blocks[..], &["-e", &counts[0], "-e", &counts[1]]].concat());
    let told = reader.interfaces().iter().map(|interface| interface.statistics.unwrap());
    let [received, dropped] = told.fold([Vec::new(), Vec::new()], |[mut received, mut dropped], told| {
        received.push(told.received.unwrap().to_string());
        dropped.push(told.dropped.unwrap().to_string());
        [received, dropped]
    });
    assert_eq!(table.trim_end(), format!("{}\t{}", received.join(";"), dropped.join(";")), "{file}");
    let about = run("capinfos", &["-M", file]);
    let packets = about.lines().find_map(|line| line.strip_prefix("Number of packets:")).map(str::trim);
    assert_eq!(packets, Some(reader.packets().to_string().as_str()), "{about}");
    assert_eq!(about.matches("Number of stat entries = 1").count(), reader.interfaces().len(), "{about}");
    seen
}

/// What Wireshark's dissectors find malformed, or worth a warning. Our datagrams are no protocol of theirs, whatever
/// their ports.
fn complaints(path: &Path) -> String {
    let filter = "_ws.malformed || _ws.expert.severity >= 6291456";
    run("tshark", &["-n", "-r", path.to_str().unwrap(), "-d", "udp.port==1-65535,data", "-Y", filter])
}

#[test]
fn captures_of_runs_show_each_fate_and_their_statistics() {
    for name in ["mixed-a", "mixed-b", "rtp-b", "big-endian-a", "power-of-two-b", "skewed-b"] {
        let path = sample(&format!("{name}.pcapng"));
        let [comments, verdicts] = visible(&path);
        assert!(comments > 100 && (verdicts > 70 || name.ends_with("two-b")), "{name}: {comments}, {verdicts}");
        assert_eq!(complaints(&path), "", "{name}");
    }
}

#[test]
fn both_captures_in_one_show_what_was_found_beside_the_fates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.pcapng");
    let (a, b) = (sample("mixed-a.pcapng"), sample("mixed-b.pcapng"));
    let comparison =
        Comparison { a: Capture::whole(&a), b: Capture::whole(&b), only: None, options: Options::default() };
    let mut marks = Marks::default();
    let analysis = comparison.run_into(&mut marks).unwrap();
    let out = BufWriter::new(File::create(&path).unwrap());
    let writing = Writing { application: "shaper", anonymize: None };
    let merged = write([&a, &b], &marks, &analysis, &writing, out).unwrap();
    let [comments, verdicts] = visible(&path);
    let [at_a, at_b] = [&a, &b].map(|path| visible(path));
    assert_eq!((comments, verdicts), (at_a[0] + at_b[0], at_a[1] + at_b[1]));
    assert_eq!(complaints(&path), "");
    let total = &analysis.total;
    let counted = |words: &str| {
        let filter = format!("frame.comment contains \"{words}\"");
        run("tshark", &["-n", "-r", path.to_str().unwrap(), "-Y", &filter]).lines().count() as u64
    };
    assert_eq!(counted("found=lost"), total.lost);
    assert_eq!(counted("found=duplicate"), total.duplicated);
    // At both points.
    assert_eq!(counted("found=corrupted"), 2 * total.corrupted);
    assert_eq!(counted("found=reordered"), total.reordered);
    assert_eq!(counted("found="), merged.marked);
}

#[test]
fn streams_of_a_run_have_the_packets_losses_and_jitter_that_tshark_finds() {
    let mut lost = 0;
    for name in ["rtp-a.pcapng", "rtp-b.pcapng"] {
        let path = sample(name);
        let found = one_point(&path, &Options::default()).unwrap();
        let rows = rows(&path, &[5004]);
        assert_eq!((rows.len(), found.rtp.streams.len()), (2, 2), "{name}");
        for row in &rows {
            let stream = found.rtp.streams.iter().find(|stream| stream.ssrc == row.ssrc).unwrap();
            assert_eq!((stream.received, stream.lost), (row.packets, row.lost), "{name}: {row:?}");
            let jitter = stream.jitter_ms.unwrap();
            let [mean, max] = row.jitter_ms;
            assert!(near(jitter.mean, mean) && near(jitter.max, max), "{name}: {jitter:?} {row:?}");
            lost += row.lost;
        }
    }
    // What the streams lack where they arrive is what went missing between the points, RTCP and ICMP aside.
    let between = two_points(&sample("rtp-a.pcapng"), &sample("rtp-b.pcapng"), &Options::default()).unwrap();
    let flows = between.flows.iter().filter(|flow| flow.figures.tiers.rtp > 0);
    assert_eq!(flows.map(|flow| flow.figures.lost).sum::<u64>(), lost.cast_unsigned());
    assert!(lost > 5, "{lost}");
}

#[test]
fn compressed_samples_are_read_as_they_are() {
    for (packed, plain) in [("compressed-a.pcapng.gz", "clean-a.pcapng"), ("compressed-b.pcapng.zst", "clean-b.pcapng")]
    {
        assert!(fs::metadata(sample(packed)).unwrap().len() < fs::metadata(sample(plain)).unwrap().len());
        let table = |name: &str| run("capinfos", &["-T", "-r", "-c", "-d", "-a", "-e", sample(name).to_str().unwrap()]);
        let [packed, plain] = [packed, plain].map(table);
        assert_eq!(packed.split_once('\t').unwrap().1, plain.split_once('\t').unwrap().1);
    }
}
