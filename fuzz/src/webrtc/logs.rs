//! Mapping logs of servers and packet logs of testers, and what is found out by them.

use std::fmt::Debug;
use std::path::Path;

use shaper_webrtc::packet_log::{self, packet_log_records};
use shaper_webrtc::path::{Inputs, MapLog, PacketLog, analyse};
use shaper_webrtc::serve::{self, map_log_records};

/// Bytes of a header, and of a record.
const RECORD: usize = serve::RECORD;
const MAP: &[u8; 8] = b"SHWMAP01";
const PACKETS: &[u8; 8] = b"SHWPKT01";
/// What marks a record of a mapping log.
const MARK: u8 = 0x80;

/// Reads the bytes as either log; and as one record after the other, of which those whose first byte has its highest
/// bit set are a mapping log's, all others a packet log's. A record that is read is written as one that reads the same;
/// what can be read is analysed.
pub fn read(bytes: &[u8]) {
    let path = Path::new("fuzz.log");
    if let Ok(records) = map_log_records(bytes, path) {
        records.for_each(drop);
    }
    if let Ok(records) = packet_log_records(bytes, path) {
        records.for_each(drop);
    }
    let of = |magic: &[u8; 8], marked: u8| {
        let mut log = magic.to_vec();
        log.resize(RECORD, 0);
        for record in bytes.chunks_exact(RECORD) {
            if let Some((kind, rest)) = record.split_first().filter(|(kind, _)| *kind & MARK == marked) {
                log.push(kind & !MARK);
                log.extend(rest);
            }
        }
        log
    };
    let (map, packets) = (of(MAP, MARK), of(PACKETS, 0));
    let map: Vec<serve::Record> = map_log_records(&map[..], path).into_iter().flatten().map_while(Result::ok).collect();
    let packets: Vec<packet_log::Record> =
        packet_log_records(&packets[..], path).into_iter().flatten().map_while(Result::ok).collect();
    for record in &map {
        again(record, MAP, &record.encode(), |log| map_log_records(log, path).ok()?.next()?.ok());
    }
    for record in &packets {
        again(record, PACKETS, &record.encode(), |log| packet_log_records(log, path).ok()?.next()?.ok());
    }
    let inputs = Inputs {
        map: MapLog::collect(map.into_iter().map(Ok::<_, ()>)).ok(),
        packets: PacketLog::collect(packets.into_iter().map(Ok::<_, ()>)).ok(),
        ..Inputs::default()
    };
    let mut rows = Vec::new();
    match analyse(&inputs, Some(&mut rows)) {
        Ok(report) => {
            let written = serde_json::to_string(&report);
            assert!(written.is_ok(), "{written:?}");
            assert!(!report.to_string().is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(std::str::from_utf8(&rows).is_ok());
}

fn again<T: Debug + PartialEq>(record: &T, magic: &[u8; 8], bytes: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) {
    let mut log = magic.to_vec();
    log.resize(RECORD, 0);
    log.extend(bytes);
    assert_eq!(read(&log).as_ref(), Some(record));
}
