//! What we write, Wireshark's own tools must open without a complaint. They are needed for these
//! tests: Debian has them in the package `tshark`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

#[path = "tshark/headers.rs"]
mod headers;
#[path = "tshark/rtp.rs"]
mod rtp;
#[path = "tshark/samples.rs"]
mod samples;

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    process::Command,
};

use etherparse::PacketBuilder;
use shaper_offline::{
    analyze::{Options, one_point},
    annotate::{Annotation, CapturePoint, annotate},
    join::{
        CaptureIndex, Cause, ClockMap, ClockSample, EngineCopy, EngineLog, EngineRecord, JoinOptions, Key, Point, join,
    },
    pcapfile::{Direction, Reader, Verdict},
    writer::{Comment, NewInterface, NewPacket, Section, Statistics, Writer},
};

const START: i64 = 1_700_000_000_000_000_000;
const PACKETS: u64 = 20;

fn frame(sequence: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(50_001, 50_002)
        .write(&mut bytes, &sequence.to_be_bytes())
        .unwrap();
    bytes
}

fn written(folder: &Path) -> PathBuf {
    let path = folder.join("fates.pcapng");
    let section = Section {
        hardware: Some("test"),
        os: Some("Linux"),
        application: Some("shaper"),
        comment: Some("both ends of a link"),
    };
    let out = BufWriter::new(File::create(&path).unwrap());
    let mut writer = Writer::new(out, &section).unwrap();
    let mut add = |name, description| {
        let interface = NewInterface {
            name,
            description: Some(description),
            filter: Some("udp port 50002"),
            linktype: 1,
            snaplen: 262_144,
        };
        writer.add_interface(&interface).unwrap()
    };
    let (a, b) = (add("a", "before the link"), add("b", "behind the link"));
    for sequence in 0..PACKETS {
        let data = frame(sequence);
        let ts_ns = START + sequence.cast_signed() * 10_000_000;
        let lost = sequence % 5 == 0;
        let comment = Comment::default()
            .cause(if lost { "loss" } else { "pass" })
            .rule(1)
            .id(sequence)
            .record(0, sequence)
            .intended(ts_ns + 5_000_000)
            .actual(ts_ns + 5_001_000);
        let mut packet = NewPacket {
            ts_ns,
            origlen: data.len() as u32,
            data: &data,
            direction: Some(Direction::Inbound),
            packetid: Some(sequence),
            dropcount: (sequence == 7).then_some(3),
            verdict: Some(if lost { Verdict::Xdp(1) } else { Verdict::Tc(0) }),
            comments: &[comment.to_string()],
        };
        writer.packet(a, &packet).unwrap();
        if !lost {
            packet.ts_ns += 5_001_000;
            packet.direction = Some(Direction::Outbound);
            writer.packet(b, &packet).unwrap();
        }
    }
    for (interface, received, dropped) in [(a, PACKETS, 3), (b, PACKETS - PACKETS / 5, 0)] {
        let told = Statistics {
            start: Some(START),
            end: Some(START + 1_000_000_000),
            received: Some(received),
            dropped: Some(dropped),
        };
        writer.statistics(interface, &told).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// Runs a tool and returns what it printed; any complaint on stderr fails the test.
fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{tool} is needed (Debian package tshark): {error}"));
    let complaints: Vec<_> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| !line.is_empty() && !line.contains("Running as user"))
        .map(str::to_owned)
        .collect();
    assert!(output.status.success() && complaints.is_empty(), "{tool} {arguments:?}: {complaints:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tshark_reads_ids_verdicts_drops_and_comments_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path());
    let fields = [
        "frame.interface_name",
        "frame.time_epoch",
        "frame.packet_id",
        "frame.verdict.ebpf_xdp",
        "frame.verdict.ebpf_tc",
        "frame.drop_count",
        "frame.comment",
        "frame.packet_flags_direction",
    ];
    let mut arguments = vec!["-r", path.to_str().unwrap(), "-T", "fields"];
    for field in fields {
        arguments.extend(["-e", field]);
    }
    let table = run("tshark", &arguments);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len() as u64, PACKETS + PACKETS - PACKETS / 5);
    assert_eq!(
        rows[0],
        [
            "a",
            "1700000000.000000000",
            "0",
            "1",
            "",
            "",
            "shaper cause=loss rule=1 id=0 dir=0 seq=0 intended=1700000000005000000 \
             actual=1700000000005001000",
            "0x00000001",
        ]
    );
    let behind: Vec<_> = rows.iter().filter(|row| row[0] == "b").collect();
    assert_eq!(behind[0][1], "1700000000.015001000");
    assert_eq!((behind[0][4], behind[0][7]), ("0", "0x00000002"));
    let dropped: Vec<_> = rows.iter().filter(|row| !row[5].is_empty()).collect();
    assert_eq!(dropped.iter().map(|row| row[5]).collect::<Vec<_>>(), ["3", "3"]);
}

