//! What came of undoing a journal.

use std::fmt;
use std::path::{Path, PathBuf};

use super::entry::Entry;

/// What was taken back of one journal, and what could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoReport {
    /// The journal file.
    pub journal: PathBuf,
    /// What its owner did, as it said itself; empty when unknown.
    pub command: String,
    /// Changes that were taken back now, latest first.
    pub undone: Vec<Entry>,
    /// Changes that stood in the journal, but no longer on the host.
    pub gone: Vec<Entry>,
    /// Changes that could not be taken back, and lines that could not be read. The journal is kept while there are any.
    pub failures: Vec<UndoFailure>,
}

/// One step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoFailure {
    /// The change; `None` for a line that could not be read.
    pub entry: Option<Entry>,
    /// Why.
    pub why: String,
}

impl UndoReport {
    pub(super) fn nothing(journal: &Path) -> Self {
        Self {
            journal: journal.to_owned(),
            command: String::new(),
            undone: Vec::new(),
            gone: Vec::new(),
            failures: Vec::new(),
        }
    }
}

impl fmt::Display for UndoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} taken back", self.journal.display(), self.undone.len())?;
        if !self.gone.is_empty() {
            write!(f, ", {} gone already", self.gone.len())?;
        }
        if !self.failures.is_empty() {
            write!(f, ", {} FAILED (the journal is kept; try again with `shaper clear`)", self.failures.len())?;
        }
        for failure in &self.failures {
            match &failure.entry {
                Some(entry) => write!(f, "\n  {entry}: {}", failure.why)?,
                None => write!(f, "\n  {}", failure.why)?,
            }
        }
        Ok(())
    }
}
