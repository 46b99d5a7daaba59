//! Evidence for somebody who looks on while it is gathered: records and releases as they come.
//!
//! Who looks on may be slow; the attachment never waits for it. What it cannot take waits up to a limit, beyond that it is
//! counted as lost to it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use shaper_common::layout::Record;
use shaper_delayline::Released;

use crate::error::Error;
use crate::evidence::Told;

/// Chunks that are under way.
const UNDER_WAY: usize = 4;
/// Records, and releases, that wait where they cannot be taken at once.
const WAITING: usize = 1 << 16;

/// What came since the chunk before.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// Decisions, of different processors a little out of their order.
    pub records: Vec<Record>,
    /// What left, packets and copies.
    pub releases: Vec<Released>,
    /// Records and releases that found no room since the chunk before.
    pub lost: u64,
}

impl Chunk {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.releases.is_empty() && self.lost == 0
    }
}

/// Somebody who looks on, as the evidence thread knows him.
pub(crate) struct Follower {
    chunks: SyncSender<Chunk>,
    waiting: Chunk,
}

impl Follower {
    pub(crate) fn record(&mut self, record: &Record) {
        if self.waiting.records.len() < WAITING {
            self.waiting.records.push(*record);
        } else {
            self.waiting.lost += 1;
        }
    }

    pub(crate) fn release(&mut self, release: Released) {
        if self.waiting.releases.len() < WAITING {
            self.waiting.releases.push(release);
        } else {
            self.waiting.lost += 1;
        }
    }

    /// Hands on what waits, where it is taken; whether he looks on still.
    pub(crate) fn hand_on(&mut self) -> bool {
        if self.waiting.is_empty() {
            return true;
        }
        match self.chunks.try_send(std::mem::take(&mut self.waiting)) {
            Ok(()) => true,
            Err(TrySendError::Full(chunk)) => {
                self.waiting = chunk;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// The other end: evidence of an attachment, from when it was asked for.
pub struct Following {
    chunks: Receiver<Chunk>,
    to_evidence: Sender<Told>,
}

/// What came of waiting for a chunk.
pub enum Next {
    /// There is one.
    Chunk(Chunk),
    /// Not yet.
    Nothing,
    /// There will be none: the attachment has ended.
    Ended,
}

impl Following {
    pub(crate) fn start(to_evidence: Sender<Told>) -> Result<Self, Error> {
        let (sender, chunks) = sync_channel(UNDER_WAY);
        let follower = Follower { chunks: sender, waiting: Chunk::default() };
        to_evidence
            .send(Told::Follow(follower))
            .map_err(|_| Error::Thread { thread: "evidence", what: "has ended".into() })?;
        Ok(Self { chunks, to_evidence })
    }

    /// The next chunk, if there is one within `patience`.
    #[must_use]
    pub fn next(&self, patience: Duration) -> Next {
        match self.chunks.recv_timeout(patience) {
            Ok(chunk) => Next::Chunk(chunk),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Ended,
        }
    }

    /// Everything that was decided and has left until now, a chunk at a time, and then no more.
    ///
    /// # Errors
    ///
    /// Those of `each`.
    pub fn rest<E>(self, mut each: impl FnMut(Chunk) -> Result<(), E>) -> Result<(), E> {
        /// How often it is looked whether all has come.
        const LOOK: Duration = Duration::from_millis(1);
        let Self { chunks, to_evidence } = self;
        let (came, has_come) = std::sync::mpsc::channel();
        // Where the thread has ended all is in the channel.
        let _ = to_evidence.send(Told::Mark(came));
        loop {
            match chunks.recv_timeout(LOOK) {
                Ok(chunk) => each(chunk)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    if !matches!(has_come.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                        return chunks.try_iter().try_for_each(each);
                    }
                }
            }
        }
    }
}
