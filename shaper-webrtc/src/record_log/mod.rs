//! Logs of records of one size, as the mapping log and the packet log are: a header, and then records, all of 48 bytes
//! and little-endian. What the records say is the logs' own.
//!
//! The header: a magic of 8 bytes, the size of a record, and at 24 and 32 CLOCK_MONOTONIC and CLOCK_REALTIME in
//! nanoseconds.

mod read;
mod write;

pub(crate) use read::{Fault, records};
pub(crate) use write::{Batch, Log};

/// The size of the header and of each record, in bytes.
pub(crate) const RECORD: usize = 48;

/// A record of a log.
pub(crate) trait Entry: Sized {
    /// What a file begins with.
    const MAGIC: [u8; 8];
    /// The name of the thread that writes it.
    const THREAD: &'static str;

    /// The record as the file has it.
    fn bytes(&self) -> [u8; RECORD];

    /// None for a kind that is not known.
    fn of_bytes(bytes: &[u8; RECORD]) -> Option<Self>;

    /// Two clocks at one moment, in nanoseconds.
    fn clock(monotonic_ns: u64, realtime_ns: u64) -> Self;

    /// So many records were lost on their way to the file.
    fn lost(records: u64) -> Self;
}

/// The fields of a record that is read.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8; RECORD]);

impl Fields<'_> {
    pub(crate) fn at<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    pub(crate) fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.at(offset))
    }

    pub(crate) fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.at(offset))
    }

    pub(crate) fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.at(offset))
    }
}

/// A record that is filled field by field.
pub(crate) struct Filling(pub(crate) [u8; RECORD]);

impl Filling {
    pub(crate) const fn new() -> Self {
        Self([0; RECORD])
    }

    pub(crate) fn put(&mut self, offset: usize, value: &[u8]) {
        if let Some(place) = self.0.get_mut(offset..offset + value.len()) {
            place.copy_from_slice(value);
        }
    }
}
