//! Undoing the journals of processes that are no more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entry::{Entry, Header};
use super::report::{UndoFailure, UndoReport};
use super::{RUN_DIR, file, undo_path};
use crate::process::ProcessId;
use crate::{Error, Result};

/// How long an owner that is told to stop may take over its own clean-up before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Whose journals are undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Those of dead owners; what belongs to a running process is left alone.
    Dead,
    /// All: running owners are told to stop (SIGTERM, then SIGKILL), and what they left is undone.
    All,
}

/// A journal as it stands.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The file.
    pub path: PathBuf,
    /// Its first line.
    pub header: Header,
    /// Whether the owner runs.
    pub owner_runs: bool,
    /// How many changes stand.
    pub standing: usize,
}

/// The journals in [`RUN_DIR`]; files that cannot be read as journals, or whose owner cannot be looked at, are left
/// out.
pub fn list() -> Result<Vec<Summary>> {
    list_in(Path::new(RUN_DIR))
}

/// The journals in `dir`.
pub fn list_in(dir: &Path) -> Result<Vec<Summary>> {
    let mut all = Vec::new();
    for path in journals(dir)? {
        if let Ok(contents) = file::read(&path)
            && let Ok(owner_runs) = contents.header.owner_runs()
        {
            all.push(Summary { path, header: contents.header, owner_runs, standing: contents.standing.len() });
        }
    }
    Ok(all)
}

/// The changes that stand in the journals of `dir`, each with its journal.
pub(crate) fn standing_in(dir: &Path) -> Result<Vec<(PathBuf, Header, Entry)>> {
    let mut all = Vec::new();
    for path in journals(dir)? {
        if let Ok(contents) = file::read(&path) {
            let of = |(_, entry)| (path.clone(), contents.header.clone(), entry);
            all.extend(contents.standing.into_iter().map(of));
        }
    }
    Ok(all)
}

/// Undoes the journals in [`RUN_DIR`] whose owner is dead, or all; says what came of each.
///
/// A journal that cannot be undone whole does not keep the others from being undone: look at `failures`.
pub fn recover(owners: Owners) -> Result<Vec<UndoReport>> {
    recover_in(Path::new(RUN_DIR), owners)
}

/// Undoes the journals in `dir`.
pub fn recover_in(dir: &Path, owners: Owners) -> Result<Vec<UndoReport>> {
    let mut reports = Vec::new();
    for path in journals(dir)? {
        match recover_journal(&path, owners) {
            Ok(None) => {}
            Ok(Some(report)) => reports.push(report),
            Err(e) => {
                let mut report = UndoReport::nothing(&path);
                report.failures.push(UndoFailure { entry: None, why: e.to_string() });
                reports.push(report);
            }
        }
    }
    Ok(reports)
}

/// Undoes one journal, if its owner is dead or `owners` says all; `None` when nothing was to be undone.
///
/// A journal of this very process is left alone: [`Journal::undo`](super::Journal::undo) is for that.
pub fn recover_journal(path: &Path, owners: Owners) -> Result<Option<UndoReport>> {
    let header = match file::read(path) {
        Ok(contents) => contents.header,
        Err(e) if e.errno() == Some(libc::ENOENT) => return Ok(None),
        Err(e) => return Err(e),
    };
    if header.owner_runs()? {
        if owners == Owners::Dead || header.owner == ProcessId::current()? {
            return Ok(None);
        }
        if let Some(owner) = header.owner.open()? {
            owner.terminate(GRACE)?;
        }
    }
    undo_path(path)
}

fn journals(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::os("list the journals", dir.display().to_string(), e);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "journal") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
