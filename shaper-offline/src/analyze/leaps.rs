//! Single stamps far from those around them: a broken record, not a time. Heeded, one of them would
//! keep everything behind it waiting, or end the wait of all before it.

use super::capture::Chosen;
use crate::pcapfile::{Error, Reader};

/// How far from the packet before, in nanoseconds.
const LEAP: i64 = 60_000_000_000;
/// Packets behind one that are asked.
const ASKED: usize = 16;
/// Leaps of a file that are looked into: each is one more look at the file.
const LOOKS: u32 = 16;

/// Finds them in one file.
#[derive(Debug, Default)]
pub(super) struct Leaps {
    /// The stamp before, as it stands in the file.
    latest: Option<i64>,
    looks: u32,
}

impl Leaps {
    /// Whether the packet of that index, with that stamp in the file, is stamped far from those
    /// around it.
    #[inline]
    pub(super) fn away(&mut self, chosen: &Chosen<'_>, index: u64, ts: i64) -> Result<bool, Error> {
        let near = self.latest.is_some_and(|latest| ts.abs_diff(latest) <= LEAP.unsigned_abs());
        let away = !near && self.looks < LOOKS && self.look(chosen, index, ts)?;
        if !away {
            self.latest = Some(ts);
        }
        Ok(away)
    }

    /// Looks at what follows: where most of it is back at the old level, the stamp was no time.
    #[cold]
    fn look(&mut self, chosen: &Chosen<'_>, index: u64, ts: i64) -> Result<bool, Error> {
        self.looks += 1;
        let mut reader = Reader::open(chosen.path)?;
        let (mut asked, mut back) = (0, 0);
        while asked < ASKED
            && let Some(packet) = reader.next_packet()?
        {
            if packet.index <= index || !chosen.has(packet.interface) {
                continue;
            }
            let Some(next) = packet.ts_ns else { continue };
            asked += 1;
            back += usize::from(match self.latest {
                Some(latest) if ts < latest => next > ts.saturating_add(LEAP) && next >= latest.saturating_sub(LEAP),
                _ => next < ts.saturating_sub(LEAP),
            });
        }
        Ok(back * 2 > asked)
    }
}
