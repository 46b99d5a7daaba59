//! The rings of records and releases, read.

use aya::maps::{MapData, RingBuf};
use shaper_common::layout::{Record, Release};

use super::pod::{self, RecordPod, ReleasePod};

/// The records of all directions, in about the order they were made. The end of the iteration is the end for now:
/// more may come.
pub struct Records(pub(crate) RingBuf<MapData>);

impl Iterator for Records {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        next(&mut self.0).map(|RecordPod(record)| record)
    }
}

/// What came out of `fq`, of all directions, in about the order it did. Its end is the end for now too.
pub struct Releases(pub(crate) RingBuf<MapData>);

impl Iterator for Releases {
    type Item = Release;

    fn next(&mut self) -> Option<Release> {
        next(&mut self.0).map(|ReleasePod(release)| release)
    }
}

/// The next entry of a ring; what is too short to be one is passed over.
fn next<T: aya::Pod>(ring: &mut RingBuf<MapData>) -> Option<T> {
    loop {
        let item = ring.next()?;
        if let Some(entry) = pod::value(&item) {
            return Some(entry);
        }
    }
}
