//! Writing: a thread of its own, so that a slow disk never delays a command.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::Event;

/// What a SIGKILL may cost: lines not handed to the kernel yet.
const FLUSH_EVERY: Duration = Duration::from_millis(250);

/// A log that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file could not be made.
    #[error("{path}: cannot create the log: {source}: name a folder that exists and is writable")]
    Create {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line could not be written.
    #[error("{path}: cannot write the log: {source}: is the disk full?")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The writing thread could not be started, or died.
    #[error("{path}: the log's thread {what}")]
    Thread {
        /// Which file.
        path: PathBuf,
        /// What happened to it.
        what: String,
    },
}

/// A log being written.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    events: mpsc::Sender<Vec<Event>>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl LogWriter {
    /// Creates the file (an older one is replaced) and starts the thread.
    ///
    /// # Errors
    /// [`WriteError::Create`] or [`WriteError::Thread`].
    pub fn create(path: &Path) -> Result<LogWriter, WriteError> {
        let file = File::create(path).map_err(|source| WriteError::Create { path: path.to_owned(), source })?;
        let (events, queue) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("toast-log".to_owned())
            .spawn(move || write_all(BufWriter::new(file), &queue))
            .map_err(|e| WriteError::Thread { path: path.to_owned(), what: format!("could not be started: {e}") })?;
        Ok(LogWriter { path: path.to_owned(), events, thread })
    }

    /// Hands events over; false once the thread has failed, for which [`LogWriter::close`] has
    /// the reason.
    #[must_use]
    pub fn write(&self, events: Vec<Event>) -> bool {
        events.is_empty() || self.events.send(events).is_ok()
    }

    /// Writes out what is left.
    ///
    /// # Errors
    /// [`WriteError::Write`] when any line was not written.
    pub fn close(self) -> Result<(), WriteError> {
        let LogWriter { path, events, thread } = self;
        drop(events);
        match thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(WriteError::Write { path, source }),
            Err(_) => Err(WriteError::Thread { path, what: "panicked".to_owned() }),
        }
    }
}

fn write_all(mut out: BufWriter<File>, queue: &mpsc::Receiver<Vec<Event>>) -> io::Result<()> {
    let mut flushed = Instant::now();
    loop {
        match queue.recv_timeout(FLUSH_EVERY) {
            Ok(events) => {
                for event in events {
                    serde_json::to_writer(&mut out, &event)?;
                    out.write_all(b"\n")?;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return out.flush(),
        }
        if flushed.elapsed() >= FLUSH_EVERY {
            out.flush()?;
            flushed = Instant::now();
        }
    }
}
