//! Reading a packet log.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::Record;
use crate::record_log::{Fault, records};

/// Why a packet log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PacketLogError {
    /// The system said no.
    #[error("cannot read the packet log {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no packet log of `shaper webrtc load`, or of another version", .0.display())]
    NoPacketLog(PathBuf),
    /// A record is of a kind that is not known.
    #[error("{}: the record at byte {offset} is of no known kind", path.display())]
    BadRecord {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
}

/// The records of a packet log, in the order in which they were written: in order of time within a
/// client, not between clients. A record that is cut off, where a tester was killed, ends the log.
///
/// # Errors
///
/// [`PacketLogError`]; after one nothing more comes.
pub fn read_packet_log(path: &Path) -> Result<impl Iterator<Item = Result<Record, PacketLogError>>, PacketLogError> {
    let file = File::open(path).map_err(|source| PacketLogError::Io { path: path.to_owned(), source })?;
    packet_log_records(BufReader::new(file), path)
}

/// The same from any reader; `path` is what errors call it.
///
/// # Errors
///
/// [`PacketLogError`]; after one nothing more comes.
pub fn packet_log_records<R: Read>(
    file: R,
    path: &Path,
) -> Result<impl Iterator<Item = Result<Record, PacketLogError>> + use<R>, PacketLogError> {
    let path = path.to_owned();
    let said = move |fault| match fault {
        Fault::Io(source) => PacketLogError::Io { path: path.clone(), source },
        Fault::NoLog => PacketLogError::NoPacketLog(path.clone()),
        Fault::Unknown(offset) => PacketLogError::BadRecord { path: path.clone(), offset },
    };
    Ok(records(file).map_err(&said)?.map(move |record| record.map_err(&said)))
}
