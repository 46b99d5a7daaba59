//! What other threads may see of a running delay line, at any moment.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use shaper_common::units::Nanos;
use shaper_xsk::{Statistics, StatisticsHandle, XskError};

/// Counts of one direction: the packets that came in at one port.
///
/// In every snapshot that [`Monitor::counts`] returns, `received + copies == released + held + transmit_errors +
/// no_metadata + copies_dropped`, exactly. After a complete drain `held` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets taken from the rx ring.
    pub received: u64,
    /// Packets handed to the peer's device, copies among them.
    pub released: u64,
    /// Packets waiting, copies among them: for their time, or for room in the peer's tx ring, or there.
    pub held: u64,
    /// Packets that the peer's device refused, copies among them: it is down, or its own queue is full.
    pub transmit_errors: u64,
    /// Packets dropped because no release time lay in front of them.
    pub no_metadata: u64,
    /// Copies that the metadata of packets asked for, those that were not made among them.
    pub copies: u64,
    /// Copies that were not made because no frame was free.
    pub copies_dropped: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let others = other.to_cells();
        let mut cells = self.to_cells();
        cells.iter_mut().zip(others).for_each(|(cell, other)| *cell += other);
        Self::from_cells(cells)
    }

    fn to_cells(self) -> [u64; 7] {
        let Counts { received, released, held, transmit_errors, no_metadata, copies, copies_dropped } = self;
        [received, released, held, transmit_errors, no_metadata, copies, copies_dropped]
    }

    fn from_cells(cells: [u64; 7]) -> Counts {
        let [received, released, held, transmit_errors, no_metadata, copies, copies_dropped] = cells;
        Counts { received, released, held, transmit_errors, no_metadata, copies, copies_dropped }
    }
}

/// One writer, any number of readers; a reader that met a write reads again.
#[derive(Debug, Default)]
#[repr(align(128))]
struct SharedCounts {
    /// Odd while the counts are being written.
    version: AtomicU64,
    counts: [AtomicU64; 7],
}

impl SharedCounts {
    fn write(&self, counts: &Counts) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (cell, count) in self.counts.iter().zip(counts.to_cells()) {
            cell.store(count, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }

    fn read(&self) -> Counts {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let cells = std::array::from_fn(|index| self.counts[index].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                return Counts::from_cells(cells);
            }
            std::hint::spin_loop();
        }
    }
}

/// Reads a delay line from outside. Directions are numbered like the port their packets come in at.
#[derive(Debug)]
pub struct Monitor {
    directions: Box<[SharedCounts]>,
    statistics: Box<[StatisticsHandle]>,
    lateness: Mutex<Vec<Histogram<u64>>>,
    heartbeat: AtomicU64,
    frames_free: AtomicU32,
    frames_least_free: AtomicU32,
    starved: AtomicU64,
}

impl Monitor {
    pub(crate) fn new(statistics: Vec<StatisticsHandle>, lateness: Vec<Histogram<u64>>, frames: u32) -> Monitor {
        Monitor {
            directions: statistics.iter().map(|_| SharedCounts::default()).collect(),
            statistics: statistics.into(),
            lateness: Mutex::new(lateness),
            heartbeat: AtomicU64::new(0),
            frames_free: AtomicU32::new(frames),
            frames_least_free: AtomicU32::new(frames),
            starved: AtomicU64::new(0),
        }
    }

    /// Number of directions, which is that of ports.
    pub fn directions(&self) -> usize {
        self.directions.len()
    }

    /// A consistent snapshot of a direction's counts; all 0 if there is no such direction.
    pub fn counts(&self, direction: usize) -> Counts {
        self.directions.get(direction).map(SharedCounts::read).unwrap_or_default()
    }

    /// What the kernel counted for a port's socket: among others packets lost at a full rx ring or an empty fill
    /// ring, which the delay line never saw. Nothing if there is no such port or its socket is closed.
    ///
    /// # Errors
    /// As [`shaper_xsk::StatisticsHandle::read`].
    pub fn statistics(&self, port: usize) -> Result<Option<Statistics>, XskError> {
        self.statistics.get(port).map_or(Ok(None), StatisticsHandle::read)
    }

    /// Actual minus intended release of a direction's packets, in nanoseconds.
    pub fn lateness(&self, direction: usize) -> Option<Histogram<u64>> {
        self.lateness_mut().get(direction).cloned()
    }

    /// When the loop last came round, CLOCK_MONOTONIC; 0 if it never ran. A running delay line beats at least every
    /// [`Config::heartbeat`](crate::Config::heartbeat), as far as the scheduler lets it.
    pub fn heartbeat(&self) -> Nanos {
        Nanos(self.heartbeat.load(Ordering::Relaxed))
    }

    /// Frames of the UMEM that are free, now and at the least.
    pub fn frames_free(&self) -> (u32, u32) {
        (self.frames_free.load(Ordering::Relaxed), self.frames_least_free.load(Ordering::Relaxed))
    }

    /// Times that a fill ring could not be refilled because all frames were held, by packets or by copies of them: the
    /// UMEM is too small for rate times delay. What was lost by it stands in [`statistics`](Self::statistics) as `rx_fill_ring_empty_descs`.
    pub fn starved(&self) -> u64 {
        self.starved.load(Ordering::Relaxed)
    }

    pub(crate) fn beat(&self, now: Nanos) {
        self.heartbeat.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn show_counts(&self, direction: usize, counts: &Counts) {
        if let Some(shared) = self.directions.get(direction) {
            shared.write(counts);
        }
    }

    pub(crate) fn show_frames(&self, free: u32, least_free: u32, starved: u64) {
        self.frames_free.store(free, Ordering::Relaxed);
        self.frames_least_free.store(least_free, Ordering::Relaxed);
        self.starved.store(starved, Ordering::Relaxed);
    }

    pub(crate) fn lateness_mut(&self) -> MutexGuard<'_, Vec<Histogram<u64>>> {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn no_reader_ever_sees_half_a_write() {
        let shared = SharedCounts::default();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for received in 0..200_000 {
                    shared.write(&Counts {
                        received,
                        released: received / 2,
                        held: received - received / 2,
                        ..Counts::default()
                    });
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let counts = shared.read();
                assert_eq!(counts.received, counts.released + counts.held);
            }
        });
        assert_eq!(shared.read().received, 199_999);
    }
}
