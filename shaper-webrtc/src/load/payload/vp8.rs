//! VP8 frames in RTP (RFC 7741; RFC 6386).
//!
//! The payload descriptor has a picture id of 15 bits. A key frame is a picture of one colour, and those that follow
//! repeat it; see [`super::vp8_modes`]. The rest of a frame's bytes is behind what a decoder reads.
//!
//! The modes of a large key frame do not fit into its first packet, and the stamp at the end of that is then read as
//! modes, as is all that comes after it: some macroblocks look otherwise, and a few of them have residues. Any bytes
//! are some, and there are enough of them.

use super::stamp::{STAMP, Stamp};
use super::vp8_modes::{self, macroblocks};

/// The largest payload in bytes.
pub(crate) const MOST: usize = 1100;
/// A descriptor with a picture id of 15 bits.
const DESCRIPTOR: usize = 4;
const KEY_HEADER: usize = 10;
/// The least that is left for the last packet: a descriptor and a stamp.
const LEAST: usize = DESCRIPTOR + STAMP;
/// What arbitrary bytes take for the modes of a macroblock of a key frame, in bytes, with room: by the probabilities of
/// modes it is some 26 bits.
const ARBITRARY_MODES: usize = 4;
/// And for the residues of all macroblocks together that have any: about one of 200.
const ARBITRARY_RESIDUES: usize = 1;
const FILLER: u8 = 0xa5;

/// Frames of one size.
pub(crate) struct Picture {
    key: Frame,
    /// As the picture before.
    repeat: Frame,
}

/// How a frame begins, which never changes, and how many bytes of it a decoder reads.
struct Frame {
    begins: Vec<u8>,
    read: usize,
}

impl Picture {
    pub(crate) fn new(width: u16, height: u16) -> Self {
        let modes = vp8_modes::key(width, height);
        let (columns, rows) = macroblocks(width, height);
        let in_first = MOST - LEAST - KEY_HEADER;
        let (partition, residues) = if modes.len() <= in_first {
            (modes.len(), 0)
        } else {
            let arbitrary = columns * rows * (modes.len() - in_first) / modes.len();
            (in_first + ARBITRARY_MODES * arbitrary, ARBITRARY_RESIDUES * arbitrary)
        };
        let mut begins = tag(true, partition).to_vec();
        begins.extend([0x9d, 0x01, 0x2a]);
        begins.extend(width.to_le_bytes());
        begins.extend(height.to_le_bytes());
        begins.extend(modes);
        let key = Frame { read: KEY_HEADER + partition + residues, begins };
        let modes = vp8_modes::repeat(width, height);
        let begins = [&tag(false, modes.len())[..], &modes].concat();
        Self { key, repeat: Frame { read: begins.len(), begins } }
    }

    /// The payloads of a frame of so many bytes, or as many as it takes; each packet's stamp by its place.
    pub(crate) fn payloads(
        &self,
        key: bool,
        picture_id: u16,
        bytes: usize,
        stamp: impl Fn(u32) -> Stamp,
    ) -> Vec<Vec<u8>> {
        let frame = if key { &self.key } else { &self.repeat };
        let [high, low] = (picture_id & 0x7fff).to_be_bytes();
        let mut begins = frame.begins.as_slice();
        let packet = |(place, length): (u32, usize)| {
            // X; S where a partition begins; I and M: a picture id of 15 bits.
            let mut payload = Vec::with_capacity(length);
            payload.extend([if place == 0 { 0x90 } else { 0x80 }, 0x80, 0x80 | high, low]);
            let (here, rest) = begins.split_at(begins.len().min(length - LEAST));
            payload.extend_from_slice(here);
            payload.resize(length - STAMP, FILLER);
            // Who reads on reads the stamp in place of what would stand there.
            begins = rest.get(STAMP..).unwrap_or_default();
            stamp(place).put(&mut payload);
            payload
        };
        (0..).zip(frame.lengths(key, bytes)).map(packet).collect()
    }
}

impl Frame {
    /// How long the payload of each packet is. The first of a key frame takes as much as it can of what is read.
    fn lengths(&self, key: bool, bytes: usize) -> Vec<usize> {
        let least = (self.read + STAMP).div_ceil(MOST - DESCRIPTOR) * DESCRIPTOR + self.read + STAMP;
        let bytes = bytes.max(least);
        let first = if key { MOST.min(bytes) } else { 0 };
        let count = (bytes - first).div_ceil(MOST);
        let (each, longer) = ((bytes - first).checked_div(count).unwrap_or(0), (bytes - first).checked_rem(count));
        let even = (0..count).map(|index| (each + usize::from(Some(index) < longer)).max(LEAST));
        (first > 0).then_some(first).into_iter().chain(even).collect()
    }
}

