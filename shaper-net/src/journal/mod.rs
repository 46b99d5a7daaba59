//! The rollback journal: what a process changed on this host, written down before each change.
//!
//! One file a process, `/run/shaper/<id>.journal`, JSON lines, append-only. The first line names the owner; each
//! further line is a change about to be made, or says that one was taken back. Whoever holds the file's lock may undo
//! it: the owner on its way out, its [guard](crate::guard), or [`recover`] at the next start.

mod entry;
mod file;
mod recover;
mod report;
mod undo;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use entry::{Entry, Header};
pub(crate) use recover::standing_in;
pub use recover::{Owners, Summary, list, list_in, recover, recover_in, recover_journal};
pub use report::{UndoFailure, UndoReport};
pub(crate) use undo::{Undone, undo_path};

use crate::process::ProcessId;
use crate::{Error, Result, sys};

/// Where journals and lab states are kept.
pub const RUN_DIR: &str = "/run/shaper";

/// An open journal. Clones share the file; when the last clone, and the last change made under it, is dropped, what is
/// left of it is undone and the file removed. Call [`Journal::undo`] to learn what could not be undone.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    header: Header,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    next: u64,
    closed: bool,
}

impl Journal {
    /// Starts a journal of this process in [`RUN_DIR`]; `command` is what a person is told about it.
    pub fn create(command: &str) -> Result<Self> {
        Self::create_in(Path::new(RUN_DIR), command)
    }

    /// Starts a journal in a folder of the caller's choice.
    pub fn create_in(dir: &Path, command: &str) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|e| Error::os("create the journal folder", dir.display().to_string(), e))?;
        let owner = ProcessId::current()?;
        loop {
            let random = sys::random_bytes::<4>().map_err(|e| Error::os("draw a name", "journal", e))?;
            let id = format!("{:08x}", u32::from_ne_bytes(random));
            let header = Header::new(id, owner, command)?;
            let path = dir.join(format!("{}.journal", header.id));
            match file::create(&path, &header) {
                Ok(file) => {
                    let state = Mutex::new(State { file, next: 0, closed: false });
                    return Ok(Self { inner: Arc::new(Inner { path, header, state }) });
                }
                Err(e) if e.errno() == Some(libc::EEXIST) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The identifier in the file's name: 8 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.inner.header.id
    }

    /// The journal file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.inner.header
    }

    /// Writes down a change that is about to be made; it is on the disk when this returns.
    ///
    /// The change may be made only after that. Keep the answer beside what was made, and say
    /// [`Recorded::taken_back`] once it is gone.
    pub fn record(&self, entry: Entry) -> Result<Recorded> {
        let mut all = self.record_all(vec![entry])?;
        all.pop().ok_or_else(|| self.closed())
    }

    /// Writes down several changes with one write.
    pub fn record_all(&self, entries: Vec<Entry>) -> Result<Vec<Recorded>> {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(self.closed());
        }
        let mut text = String::new();
        let mut recorded = Vec::with_capacity(entries.len());
        for entry in entries {
            let number = state.next;
            state.next += 1;
            text.push_str(&file::change_line(number, &entry)?);
            recorded.push(Recorded { journal: self.clone(), number });
        }
        let on = || self.inner.path.display().to_string();
        file::append(&mut state.file, text.as_bytes()).map_err(|e| Error::os("write the journal", on(), e))?;
        state.file.sync_data().map_err(|e| Error::os("write the journal to disk", on(), e))?;
        Ok(recorded)
    }

    /// The changes that stand, in the order they were made.
    pub fn standing(&self) -> Result<Vec<Entry>> {
        Ok(file::read(&self.inner.path)?.standing.into_iter().map(|(_, entry)| entry).collect())
    }

    /// Takes back what still stands, in reverse order, and removes the file when all is undone.
    ///
    /// # Errors
    /// [`Error::Undo`] with every step that failed; the file then stays, for the guard or the next start.
    pub fn undo(&self) -> Result<UndoReport> {
        self.inner.undo()
    }

    fn closed(&self) -> Error {
        Error::JournalClosed { path: self.inner.path.display().to_string() }
    }
}

impl Inner {
    fn undo(&self) -> Result<UndoReport> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        let report = undo_path(&self.path)?.unwrap_or_else(|| UndoReport::nothing(&self.path));
        if report.failures.is_empty() { Ok(report) } else { Err(Error::Undo(report)) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(e) = self.undo() {
            tracing::error!("{e}");
        }
    }
}

/// A change that stands in the journal.
#[derive(Debug, Clone)]
#[must_use = "keep it beside what was changed, and call taken_back when that is gone"]
pub struct Recorded {
    journal: Journal,
    number: u64,
}

impl Recorded {
    /// The journal it stands in.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Says that the change was taken back (or was never made): it will not be undone again.
    pub fn taken_back(self) {
        let mut state = self.journal.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return;
        }
        // Unsynced on purpose: undoing twice is harmless, undoing is idempotent.
        if let Err(e) = file::append(&mut state.file, file::done_line(self.number).as_bytes()) {
            tracing::warn!("{}: cannot write the journal: {e}", self.journal.inner.path.display());
        }
    }
}
