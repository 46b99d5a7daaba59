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
        let mut packets = Vec::new();
        let mut bypass = 0;
        while let Some(packet) = reader.next_packet()? {
            match (key(packet.data), packet.ts_ns) {
                (Some(found), Some(ts)) => {
                    packets.push(Keyed { key: self::key(&found, packet.origlen), ts, position: packet.index })
                }
                _ => bypass += 1,
            }
        }
        let count = reader.packets();
        Ok(Self { packets: by_key(packets.into_iter()), count, bypass })
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
