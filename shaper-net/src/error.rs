//! The error of this crate: what was tried, on what, why it failed, and what to do.

use std::io;

use crate::journal::UndoReport;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong while a host is changed, or while a change is undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{on}: cannot {tried}: {why}{}", advice(.source))]
    Os {
        /// What was tried, as a verb phrase.
        tried: String,
        /// The interface, namespace, file or process it was tried on.
        on: String,
        /// The kernel's reason, in its own words when it gave any.
        why: String,
        /// The error number.
        source: io::Error,
    },
    /// A name that the kernel or the file system would not take.
    #[error("{name:?} cannot name {what}: {why}")]
    BadName {
        /// The name.
        name: String,
        /// What it should have named.
        what: &'static str,
        /// Why it cannot.
        why: &'static str,
    },
    /// Something of this name stands already.
    #[error("{what} {name:?} exists already: choose another name, or remove it if nothing uses it")]
    Exists {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Nothing of this name is there.
    #[error("there is no {what} {name:?}{}", place(.within))]
    Missing {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for; may be empty.
        within: String,
    },
    /// A value outside of what is possible.
    #[error("{what} is {got}: {why}")]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// Its value.
        got: String,
        /// What is possible.
        why: &'static str,
    },
    /// A file that is not what it should be.
    #[error("{path}: line {line}: {why}")]
    Malformed {
        /// The file.
        path: String,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The journal has been undone; nothing may be changed under it any more.
    #[error("{path}: the journal is closed (all of it was undone): nothing can be changed under it")]
    JournalClosed {
        /// The journal file.
        path: String,
    },
    /// Some changes could not be taken back.
    #[error("{0}")]
    Undo(UndoReport),
    /// A helper process did not do what it was started for.
    #[error("{name}: {why}")]
    Child {
        /// The process.
        name: String,
        /// What happened.
        why: String,
    },
    /// A message from the kernel that cannot be understood.
    #[error("{on}: cannot {tried}: the kernel's answer is not understood: {why}")]
    Protocol {
        /// What was tried.
        tried: String,
        /// On what.
        on: String,
        /// What is wrong with the answer.
        why: String,
    },
}

fn place(within: &str) -> String {
    if within.is_empty() { String::new() } else { format!(" in {within}") }
}

fn advice(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ": run as root (CAP_NET_ADMIN and CAP_SYS_ADMIN)",
        Some(libc::EMFILE | libc::ENFILE) => ": raise the limit of open files (ulimit -n)",
        _ => "",
    }
}

impl Error {
    pub(crate) fn os(tried: impl Into<String>, on: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        Self::Os { tried: tried.into(), on: on.into(), why: source.to_string(), source }
    }

    /// The error number, where the operating system gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Os { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
