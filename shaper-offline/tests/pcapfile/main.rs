//! The reader against files built here, byte by byte, and against damage.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

mod bounds;
mod compressed;
mod files;
mod variants;

use std::io::Cursor;

use files::{Build, Order};
use proptest::prelude::*;
use shaper_offline::{
    pcapfile::{Direction, Error, Fault, Reader, Tail, Verdict},
    writer::{NewInterface, NewPacket, Section, Statistics, Writer},
};

/// What the tests compare of a packet.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Seen {
    interface: u32,
    linktype: u16,
    ts_ns: Option<i64>,
    origlen: u32,
    data: Vec<u8>,
    dropcount: Option<u64>,
    comments: Vec<String>,
}

fn drain(reader: &mut Reader) -> Result<Vec<Seen>, Error> {
    let mut seen = Vec::new();
    while let Some(packet) = reader.next_packet()? {
        assert_eq!(packet.index, seen.len() as u64);
        assert_eq!(packet.caplen as usize, packet.data.len());
        seen.push(Seen {
            interface: packet.interface,
            linktype: packet.linktype,
            ts_ns: packet.ts_ns,
            origlen: packet.origlen,
            data: packet.data.to_vec(),
            dropcount: packet.dropcount,
            comments: packet.comments().map(str::to_owned).collect(),
        });
    }
    Ok(seen)
}

/// Reads from memory and from a stream, which must agree.
fn read(bytes: &[u8]) -> (Vec<Seen>, Reader) {
    let mut reader = Reader::from_bytes("memory", bytes.to_vec()).unwrap();
    let seen = drain(&mut reader).unwrap();
    let mut stream = Reader::from_stream("stream", Cursor::new(bytes.to_vec())).unwrap();
    assert_eq!(drain(&mut stream).unwrap(), seen);
    assert_eq!(stream.tail(), reader.tail());
    (seen, reader)
}

#[test]
fn classic_files_of_both_orders_and_resolutions_give_the_same_packets() {
    for order in [Order::Little, Order::Big] {
        for nano in [false, true] {
            let fraction = if nano { 500_000_000 } else { 500_000 };
            let bytes = Build::classic(order, nano, 1).record(7, fraction, 60, b"abc").record(8, 0, 4, b"wxyz").bytes();
            let (seen, reader) = read(&bytes);
            assert_eq!(seen.len(), 2, "{order:?} nano {nano}");
            assert_eq!(seen[0].ts_ns, Some(7_500_000_000));
            assert_eq!((seen[0].origlen, &seen[0].data[..]), (60, &b"abc"[..]));
            assert_eq!(seen[1].ts_ns, Some(8_000_000_000));
            assert_eq!(reader.tail(), Tail::Complete);
            assert_eq!(reader.interfaces()[0].linktype, 1);
        }
    }
}

#[test]
fn every_packet_block_kind_is_read_in_both_orders() {
    for order in [Order::Little, Order::Big] {
        let bytes = Build::ng(order)
            .section()
            .interface(1, 0, &[])
            .unknown(0x0bad)
            .enhanced(0, 1_500_000, 60, b"abcde", &[(1, b"hello"), (4, &order.u64(3))])
            .obsolete(0, 9, 2_000_000, 5, b"12345")
            .obsolete(0, 0xffff, 2_000_000, 5, b"12345")
            .simple(6, b"simple")
            .statistics(0, &[(4, &order.u64(10)), (5, &order.u64(2))])
            .bytes();
        let (seen, reader) = read(&bytes);
        assert_eq!(seen.len(), 4);
        assert_eq!(seen[0].ts_ns, Some(1_500_000_000));
        assert_eq!(seen[0].comments, ["hello"]);
        assert_eq!(seen[0].dropcount, Some(3));
        assert_eq!((seen[1].dropcount, seen[2].dropcount), (Some(9), None));
        assert_eq!((seen[3].ts_ns, &seen[3].data[..]), (None, &b"simple"[..]));
        let statistics = reader.interfaces()[0].statistics.unwrap();
        assert_eq!((statistics.received, statistics.dropped), (Some(10), Some(2)));
        assert_eq!(reader.tail(), Tail::Complete);
    }
}

