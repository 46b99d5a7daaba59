//! Two captures of one path with something of everything that an analysis tells of: TCP, RTP with RTCP, TOAST, STUN, PTP and
//! Ableton Link; loss, reordering, a duplicate, and a clock that is set.

use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use shaper_offline::writer::{NewInterface, NewPacket, Section, Writer};

const MS: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000_000_000;
const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SSRC: u32 = 0x1234_5678;
/// From one point to the other.
const DELAY: i64 = 10 * MS;

type End = (Ipv4Addr, u16);

/// An Ethernet frame of an IPv4 packet.
fn ipv4(protocol: u8, from: End, to: End, transport: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend(((20 + transport.len()) as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    frame.extend(from.0.octets());
    frame.extend(to.0.octets());
    frame.extend(transport);
    frame
}

fn udp(from: End, to: End, payload: &[u8]) -> Vec<u8> {
    let fields = [from.1, to.1, 8 + payload.len() as u16, 0];
    let mut bytes: Vec<u8> = fields.into_iter().flat_map(u16::to_be_bytes).collect();
    bytes.extend(payload);
    ipv4(17, from, to, &bytes)
}

fn tcp(from: End, to: End, numbers: [u32; 2], flags: u8, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = [from.1, to.1].into_iter().flat_map(u16::to_be_bytes).collect();
    bytes.extend(numbers.into_iter().flat_map(u32::to_be_bytes));
    bytes.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    bytes.resize(20 + length, 0x5a);
    ipv4(6, from, to, &bytes)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().copied().flat_map(u32::to_be_bytes).collect()
}

fn rtp(number: u32) -> Vec<u8> {
    let mut bytes = words(&[0x8000_0000 | (1_000 + number), 160 * number, SSRC]);
    bytes.resize(12 + 160, number as u8);
    bytes
}

/// A sender report with a name, and what the receiver answers: a report and VoIP metrics (RFC 3611, 4.7).
fn rtcp() -> [Vec<u8>; 2] {
    let mut sent = words(&[0x80c8_0006, SSRC, 0xe8fe_0000, 0x8000_0000, 8_000, 50, 8_000]);
    sent.extend(words(&[0x81ca_0003, SSRC, 0x0105_6140, 0x612e_6300]));
    // Behind the receiver's report, which names the middle of the sender's NTP time: VoIP metrics.
    let answer =
        [0x81c9_0007, 9, SSRC, 0x0100_0002, 1_050, 12, 0x0000_8000, 0x0000_0100, 0x80cf_000a, 9, 0x0700_0008, SSRC];
    let metrics = [0x0500_ff00, 0x0014_0064, 0x0015_0032, 0x7f7f_7f10, 0x5d7f_2a29, 0x0000_0064, 0x0064_0064];
    [sent, words(&[&answer[..], &metrics].concat())]
}

fn toast(sequence: u32, kind: u8) -> Vec<u8> {
    let mut bytes = b"TOST\x02".to_vec();
    bytes.extend([kind, 0, 0]);
    bytes.extend([sequence, sequence * 1_000, 0, 0].into_iter().flat_map(u32::to_le_bytes));
    bytes.extend([0, 1, 0, 0, 7, 0, 0, 0]);
    bytes
}

fn stun(kind: u16) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
    bytes.extend([1; 12]);
    bytes
}

/// A packet as it is sent, and how long it takes; none for a lost one.
struct Sent {
    at: i64,
    from_a: bool,
    frame: Vec<u8>,
    delay: Option<i64>,
}

fn sent() -> Vec<Sent> {
    let mut all = Vec::new();
    let mut send = |at: i64, from_a: bool, frame: Vec<u8>, delay| all.push(Sent { at: at * MS, from_a, frame, delay });
    let there = Some(DELAY);
    let (client, server) = ((A, 50_000), (B, 443));
    send(0, true, tcp(client, server, [1_000, 0], 0x02, 0), there);
    send(11, false, tcp(server, client, [500, 1_001], 0x12, 0), there);
    send(22, true, tcp(client, server, [1_001, 501], 0x10, 0), there);
    for number in 0..20_u32 {
        let (at, sequence) = (100 + 100 * i64::from(number), 1_001 + 1_000 * number);
        send(at, true, tcp(client, server, [sequence, 501], 0x18, 1_000), there);
        send(at + 11, false, tcp(server, client, [501, sequence + 1_000], 0x10, 0), there);
    }
    send(2_050, true, tcp(client, server, [20_001, 501], 0x18, 1_000), there);
    for number in 0..100_u32 {
        let delay = match number {
            30 | 31 => None,
            40 => Some(DELAY + 50 * MS),
            _ => there,
        };
        send(5 + 20 * i64::from(number), true, udp((A, 40_000), (B, 5_004), &rtp(number)), delay);
    }
    // Again.
    send(1_006, true, udp((A, 40_000), (B, 5_004), &rtp(50)), there);
    let [report, answer] = rtcp();
    send(500, true, udp((A, 40_001), (B, 5_005), &report), there);
    send(520, false, udp((B, 5_005), (A, 40_001), &answer), there);
    for (number, kind) in [(1, 5), (2, 3), (4, 5)] {
        send(600 + 10 * i64::from(number), true, udp((A, 7_777), (B, 7_777), &toast(number, kind)), there);
    }
    send(700, true, udp((A, 3_478), (B, 3_478), &stun(0x001)), there);
    send(711, false, udp((B, 3_478), (A, 3_478), &stun(0x101)), there);
    let mut ptp = vec![1, 0x1b, 0x19, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x88, 0xf7, 0x0b, 2, 0, 64, 24];
    ptp.resize(14 + 64, 0);
    send(750, true, ptp, there);
    let mut link = b"_asdp_v\x01\x01\x05\0\0ABCDEFGHtmln\0\0\0\x18".to_vec();
    link.extend(500_000_u64.to_be_bytes());
    link.extend([0; 16]);
    link.extend(b"sess\0\0\0\x08\x01\x02\x03\x04\x05\x06\x07\x08");
    send(800, true, udp((A, 20_808), (Ipv4Addr::new(224, 76, 78, 75), 20_808), &link), there);
    all
}

/// Writes what the points saw: the first compressed, the second by a clock that is set forward by 5 s after 1.2 s.
pub(crate) fn write(folder: &Path) -> [PathBuf; 2] {
    let (mut at_a, mut at_b) = (Vec::new(), Vec::new());
    for Sent { at, from_a, frame, delay } in sent() {
        let arrived = delay.map(|delay| at + delay);
        let (a, b) = if from_a { (Some(at), arrived) } else { (arrived, Some(at)) };
        at_a.extend(a.map(|at| (at, frame.clone())));
        at_b.extend(b.map(|at| (if at > 1_200 * MS { at + 5_000 * MS } else { at }, frame)));
    }
    let bytes = [at_a, at_b].map(capture);
    let [a, b] = [folder.join("a.pcapng.gz"), folder.join("b.pcapng")];
    let mut encoder = GzEncoder::new(File::create(&a).unwrap(), Compression::fast());
    encoder.write_all(&bytes[0]).unwrap();
    encoder.finish().unwrap();
    std::fs::write(&b, &bytes[1]).unwrap();
    [a, b]
}

fn capture(mut packets: Vec<(i64, Vec<u8>)>) -> Vec<u8> {
    packets.sort_by_key(|packet| packet.0);
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &Section::default()).unwrap();
    let interface = NewInterface { name: "eth0", description: None, filter: None, linktype: 1, snaplen: 0 };
    let id = writer.add_interface(&interface).unwrap();
    for (at, data) in &packets {
        let packet = NewPacket { ts_ns: START + at, origlen: data.len() as u32, data, ..NewPacket::default() };
        writer.packet(id, &packet).unwrap();
    }
    writer.finish().unwrap();
    bytes
}
