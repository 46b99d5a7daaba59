//! Tracks that go out: when their frames are due, and how large they are.

use std::time::{Duration, Instant};

use str0m::media::{Mid, Rid};
use str0m::stats::MediaEgressStats;

use crate::load::payload::vp8::Picture;
use crate::signal::rtp::MediaKind;

/// From one key frame to the next that nobody asks for.
const KEY_FRAME_EVERY: Duration = Duration::from_secs(5);
/// A key frame is so many times as large as the mean frame; the others are smaller for it.
const KEY_FRAME_SIZE: u64 = 3;

/// What a track is made with.
#[derive(Clone, Debug)]
pub(crate) struct NewTrack {
    /// What stamps call it: of this client's tracks no other has it.
    pub(crate) id: u32,
    pub(crate) mid: Mid,
    pub(crate) rid: Option<Rid>,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: Option<u32>,
    pub(crate) shape: Shape,
}

/// What its frames are like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Audio {
        dtx: bool,
        fec: bool,
    },
    Video {
        fps: u32,
        width: u16,
        height: u16,
        /// The most that this track takes, in bits a second.
        most: u64,
        /// Of what the transport has for video.
        share: f64,
    },
}

impl Shape {
    pub(crate) fn kind(&self) -> MediaKind {
        match self {
            Self::Audio { .. } => MediaKind::Audio,
            Self::Video { .. } => MediaKind::Video,
        }
    }

    pub(crate) fn clock_rate(&self) -> u32 {
        match self {
            Self::Audio { .. } => 48_000,
            Self::Video { .. } => 90_000,
        }
    }

    /// When a frame is due, from the first.
    pub(crate) fn due(&self, frame: u64) -> Duration {
        match self {
            Self::Audio { .. } => Duration::from_millis(frame.saturating_mul(20)),
            Self::Video { fps, .. } => {
                Duration::from_nanos(frame.saturating_mul(1_000_000_000) / u64::from((*fps).max(1)))
            }
        }
    }

    /// The RTP timestamp of a frame, from the first; it wraps.
    pub(crate) fn timestamp(&self, frame: u64) -> u32 {
        let ticks = match self {
            Self::Audio { .. } => frame.wrapping_mul(u64::from(super::super::payload::opus::TICKS)),
            Self::Video { fps, .. } => frame.wrapping_mul(90_000) / u64::from((*fps).max(1)),
        };
        // It has 32 bits on the wire.
        ticks as u32
    }
}

/// A track.
pub(crate) struct Track {
    pub(crate) new: NewTrack,
    /// When its first frame is due; none before the transport is up.
    pub(crate) began: Option<Instant>,
    /// The next frame.
    pub(crate) frame: u64,
    /// The number of the next packet.
    pub(crate) number: u32,
    /// What is added to that for the sequence number.
    pub(crate) first_sequence: u16,
    pub(crate) first_timestamp: u32,
    pub(crate) picture_id: u16,
    /// None for audio.
    pub(crate) picture: Option<Picture>,
    next_key_frame: u64,
    key_frame_asked: bool,
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
    pub(crate) key_frames: u64,
    /// CLOCK_MONOTONIC, and the number of the next packet then: about one a second.
    pub(crate) samples: Vec<(u64, u32)>,
    /// What str0m counted, and the far side reported, last.
    pub(crate) egress: Option<MediaEgressStats>,
}

impl Track {
    /// `random` is for what must not be guessed or the same (RFC 3550, section 5.1).
    pub(crate) fn new(new: NewTrack, random: u64) -> Self {
        let [low_0, low_1, high_0, high_1, id_0, id_1, ..] = random.to_le_bytes();
        let picture = match new.shape {
            Shape::Audio { .. } => None,
            Shape::Video { width, height, .. } => Some(Picture::new(width, height)),
        };
        Self {
            new,
            began: None,
            frame: 0,
            number: 0,
            // Below 2^15 the rollover counter of SRTP cannot be guessed wrong if the first packets are
            // lost (RFC 3711, section 3.3.1).
            first_sequence: u16::from_le_bytes([low_0, low_1]) & 0x7fff,
            first_timestamp: u32::from_le_bytes([low_0, low_1, high_0, high_1]),
            picture_id: u16::from_le_bytes([id_0, id_1]) & 0x7fff,
            picture,
            next_key_frame: 0,
            key_frame_asked: false,
            bytes: 0,
            frames: 0,
            key_frames: 0,
            samples: Vec::new(),
            egress: None,
        }
    }

