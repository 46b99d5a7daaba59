//! The journal on disk: creating, locking and reading it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, FORMAT, Header};
use crate::{Error, Result, whole_file};

#[derive(Serialize, Deserialize)]
struct ChangeLine {
    n: u64,
    #[serde(flatten)]
    entry: Entry,
}

#[derive(Serialize, Deserialize)]
struct DoneLine {
    done: u64,
}

/// Creates the file with its first line already in it: nobody ever sees a journal without an owner.
pub(super) fn create(path: &Path, header: &Header) -> Result<File> {
    let mut line = json(header, path)?;
    line.push('\n');
    whole_file::create(path, line.as_bytes(), 0o600)
        .map_err(|e| Error::os("create the journal", path.display().to_string(), e))
}

fn json<T: Serialize>(value: &T, on: &Path) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Malformed {
        path: on.display().to_string(),
        line: 0,
        why: format!("cannot be written as JSON: {e}"),
    })
}

pub(super) fn change_line(number: u64, entry: &Entry) -> Result<String> {
    let mut line = json(&ChangeLine { n: number, entry: entry.clone() }, Path::new("journal"))?;
    line.push('\n');
    Ok(line)
}

pub(super) fn done_line(number: u64) -> String {
    format!("{{\"done\":{number}}}\n")
}

/// Appends whole lines, or nothing: half a line would spoil the one that is written behind it.
pub(super) fn append(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(lines).inspect_err(|_| {
        // What cannot be cut off either is cut off by whoever undoes.
        let _ = file.set_len(before);
    })
}

/// What a journal says.
pub(super) struct Contents {
    pub(super) header: Header,
    /// Changes that stand, in the order they were made.
    pub(super) standing: Vec<(u64, Entry)>,
    /// Lines that cannot be read, other than a last one cut short.
    pub(super) unreadable: Vec<Error>,
    /// Length up to the last whole line.
    whole: u64,
}

/// Reads what is there without a lock.
pub(super) fn read(path: &Path) -> Result<Contents> {
    let bytes = std::fs::read(path).map_err(|e| Error::os("read the journal", path.display().to_string(), e))?;
    parse(path, &bytes)
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Contents> {
    let malformed =
        |line: usize, why: String| Error::Malformed { path: path.display().to_string(), line: line + 1, why };
    // What follows the last newline was cut short while it was written: its change was never made.
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut lines = bytes.get(..whole).unwrap_or_default().split(|b| *b == b'\n').enumerate();
    let first = lines.next().map(|(_, line)| line).unwrap_or_default();
    let header: Header =
        serde_json::from_slice(first).map_err(|e| malformed(0, format!("is not the first line of a journal: {e}")))?;
    if header.journal != FORMAT {
        let why =
            format!("layout {} is of another version ({}): undo it with that one", header.journal, header.version);
        return Err(malformed(0, why));
    }
    let mut changes = Vec::new();
    let mut done = BTreeSet::new();
    let mut unreadable = Vec::new();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty()) {
        if let Ok(line) = serde_json::from_slice::<DoneLine>(line) {
            done.insert(line.done);
        } else {
            match serde_json::from_slice::<ChangeLine>(line) {
                Ok(line) => changes.push((line.n, line.entry)),
                Err(e) => unreadable.push(malformed(at, format!("is no change: {e}"))),
            }
        }
    }
    changes.retain(|(n, _)| !done.contains(n));
    Ok(Contents { header, standing: changes, unreadable, whole: whole as u64 })
}

/// A journal that only we undo.
pub(super) struct Locked {
    file: Flock<File>,
}

impl Locked {
    /// Waits for the lock; `None` when the journal is gone by then, undone by somebody else.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let on = || path.display().to_string();
        let file = match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::os("open the journal", on(), e)),
        };
        let mut file = file;
        let file = loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(locked) => break locked,
                Err((again, nix::errno::Errno::EINTR)) => file = again,
                Err((_, e)) => return Err(Error::os("lock the journal", on(), e)),
            }
        };
        let links = file.metadata().map_err(|e| Error::os("read the journal", on(), e))?.nlink();
        Ok((links > 0).then_some(Self { file }))
    }

    /// Reads the journal, and cuts off a last line that was not written whole.
    pub(super) fn read(&mut self, path: &Path) -> Result<Contents> {
        let on = || path.display().to_string();
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(|e| Error::os("read the journal", on(), e))?;
        let contents = parse(path, &bytes)?;
        if contents.whole < bytes.len() as u64 {
            self.file.set_len(contents.whole).map_err(|e| Error::os("mend the journal", on(), e))?;
        }
        Ok(contents)
    }

    pub(super) fn done(&mut self, path: &Path, number: u64) -> Result<()> {
        append(&mut self.file, done_line(number).as_bytes())
            .map_err(|e| Error::os("write the journal", path.display().to_string(), e))
    }

    pub(super) fn remove(self, path: &Path) -> Result<()> {
        std::fs::remove_file(path).map_err(|e| Error::os("remove the journal", path.display().to_string(), e))
    }
}
