//! Streams of RTP, counted by us and by `tshark -z rtp,streams`.

use std::{fs::File, io::BufWriter, path::Path};

use etherparse::PacketBuilder;
use shaper_offline::{
    analyze::{Options, one_point},
    rtp::RtpStream,
    writer::{NewInterface, NewPacket, Section, Writer},
};

use super::{START, run};

const PACKETS: u32 = 3_000;
const SPACING_NS: i64 = 20_000_000;

/// What happens to the packets of one stream.
struct Sent {
    port: u16,
    payload_type: u8,
    ssrc: u32,
    step: u32,
    jitter_ns: u64,
    lost: fn(u32) -> bool,
    again: fn(u32) -> bool,
    late: fn(u32) -> bool,
}

const NEVER: fn(u32) -> bool = |_| false;

const SENT: [Sent; 7] = [
    Sent { jitter_ns: 0, port: 50_002, ssrc: 1, ..SENT_PLAIN },
    Sent { port: 50_004, payload_type: 8, ssrc: 0xfeed_0002, ..SENT_PLAIN },
    Sent { lost: |n| n % 97 == 5 || (700..712).contains(&n), port: 50_006, ssrc: 3, ..SENT_PLAIN },
    Sent { again: |n| n % 113 == 7, port: 50_008, ssrc: 4, ..SENT_PLAIN },
    Sent { late: |n| n % 89 == 50, port: 50_010, ssrc: 5, ..SENT_PLAIN },
    Sent {
        lost: |n| n % 50 == 1,
        again: |n| n % 61 == 13,
        late: |n| n % 71 == 20,
        port: 50_012,
        payload_type: 18,
        ssrc: 6,
        ..SENT_PLAIN
    },
    Sent { lost: |n| n % 100 == 99, port: 50_014, payload_type: 96, ssrc: 7, step: 1_800, ..SENT_PLAIN },
];

const SENT_PLAIN: Sent =
    Sent { port: 0, payload_type: 0, ssrc: 0, step: 160, jitter_ns: 8_000_000, lost: NEVER, again: NEVER, late: NEVER };

/// Packets by the time at which they come in.
fn arrivals() -> Vec<(i64, u16, Vec<u8>)> {
    let mut arrivals = Vec::new();
    let mut state = 1_u64;
    for sent in &SENT {
        for n in 0..PACKETS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let jitter = if sent.jitter_ns == 0 { 0 } else { (state >> 20) % sent.jitter_ns };
            // Far enough from the ends that both count from the same packet to the same packet.
            let inside = (20..PACKETS - 20).contains(&n);
            if inside && (sent.lost)(n) {
                continue;
            }
            let late = if inside && (sent.late)(n) { SPACING_NS * 5 / 2 } else { 0 };
            let at = i64::from(n) * SPACING_NS + jitter.cast_signed() + late;
            let mut bytes = vec![0x80, sent.payload_type];
            bytes.extend((n as u16).wrapping_add(64_000).to_be_bytes());
            bytes.extend((n.wrapping_mul(sent.step)).to_be_bytes());
            bytes.extend(sent.ssrc.to_be_bytes());
            bytes.resize(172, 0xd5);
            if inside && (sent.again)(n) {
                arrivals.push((at + 1_000_000, sent.port, bytes.clone()));
            }
            arrivals.push((at, sent.port, bytes));
        }
    }
    arrivals.sort_by_key(|(at, ..)| *at);
    arrivals
}

fn captured(path: &Path) {
    let mut writer = Writer::new(BufWriter::new(File::create(path).unwrap()), &Section::default()).unwrap();
    let interface = NewInterface { name: "eth0", description: None, filter: None, linktype: 1, snaplen: 65_535 };
    let id = writer.add_interface(&interface).unwrap();
    for (at, port, payload) in arrivals() {
        let mut data = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(port - 1, port)
            .write(&mut data, &payload)
            .unwrap();
        let packet = NewPacket { ts_ns: START + at, origlen: data.len() as u32, data: &data, ..NewPacket::default() };
        writer.packet(id, &packet).unwrap();
    }
    writer.finish().unwrap();
}

/// A row of tshark's table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) ssrc: u32,
    pub(crate) packets: u64,
    pub(crate) lost: i64,
    pub(crate) jitter_ms: [f64; 2],
}

/// What tshark takes for RTP at these ports.
pub(crate) fn rows(path: &Path, ports: &[u16]) -> Vec<Row> {
    let ports: Vec<_> = ports.iter().map(|port| format!("udp.port=={port},rtp")).collect();
    let mut arguments = vec!["-r", path.to_str().unwrap(), "-q", "-z", "rtp,streams"];
    for port in &ports {
        arguments.extend(["-d", port]);
    }
    let text = run("tshark", &arguments);
    let table = text.lines().filter(|line| line.contains(" 0x"));
    table
        .map(|line| {
            let cells: Vec<_> = line.split_whitespace().collect();
            let number = |at: usize| cells[at].parse::<f64>().unwrap_or_else(|error| panic!("{line}: {at}: {error}"));
            Row {
                ssrc: u32::from_str_radix(cells[6].trim_start_matches("0x"), 16).unwrap(),
                packets: number(8) as u64,
                lost: number(9) as i64,
                // Behind the percentage: three deltas, and the smallest jitter.
                jitter_ms: [number(15), number(16)],
            }
        })
        .collect()
}

/// Rounded to three places, as tshark's table has it.
pub(crate) fn near(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 0.000_6
}

#[test]
fn counts_losses_and_jitter_are_those_of_tshark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rtp.pcapng");
    captured(&path);
    let found = one_point(&path, &Options::default()).unwrap();
    assert_eq!(found.rtp.streams.len(), SENT.len());
    let rows = rows(&path, &SENT.each_ref().map(|sent| sent.port));
    assert_eq!(rows.len(), SENT.len());
    for row in &rows {
        let stream: &RtpStream = found.rtp.streams.iter().find(|stream| stream.ssrc == row.ssrc).unwrap();
        assert_eq!((stream.received, stream.lost), (row.packets, row.lost), "{row:?}");
        let jitter = stream.jitter_ms.unwrap();
        if stream.payload_type == 96 {
            // Without signalling tshark knows no rate of dynamic types, and says 0.
            assert_eq!((stream.clock_rate, row.jitter_ms), (Some(90_000.0), [0.0, 0.0]));
            assert!((2.0..3.5).contains(&jitter.mean), "{jitter:?}");
        } else {
            let [mean, max] = row.jitter_ms;
            assert!(near(jitter.mean, mean) && near(jitter.max, max), "{jitter:?} {row:?}");
        }
    }
    let by_ssrc = |ssrc| found.rtp.streams.iter().find(|stream| stream.ssrc == ssrc).unwrap();
    // tshark takes copies for packets that make up for losses; these figures do not.
    let all = by_ssrc(6);
    let inside = 20..PACKETS - 20;
    let count = |which: fn(u32) -> bool| inside.clone().filter(|&n| which(n)).count() as u64;
    assert_eq!(all.missing, count(SENT[5].lost));
    assert_eq!(all.duplicated, inside.clone().filter(|&n| (SENT[5].again)(n) && !(SENT[5].lost)(n)).count() as u64);
    assert_eq!(by_ssrc(4).missing, 0);
    assert_eq!(by_ssrc(5).reordered, count(SENT[4].late));
    assert!(by_ssrc(3).bursts.longest_loss_run >= 12);
}
