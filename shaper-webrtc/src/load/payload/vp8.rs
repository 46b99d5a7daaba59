//! VP8 frames in RTP (RFC 7741; RFC 6386).
//!
//! The payload descriptor has a picture id of 15 bits. A frame begins with its tag and, if it is a key
//! frame, the start code and the picture's size. Its first partition is zeros, which the boolean
//! decoder reads as default settings and modes; what follows are residues, and any bytes are some.

use super::stamp::{STAMP, Stamp};

/// The largest payload in bytes.
pub(crate) const MOST: usize = 1100;
/// A descriptor with a picture id of 15 bits.
const DESCRIPTOR: usize = 4;
/// The first partition, in bytes.
const FIRST_PARTITION: usize = 32;
const KEY_HEADER: usize = 10;
/// The smallest frame that is made.
const LEAST: usize = DESCRIPTOR + KEY_HEADER + FIRST_PARTITION + STAMP;

/// A frame to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) key: bool,
    pub(crate) picture_id: u16,
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Payloads of all packets together, in bytes.
    pub(crate) bytes: usize,
}

impl Frame {
    /// How long the payload of each packet is: at least one, each with room for its stamp.
    pub(crate) fn packets(&self) -> Vec<usize> {
        let bytes = self.bytes.max(LEAST);
        let count = bytes.div_ceil(MOST);
        let each = bytes / count;
        let longer = bytes % count;
        (0..count).map(|index| (each + usize::from(index < longer)).max(LEAST)).collect()
    }

    /// The payload of a packet.
    pub(crate) fn payload(&self, first: bool, length: usize, frame_bytes: usize, stamp: &Stamp) -> Vec<u8> {
        // X; S where a partition begins; I and M: a picture id of 15 bits.
        let [high, low] = (self.picture_id & 0x7fff).to_be_bytes();
        let mut payload = Vec::with_capacity(length);
        payload.extend([if first { 0x90 } else { 0x80 }, 0x80, 0x80 | high, low]);
        if first {
            self.put_header(&mut payload, frame_bytes);
        }
        payload.resize(length.max(payload.len() + STAMP) - STAMP, 0xa5);
        stamp.put(&mut payload);
        payload
    }

    /// RFC 6386, section 9.1.
    fn put_header(&self, payload: &mut Vec<u8>, frame_bytes: usize) {
        let first_partition = u32::try_from(FIRST_PARTITION.min(frame_bytes)).unwrap_or(0);
        let shown = 1 << 4;
        let tag = u32::from(!self.key) | shown | (first_partition << 5);
        let [low, middle, high, _] = tag.to_le_bytes();
        payload.extend([low, middle, high]);
        if self.key {
            payload.extend([0x9d, 0x01, 0x2a]);
            payload.extend(self.width.to_le_bytes());
            payload.extend(self.height.to_le_bytes());
        }
        payload.resize(payload.len() + FIRST_PARTITION, 0);
    }
}

#[cfg(test)]
mod tests {
    use str0m::rtp::Vp8Descriptor;

    use super::*;

    const STAMPED: Stamp = Stamp { clock: 1, client: 2, track: 1, number: 3, time_ns: 4 };

    fn frame(key: bool, bytes: usize) -> Frame {
        Frame { key, picture_id: 0x1234, width: 1280, height: 720, bytes }
    }

    #[test]
    fn packets_share_a_frame_and_none_is_too_long_or_too_short() {
        for bytes in [0, 1, 500, 1100, 1101, 10_416, 60_000] {
            let packets = frame(true, bytes).packets();
            assert!(packets.iter().all(|length| (LEAST..=MOST).contains(length)), "{bytes}: {packets:?}");
            assert!(packets.iter().sum::<usize>() >= bytes);
            assert_eq!(packets.len(), bytes.div_ceil(MOST).max(1));
        }
    }

    #[test]
    fn a_key_frame_has_start_code_size_and_descriptor_and_each_packet_its_stamp() {
        let frame = frame(true, 5000);
        for (index, length) in frame.packets().into_iter().enumerate() {
            let payload = frame.payload(index == 0, length, 5000, &STAMPED);
            assert_eq!(payload.len(), length);
            assert_eq!(Stamp::read(&payload), Some(STAMPED));
            let descriptor = Vp8Descriptor::parse(&payload).unwrap();
            assert_eq!(descriptor.starts_keyframe(&payload), index == 0);
            assert_eq!(u16::from_be_bytes([payload[2], payload[3]]), 0x8000 | 0x1234);
            if index == 0 {
                assert_eq!(payload[4] & 1, 0);
                assert_eq!(&payload[7..10], &[0x9d, 0x01, 0x2a]);
                assert_eq!(u16::from_le_bytes([payload[10], payload[11]]), 1280);
                assert_eq!(u16::from_le_bytes([payload[12], payload[13]]), 720);
                let tag = u32::from_le_bytes([payload[4], payload[5], payload[6], 0]);
                assert!((tag >> 5) as usize <= 5000);
            }
        }
    }

    #[test]
    fn what_is_no_key_frame_does_not_begin_one() {
        let payload = frame(false, 800).payload(true, 800, 800, &STAMPED);
        assert!(!Vp8Descriptor::parse(&payload).unwrap().starts_keyframe(&payload));
        assert_eq!(payload[4] & 1, 1);
    }
}
