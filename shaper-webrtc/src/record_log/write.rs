//! Writing a log, off the data path: threads fill batches, one more writes them.

use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Entry, Filling, RECORD};
use crate::clock;

/// Batches that may wait for the disk.
const QUEUE: usize = 64;
/// Records in a batch that is not sent on earlier.
const BATCH: usize = 1024;
/// From one clock record to the next.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// The log's writer. It ends, and what was sent to it is on its way to the disk, once all
/// [`Batch`]es are gone and [`Log::finish`] is called.
#[derive(Debug)]
pub(crate) struct Log<E> {
    sender: SyncSender<Vec<u8>>,
    writer: JoinHandle<io::Result<()>>,
    lost: Arc<AtomicU64>,
    of: PhantomData<fn(E)>,
}

impl<E: Entry> Log<E> {
    /// Creates the file, with its header, and starts the writer.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        let (monotonic, realtime) = clock::pair();
        let mut header = Filling::new();
        header.put(0, &E::MAGIC);
        header.put(8, &(RECORD as u64).to_le_bytes());
        header.put(24, &monotonic.to_le_bytes());
        header.put(32, &realtime.to_le_bytes());
        file.write_all(&header.0)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name(E::THREAD.to_owned());
        let writer = thread.spawn(move || write::<E>(&mut file, &receiver))?;
        Ok(Self { sender, writer, lost: Arc::default(), of: PhantomData })
    }

    /// A batch of records for one thread.
    pub(crate) fn batch(&self) -> Batch<E> {
        Batch::new(self.sender.clone(), Arc::clone(&self.lost))
    }

    /// Waits until everything is written. Returns how many records found no room on their way.
    pub(crate) fn finish(self) -> io::Result<u64> {
        let Self { sender, writer, lost, .. } = self;
        drop(sender);
        let ended = writer.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread that writes it has ended by itself")))?;
        Ok(lost.load(Ordering::Relaxed))
    }
}

fn write<E: Entry>(file: &mut File, receiver: &Receiver<Vec<u8>>) -> io::Result<()> {
    let mut next_clock = Instant::now();
    loop {
        if Instant::now() >= next_clock {
            let (monotonic_ns, realtime_ns) = clock::pair();
            file.write_all(&E::clock(monotonic_ns, realtime_ns).bytes())?;
            next_clock += CLOCK_EVERY;
        }
        match receiver.recv_timeout(next_clock.saturating_duration_since(Instant::now())) {
            Ok(records) => file.write_all(&records)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return file.flush(),
        }
    }
}

/// Records of one thread on their way to the writer. Nothing waits: what finds the queue full is
/// counted, and the count goes into the log.
#[derive(Debug)]
pub(crate) struct Batch<E: Entry> {
    records: Vec<u8>,
    sender: SyncSender<Vec<u8>>,
    lost: u64,
    lost_in_all: Arc<AtomicU64>,
    of: PhantomData<fn(E)>,
}

impl<E: Entry> Batch<E> {
    fn new(sender: SyncSender<Vec<u8>>, lost_in_all: Arc<AtomicU64>) -> Self {
        Self { records: Vec::with_capacity(BATCH * RECORD), sender, lost: 0, lost_in_all, of: PhantomData }
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: &E) {
        self.records.extend_from_slice(&record.bytes());
        if self.records.len() >= BATCH * RECORD {
            self.flush();
        }
    }

    /// Counts a record that could not be made as lost.
    pub(crate) fn miss(&mut self) {
        self.lost += 1;
        self.lost_in_all.fetch_add(1, Ordering::Relaxed);
    }

    /// How many records of all batches have found no room on their way so far.
    pub(crate) fn lost_in_all(&self) -> u64 {
        self.lost_in_all.load(Ordering::Relaxed)
    }

    /// Hands what there is to the writer, and with it how many records have found no room before.
    pub(crate) fn flush(&mut self) {
        if self.records.is_empty() {
            return;
        }
        let mut records = std::mem::replace(&mut self.records, Vec::with_capacity(BATCH * RECORD));
        let count = (records.len() / RECORD) as u64;
        if self.lost > 0 {
            records.extend_from_slice(&E::lost(self.lost).bytes());
        }
        match self.sender.try_send(records) {
            Ok(()) => self.lost = 0,
            // The count is told again with the next batch.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost += count;
                self.lost_in_all.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

impl<E: Entry> Drop for Batch<E> {
    /// The last records, and the last count of lost ones, may wait: nothing is in their way any more.
    fn drop(&mut self) {
        if self.lost > 0 {
            self.records.extend_from_slice(&E::lost(self.lost).bytes());
        }
        if !self.records.is_empty() {
            let _ = self.sender.send(std::mem::take(&mut self.records));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_log::Fields;

    #[derive(Debug, PartialEq)]
    enum Record {
        Numbered(u64),
        Lost(u64),
        Clock,
    }

    impl Entry for Record {
        const MAGIC: [u8; 8] = *b"TESTS001";
        const THREAD: &'static str = "test-log";

        fn bytes(&self) -> [u8; RECORD] {
            let mut bytes = Filling::new();
            let (kind, number) = match self {
                Self::Numbered(number) => (1, *number),
                Self::Lost(records) => (2, *records),
                Self::Clock => (3, 0),
            };
            bytes.put(0, &[kind]);
            bytes.put(8, &number.to_le_bytes());
            bytes.0
        }

        fn of_bytes(bytes: &[u8; RECORD]) -> Option<Self> {
            let number = Fields(bytes).u64(8);
            [Self::Numbered(number), Self::Lost(number), Self::Clock].into_iter().find(|one| one.bytes() == *bytes)
        }

        fn clock(_: u64, _: u64) -> Self {
            Self::Clock
        }

        fn lost(records: u64) -> Self {
            Self::Lost(records)
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_in_the_log() {
        let (sender, receiver) = sync_channel(1);
        let mut batch = Batch::new(sender, Arc::default());
        for number in 0..3 {
            batch.push(&Record::Numbered(number));
            batch.flush();
        }
        assert_eq!(batch.lost_in_all(), 2);
        assert_eq!(receiver.recv().unwrap(), Record::Numbered(0).bytes());
        // With room the count goes along, and without it is kept.
        batch.push(&Record::Numbered(3));
        batch.flush();
        batch.push(&Record::Numbered(4));
        batch.flush();
        assert_eq!(batch.lost_in_all(), 3);
        let told = [Record::Numbered(3).bytes(), Record::Lost(2).bytes()].concat();
        assert_eq!(receiver.recv().unwrap(), told);
        batch.push(&Record::Numbered(5));
        batch.flush();
        batch.push(&Record::Numbered(6));
        batch.flush();
        let told = [Record::Numbered(5).bytes(), Record::Lost(1).bytes()].concat();
        assert_eq!(receiver.recv().unwrap(), told);
        drop(batch);
        assert_eq!(receiver.recv().unwrap(), Record::Lost(1).bytes());
    }
}
