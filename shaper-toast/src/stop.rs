//! How a role is told to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys;

/// Raised once, seen by every clone.
#[derive(Debug, Clone, Default)]
pub struct StopFlag {
    raised: Arc<AtomicBool>,
    signals: bool,
}

impl StopFlag {
    /// A flag that only [`StopFlag::stop`] raises.
    #[must_use]
    pub fn new() -> StopFlag {
        StopFlag::default()
    }

    /// A flag that SIGTERM and SIGINT raise too; from here on they no longer end the process.
    ///
    /// # Errors
    /// When sigaction fails.
    pub fn on_signals() -> io::Result<StopFlag> {
        sys::catch_stop_signals()?;
        Ok(StopFlag { signals: true, ..StopFlag::default() })
    }

    /// Raises it.
    pub fn stop(&self) {
        self.raised.store(true, Ordering::Relaxed);
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.raised.load(Ordering::Relaxed) || (self.signals && sys::stopped_by_signal())
    }
}
