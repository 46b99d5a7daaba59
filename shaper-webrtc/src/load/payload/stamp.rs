//! Who sent a packet, which, and when: the last bytes of each payload, so that whatever a server does
//! to the descriptor in front does not move it.

use std::fs;
use std::sync::OnceLock;

/// The size in bytes.
pub(crate) const STAMP: usize = 28;
const MAGIC: [u8; 4] = *b"SHWL";

/// What a payload says of itself. Big-endian: magic, clock, client, track, number, time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Whose CLOCK_MONOTONIC the time is by; see [`this_clock`].
    pub(crate) clock: u32,
    pub(crate) client: u32,
    pub(crate) track: u32,
    /// Of the track, from 0, without gaps.
    pub(crate) number: u32,
    /// CLOCK_MONOTONIC when it was sent.
    pub(crate) time_ns: u64,
}

impl Stamp {
    /// Adds it to a payload.
    pub(crate) fn put(&self, payload: &mut Vec<u8>) {
        payload.extend(MAGIC);
        for word in [self.clock, self.client, self.track, self.number] {
            payload.extend(word.to_be_bytes());
        }
        payload.extend(self.time_ns.to_be_bytes());
    }

    /// None for a payload that is not ours.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; STAMP] = payload.last_chunk()?;
        let (magic, words) = bytes.split_first_chunk::<4>()?;
        let (clock, words) = words.split_first_chunk::<4>()?;
        let (client, words) = words.split_first_chunk::<4>()?;
        let (track, words) = words.split_first_chunk::<4>()?;
        let (number, time) = words.split_first_chunk::<4>()?;
        (*magic == MAGIC).then_some(Self {
            clock: u32::from_be_bytes(*clock),
            client: u32::from_be_bytes(*client),
            track: u32::from_be_bytes(*track),
            number: u32::from_be_bytes(*number),
            time_ns: u64::from_be_bytes(*time.first_chunk()?),
        })
    }
}

/// A number for the clock of this boot of this host: times of another are not compared with it.
pub(crate) fn this_clock() -> u32 {
    static CLOCK: OnceLock<u32> = OnceLock::new();
    *CLOCK.get_or_init(|| {
        let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        // FNV-1a.
        boot.iter().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stamp_is_read_behind_anything_and_is_as_long_as_it_says() {
        let stamp = Stamp { clock: 1, client: 2, track: 3, number: u32::MAX, time_ns: u64::MAX - 1 };
        let mut payload = vec![0xfc, 1, 2];
        stamp.put(&mut payload);
        assert_eq!(payload.len(), 3 + STAMP);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        payload.push(0);
        assert_eq!(Stamp::read(&payload), None);
    }

    proptest! {
        #[test]
        fn other_payloads_have_none(payload in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(Stamp::read(&payload), None);
        }
    }
}
