//! What we write, Wireshark's own tools must open without a complaint. They are needed for these
//! tests: Debian has them in the package `tshark`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    process::Command,
};

use etherparse::PacketBuilder;
use shaper_offline::{
    pcapfile::{Direction, Verdict},
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
