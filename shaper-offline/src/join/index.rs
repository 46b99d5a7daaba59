//! A capture reduced to what the join needs: key, time and position of each packet.

use crate::{
    analyze::mix,
    pcapfile::{Error, Reader},
};

/// What a packet has in common with its record; computed by the engine's own parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Flow hash.
    pub flow_hash: u32,
    /// Layer-4 checksum.
    pub l4_checksum: u16,
}

/// A packet or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keyed {
    pub(super) key: u64,
    /// Nanoseconds since the epoch.
    pub(super) ts: i64,
    /// Index of the packet in its file, or of the record in the caller's list.
    pub(super) position: u64,
}

/// Flow hash, checksum and length make the key; 80 bits folded to 64.
pub(super) fn key(key: &Key, length: u32) -> u64 {
    let word = u64::from(key.flow_hash) << 32 | u64::from(length);
    mix(word, u64::from(key.l4_checksum))
}

/// Which way a captured packet went at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is of another point.
    Elsewhere,
    /// Nobody told.
    EitherWay,
    /// It entered the link.
    Entering,
    /// It left the link.
    Leaving,
}

impl Seen {
    /// A key that only packets of this way have.
    pub(super) fn of(self, key: u64) -> u64 {
        match self {
            Self::Elsewhere | Self::EitherWay => key,
            Self::Entering => mix(key, 1),
            Self::Leaving => mix(key, 2),
        }
    }
}

/// Sorts by key, then by time.
pub(super) fn by_key(items: impl Iterator<Item = Keyed>) -> Vec<Keyed> {
    let mut items: Vec<Keyed> = items.collect();
    items.sort_unstable_by_key(|item| (item.key, item.ts, item.position));
    items
}

/// One capture, indexed.
#[derive(Clone, Debug, Default)]
pub struct CaptureIndex {
    pub(super) packets: Vec<Keyed>,
    pub(super) count: u64,
    /// Packets in its file: positions are below it.
    pub(super) positions: u64,
    /// Whether it is told of each packet which way it went. A packet and its answer may look alike.
    pub(super) is_told: bool,
    /// Packets without a key: what the engine neither impairs nor counts.
    pub(super) bypass: u64,
}

impl CaptureIndex {
    /// Reads a capture; `key` is the engine's parser, `None` for what bypasses the engine.
    /// Packets without a stamp cannot be joined and count as bypassing.
    ///
    /// # Errors
    /// [`Error`] if the capture cannot be read; a cut tail is none.
    pub fn read(reader: &mut Reader, key: impl Fn(&[u8]) -> Option<Key>) -> Result<Self, Error> {
        Self::read_of(reader, |_| Seen::EitherWay, key)
    }

    /// The same where a file holds several points, or tells by the number of the interface which way packets went: of all
    /// packets of the point, or of none.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_of(
        reader: &mut Reader,
        seen: impl Fn(u32) -> Seen,
        key: impl Fn(&[u8]) -> Option<Key>,
    ) -> Result<Self, Error> {
        let mut packets = Vec::new();
        let (mut bypass, mut count, mut is_told) = (0, 0, false);
        while let Some(packet) = reader.next_packet()? {
            let seen = seen(packet.interface);
            if seen == Seen::Elsewhere {
                continue;
            }
            is_told |= seen != Seen::EitherWay;
            count += 1;
            match (key(packet.data), packet.ts_ns) {
                (Some(found), Some(ts)) => {
                    let key = seen.of(self::key(&found, packet.origlen));
                    packets.push(Keyed { key, ts, position: packet.index });
                }
                _ => bypass += 1,
            }
        }
        Ok(Self { packets: by_key(packets.into_iter()), count, positions: reader.packets(), is_told, bypass })
    }

    /// The key at this point of what went this way.
    pub(super) fn key(&self, way: Seen, key: u64) -> u64 {
        if self.is_told { way.of(key) } else { key }
    }

    /// Packets in the capture.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether the capture has no packet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
