//! How other threads end a running delay line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use shaper_common::units::Nanos;

/// A handle to stop or drain a delay line. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// The drain's deadline, 0 for none.
    drain: AtomicU64,
}

impl Control {
    /// Neither stopped nor draining.
    pub fn new() -> Control {
        Control::default()
    }

    /// Ends the run at once. Packets held stay held.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Ends the run once no packet is held and none arrives any more, at the latest at `deadline`
    /// (CLOCK_MONOTONIC). Stop the senders before.
    pub fn drain(&self, deadline: Nanos) {
        self.shared.drain.store(deadline.0.max(1), Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn draining(&self) -> Option<Nanos> {
        match self.shared.drain.load(Ordering::Relaxed) {
            0 => None,
            deadline => Some(Nanos(deadline)),
        }
    }
}
