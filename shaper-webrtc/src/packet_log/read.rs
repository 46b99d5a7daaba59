//! Reading a packet log.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{MAGIC, RECORD, Record};

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
    mut file: R,
    path: &Path,
) -> Result<impl Iterator<Item = Result<Record, PacketLogError>> + use<R>, PacketLogError> {
    let mut header = [0; RECORD];
    match file.read_exact(&mut header) {
        Err(source) if source.kind() != ErrorKind::UnexpectedEof => {
            return Err(PacketLogError::Io { path: path.to_owned(), source });
        }
        Ok(()) if header.starts_with(&MAGIC) => {}
        _ => return Err(PacketLogError::NoPacketLog(path.to_owned())),
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
            Ok(()) => Record::decode(&bytes).ok_or(PacketLogError::BadRecord { path: path.clone(), offset }),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                ended = true;
                return None;
            }
            Err(source) => Err(PacketLogError::Io { path: path.clone(), source }),
        };
        ended = record.is_err();
        offset += RECORD as u64;
        Some(record)
    }))
}
