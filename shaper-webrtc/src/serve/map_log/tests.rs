//! What is written is read again, and what is no such log is refused.

use super::{Forwarded, MapLog, RECORD, Record, Reported, read_map_log};

fn packet(sequence: u16) -> Record {
    Record::Forwarded(Forwarded {
        video: true,
        key_frame: sequence.is_multiple_of(2),
        datagram_bytes: 1200,
        payload_bytes: 1100,
        sequence_in: sequence,
        sequence_out: sequence.wrapping_add(7),
        ssrc_in: 1,
        ssrc_out: 2,
        leg_in: 3,
        leg_out: 4,
        time_in_ns: u64::MAX - 1,
        time_out_ns: u64::MAX,
    })
}

#[test]
fn what_is_written_is_read_again_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let log = MapLog::create(&path).unwrap();
    let mut batch = log.batch();
    let mut written = vec![Record::Leg { leg: 3, out: false, participant: 1 << 63, transport: 9 }];
    written.extend((0..3000).map(packet));
    let Record::Forwarded(again) = packet(5) else { unreachable!() };
    written.push(Record::Retransmitted(again));
    let said = Reported { video: true, ssrc_out: 2, leg_out: 4, packets_lost: -1, ..Reported::default() };
    let known = Reported { highest: 1 << 40, jitter_ns: 9, round_trip_ns: Some(0), time_ns: 5, ..said };
    written.extend([Record::Reported(said), Record::Reported(known)]);
    for record in &written {
        batch.push(record);
    }
    drop(batch);
    log.finish().unwrap();
    let read: Vec<Record> = read_map_log(&path).unwrap().map(Result::unwrap).collect();
    let clocks = read.iter().filter(|record| matches!(record, Record::Clock { .. })).count();
    let others: Vec<Record> = read.into_iter().filter(|record| !matches!(record, Record::Clock { .. })).collect();
    assert!(clocks >= 1);
    assert_eq!(others, written);
}

#[test]
fn a_log_that_is_cut_off_ends_and_another_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let log = MapLog::create(&path).unwrap();
    let mut batch = log.batch();
    batch.push(&packet(1));
    drop(batch);
    log.finish().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let whole = read_map_log(&path).unwrap().count();
    bytes.pop();
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(read_map_log(&path).unwrap().count(), whole - 1);
    bytes[RECORD] = 99;
    std::fs::write(&path, &bytes).unwrap();
    assert!(read_map_log(&path).unwrap().next().unwrap().unwrap_err().to_string().contains("byte 48"));
    std::fs::write(&path, b"else").unwrap();
    assert!(matches!(read_map_log(&path).err(), Some(super::MapLogError::NoMapLog(_))));
}
