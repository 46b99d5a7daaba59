//! Reading a mapping log.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::Record;
use crate::record_log::{Fault, records};

/// Why a mapping log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MapLogError {
    /// The system said no.
    #[error("cannot read the mapping log {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no mapping log of `shaper webrtc serve`, or of another version", .0.display())]
    NoMapLog(PathBuf),
    /// A record is of a kind that is not known.
    #[error("{}: the record at byte {offset} is of no known kind", path.display())]
    BadRecord {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
}

/// The records of a mapping log, in the order in which they were written: in order of time within a
/// shard, not between shards. A record that is cut off, where a server was killed, ends the log.
///
/// # Errors
///
/// [`MapLogError`]; after one nothing more comes.
pub fn read_map_log(path: &Path) -> Result<impl Iterator<Item = Result<Record, MapLogError>>, MapLogError> {
    let file = File::open(path).map_err(|source| MapLogError::Io { path: path.to_owned(), source })?;
    map_log_records(BufReader::new(file), path)
}

/// The same from any reader; `path` is what errors call it.
///
/// # Errors
///
/// [`MapLogError`]; after one nothing more comes.
pub fn map_log_records<R: Read>(
    file: R,
    path: &Path,
) -> Result<impl Iterator<Item = Result<Record, MapLogError>> + use<R>, MapLogError> {
    let path = path.to_owned();
    let said = move |fault| match fault {
        Fault::Io(source) => MapLogError::Io { path: path.clone(), source },
        Fault::NoLog => MapLogError::NoMapLog(path.clone()),
        Fault::Unknown(offset) => MapLogError::BadRecord { path: path.clone(), offset },
    };
    Ok(records(file).map_err(&said)?.map(move |record| record.map_err(&said)))
}
