//! Tests: what happens where an analysis may hold no more, and where numbers end.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use etherparse::PacketBuilder;

use super::{Analysis, Clock, Description, Options, engine::Limits, one_point, two};
use crate::writer::{NewInterface, NewPacket, Section, Statistics, Writer};

const MS: i64 = 1_000_000;

/// Datagram `number` of a flow.
fn datagram(flow: u16, number: u64) -> Vec<u8> {
    udp([10, 0, 0, 1], flow, &[&number.to_be_bytes()[..], &[0x11; 24]].concat())
}

fn udp(from: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(from, [10, 0, 0, 2], 64)
        .udp(port, 50_002)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

fn write(path: &Path, packets: &[(i64, Vec<u8>)]) {
    let writer = Writer::new(File::create(path).unwrap(), &Section::default()).unwrap();
    write_to(writer, packets, [None, None]);
}

fn write_to(mut writer: Writer<File>, packets: &[(i64, Vec<u8>)], [gap, told]: [Option<u64>; 2]) {
    let interface = NewInterface { name: "point", description: None, filter: None, linktype: 1, snaplen: 0 };
    let id = writer.add_interface(&interface).unwrap();
    for (ts, data) in packets {
        let packet = NewPacket { ts_ns: *ts, origlen: data.len() as u32, data, dropcount: gap, ..NewPacket::default() };
        writer.packet(id, &packet).unwrap();
    }
    if told.is_some() {
        writer.statistics(id, &Statistics { dropped: told, ..Statistics::default() }).unwrap();
    }
    writer.finish().unwrap();
}

fn analyze(a: &[(i64, Vec<u8>)], b: &[(i64, Vec<u8>)], limits: Limits) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let paths: [PathBuf; 2] = ["a.pcapng", "b.pcapng"].map(|name| folder.path().join(name));
    write(&paths[0], a);
    write(&paths[1], b);
    two::within(&paths[0], &paths[1], &Options { clock: Clock::Same, ..Options::default() }, limits).unwrap()
}

#[test]
fn a_packet_that_was_given_up_before_its_time_is_unmatched_and_not_lost() {
    // One packet a millisecond; 100 arrive after 5 ms, 200 after 50 ms, every tenth of those not at
    // all. 20 may wait.
    let a: Vec<_> = (0..300).map(|n: i64| (n * MS, datagram(50_001, n as u64))).collect();
    let arrival = |(n, (ts, packet)): (usize, &(i64, Vec<u8>))| match n {
        0..100 => Some((ts + 5 * MS, packet.clone())),
        _ => (n % 10 != 5).then(|| (ts + 50 * MS, packet.clone())),
    };
    let b: Vec<_> = a.iter().enumerate().filter_map(arrival).collect();
    let analysis = analyze(&a, &b, Limits { waiting: 20, ..Limits::default() });
    let figures = &analysis.a_to_b;
    // Those at the end found room: nothing came behind them.
    assert!((180..=200).contains(&figures.unmatched), "{figures:#?}");
    assert_eq!((figures.lost, figures.sent), (0, 300), "nothing that is missing had waited its time");
    assert!(analysis.evicted >= figures.unmatched);
    let whole = analyze(&a, &b, Limits::default());
    assert_eq!((whole.a_to_b.lost, whole.a_to_b.matched, whole.evicted), (20, 280, 0));
}

