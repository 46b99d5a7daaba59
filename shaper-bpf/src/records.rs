//! The ring of records, read.

use aya::maps::{MapData, RingBuf};
use shaper_common::layout::Record;

/// The records of all directions, in about the order they were made.
pub struct Records(pub(crate) RingBuf<MapData>);

impl Records {
    /// The next record; `None` when there is none for now. What is too short to be one is passed over.
    pub fn next_record(&mut self) -> Option<Record> {
        loop {
            let item = self.0.next()?;
            if let Some(record) = Record::from_bytes(&item) {
                return Some(record);
            }
        }
    }
}
