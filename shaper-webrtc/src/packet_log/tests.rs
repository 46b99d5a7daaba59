//! What is written is read again, and what is no such log is refused.

use super::{PacketLog, PacketLogError, RECORD, Received, Record, Reported, Sent, Stream, UNKNOWN, read_packet_log};

fn sent(number: u32) -> Record {
    Record::Sent(Sent {
        client: 1,
        track: 2,
        video: true,
        key_frame: number.is_multiple_of(2),
        ssrc: 3,
        sequence: u16::MAX,
        rtp_timestamp: 4,
        payload_bytes: 1100,
        number,
        time_ns: u64::MAX,
    })
}

#[test]
fn what_is_written_is_read_again_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packets");
    let log = PacketLog::create(&path).unwrap();
    let mut batch = log.batch();
    let stream = Stream { client: 1, out: true, video: true, ssrc: 3, rtx_ssrc: 4, track: 2, from: UNKNOWN };
    let mut written = vec![Record::Stream(stream)];
    written.extend((0..3000).map(sent));
    for (repaired, duplicate) in [(false, false), (true, false), (false, true)] {
        written.push(Record::Received(Received {
            client: 5,
            from: 1,
            track: 2,
            video: duplicate,
            ssrc: 9,
            sequence: 8,
            rtp_timestamp: 7,
            payload_bytes: 1100,
            number: u32::MAX,
            time_ns: 1 << 63,
            repaired,
            duplicate,
        }));
    }
    for (jitter_ns, round_trip_ns) in [(None, Some(0)), (Some(u32::MAX), None)] {
        written.push(Record::Reported(Reported {
            client: 5,
            out: round_trip_ns.is_some(),
            video: true,
            ssrc: 9,
            time_ns: 6,
            packets_lost: -3,
            highest: jitter_ns.map(|_| 65_535),
            packets: 1 << 40,
            jitter_ns,
            round_trip_ns,
        }));
    }
    for record in &written {
        batch.push(record);
    }
    drop(batch);
    assert_eq!(log.finish().unwrap(), 0);
    let read: Vec<Record> = read_packet_log(&path).unwrap().map(Result::unwrap).collect();
    let (clocks, others): (Vec<Record>, Vec<Record>) =
        read.into_iter().partition(|record| matches!(record, Record::Clock { .. }));
    assert!(!clocks.is_empty());
    assert_eq!(others, written);
}

#[test]
fn a_log_that_is_cut_off_ends_and_another_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packets");
    let log = PacketLog::create(&path).unwrap();
    let mut batch = log.batch();
    batch.push(&sent(1));
    drop(batch);
    log.finish().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let whole = read_packet_log(&path).unwrap().count();
    bytes.pop();
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(read_packet_log(&path).unwrap().count(), whole - 1);
    bytes[RECORD] = 99;
    std::fs::write(&path, &bytes).unwrap();
    assert!(read_packet_log(&path).unwrap().next().unwrap().unwrap_err().to_string().contains("byte 48"));
    std::fs::write(&path, b"else").unwrap();
    assert!(matches!(read_packet_log(&path).err(), Some(PacketLogError::NoPacketLog(_))));
}
