//! Opus packets (RFC 6716): one frame of 20 ms, stereo. The table of contents and the frame's first flags are as an
//! encoder would set them, the rest of the frame is arbitrary. A frame of CELT says that it is silent, so that nobody
//! who listens to a room of these is deafened; with in-band error correction, which CELT does not have, a decoder plays
//! noise.

use super::stamp::{STAMP, Stamp};

/// From one frame to the next, in ticks of 48 kHz.
pub(crate) const TICKS: u32 = 960;
/// 48 kbit/s of payload.
const BYTES: usize = 120;
/// With in-band error correction the frame before comes along, coarser: 64 kbit/s.
const BYTES_WITH_FEC: usize = 160;
/// Frames that a talker speaks for, and is silent for.
const SPURT: u64 = 100;
/// In silence one frame of comfort noise in so many (400 ms).
const COMFORT_NOISE_EVERY: u64 = 20;

/// Section 3.1: configuration, stereo, and code 0 for one frame.
const fn toc(configuration: u8) -> u8 {
    (configuration << 3) | (1 << 2)
}

/// CELT alone, fullband, 20 ms.
const CELT: u8 = toc(31);
/// SILK and CELT, fullband, 20 ms: error correction is SILK's.
const HYBRID: u8 = toc(15);
/// Section 4.3: the flag of a silent frame has a probability of one in 32,768, and the range decoder reads it from bits
/// that are all set. What follows is not read then.
const SILENT: u8 = 0xff;
/// Section 4.2.3: the first bits of a SILK frame, of probability one half each: voice activity and
/// error correction (LBRR), of the middle and of the side.
const VOICE_AND_LBRR: u8 = 0xf0;

/// What is sent at a frame's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Speech; the first of a spurt carries the marker (RFC 3551, section 4.1).
    Speech {
        first: bool,
    },
    ComfortNoise,
    Nothing,
}

/// What is sent at the time of frame `index`: without discontinuous transmission always speech.
pub(crate) fn frame(index: u64, dtx: bool) -> Frame {
    if !dtx {
        return Frame::Speech { first: index == 0 };
    }
    let within = index % (2 * SPURT);
    match within.checked_sub(SPURT) {
        None => Frame::Speech { first: within == 0 },
        Some(silent) if silent % COMFORT_NOISE_EVERY == 0 => Frame::ComfortNoise,
        Some(_) => Frame::Nothing,
    }
}

/// The payload; none where nothing is sent.
pub(crate) fn payload(frame: Frame, fec: bool, stamp: &Stamp) -> Option<Vec<u8>> {
    let length = match frame {
        Frame::Nothing => return None,
        // As short as the stamp allows.
        Frame::ComfortNoise => 2 + STAMP,
        Frame::Speech { .. } if fec => BYTES_WITH_FEC,
        Frame::Speech { .. } => BYTES,
    };
    let mut payload = Vec::with_capacity(length);
    payload.extend(if fec { [HYBRID, VOICE_AND_LBRR] } else { [CELT, SILENT] });
    payload.resize(length - STAMP, if fec { 0x55 } else { SILENT });
    stamp.put(&mut payload);
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMPED: Stamp = Stamp { clock: 1, client: 2, track: 0, number: 3, time_ns: 4 };

    #[test]
    fn the_table_of_contents_says_one_stereo_frame_of_20_ms() {
        for (fec, configuration) in [(false, 31), (true, 15)] {
            let payload = payload(Frame::Speech { first: true }, fec, &STAMPED).unwrap();
            assert_eq!((payload[0] >> 3, payload[0] >> 2 & 1, payload[0] & 3), (configuration, 1, 0));
            assert_eq!(Stamp::read(&payload), Some(STAMPED));
        }
    }

    #[test]
    fn silence_is_a_frame_each_400_ms_and_speech_begins_with_a_marker() {
        let frames: Vec<Frame> = (0..400).map(|index| frame(index, true)).collect();
        let count = |wanted: Frame| frames.iter().filter(|frame| **frame == wanted).count();
        assert_eq!(count(Frame::Speech { first: true }), 2);
        assert_eq!(count(Frame::Speech { first: false }), 198);
        assert_eq!(count(Frame::ComfortNoise), 10);
        assert_eq!(payload(Frame::Nothing, false, &STAMPED), None);
        assert!((0..400).all(|index| matches!(frame(index, false), Frame::Speech { .. })));
    }
}
