use super::*;
use crate::pcapfile::Reader;
use crate::writer::{NewInterface, NewPacket, Section, Writer};

const EPOCH: i64 = 1_700_000_000_000_000_000;
const MS: i64 = 1_000_000;
const PASS: Cause = Cause { code: 0, name: "none" };
const LOSS: Cause = Cause { code: 2, name: "loss" };

/// Monotonic time 1 s is the epoch's time.
fn clock() -> ClockMap {
    ClockMap::new(vec![
        ClockSample { before: 1_000_000_000, realtime: EPOCH, after: 1_000_000_000 },
        ClockSample { before: 9_000_000_000, realtime: EPOCH + 8_000_000_000, after: 9_000_000_000 },
    ])
    .unwrap()
}

fn mono(ns: i64) -> u64 {
    (ns + 1_000_000_000) as u64
}

/// Four bytes: flow, then checksum; the flow 0xff has no key.
fn key(data: &[u8]) -> Option<Key> {
    let flow = u32::from(data[0]);
    (flow != 0xff).then(|| Key { flow_hash: flow, l4_checksum: u16::from_be_bytes([data[2], data[3]]) })
}

fn capture(packets: &[(i64, u8, u16)]) -> CaptureIndex {
    let mut writer = Writer::new(Vec::new(), &Section::default()).unwrap();
    let interface = NewInterface { name: "x", description: None, filter: None, linktype: 1, snaplen: 0 };
    let id = writer.add_interface(&interface).unwrap();
    for &(ts, flow, checksum) in packets {
        let [high, low] = checksum.to_be_bytes();
        let data = [flow, 0, high, low];
        let packet = NewPacket { ts_ns: EPOCH + ts, origlen: 100, data: &data, ..NewPacket::default() };
        writer.packet(id, &packet).unwrap();
    }
    let mut reader = Reader::from_bytes("test", writer.finish().unwrap()).unwrap();
    CaptureIndex::read(&mut reader, key).unwrap()
}

fn record(direction: u16, seq: u64, at: i64, cause: Cause, flow: u8, checksum: u16) -> EngineRecord {
    EngineRecord {
        direction,
        seq,
        id: u64::from(direction) << 48 | seq,
        arrival_ns: mono(at),
        cause,
        rule: 1,
        intended_ns: (!cause.is_drop()).then(|| mono(at + 20 * MS)),
        actual_ns: (!cause.is_drop()).then(|| mono(at + 20 * MS)),
        len: 100,
        flow_hash: flow.into(),
        l4_checksum: checksum,
        damaged: false,
        marked: false,
        changed: None,
    }
}

fn of(records: &[EngineRecord]) -> EngineLog<'_> {
    EngineLog { records, copies: &[] }
}