#[test]
fn sections_may_differ_in_order_link_type_resolution_and_offset() {
    let mut bytes = Build::ng(Order::Little)
        .section()
        .interface(1, 0, &[(9, &[9])])
        .interface(101, 0, &[(9, &[0x80 | 10])])
        .enhanced(0, 1_000_000_001, 1, b"a", &[])
        .enhanced(1, 3 << 10 | 512, 1, b"b", &[])
        .bytes();
    bytes.extend(
        Build::ng(Order::Big)
            .section()
            .interface(113, 0, &[(14, &Order::Big.u64(100))])
            .enhanced(0, 1, 1, b"c", &[])
            .bytes(),
    );
    let (seen, reader) = read(&bytes);
    let times: Vec<_> = seen.iter().map(|packet| packet.ts_ns.unwrap()).collect();
    assert_eq!(times, [1_000_000_001, 3_500_000_000, 100_000_001_000]);
    let links: Vec<_> = seen.iter().map(|packet| (packet.interface, packet.linktype)).collect();
    assert_eq!(links, [(0, 1), (1, 101), (2, 113)]);
    assert_eq!(reader.sections(), 2);
}

#[test]
fn a_simple_packet_is_cut_by_the_snapshot_length() {
    let bytes = Build::ng(Order::Little).section().interface(1, 4, &[]).simple(9, b"abcd").bytes();
    let (seen, _) = read(&bytes);
    assert_eq!((&seen[0].data[..], seen[0].origlen), (&b"abcd"[..], 9));
}

#[test]
fn a_cut_tail_is_read_up_to_the_cut_and_reported() {
    let ng = Build::ng(Order::Little)
        .section()
        .interface(1, 0, &[])
        .enhanced(0, 1, 3, b"abc", &[])
        .enhanced(0, 2, 3, b"def", &[])
        .bytes();
    let classic = Build::classic(Order::Little, false, 1).record(1, 0, 3, b"abc").record(2, 0, 3, b"def").bytes();
    for (bytes, last) in [(ng, 36), (classic, 19)] {
        let start = (bytes.len() - last) as u64;
        for cut in 1..last {
            let (seen, reader) = read(&bytes[..bytes.len() - cut]);
            assert_eq!(seen.len(), 1, "cut {cut}");
            let Tail::Cut { offset, wanted, left } = reader.tail() else { panic!("cut {cut}: {:?}", reader.tail()) };
            assert_eq!((offset, left), (start, (last - cut) as u64));
            assert!(wanted > left);
        }
    }
}

#[test]
fn a_file_cut_within_its_header_is_an_error_where_it_ends() {
    let ng = Build::ng(Order::Little).section().interface(1, 0, &[]).bytes();
    let classic = Build::classic(Order::Little, false, 1).bytes();
    for whole in [ng, classic] {
        for length in 4..whole.len() {
            let mut reader = Reader::from_bytes("cut", whole[..length].to_vec());
            let error = match &mut reader {
                Ok(reader) => match drain(reader) {
                    // The section alone, whole, without any interface: nothing was cut.
                    Ok(_) if length == 28 => continue,
                    ended => ended.unwrap_err(),
                },
                Err(_) => reader.map(|reader| reader.format()).unwrap_err(),
            };
            let Error::Damaged { offset, fault, .. } = error else { panic!("{error}") };
            assert_eq!((offset, fault), (length as u64, Fault::CutHeader));
        }
        let (seen, reader) = read(&whole);
        assert_eq!((seen.len(), reader.tail()), (0, Tail::Complete), "whole, and without a packet");
    }
}

