//! Reading a mapping log.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{MAGIC, RECORD, Record};

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
    mut file: R,
    path: &Path,
) -> Result<impl Iterator<Item = Result<Record, MapLogError>> + use<R>, MapLogError> {
    let mut header = [0; RECORD];
    match file.read_exact(&mut header) {
        Err(source) if source.kind() != ErrorKind::UnexpectedEof => {
            return Err(MapLogError::Io { path: path.to_owned(), source });
        }
        Ok(()) if header.starts_with(&MAGIC) => {}
        _ => return Err(MapLogError::NoMapLog(path.to_owned())),
    }
    let path = path.to_owned();
    let mut offset = RECORD as u64;
    let mut ended = false;
    Ok(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut bytes = [0; RECORD];
        let record = match file.read_exact(&mut bytes) {
            Ok(()) => Record::decode(&bytes).ok_or(MapLogError::BadRecord { path: path.clone(), offset }),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                ended = true;
                return None;
            }
            Err(source) => Err(MapLogError::Io { path: path.clone(), source }),
        };
        ended = record.is_err();
        offset += RECORD as u64;
        Some(record)
    }))
}