#[test]
fn each_record_finds_its_packet_at_both_ends() {
    let (mut records, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..100_u16 {
        let at = i64::from(n) * 5 * MS;
        let cause = if n % 10 == 3 { LOSS } else { PASS };
        records.push(record(0, n.into(), at, cause, 1, n));
        a.push((at - 2_000, 1, n));
        if cause == PASS {
            b.push((at + 20 * MS + 3_000, 1, n));
        }
        // And back, through the same captures.
        records.push(record(1, n.into(), at, PASS, 2, n));
        b.push((at - 1_000, 2, n));
        a.push((at + 20 * MS + 1_000, 2, n));
    }
    let joined = join(&of(&records), &capture(&a), &capture(&b), &clock(), &JoinOptions::default());
    let [there, back] = joined.directions;
    assert_eq!((there.records, there.joined, there.dropped), (100, 100, 10));
    assert_eq!((back.records, back.joined, back.ambiguous), (100, 100, 0));
    assert_eq!((there.dropped_but_seen, there.passed_not_seen, there.without_entry), (0, 0, 0));
    assert_eq!((joined.a.joined, joined.b.joined), (200, 190));
    for (record, entry) in records.iter().zip(&joined.records) {
        let want = match (record.direction, record.cause.is_drop()) {
            (0, false) => Some(20 * MS + 5_000),
            (0, true) => None,
            _ => Some(20 * MS + 2_000),
        };
        assert_eq!(entry.link_ns, want);
    }
}

#[test]
fn what_has_no_partner_is_counted_by_what_it_is() {
    let records = [
        record(0, 0, 0, PASS, 1, 1),
        record(0, 1, MS, PASS, 1, 2),
        record(0, 2, 2 * MS, LOSS, 1, 3),
        record(0, 3, 3 * MS, PASS, 1, 4),
    ];
    // Before the run, a control packet, 1, 3 and 4; the capture lost 2. Later one of no record.
    let a = [(-500 * MS, 1, 9), (-MS, 0xff, 0), (0, 1, 1), (2 * MS, 1, 3), (3 * MS, 1, 4), (4 * MS, 1, 77)];
    // 1 twice, 2, and 3 which was dropped; 4 is missing.
    let b = [(20 * MS, 1, 1), (20 * MS + 1, 1, 1), (21 * MS, 1, 2), (22 * MS, 1, 3), (900 * MS, 1, 88)];
    let joined = join(&of(&records), &capture(&a), &capture(&b), &clock(), &JoinOptions::default());
    let counts = joined.directions[0];
    assert_eq!((counts.without_entry, counts.passed_not_seen), (1, 1));
    assert_eq!((counts.dropped_but_seen, counts.copies), (1, 1));
    assert_eq!(counts.joined, 1);
    assert_eq!((joined.a.before, joined.a.bypass, joined.a.without_record), (1, 1, 1));
    assert_eq!(joined.b.after, 1);
    // An engine that had begun to end decided nothing about it any more.
    let ending = JoinOptions { ending_ns: Some(mono(3 * MS + MS / 2)), ..JoinOptions::default() };
    let ended = join(&of(&records), &capture(&a), &capture(&b), &clock(), &ending);
    assert_eq!((ended.a.without_record, ended.a.after, ended.directions), (0, 1, joined.directions));
    assert_eq!(joined.link(Point::B, 1).unwrap().role, Role::Copy);
    assert_eq!(joined.link(Point::B, 3).unwrap().role, Role::Contradiction);
    assert_eq!(joined.link(Point::A, 5), None);
}

#[test]
fn what_the_harness_lost_is_not_said_to_be_lost_behind_the_link() {
    let mut records: Vec<_> = (0..4_u16).map(|n| record(0, n.into(), i64::from(n) * MS, PASS, 1, n)).collect();
    // The second and third have no release; but the third was seen, so it was released.
    records[1].actual_ns = None;
    records[2].actual_ns = None;
    let a = [(0, 1, 0), (MS, 1, 1), (2 * MS, 1, 2), (3 * MS, 1, 3)];
    let b = [(20 * MS, 1, 0), (22 * MS, 1, 2)];
    let counts = join(&of(&records), &capture(&a), &capture(&b), &clock(), &JoinOptions::default()).directions[0];
    assert_eq!((counts.records, counts.dropped, counts.passed, counts.not_released), (4, 0, 3, 1));
    assert_eq!((counts.passed_not_seen, counts.joined), (1, 2));
}

#[test]
fn packets_that_look_alike_join_in_order_of_their_release() {
    // One key for all; every fifth dropped; every seventh held 7 ms longer, so that it overtakes
    // nothing but is overtaken.
    let (mut records, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new());
    let mut want = Vec::new();
    for n in 0..50_i64 {
        let at = n * 2 * MS;
        let dropped = n % 5 == 4;
        let release = at + 20 * MS + if n % 7 == 6 { 7 * MS } else { 0 };
        let mut one = record(0, n as u64, at, if dropped { LOSS } else { PASS }, 1, 7);
        one.intended_ns = (!dropped).then(|| mono(release));
        one.actual_ns = one.intended_ns;
        records.push(one);
        a.push((at + 1_000, 1, 7));
        if !dropped {
            b.push((release + 2_000, 1, 7));
        }
        want.push((!dropped).then_some(release - at + 1_000));
    }
    b.sort_unstable();
    let joined = join(&of(&records), &capture(&a), &capture(&b), &clock(), &JoinOptions::default());
    let got: Vec<_> = joined.records.iter().map(|entry| entry.link_ns).collect();
    assert_eq!(got, want);
    let counts = joined.directions[0];
    assert_eq!((counts.joined, counts.ambiguous), (50, 50));
}

#[test]
fn packets_that_left_long_before_their_release_was_stamped_are_found() {
    // A batch of 32, one a millisecond; the system call that sends it returns after 200 ms. In the
    // first all packets differ, in the second they are alike.
    for alike in [false, true] {
        let (mut records, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..32_u16 {
            let (at, checksum) = (i64::from(n) * MS, if alike { 7 } else { n });
            let intended = at + 20 * MS;
            records.push(EngineRecord {
                intended_ns: Some(mono(intended)),
                actual_ns: Some(mono(220 * MS)),
                ..record(0, n.into(), at, PASS, 1, checksum)
            });
            a.push((at - 2_000, 1, checksum));
            b.push((intended + 10_000, 1, checksum));
        }
        let joined = join(&of(&records), &capture(&a), &capture(&b), &clock(), &JoinOptions::default());
        let there = joined.directions[0];
        assert_eq!((there.joined, there.passed_not_seen), (32, 0), "alike: {alike}");
        let spans: Vec<_> = joined.records.iter().filter_map(|record| record.link_ns).collect();
        assert_eq!(spans, [20 * MS + 12_000; 32], "alike: {alike}");
    }
}

/// Packets of a capture: stamp, flow, checksum.
type Packets = Vec<(i64, u8, u16)>;

/// Packets 5 ms apart with two copies each, which leave `spacing` behind it and each other: records, copies, and what a
/// tap sees at either end, the far one `behind` each intended release.
fn with_copies(
    spacing: i64,
    behind: i64,
    checksum: fn(u16) -> u16,
) -> (Vec<EngineRecord>, Vec<EngineCopy>, Packets, Packets) {
    let (mut records, mut copies, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for n in 0..100_u16 {
        let at = i64::from(n) * 5 * MS;
        records.push(record(0, n.into(), at, PASS, 1, checksum(n)));
        a.push((at - 2_000, 1, checksum(n)));
        for number in 0..3_u32 {
            let release = at + 20 * MS + i64::from(number) * spacing;
            if number > 0 {
                copies.push(EngineCopy {
                    record: n.into(),
                    number,
                    intended_ns: mono(release),
                    actual_ns: mono(release),
                });
            }
            b.push((release + behind + i64::from(number), 1, checksum(n)));
        }
    }
    b.sort_unstable_by_key(|packet| packet.0);
    (records, copies, a, b)
}

#[test]
fn copies_that_the_engine_made_are_copies_of_their_packet() {
    for spacing in [0, 2 * MS, 700 * MS, 5_000 * MS] {
        let (records, copies, a, mut b) = with_copies(spacing, 3_000, |n| n);
        let log = EngineLog { records: &records, copies: &copies };
        let joined = join(&log, &capture(&a), &capture(&b), &clock(), &JoinOptions::default());
        let counts = joined.directions[0];
        assert_eq!((counts.joined, counts.passed, counts.copies), (100, 100, 200), "{spacing}");
        assert_eq!((counts.copies_not_seen, counts.ambiguous, joined.b.without_record), (0, 0, 0), "{spacing}");
        assert!(joined.records.iter().all(|found| found.link_ns == Some(20 * MS + 5_000)), "{spacing}");
        let first = |number: u32| EPOCH + 20 * MS + i64::from(number) * (spacing + 1) + 3_000;
        for (copy, found) in copies.iter().zip(&joined.copies) {
            assert_eq!(found.ts_ns, Some(first(copy.number) + i64::from(copy.record) * 5 * MS), "{spacing}");
            let link = joined.link(Point::B, found.packet.unwrap()).unwrap();
            assert_eq!(link, Link { record: copy.record, role: Role::Copy, copy: copy.number }, "{spacing}");
        }
        // One copy is lost behind the link, and nobody else's packet is taken for it.
        let lost = b.iter().position(|packet| packet.2 == 50 && packet.0 == 270 * MS + spacing + 3_001).unwrap();
        b.remove(lost);
        let joined = join(&log, &capture(&a), &capture(&b), &clock(), &JoinOptions::default());
        let counts = joined.directions[0];
        assert_eq!((counts.joined, counts.copies, counts.copies_not_seen), (100, 199, 1), "{spacing}");
        assert_eq!(counts.ambiguous, 0, "{spacing}");
    }
}

#[test]
fn packets_that_look_alike_keep_their_times_beside_copies() {
    // The copies of one lie between the packets of others.
    let (records, copies, a, b) = with_copies(7 * MS, 3_000, |_| 7);
    let log = EngineLog { records: &records, copies: &copies };
    let joined = join(&log, &capture(&a), &capture(&b), &clock(), &JoinOptions::default());
    let counts = joined.directions[0];
    assert_eq!((counts.joined, counts.copies, counts.copies_not_seen), (100, 200, 0));
    assert_eq!((counts.ambiguous, counts.dropped_but_seen), (100, 0));
    assert!(joined.records.iter().all(|found| found.link_ns == Some(20 * MS + 5_000)));
}

#[test]
fn copies_beyond_those_released_are_numbered_on() {
    let records = [record(0, 0, 0, PASS, 1, 1), record(0, 1, MS, PASS, 1, 2)];
    let copies = [EngineCopy { record: 0, number: 1, intended_ns: mono(21 * MS), actual_ns: mono(21 * MS) }];
    let a = [(0, 1, 1), (MS, 1, 2)];
    let b = [20 * MS, 21 * MS, 22 * MS, 23 * MS].map(|at| (at, 1, 1)).into_iter().chain([(21 * MS, 1, 2)]);
    let b: Vec<_> = b.chain([(24 * MS, 1, 2)]).collect();
    let log = EngineLog { records: &records, copies: &copies };
    let joined = join(&log, &capture(&a), &capture(&b), &clock(), &JoinOptions::default());
    let numbers: Vec<_> = (0..6).map(|packet| joined.link(Point::B, packet).unwrap()).collect();
    let of_both = numbers.iter().map(|link| (link.record, link.copy)).collect::<Vec<_>>();
    assert_eq!(of_both, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]);
    assert_eq!((joined.directions[0].copies, joined.directions[0].copies_not_seen), (4, 0));
}

#[test]
fn no_records_leave_every_packet_unjoined() {
    let packets = [(0, 1, 1), (MS, 1, 2)];
    let joined = join(&of(&[]), &capture(&packets), &capture(&[]), &clock(), &JoinOptions::default());
    assert_eq!((joined.a.packets, joined.a.before, joined.b.packets), (2, 2, 0));
}