/// How each frame begins (RFC 6386, section 9.1); the size of the first partition has 19 bits, half a megabyte.
fn tag(key: bool, partition: usize) -> [u8; 3] {
    let shown = 1 << 4;
    let tag = u32::from(!key) | shown | u32::try_from(partition).unwrap_or(0) << 5;
    let [low, middle, high, _] = tag.to_le_bytes();
    [low, middle, high]
}

#[cfg(test)]
mod tests {
    use str0m::rtp::Vp8Descriptor;

    use super::*;

    const STAMPED: Stamp = Stamp { clock: 1, client: 2, track: 1, number: 3, time_ns: 4 };

    fn payloads(picture: &Picture, key: bool, bytes: usize) -> Vec<Vec<u8>> {
        picture.payloads(key, 0x1234, bytes, |place| Stamp { number: place, ..STAMPED })
    }

    #[test]
    fn packets_share_a_frame_and_none_is_too_long_or_too_short() {
        let picture = Picture::new(320, 180);
        for (key, bytes) in
            [0, 1, 500, 1100, 1101, 1110, 10_416, 60_000].into_iter().flat_map(|n| [(true, n), (false, n)])
        {
            let packets = payloads(&picture, key, bytes);
            let lengths: Vec<usize> = packets.iter().map(Vec::len).collect();
            assert!(lengths.iter().all(|length| (LEAST..=MOST).contains(length)), "{bytes}: {lengths:?}");
            assert!((bytes..bytes.max(300) + LEAST).contains(&lengths.iter().sum()), "{bytes}: {lengths:?}");
            assert_eq!(packets.len(), bytes.max(300).div_ceil(MOST), "{bytes}");
        }
    }

    #[test]
    fn a_key_frame_has_start_code_size_and_descriptor_and_each_packet_its_stamp() {
        for (index, payload) in payloads(&Picture::new(1280, 720), true, 9_000).iter().enumerate() {
            assert_eq!(Stamp::read(payload), Some(Stamp { number: index as u32, ..STAMPED }));
            let descriptor = Vp8Descriptor::parse(payload).unwrap();
            assert_eq!(descriptor.starts_keyframe(payload), index == 0);
            assert_eq!(u16::from_be_bytes([payload[2], payload[3]]), 0x8000 | 0x1234);
            if index == 0 {
                assert_eq!(payload[4] & 1, 0);
                assert_eq!(&payload[7..10], &[0x9d, 0x01, 0x2a]);
                assert_eq!(u16::from_le_bytes([payload[10], payload[11]]), 1280);
                assert_eq!(u16::from_le_bytes([payload[12], payload[13]]), 720);
                let tag = u32::from_le_bytes([payload[4], payload[5], payload[6], 0]);
                assert!((tag >> 5) as usize <= 9_000);
            }
        }
    }

    #[test]
    fn what_is_no_key_frame_does_not_begin_one() {
        let [payload] = &payloads(&Picture::new(1280, 720), false, 800)[..] else { panic!() };
        assert!(!Vp8Descriptor::parse(payload).unwrap().starts_keyframe(payload));
        assert_eq!(payload[4] & 1, 1);
    }

    /// A picture of the web is a key frame in a box.
    fn decoded(frame: &[u8]) -> Result<Vec<u8>, image_webp::DecodingError> {
        let odd = frame.len() % 2;
        let size = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
        let mut file = Vec::from(b"RIFF");
        file.extend(size(4 + 8 + frame.len() + odd));
        file.extend(b"WEBPVP8 ");
        file.extend(size(frame.len()));
        file.extend(frame);
        file.resize(file.len() + odd, 0);
        let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(file))?;
        let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
        decoder.read_image(&mut pixels)?;
        Ok(pixels)
    }

    #[test]
    fn a_decoder_takes_key_frames_of_all_sizes_whatever_their_stamps_say() {
        for (width, height, is_one_colour) in
            [(160, 90, true), (320, 180, true), (854, 480, true), (1280, 720, false), (1920, 1080, false)]
        {
            let picture = Picture::new(width, height);
            for (number, bytes) in [0, 3_000, 31_000, 60_000].into_iter().cycle().take(8).enumerate() {
                let stamp = |place: u32| Stamp {
                    clock: 0x9e37_79b9,
                    number: place + 40 * number as u32,
                    time_ns: 0x0123_4567_89ab * (number as u64 + 1),
                    ..STAMPED
                };
                let packets = picture.payloads(true, 7, bytes, stamp);
                let frame: Vec<u8> = packets.iter().flat_map(|payload| &payload[DESCRIPTOR..]).copied().collect();
                let pixels = decoded(&frame).unwrap();
                assert_eq!(pixels.len(), usize::from(width) * usize::from(height) * 3);
                let same = pixels.iter().filter(|value| **value == pixels[0]).count();
                assert_eq!(same == pixels.len(), is_one_colour, "{width} x {height}: {same} of {}", pixels.len());
            }
        }
    }
}
