//! Logs and captures that nobody wrote.

use std::collections::HashMap;
use std::path::Path;

use proptest::prelude::*;

use crate::packet_log::packet_log_records;
use crate::path::{Direction, EngineDrop, Inputs, MapLog, PacketLog, Point, analyse, ssrcs_of};
use crate::serve::map_log_records;

/// A header, and records of kinds that are known with bodies that are anything: SSRCs are few, so that they
/// meet, and times are small, large or extreme.
fn log(magic: &'static [u8; 8], kinds: u8) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![0..4_u32, any::<u32>()].prop_map(u32::to_le_bytes);
    let time = prop_oneof![0..1000_u64, any::<u64>(), Just(u64::MAX), Just(0)].prop_map(u64::to_le_bytes);
    let record = (1..=kinds, any::<u8>(), any::<u16>(), prop::collection::vec(word, 5), prop::collection::vec(time, 3));
    prop::collection::vec(record, 0..60).prop_map(move |records| {
        let mut bytes = magic.to_vec();
        bytes.resize(48, 0);
        for (kind, flags, sequence, words, times) in records {
            bytes.extend([kind, flags]);
            bytes.extend(sequence.to_le_bytes());
            bytes.extend(words.concat());
            bytes.extend(times.concat());
        }
        bytes
    })
}

fn point() -> impl Strategy<Value = Point> {
    let time = || prop_oneof![0..1000_i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)];
    let seen = prop::collection::vec((0..4_u32, time(), any::<u16>()), 0..40);
    (seen, time(), time()).prop_map(|(seen, first, last)| {
        let mut streams = HashMap::<u32, Vec<(i64, u16)>>::new();
        for (ssrc, time, sequence) in seen {
            streams.entry(ssrc).or_default().push((time, sequence));
        }
        Point::made("anywhere", streams, (first, last))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn anything_gives_a_report(
        map in prop::option::of(log(b"SHWMAP01", 6)),
        packets in prop::option::of(log(b"SHWPKT01", 6)),
        server in prop::option::of(point()),
        clients in prop::collection::vec(point(), 0..3),
        drops in prop::collection::vec((any::<bool>(), 0..4_u32, any::<u16>(), any::<i64>()), 0..5),
    ) {
        let path = Path::new("a log");
        let map = map.map(|bytes| MapLog::collect(map_log_records(&bytes[..], path).unwrap()).unwrap());
        let packets = packets.map(|bytes| PacketLog::collect(packet_log_records(&bytes[..], path).unwrap()).unwrap());
        let drops = drops.into_iter().map(|(up, ssrc, sequence, time_ns)| {
            let direction = if up { Direction::Uplink } else { Direction::Downlink };
            EngineDrop { direction, ssrc, sequence, time_ns, cause: "loss".to_owned() }
        });
        drop(ssrcs_of(map.as_ref(), packets.as_ref()));
        let inputs = Inputs { map, packets, server, clients, drops: drops.collect(), slip_p99_ns: Some(u64::MAX) };
        let mut csv = Vec::new();
        let report = analyse(&inputs, Some(&mut csv)).unwrap();
        prop_assert!(!report.to_string().is_empty() || report.findings.is_empty());
    }
}
