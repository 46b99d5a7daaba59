//! The ring of records, read.

use aya::maps::{MapData, RingBuf};
use shaper_common::layout::Record;

use super::pod::{self, RecordPod};

/// The records of all directions, in about the order they were made. The end of the iteration is the end for now:
/// more may come.
pub struct Records(pub(crate) RingBuf<MapData>);

impl Iterator for Records {
    type Item = Record;

    /// The next record; what is too short to be one is passed over.
    fn next(&mut self) -> Option<Record> {
        loop {
            let item = self.0.next()?;
            if let Some(RecordPod(record)) = pod::value(&item) {
                return Some(record);
            }
        }
    }
}