#[test]
fn damage_is_named_with_its_byte_offset() {
    let good =
        Build::ng(Order::Little).section().interface(1, 0, &[]).enhanced(0, 1, 3, b"abc", &[(1, b"note")]).bytes();
    // Section header 28 bytes, interface 20: the packet block starts at 48.
    let damage = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        let mut reader = Reader::from_bytes("x.pcapng", bytes).unwrap();
        let error = drain(&mut reader).unwrap_err();
        assert!(reader.next_packet().unwrap().is_none(), "no packets after an error");
        let Error::Damaged { offset, fault, .. } = error else { panic!("{error}") };
        (offset, fault)
    };
    assert!(matches!(damage(52, &[1, 0, 0, 0]), (52, Fault::Length { claimed: 1, .. })));
    assert!(matches!(damage(52, &[0xff; 4]), (52, Fault::Length { .. })));
    assert!(matches!(damage(48 + 20, &[200, 0, 0, 0]), (68, Fault::Length { claimed: 200, .. })));
    assert!(matches!(damage(56, &[7, 0]), (56, Fault::UnknownInterface { interface: 7, known: 1 })));
    assert!(matches!(damage(48 + 34, &[99, 0]), (80, Fault::Option { code: 1, length: 99 })));
    assert!(matches!(damage(good.len() - 4, &[9]), (_, Fault::Trailer { trailing: 9, .. })));
    assert!(matches!(damage(8, &[0; 4]), (8, Fault::ByteOrder(0))));
    assert!(matches!(damage(12, &[2, 0]), (12, Fault::Version(2, 0))));
}

#[test]
fn damage_behind_a_packet_ends_the_file_there_for_those_who_ask_for_it() {
    let ng = |order| {
        Build::ng(order)
            .section()
            .interface(1, 0, &[])
            .enhanced(0, 1, 3, b"abc", &[])
            .enhanced(0, 2, 3, b"def", &[])
            .enhanced(0, 3, 3, b"ghi", &[])
            .bytes()
    };
    let classic = |order| {
        let build = Build::classic(order, false, 1).record(1, 0, 3, b"abc");
        build.record(2, 0, 3, b"def").record(3, 0, 3, b"ghi").bytes()
    };
    for order in [Order::Little, Order::Big] {
        // The length of the second packet: in its block at 84, in its record at 43.
        for (good, at, offset) in [(ng(order), 84 + 20, 84 + 20), (classic(order), 43 + 8, 43)] {
            let mut bytes = good.clone();
            bytes[at..at + 4].fill(0xee);
            for (packets, offset, bytes) in [(1, Some(offset), bytes), (3, None, good)] {
                let readers = [
                    Reader::from_bytes("memory", bytes.clone()).unwrap(),
                    Reader::from_stream("stream", Cursor::new(bytes)).unwrap(),
                ];
                for mut reader in readers.map(Reader::ending_at_damage) {
                    assert_eq!(drain(&mut reader).unwrap().len(), packets, "{order:?}");
                    assert_eq!(reader.damage().map(|(at, _)| at), offset, "{order:?}");
                    assert_eq!(reader.tail() == Tail::Complete, offset.is_none());
                    assert!(reader.next_packet().unwrap().is_none());
                }
            }
        }
    }
    // In front of the first packet nothing was read that could be told.
    let mut bytes = classic(Order::Little);
    bytes[24 + 8..][..4].fill(0xee);
    let mut reader = Reader::from_bytes("first", bytes).unwrap().ending_at_damage();
    assert!(matches!(drain(&mut reader), Err(Error::Damaged { offset: 24, .. })));
}

#[test]
fn what_is_no_capture_says_what_it_is() {
    let fault = |bytes: &[u8]| match Reader::from_bytes("f", bytes.to_vec()) {
        Err(Error::Damaged { fault, .. }) => fault,
        other => panic!("{:?}", other.map(|reader| reader.format())),
    };
    assert_eq!(fault(b""), Fault::TooShort(0));
    assert!(matches!(fault(&[b'P'; 30]), Fault::NotACapture(_)));
    assert_eq!(fault(&0xa1b2_cd34_u32.to_le_bytes()), Fault::CutHeader);
    assert!(matches!(Reader::open("/nonexistent/x.pcap"), Err(Error::Io { .. })));
}

