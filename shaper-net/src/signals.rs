//! SIGINT, SIGTERM and SIGHUP as something that can be asked for and waited on.
//!
//! SIGPIPE stays as Rust's runtime sets it: ignored here, so that a closed pipe is an error of the write, and at its
//! default again in programs that are started.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::process::readable;
use crate::{Error, Result};

static SEEN: AtomicI32 = AtomicI32::new(0);
static LATEST: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);
static WAKE: AtomicI32 = AtomicI32::new(-1);
static PIPE: OnceLock<(PipeReader, PipeWriter)> = OnceLock::new();

/// A handle on the process's request to stop. All handles are one.
#[derive(Debug, Clone, Copy)]
pub struct Signals {
    reader: &'static PipeReader,
}

extern "C" fn on_signal(signal: libc::c_int) {
    LATEST.store(signal, Ordering::SeqCst);
    COUNT.fetch_add(1, Ordering::SeqCst);
    // The first one is the request; of what is allowed in a signal handler (signal-safety(7)) this uses write alone.
    if SEEN.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        let byte = 0u8;
        // SAFETY: the descriptor is that of a pipe that is never closed; the pointer is to one byte that lives over the
        // call. errno is not read by what was interrupted: the write to an empty pipe does not fail.
        unsafe { libc::write(WAKE.load(Ordering::SeqCst), (&raw const byte).cast(), 1) };
    }
}

impl Signals {
    /// Takes over SIGINT, SIGTERM and SIGHUP, for the whole process. Calling it again is harmless.
    pub fn install() -> Result<Self> {
        let failed = |e: io::Error| Error::os("take over SIGINT, SIGTERM and SIGHUP", "this process", e);
        if PIPE.get().is_none() {
            let pipe = io::pipe().map_err(failed)?;
            // Losing a race here drops a pipe that nobody knows of.
            let _ = PIPE.set(pipe);
        }
        let Some((reader, writer)) = PIPE.get() else { return Err(failed(io::Error::other("no pipe"))) };
        WAKE.store(writer.as_raw_fd(), Ordering::SeqCst);
        let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: the handler does nothing that is not allowed in one (see there).
            unsafe { sigaction(signal, &action) }.map_err(|e| failed(e.into()))?;
        }
        Ok(Self { reader })
    }

    /// The first signal that asked to stop, if one did.
    pub fn requested(self) -> Option<i32> {
        match SEEN.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// How many signals came so far, and the latest of them.
    pub fn latest(self) -> (u32, i32) {
        (COUNT.load(Ordering::SeqCst), LATEST.load(Ordering::SeqCst))
    }

    /// Waits until a stop is asked for, at most for `timeout`; true when it was.
    pub fn wait(self, timeout: Option<Duration>) -> Result<bool> {
        readable(self.reader.as_fd(), timeout).map_err(|e| Error::os("wait for a signal", "this process", e))
    }

    /// Asks this process itself to stop, as a SIGTERM would.
    pub fn request(self) {
        if SEEN.compare_exchange(0, libc::SIGTERM, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            && let Some((_, writer)) = PIPE.get()
        {
            // The pipe is empty until the first request: this cannot block.
            let mut writer: &PipeWriter = writer;
            let _ = writer.write_all(&[0]);
        }
    }
}

impl AsFd for Signals {
    /// Readable once a stop is asked for, and from then on: never read from it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