#[test]
fn flows_beyond_the_budget_are_less_accurate_and_totals_are_not() {
    // 40 flows of 50 packets, delays of 20 to 70 ms, one of 50 in each flow lost.
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for number in 0..50_u64 {
        for flow in 0..40_u16 {
            let (ts, packet) = (number as i64 * 10 * MS + i64::from(flow) * 1_000, datagram(50_010 + flow, number));
            if number != 20 {
                b.push((ts + 20 * MS + number as i64 * MS, packet.clone()));
            }
            a.push((ts, packet));
        }
    }
    b.sort_by_key(|packet| packet.0);
    let (short, ample) =
        (analyze(&a, &b, Limits { kept: 200, ..Limits::default() }), analyze(&a, &b, Limits::default()));
    assert_eq!(short.a_to_b.delay_ns, ample.a_to_b.delay_ns);
    assert!(short.a_to_b.delay_ns.unwrap().exact);
    let mut rough = 0;
    for (short, ample) in short.flows.iter().zip(&ample.flows) {
        assert_eq!((short.flow, short.figures.lost, short.figures.matched), (ample.flow, 1, 49));
        let (short, ample) = (short.figures.delay_ns.unwrap(), ample.figures.delay_ns.unwrap());
        assert_eq!((short.min, short.max, short.mean), (ample.min, ample.max, ample.mean));
        assert!(ample.exact && short.p50.abs_diff(ample.p50) <= ample.p50.unsigned_abs() / 31, "{short:?} {ample:?}");
        rough += usize::from(!short.exact);
    }
    assert!(rough > 30, "{rough}");
}

fn describe(packets: &[(i64, Vec<u8>)]) -> Description {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.pcapng");
    write(&path, packets);
    one_point(&path, &Options::default()).unwrap()
}

/// A TOAST frame without a payload from one of many senders.
fn toast(sender: u16, sequence: u32) -> Vec<u8> {
    let mut frame = b"TOST".to_vec();
    frame.extend([2, 5, 1, 0]);
    frame.extend(sequence.to_le_bytes());
    frame.extend([0; 16]);
    frame.extend(7_u32.to_le_bytes());
    let crc = crate::toast::crc16(&frame);
    frame[26..28].copy_from_slice(&crc.to_le_bytes());
    udp([10, 1, (sender >> 8) as u8, sender as u8], 50_001, &frame)
}

#[test]
fn senders_beyond_those_followed_do_not_stop_the_counts_of_the_others() {
    // 4,098 senders, then everybody again.
    let packets: Vec<_> =
        (0..2).flat_map(|round| (0..4_098).map(move |sender| (i64::from(round) * MS, toast(sender, round)))).collect();
    let found = describe(&packets);
    assert_eq!((found.toast.len(), found.toast_untracked), (4_096, 4));
    assert!(found.toast.iter().all(|session| (session.frames, session.messages, session.missing) == (2, 2, 0)));
    assert!(found.to_string().contains("4 TOAST frames are of senders beyond the 4096"), "{found}");
}

#[test]
fn packets_of_flows_beyond_those_followed_are_told_apart_from_flows_not_listed() {
    // 65,537 flows, and three packets of the last.
    let from = |flow: u32| udp([10, 1, (flow >> 8) as u8, flow as u8], 50_000 + (flow >> 16) as u16, b"x");
    let packets: Vec<_> = (0..65_537).chain([65_536, 65_536]).map(|flow| (i64::from(flow), from(flow))).collect();
    let found = describe(&packets);
    assert_eq!((found.flows.len(), found.flows_left_out, found.untracked), (1000, 64_536, 3));
}

#[test]
fn counters_at_their_end_stay_there() {
    let folder = tempfile::tempdir().unwrap();
    let packets: Vec<_> = (0..3).map(|n: i64| (n * MS, datagram(50_001, n as u64))).collect();
    let paths = ["a.pcapng", "b.pcapng"].map(|name| folder.path().join(name));
    for path in &paths {
        let writer = Writer::new(File::create(path).unwrap(), &Section::default()).unwrap();
        write_to(writer, &packets, [Some(u64::MAX); 2]);
    }
    assert_eq!(one_point(&paths[0], &Options::default()).unwrap().capture_drops, u64::MAX);
    let analysis = two::within(&paths[0], &paths[1], &Options::default(), Limits::default()).unwrap();
    assert_eq!(analysis.files[1].capture_drops, u64::MAX);
}
