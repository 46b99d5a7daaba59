//! Classic files whose headers are longer than they should be.

use shaper_offline::pcapfile::{Error, Fault, Reader, Tail};

use super::{
    files::{Build, Order},
    read,
};

/// A file with `file` bytes behind the file header and `record` behind each record's.
fn variant(magic: u32, order: Order, file: usize, record: usize, fraction: u32) -> Vec<u8> {
    let plain = Build::classic(order, false, 1).bytes();
    let mut bytes = [&order.u32(magic)[..], &plain[4..], &vec![0x77; file]].concat();
    for number in 0..3_u32 {
        let data = vec![number as u8; 60 + number as usize];
        for field in [1_700_000_000 + number, fraction, data.len() as u32, data.len() as u32] {
            bytes.extend(order.u32(field));
        }
        // An interface, a protocol, a packet type, as far as there is room.
        bytes.extend(&[2, 0, 0, 0, 8, 0, 4, 0, 1, 0, 0, 0][..record]);
        bytes.extend(data);
    }
    bytes
}

#[test]
fn kuznetzovs_and_ixias_files_are_read_in_both_orders() {
    for order in [Order::Little, Order::Big] {
        for (magic, file, record, fraction, ns) in [
            (0xa1b2_cd34, 0, 8, 999_999, 999_999_000),
            (0x1c00_01ab, 4, 0, 999_999, 999_999_000),
            // Stamped by hardware: only nanoseconds can be a million and more.
            (0x1c00_01ac, 4, 0, 999_999, 999_999_000),
            (0x1c00_01ac, 4, 0, 1_000_000, 1_000_000),
        ] {
            let (seen, reader) = read(&variant(magic, order, file, record, fraction));
            assert_eq!(reader.tail(), Tail::Complete, "{magic:x}");
            let lengths: Vec<_> = seen.iter().map(|packet| packet.data.len()).collect();
            assert_eq!(lengths, [60, 61, 62], "{magic:x}");
            assert!(seen.iter().enumerate().all(|(at, packet)| packet.data.iter().all(|&byte| byte == at as u8)));
            assert_eq!(seen[1].ts_ns, Some(1_700_000_001_000_000_000 + ns));
        }
    }
}

#[test]
fn variants_that_share_a_magic_are_refused_by_name() {
    for order in [Order::Little, Order::Big] {
        for (magic, record, name) in [
            (0xa1b2_c3d4, 4, "Nokia"),
            (0xa1b2_c3d4, 8, "Red Hat 6.1"),
            (0xa1b2_cd34, 12, "SuSE 6.3"),
            (0xa12b_3c4d, 0, "Navtel"),
            (0xa1b2_34cd, 0, "Mesquita"),
        ] {
            let error = Reader::from_bytes("old.pcap", variant(magic, order, 0, record, 5)).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            let Error::Damaged { fault: Fault::Variant(_), .. } = error else { panic!("{error}") };
        }
    }
}

#[test]
fn one_record_under_another_layout_proves_nothing() {
    // Four bytes further on the first record makes sense as well, and an empty record follows.
    let mut bytes = Build::classic(Order::Little, false, 1).record(1_700_000_000, 5, 45, &[7; 45]).bytes();
    for field in [1_700_000_000, 6, 0, 0] {
        bytes.extend(Order::Little.u32(field));
    }
    let (seen, reader) = read(&bytes);
    assert_eq!((seen.len(), reader.tail()), (2, Tail::Complete));
}

#[test]
fn an_odd_file_of_the_standard_is_still_read() {
    // A fraction beyond a second, and more captured than there was: no variant explains it.
    let bytes =
        Build::classic(Order::Little, false, 1).record(1, 2_000_000, 2, b"abcdef").record(2, 0, 3, b"abc").bytes();
    let (seen, reader) = read(&bytes);
    assert_eq!((seen.len(), reader.tail()), (2, Tail::Complete));
    assert_eq!(seen[0].ts_ns, Some(3_000_000_000));
}
