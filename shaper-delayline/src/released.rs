//! The log of releases: one entry a packet and one a copy, handed over in chunks.

use std::sync::mpsc::Sender;

use hdrhistogram::{CreationError, Histogram};
use shaper_common::units::Nanos;

/// The largest lateness told apart.
const MOST_LATENESS: Nanos = Nanos(60_000_000_000);

/// An empty histogram of actual minus intended release, in nanoseconds to three digits.
///
/// # Errors
/// Where there is no memory for it.
pub fn lateness_histogram() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, MOST_LATENESS.0, 3)
}

/// Entries in a chunk.
const CHUNK: usize = 4096;
/// The longest an entry waits for its chunk to fill.
const HAND_OVER: Nanos = Nanos(20_000_000);

/// How one packet left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    /// The packet's id, from its metadata. Its copies have the same.
    pub id: u64,
    /// When it was to be released.
    pub intended: Nanos,
    /// The clock right after the system call returned that handed it to the device.
    pub actual: Nanos,
    /// The port it came in at.
    pub direction: u32,
    /// Which copy of the packet it is, from 1 up; 0 for the packet itself.
    pub copy: u8,
    /// False if the device refused it.
    pub sent: bool,
}

/// Collects entries and sends them on. Without a receiver it does nothing.
#[derive(Debug)]
pub(crate) struct ReleaseLog {
    to: Option<Sender<Vec<Released>>>,
    chunk: Vec<Released>,
    since: Nanos,
}

impl ReleaseLog {
    pub(crate) fn new(to: Option<Sender<Vec<Released>>>) -> ReleaseLog {
        let chunk = if to.is_some() { Vec::with_capacity(CHUNK) } else { Vec::new() };
        ReleaseLog { to, chunk, since: Nanos::ZERO }
    }

    #[inline]
    pub(crate) fn push(&mut self, released: Released) {
        if self.to.is_none() {
            return;
        }
        if self.chunk.is_empty() {
            self.since = released.actual;
        }
        self.chunk.push(released);
        if self.chunk.len() >= CHUNK {
            self.hand_over();
        }
    }

    /// Hands over what has waited long enough.
    #[inline]
    pub(crate) fn tick(&mut self, now: Nanos) {
        if !self.chunk.is_empty() && now.saturating_sub(self.since) >= HAND_OVER {
            self.hand_over();
        }
    }

    /// Hands over what there is. A receiver that is gone wants no more.
    pub(crate) fn hand_over(&mut self) {
        let Some(to) = &self.to else { return };
        if self.chunk.is_empty() {
            return;
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        if to.send(chunk).is_err() {
            self.to = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn released(id: u64, actual: u64) -> Released {
        Released { id, intended: Nanos(0), actual: Nanos(actual), direction: 0, copy: 0, sent: true }
    }

    #[test]
    fn every_entry_arrives_once_in_order() {
        let (to, from) = mpsc::channel();
        let mut log = ReleaseLog::new(Some(to));
        for id in 0..10_000 {
            log.push(released(id, 0));
        }
        log.hand_over();
        drop(log);
        let ids: Vec<u64> = from.iter().flatten().map(|released| released.id).collect();
        assert_eq!(ids, (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_waits_no_longer_than_the_hand_over_time() {
        let (to, from) = mpsc::channel();
        let mut log = ReleaseLog::new(Some(to));
        log.push(released(1, 1_000));
        log.tick(Nanos(1_000 + HAND_OVER.0 - 1));
        assert!(from.try_recv().is_err());
        log.tick(Nanos(1_000 + HAND_OVER.0));
        assert_eq!(from.try_recv().unwrap(), [released(1, 1_000)]);
    }

    #[test]
    fn a_receiver_that_went_away_is_no_obstacle() {
        let (to, from) = mpsc::channel();
        let mut log = ReleaseLog::new(Some(to));
        drop(from);
        for id in 0..10_000 {
            log.push(released(id, 0));
        }
        assert!(log.to.is_none());
    }
}