#[test]
fn tshark_finds_no_malformed_packet_and_no_expert_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path());
    let filter = "_ws.malformed || _ws.expert.severity >= 6291456";
    assert_eq!(run("tshark", &["-r", path.to_str().unwrap(), "-Y", filter]), "");
}

#[test]
fn capinfos_counts_packets_interfaces_and_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path());
    let text = run("capinfos", &["-M", path.to_str().unwrap()]);
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once(['=', ':']))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_else(|| panic!("capinfos says nothing on {key}: {text}"))
    };
    assert_eq!(value("Number of packets"), "36");
    assert_eq!(value("Number of interfaces in file"), "2");
    assert_eq!(value("Number of stat entries"), "1");
    assert_eq!(value("Time precision"), "nanoseconds (9)");
    assert_eq!(value("Capture application"), "shaper");
}

/// Raw captures of both ends, as a capture tool leaves them: no fates in them.
fn raw(path: &Path, stamps: &[(u64, i64)]) {
    let mut writer = Writer::new(BufWriter::new(File::create(path).unwrap()), &Section::default()).unwrap();
    let interface = NewInterface { name: "veth0", description: None, filter: None, linktype: 1, snaplen: 65_535 };
    let id = writer.add_interface(&interface).unwrap();
    for &(sequence, ts_ns) in stamps {
        let data = frame(sequence);
        let packet = NewPacket { ts_ns, origlen: data.len() as u32, data: &data, ..NewPacket::default() };
        writer.packet(id, &packet).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn annotated_captures_carry_each_fate_and_open_in_tshark() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (mut records, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new());
    for sequence in 0..PACKETS {
        let at = sequence.cast_signed() * 10_000_000;
        let dropped = sequence % 5 == 0;
        a.push((sequence, START + at + 500));
        if !dropped {
            b.push((sequence, START + at + 20_003_000));
        }
        let data = frame(sequence);
        records.push(EngineRecord {
            direction: 0,
            seq: sequence,
            id: 1000 + sequence,
            arrival_ns: at.cast_unsigned(),
            cause: if dropped { Cause { code: 2, name: "loss" } } else { Cause { code: 0, name: "none" } },
            rule: 4,
            intended_ns: (!dropped).then_some(at.cast_unsigned() + 20_000_000),
            actual_ns: None,
            len: data.len() as u32,
            flow_hash: 1,
            l4_checksum: u16::from_be_bytes([data[40], data[41]]),
            damaged: false,
            marked: false,
            changed: None,
        });
    }
    // Two copies of one, and a third that the engine knows nothing of.
    let copies = [1, 2].map(|number| EngineCopy {
        record: 6,
        number,
        intended_ns: 80_000_000 + u64::from(number) * 1_000_000,
        actual_ns: 80_000_010 + u64::from(number) * 1_000_000,
    });
    let original = b.iter().position(|(sequence, _)| *sequence == 6).unwrap();
    let extra = [81_002_000, 82_002_000, 83_002_000].map(|at| (6, START + at));
    b.splice(original + 1..original + 1, extra);
    let log = EngineLog { records: &records, copies: &copies };
    raw(&path("raw-a.pcapng"), &a);
    raw(&path("raw-b.pcapng"), &b);
    let key =
        |data: &[u8]| Some(Key { flow_hash: 1, l4_checksum: u16::from_be_bytes([*data.get(40)?, *data.get(41)?]) });
    let index = |name: &str| CaptureIndex::read(&mut Reader::open(path(name)).unwrap(), key).unwrap();
    let clock = ClockMap::new(vec![ClockSample { before: 0, realtime: START, after: 0 }]).unwrap();
    let (at_a, at_b) = (index("raw-a.pcapng"), index("raw-b.pcapng"));
    let joined = join(&log, &at_a, &at_b, &clock, &JoinOptions::default());
    assert_eq!(joined.directions[0].joined, PACKETS);
    for (point, name) in [(Point::A, "a"), (Point::B, "b")] {
        let annotation = Annotation {
            points: &[CapturePoint { point, name, description: None, filter: None, statistics: None }],
            of: &[0],
            application: "shaper",
            verdict: &|record| Some(Verdict::Xdp(if record.cause.is_drop() { 1 } else { 4 })),
            clock: Some("one boot"),
        };
        let (from, to) = (path(&format!("raw-{name}.pcapng")), path(&format!("{name}.pcapng")));
        let done = annotate(&from, File::create(&to).unwrap(), &log, &joined, &clock, &annotation).unwrap();
        assert_eq!((done.packets, done.with_fate), (done.packets, done.packets));
    }
    let file = path("a.pcapng");
    let table = run(
        "tshark",
        &[
            "-r",
            file.to_str().unwrap(),
            "-T",
            "fields",
            "-e",
            "frame.packet_id",
            "-e",
            "frame.verdict.ebpf_xdp",
            "-e",
            "frame.comment",
        ],
    );
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len() as u64, PACKETS);
    assert_eq!(&rows[5][..2], ["1005", "1"]);
    let lost = Comment::parse(rows[5][2]).unwrap().unwrap();
    assert_eq!(lost, Comment::default().cause("loss").rule(4).id(1005).record(0, 5));
    let passed = Comment::parse(rows[6][2]).unwrap().unwrap();
    assert_eq!(passed.intended, Some(START + 60_000_000 + 20_000_000));
    // The same id at the other end.
    let file = path("b.pcapng");
    let ids = run("tshark", &["-r", file.to_str().unwrap(), "-T", "fields", "-e", "frame.packet_id"]);
    assert_eq!(ids.lines().next(), Some("1001"));
    let mut reader = Reader::open(&file).unwrap();
    let mut of_six = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        if packet.packetid() == Some(1006) {
            of_six.push(Comment::parse(packet.comments().next().unwrap()).unwrap().unwrap());
        }
    }
    let six = Comment::default().cause("none").rule(4).id(1006).record(0, 6);
    let known = |number: u32| {
        let intended = START + 80_000_000 + i64::from(number) * 1_000_000;
        six.clone().copy(number).intended(intended).actual(intended + 10)
    };
    let all = [six.clone().intended(START + 80_000_000), known(1), known(2), six.clone().copy(3)];
    assert_eq!(of_six, all);
    let statistics = run("capinfos", &["-M", file.to_str().unwrap()]);
    assert!(statistics.contains("Number of stat entries = 1"), "{statistics}");
}

