//! Writing the packet log, off the data path: workers fill batches, one thread writes them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{MAGIC, RECORD, Record};
use crate::clock;

/// Batches that may wait for the disk.
const QUEUE: usize = 64;
/// Records in a batch that is not sent on earlier.
const BATCH: usize = 1024;
/// From one clock record to the next.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// The log's writer. It ends, and what was sent to it is on its way to the disk, once all
/// [`Batch`]es are gone and [`PacketLog::finish`] is called.
#[derive(Debug)]
pub(crate) struct PacketLog {
    sender: SyncSender<Vec<u8>>,
    writer: JoinHandle<io::Result<()>>,
    lost: Arc<AtomicU64>,
}

impl PacketLog {
    /// Creates the file, with its header, and starts the writer.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        let (monotonic, realtime) = clock::pair();
        let mut header = [0; RECORD];
        let fields =
            [(0, MAGIC), (8, 48_u64.to_le_bytes()), (24, monotonic.to_le_bytes()), (32, realtime.to_le_bytes())];
        for (offset, value) in fields {
            if let Some(place) = header.get_mut(offset..offset + 8) {
                place.copy_from_slice(&value);
            }
        }
        file.write_all(&header)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let writer =
            std::thread::Builder::new().name("packet-log".to_owned()).spawn(move || write(&mut file, &receiver))?;
        Ok(Self { sender, writer, lost: Arc::default() })
    }

    /// A batch of records for one worker.
    pub(crate) fn batch(&self) -> Batch {
        Batch {
            records: Vec::with_capacity(BATCH * RECORD),
            sender: self.sender.clone(),
            lost: 0,
            lost_in_all: Arc::clone(&self.lost),
        }
    }

    /// Waits until everything is written. Returns how many records found no room on their way.
    pub(crate) fn finish(self) -> io::Result<u64> {
        let Self { sender, writer, lost } = self;
        drop(sender);
        let ended = writer.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread that writes it has ended by itself")))?;
        Ok(lost.load(Ordering::Relaxed))
    }
}

fn write(file: &mut File, receiver: &Receiver<Vec<u8>>) -> io::Result<()> {
    let mut next_clock = Instant::now();
    loop {
        if Instant::now() >= next_clock {
            let (monotonic_ns, realtime_ns) = clock::pair();
            file.write_all(&Record::Clock { monotonic_ns, realtime_ns }.encode())?;
            next_clock += CLOCK_EVERY;
        }
        match receiver.recv_timeout(next_clock.saturating_duration_since(Instant::now())) {
            Ok(records) => file.write_all(&records)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return file.flush(),
        }
    }
}

/// Records of one worker on their way to the writer. Nothing waits: what finds the queue full is
/// counted, and the count goes into the log.
#[derive(Debug)]
pub(crate) struct Batch {
    records: Vec<u8>,
    sender: SyncSender<Vec<u8>>,
    lost: u64,
    lost_in_all: Arc<AtomicU64>,
}

impl Batch {
    /// Adds a record.
    pub(crate) fn push(&mut self, record: &Record) {
        self.records.extend_from_slice(&record.encode());
        if self.records.len() >= BATCH * RECORD {
            self.flush();
        }
    }

    /// Hands what there is to the writer.
    pub(crate) fn flush(&mut self) {
        if self.records.is_empty() {
            return;
        }
        let records = std::mem::replace(&mut self.records, Vec::with_capacity(BATCH * RECORD));
        let count = (records.len() / RECORD) as u64;
        match self.sender.try_send(records) {
            Ok(()) if self.lost > 0 => {
                let lost = Record::Lost { records: std::mem::take(&mut self.lost) };
                self.records.extend_from_slice(&lost.encode());
            }
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost += count;
                self.lost_in_all.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Batch {
    /// The last records, and the last count of lost ones, may wait: nothing is in their way any more.
    fn drop(&mut self) {
        if self.lost > 0 {
            self.records.extend_from_slice(&Record::Lost { records: self.lost }.encode());
        }
        if !self.records.is_empty() {
            let _ = self.sender.send(std::mem::take(&mut self.records));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PacketLogError, Received, Reported, Sent, Stream, UNKNOWN, read_packet_log};
    use super::*;

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
    fn what_finds_no_room_is_counted_in_the_log() {
        let (sender, receiver) = sync_channel(1);
        let mut batch = Batch { records: Vec::new(), sender, lost: 0, lost_in_all: Arc::default() };
        for number in 0..3 {
            batch.push(&sent(number));
            batch.flush();
        }
        assert_eq!(batch.lost_in_all.load(Ordering::Relaxed), 2);
        assert_eq!(receiver.recv().unwrap(), sent(0).encode());
        batch.push(&sent(3));
        batch.flush();
        assert_eq!(receiver.recv().unwrap(), sent(3).encode());
        drop(batch);
        assert_eq!(receiver.recv().unwrap(), Record::Lost { records: 2 }.encode());
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
}
