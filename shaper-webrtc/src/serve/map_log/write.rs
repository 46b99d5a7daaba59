//! Writing the mapping log, off the data path: shards fill batches, one thread writes them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{MAGIC, RECORD, Record};
use crate::clock;
use crate::serve::metrics::{Metrics, add};

/// Batches that may wait for the disk.
const QUEUE: usize = 64;
/// Records in a batch that is not sent on earlier.
const BATCH: usize = 1024;
/// From one clock record to the next.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// The log's writer. It ends, and what was sent to it is on its way to the disk, once all
/// [`Batch`]es are gone and [`MapLog::finish`] is called.
#[derive(Debug)]
pub(crate) struct MapLog {
    sender: SyncSender<Vec<u8>>,
    writer: JoinHandle<io::Result<()>>,
}

impl MapLog {
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
            std::thread::Builder::new().name("map-log".to_owned()).spawn(move || write(&mut file, &receiver))?;
        Ok(Self { sender, writer })
    }

    /// A batch of records for one shard.
    pub(crate) fn batch(&self, metrics: Arc<Metrics>) -> Batch {
        Batch { records: Vec::with_capacity(BATCH * RECORD), sender: self.sender.clone(), lost: 0, metrics }
    }

    /// Waits until everything is written.
    pub(crate) fn finish(self) -> io::Result<()> {
        let Self { sender, writer } = self;
        drop(sender);
        writer.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it has ended by itself")))
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

/// Records of one shard on their way to the writer. Nothing waits: what finds the queue full is
/// counted, and the count goes into the log.
#[derive(Debug)]
pub(crate) struct Batch {
    records: Vec<u8>,
    sender: SyncSender<Vec<u8>>,
    lost: u64,
    metrics: Arc<Metrics>,
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
                add(&self.metrics.map_log_lost, count);
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
    use super::super::{Forwarded, Reported, read_map_log};
    use super::*;

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
        let mut batch = log.batch(Arc::default());
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
    fn what_finds_no_room_is_counted_in_the_log() {
        let (sender, receiver) = sync_channel(1);
        let metrics = Arc::new(Metrics::default());
        let mut batch = Batch { records: Vec::new(), sender, lost: 0, metrics: Arc::clone(&metrics) };
        for sequence in 0..3 {
            batch.push(&packet(sequence));
            batch.flush();
        }
        assert_eq!(metrics.map_log_lost.load(std::sync::atomic::Ordering::Relaxed), 2);
        assert_eq!(receiver.recv().unwrap(), packet(0).encode());
        batch.push(&packet(3));
        batch.flush();
        assert_eq!(receiver.recv().unwrap(), packet(3).encode());
        drop(batch);
        assert_eq!(receiver.recv().unwrap(), Record::Lost { records: 2 }.encode());
    }

    #[test]
    fn a_log_that_is_cut_off_ends_and_another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        let log = MapLog::create(&path).unwrap();
        let mut batch = log.batch(Arc::default());
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
        assert!(matches!(read_map_log(&path).err(), Some(super::super::MapLogError::NoMapLog(_))));
    }
}
