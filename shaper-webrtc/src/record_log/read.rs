//! Reading a log.

use std::io::{self, ErrorKind, Read};
use std::marker::PhantomData;

use super::{Entry, RECORD};

/// Why a log cannot be read on.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The system said no.
    Io(io::Error),
    /// It is something else.
    NoLog,
    /// The record at this byte is of a kind that is not known.
    Unknown(u64),
}

/// The records of a log. One that is cut off, where its writer was killed, ends it; after a fault nothing more comes.
pub(crate) fn records<E: Entry, R: Read>(mut file: R) -> Result<Records<E, R>, Fault> {
    let mut header = [0; RECORD];
    match file.read_exact(&mut header) {
        Err(source) if source.kind() != ErrorKind::UnexpectedEof => Err(Fault::Io(source)),
        Ok(()) if header.starts_with(&E::MAGIC) => {
            Ok(Records { file, offset: RECORD as u64, ended: false, of: PhantomData })
        }
        _ => Err(Fault::NoLog),
    }
}

/// Those that are still to be read.
pub(crate) struct Records<E, R> {
    file: R,
    offset: u64,
    ended: bool,
    of: PhantomData<E>,
}

impl<E: Entry, R: Read> Iterator for Records<E, R> {
    type Item = Result<E, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut bytes = [0; RECORD];
        let record = match self.file.read_exact(&mut bytes) {
            Ok(()) => E::of_bytes(&bytes).ok_or(Fault::Unknown(self.offset)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.ended = true;
                return None;
            }
            Err(source) => Err(Fault::Io(source)),
        };
        self.ended = record.is_err();
        self.offset += RECORD as u64;
        Some(record)
    }
}