#[test]
fn counts_agree_with_capinfos_in_pcapng_and_both_classic_formats() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path());
    let mut reader = Reader::open(&path).unwrap();
    let mut stamps = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        stamps.push(packet.ts_ns.unwrap());
    }
    for (format, unit) in [("pcapng", 1), ("nsecpcap", 1), ("pcap", 1_000)] {
        let copy = folder.path().join(format);
        if format == "pcapng" {
            // editcap 4.0 writes the verdict under the code of epb_queue, which capinfos refuses.
            std::fs::copy(&path, &copy).unwrap();
        } else {
            run("editcap", &["-F", format, path.to_str().unwrap(), copy.to_str().unwrap()]);
        }
        let table = run("capinfos", &["-T", "-M", "-r", "-c", "-d", copy.to_str().unwrap()]);
        let mut row = table.trim().split('\t').skip(1);
        let mut next = || row.next().unwrap().parse::<u64>().unwrap();
        let (packets, bytes) = (next(), next());
        let found = one_point(&copy, &Options::default()).unwrap();
        assert_eq!((found.packets, found.bytes), (packets, bytes), "{format}");
        let mut reader = Reader::open(&copy).unwrap();
        for want in &stamps {
            let packet = reader.next_packet().unwrap().unwrap();
            assert_eq!(packet.ts_ns, Some(want / unit * unit), "{format}");
        }
        assert!(reader.next_packet().unwrap().is_none());
    }
}
