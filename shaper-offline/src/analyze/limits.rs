//! Tests: what happens where an analysis may hold no more.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use etherparse::PacketBuilder;

use super::{Analysis, Clock, Options, engine::Limits, two};
use crate::writer::{NewInterface, NewPacket, Section, Writer};

const MS: i64 = 1_000_000;

/// Datagram `number` of a flow.
fn datagram(flow: u16, number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(flow, 50_002)
        .write(&mut bytes, &[&number.to_be_bytes()[..], &[0x11; 24]].concat())
        .unwrap();
    bytes
}

fn write(path: &Path, packets: &[(i64, Vec<u8>)]) {
    let mut writer = Writer::new(File::create(path).unwrap(), &Section::default()).unwrap();
    let interface = NewInterface { name: "point", description: None, filter: None, linktype: 1, snaplen: 0 };
    let id = writer.add_interface(&interface).unwrap();
    for (ts, data) in packets {
        let packet = NewPacket { ts_ns: *ts, origlen: data.len() as u32, data, ..NewPacket::default() };
        writer.packet(id, &packet).unwrap();
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
    // 200 packets, one a millisecond, arriving after 50 ms, every tenth not at all; 20 may wait.
    let a: Vec<_> = (0..200).map(|n: i64| (n * MS, datagram(50_001, n as u64))).collect();
    let b: Vec<_> = a
        .iter()
        .enumerate()
        .filter(|(n, _)| n % 10 != 5)
        .map(|(_, (ts, packet))| (ts + 50 * MS, packet.clone()))
        .collect();
    let analysis = analyze(&a, &b, Limits { waiting: 20, ..Limits::default() });
    let figures = &analysis.a_to_b;
    assert!(analysis.evicted > 0);
    // Nothing of what is missing had waited its time, but for the end of the captures.
    assert_eq!(figures.lost, 0, "{figures:#?}");
    let whole = analyze(&a, &b, Limits::default());
    assert_eq!((whole.a_to_b.lost, whole.a_to_b.matched, whole.evicted), (20, 180, 0));
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