#[test]
fn what_the_writer_writes_the_reader_reads() {
    let comments = ["shaper cause=loss id=7".to_owned(), "second".to_owned()];
    let mut writer = Writer::new(Vec::new(), &Section::default()).unwrap();
    let interface = NewInterface {
        name: "a",
        description: Some("towards the link"),
        filter: Some("udp"),
        linktype: 1,
        snaplen: 128,
    };
    let a = writer.add_interface(&interface).unwrap();
    let packet = NewPacket {
        ts_ns: 1_700_000_000_123_456_789,
        origlen: 1000,
        data: b"abcde",
        direction: Some(Direction::Outbound),
        packetid: Some(7),
        dropcount: Some(2),
        verdict: Some(Verdict::Xdp(-3)),
        comments: &comments,
    };
    writer.packet(a, &packet).unwrap();
    let told = Statistics {
        start: Some(1_700_000_000_000_000_001),
        end: Some(1_700_000_001_000_000_002),
        received: Some(3),
        dropped: Some(2),
    };
    writer.statistics(a, &told).unwrap();
    let early = NewPacket { ts_ns: -1, ..packet.clone() };
    assert!(writer.packet(a, &early).is_err());
    let mut reader = Reader::from_bytes("w", writer.finish().unwrap()).unwrap();
    let read = reader.next_packet().unwrap().unwrap();
    assert_eq!((read.ts_ns, read.origlen, read.data), (Some(packet.ts_ns), 1000, packet.data));
    assert_eq!(read.direction(), Some(Direction::Outbound));
    assert_eq!((read.packetid(), read.dropcount), (Some(7), Some(2)));
    assert_eq!(read.verdicts().collect::<Vec<_>>(), [Verdict::Xdp(-3)]);
    assert_eq!(read.comments().collect::<Vec<_>>(), comments);
    assert!(reader.next_packet().unwrap().is_none());
    let interface = &reader.interfaces()[0];
    assert_eq!((interface.name.as_deref(), interface.filter.as_deref()), (Some("a"), Some("udp")));
    let statistics = interface.statistics.unwrap();
    assert_eq!((statistics.start, statistics.end), (told.start, told.end));
    assert_eq!((statistics.received, statistics.dropped), (Some(3), Some(2)));
}

fn sample(order: Order) -> Vec<u8> {
    Build::ng(order)
        .section()
        .interface(1, 0, &[(2, b"eth0"), (9, &[9])])
        .enhanced(0, 1, 60, b"abcdefgh", &[(1, b"note"), (2, &[1, 0, 0, 0])])
        .simple(6, b"simple")
        .obsolete(0, 1, 3, 5, b"12345")
        .unknown(77)
        .statistics(0, &[(4, &order.u64(10))])
        .bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Damage never panics, never hangs, and reads the same from memory and from a stream.
    #[test]
    fn mutated_files_end_in_packets_or_in_an_error(
        pick in 0_usize..4,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = match pick {
            0 => sample(Order::Little),
            1 => sample(Order::Big),
            2 => Build::classic(Order::Little, false, 1).record(1, 2, 3, b"abc").record(1, 2, 3, b"abc").bytes(),
            _ => Build::classic(Order::Big, true, 113).record(1, 2, 3, b"abc").bytes(),
        };
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let whole = Reader::from_bytes("m", bytes.clone()).map(|mut reader| {
            let mut packets = 0;
            let end = loop {
                match reader.next_packet() {
                    Ok(Some(packet)) => {
                        packets += 1;
                        let _ = (packet.direction(), packet.packetid());
                        let _ = (packet.comments().count(), packet.verdicts().count());
                    }
                    Ok(None) => break None,
                    Err(error) => {
                        prop_assert!(error.offset() <= bytes.len() as u64);
                        break Some(error.to_string());
                    }
                }
                prop_assert!(packets <= bytes.len());
            };
            Ok((packets, end))
        });
        let stream = Reader::from_stream("m", Cursor::new(bytes.clone())).map(|mut reader| {
            let mut packets = 0;
            loop {
                match reader.next_packet() {
                    Ok(Some(_)) => packets += 1,
                    Ok(None) => break (packets, None),
                    Err(error) => break (packets, Some(error.to_string())),
                }
            }
        });
        match (whole, stream) {
            (Ok(whole), Ok(stream)) => prop_assert_eq!(whole?, stream),
            (Err(_), Err(_)) => {}
            (whole, stream) => prop_assert!(false, "memory {:?}, stream {:?}", whole.is_ok(), stream.is_ok()),
        }
    }
}
