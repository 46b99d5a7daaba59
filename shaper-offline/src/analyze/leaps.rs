//! Single stamps far from those around them: a broken record, not a time. Heeded, one of them would
//! keep everything behind it waiting, or end the wait of all before it.

use super::capture::Chosen;
use crate::pcapfile::Error;

/// How far from the packet before, in nanoseconds.
const LEAP: i64 = 60_000_000_000;
/// Packets behind one that are asked.
const ASKED: usize = 16;
/// Leaps of a file that are looked into: each is one more look at the file.
const LOOKS: u32 = 16;

/// What a stamp is, beside those around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A time.
    Time,
    /// Far from those before it, and nothing behind it tells which are right.
    Unsure,
    /// Far from those around it: no time.
    Away,
}

/// Finds them in one file.
#[derive(Debug, Default)]
pub(super) struct Leaps {
    /// The stamp before, as it stands in the file.
    latest: Option<i64>,
    looks: u32,
}

impl Leaps {
    /// What the stamp in the file of the packet of that index is.
    #[inline]
    pub(super) fn stamp(&mut self, chosen: &Chosen<'_>, index: u64, ts: i64) -> Result<Stamp, Error> {
        let near = self.latest.is_some_and(|latest| ts.abs_diff(latest) <= LEAP.unsigned_abs());
        let stamp = if near || self.looks >= LOOKS { Stamp::Time } else { self.look(chosen, index, ts)? };
        if stamp != Stamp::Away {
            self.latest = Some(ts);
        }
        Ok(stamp)
    }

    /// Looks at what follows: where most of it is back at the old level, the stamp was no time.
    #[cold]
    fn look(&mut self, chosen: &Chosen<'_>, index: u64, ts: i64) -> Result<Stamp, Error> {
        self.looks += 1;
        let mut reader = chosen.open()?;
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
        Ok(match asked {
            // Of a file of one packet there is nothing to be far from.
            0 if self.latest.is_some() => Stamp::Unsure,
            _ if back * 2 > asked => Stamp::Away,
            _ => Stamp::Time,
        })
    }
}