    /// When the next frame is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.began.map(|began| began + self.new.shape.due(self.frame))
    }

    pub(crate) fn sequence(&self) -> u64 {
        u64::from(self.first_sequence) + u64::from(self.number)
    }

    pub(crate) fn timestamp(&self) -> u32 {
        self.first_timestamp.wrapping_add(self.new.shape.timestamp(self.frame))
    }

    pub(crate) fn ask_key_frame(&mut self) {
        self.key_frame_asked = true;
    }

    /// Whether the next frame is a key frame; noted as made.
    pub(crate) fn take_key_frame(&mut self) -> bool {
        let key = self.key_frame_asked || self.frame >= self.next_key_frame;
        if key {
            self.key_frame_asked = false;
            self.next_key_frame = self.frame + self.key_frame_period();
            self.key_frames += 1;
        }
        key
    }

    fn key_frame_period(&self) -> u64 {
        match self.new.shape {
            Shape::Audio { .. } => u64::MAX,
            Shape::Video { fps, .. } => (u64::from(fps) * KEY_FRAME_EVERY.as_secs()).max(KEY_FRAME_SIZE + 1),
        }
    }

    /// The payload bytes of a frame of video, so that the mean over a period of key frames is the rate.
    pub(crate) fn frame_bytes(&self, bits_per_second: u64, key: bool) -> usize {
        let Shape::Video { fps, .. } = self.new.shape else { return 0 };
        let mean = bits_per_second / 8 / u64::from(fps.max(1));
        let bytes = if key {
            mean * KEY_FRAME_SIZE
        } else {
            let period = self.key_frame_period();
            mean * (period - KEY_FRAME_SIZE) / (period - 1)
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(fps: u32) -> Track {
        let shape = Shape::Video { fps, width: 1280, height: 720, most: 2_500_000, share: 1.0 };
        let new = NewTrack { id: 1, mid: Mid::from("1"), rid: None, ssrc: 1, rtx_ssrc: None, shape };
        Track::new(new, u64::MAX)
    }

    #[test]
    fn key_frames_come_every_5_s_and_when_asked_for_and_the_mean_rate_holds() {
        let mut track = video(30);
        let mut keys = Vec::new();
        let mut bytes = 0;
        for frame in 0..450 {
            track.frame = frame;
            let key = track.take_key_frame();
            bytes += track.frame_bytes(2_400_000, key);
            if key {
                keys.push(frame);
            }
        }
        assert_eq!(keys, [0, 150, 300]);
        assert!((bytes as f64 / 450.0 / 10_000.0 - 1.0).abs() < 0.001, "{bytes}");
        track.frame = 460;
        assert!(track.take_key_frame(), "that of 450 was not made");
        track.frame = 461;
        track.ask_key_frame();
        assert!(track.take_key_frame());
        track.frame = 462;
        assert!(!track.take_key_frame());
    }

    #[test]
    fn frames_are_due_at_multiples_that_do_not_drift() {
        let track = video(30);
        assert_eq!(track.new.shape.due(30), Duration::from_secs(1));
        assert_eq!(track.new.shape.due(90_000), Duration::from_secs(3000));
        assert_eq!(track.new.shape.timestamp(30), 90_000);
        let audio = Shape::Audio { dtx: false, fec: false };
        assert_eq!((audio.due(50), audio.timestamp(50)), (Duration::from_secs(1), 48_000));
    }
}
