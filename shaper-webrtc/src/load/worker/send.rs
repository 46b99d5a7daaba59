//! Frames that are due, and datagrams on their way out.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use str0m::media::MediaKind as RtcKind;
use str0m::rtp::{ExtensionValues, RtpWrite, Ssrc};

use super::Shared;
use super::command::Happened;
use super::leg::{Leg, Outgoing};
use super::track::{NewTrack, Shape, Track};
use crate::guard;
use crate::load::payload::opus;
use crate::load::payload::stamp::{Stamp, this_clock};
use crate::packet_log::{Record, Sent, Stream as LoggedStream};
use crate::rtp_header::rtp_numbers;
use crate::signal::codecs;
use crate::signal::rtp::MediaKind;

/// What of the estimate video takes: the rest is headers, audio and retransmissions.
const VIDEO_SHARE: f64 = 0.85;
/// Video takes at least this, in bits a second.
const LEAST_VIDEO: u64 = 50_000;
/// Packets that are remembered until they leave.
const KEPT_BACK: usize = 4096;
/// As loud as speech (RFC 6464), in decibels below full scale.
const SPEECH_LEVEL: i8 = -20;

impl Leg {
    /// Declares tracks; where SDP has made their streams these are used.
    pub(super) fn publish(&mut self, tracks: Vec<NewTrack>, shared: &mut Shared, now: Instant) -> Result<(), String> {
        let rtc = &mut self.new.rtc;
        guard::guarded(|| {
            for track in &tracks {
                let ssrc = Ssrc::from(track.ssrc);
                // Layers of one track share a media section.
                if rtc.media(track.mid).is_none() {
                    let kind = match track.shape.kind() {
                        MediaKind::Audio => RtcKind::Audio,
                        MediaKind::Video => RtcKind::Video,
                    };
                    rtc.direct_api().declare_media(track.mid, kind);
                }
                let mut api = rtc.direct_api();
                if api.stream_tx(&ssrc).is_none() {
                    api.declare_stream_tx(ssrc, track.rtx_ssrc.map(Ssrc::from), track.mid, track.rid);
                }
                if let Some(stream) = api.stream_tx(&ssrc) {
                    // A pacer would hold frames back, and the schedule would not be ours.
                    stream.set_unpaced(true);
                }
            }
            Ok(())
        })?;
        for new in tracks {
            if let Some(log) = &mut shared.log {
                log.push(&Record::Stream(LoggedStream {
                    client: u32::try_from(self.new.client).unwrap_or(u32::MAX),
                    out: true,
                    video: new.shape.kind() == MediaKind::Video,
                    ssrc: new.ssrc,
                    rtx_ssrc: new.rtx_ssrc.unwrap_or(0),
                    track: new.id,
                    from: u32::try_from(self.new.client).unwrap_or(u32::MAX),
                }));
            }
            let random = getrandom::u64().map_err(|error| format!("no random number: {error}"))?;
            self.tracks.push(Track::new(new, random));
        }
        self.begin_tracks(shared, now);
        Ok(())
    }

    /// Begins the schedule of all tracks that have none, if the leg is up.
    pub(super) fn begin_tracks(&mut self, shared: &mut Shared, now: Instant) {
        if !self.connected || !shared.sending {
            return;
        }
        // Layers of one track have one clock.
        let first_timestamp = self.tracks.iter().map(|track| track.first_timestamp).next();
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if track.began.is_none() {
                track.began = Some(now);
                if track.new.rid.is_some() {
                    track.first_timestamp = first_timestamp.unwrap_or(track.first_timestamp);
                }
                shared.timers.set_frame(now, self.new.number, index);
            }
        }
    }

    /// Sends a frame that was due, and sets the time of the next.
    pub(super) fn send_frame(&mut self, index: usize, due: Instant, shared: &mut Shared, now: Instant) {
        if self.quiet || !shared.sending {
            return;
        }
        let slip = now.saturating_duration_since(due);
        shared.slip.record(slip);
        self.slip.record(slip);
        let rate = self.video_rate(index);
        let client = self.client();
        let Some(track) = self.tracks.get_mut(index) else { return };
        let (id, clock) = (track.new.id, shared.clock);
        let stamp = |number: u32| Stamp {
            clock: this_clock(),
            client,
            track: id,
            number,
            time_ns: clock.monotonic(Instant::now()),
        };
        let (mut payloads, mut marker_first, mut key) = (Vec::new(), false, false);
        match track.new.shape {
            Shape::Audio { dtx, fec } => {
                let frame = opus::frame(track.frame, dtx);
                marker_first = frame == opus::Frame::Speech { first: true };
                payloads.extend(opus::payload(frame, fec, &stamp(track.number)));
            }
            Shape::Video { .. } => {
                key = track.take_key_frame();
                let bytes = track.frame_bytes(rate, key);
                if let Some(picture) = &track.picture {
                    let stamp = |place| stamp(track.number.wrapping_add(place));
                    payloads = picture.payloads(key, track.picture_id, bytes, stamp);
                }
                track.picture_id = track.picture_id.wrapping_add(1) & 0x7fff;
            }
        }
        self.write(index, payloads, marker_first, key, now);
        if let Some(track) = self.tracks.get_mut(index) {
            track.frame += 1;
            if let Some(due) = track.due() {
                shared.timers.set_frame(due, self.new.number, index);
            }
        }
        self.drive(shared, now);
    }

    /// Hands the packets of a frame to str0m.
    fn write(&mut self, index: usize, payloads: Vec<Vec<u8>>, marker_first: bool, key: bool, now: Instant) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let video = track.new.shape.kind() == MediaKind::Video;
        let payload_type = if video { codecs::VP8 } else { codecs::OPUS };
        let last = payloads.len().saturating_sub(1);
        if !payloads.is_empty() {
            track.frames += 1;
        }
        for (place, payload) in payloads.into_iter().enumerate() {
            // What str0m keeps back, as long as no path is known, is forgotten here.
            if self.outgoing.len() >= KEPT_BACK {
                self.outgoing.pop_front();
            }
            let (sequence, timestamp, bytes) = (track.sequence(), track.timestamp(), payload.len());
            self.outgoing.push_back(Outgoing {
                track: index,
                ssrc: track.new.ssrc,
                // The wire has the lower 16 bits.
                sequence: sequence as u16,
                rtp_timestamp: timestamp,
                number: track.number,
                bytes,
                key_frame: key && place == 0,
            });
            track.number = track.number.wrapping_add(1);
            track.bytes += bytes as u64;
            let level = (!video).then_some(SPEECH_LEVEL);
            let values = ExtensionValues {
                audio_level: level,
                voice_activity: level.map(|_| true),
                ..ExtensionValues::default()
            };
            let write = RtpWrite::new(payload_type.into(), sequence.into(), timestamp, now, payload)
                .marker(if video { place == last } else { marker_first })
                .nackable(video)
                .ext_vals(values);
            if let Some(stream) = self.new.rtc.direct_api().stream_tx(&track.new.ssrc.into()) {
                stream.write_rtp(write);
            }
        }
    }

    /// What a track of video may take, in bits a second.
    fn video_rate(&self, index: usize) -> u64 {
        let Some(Shape::Video { most, share, .. }) = self.tracks.get(index).map(|track| track.new.shape) else {
            return 0;
        };
        rate(self.estimate.filter(|_| self.new.wanted.is_some()), most, share)
    }

    /// What all video tracks may take together.
    pub(super) fn target_bitrate(&self) -> u64 {
        (0..self.tracks.len()).map(|index| self.video_rate(index)).sum()
    }

    /// Sends a datagram that str0m has made.
    pub(super) fn transmit(&mut self, to: SocketAddr, datagram: &[u8], shared: &mut Shared) {
        let media = rtp_numbers(datagram);
        let mute = media.is_some() && shared.faults.mute.contains(&self.new.client);
        // Read before the call: afterwards the receiver may have it already.
        let time_ns = shared.clock.monotonic(Instant::now());
        if !mute && self.new.socket.send_to(datagram, to).is_err() {
            self.send_failed += 1;
        }
        let Some((ssrc, sequence)) = media else { return };
        let is_it = |packet: &Outgoing| packet.ssrc == ssrc && packet.sequence == sequence;
        let place = self.outgoing.iter().position(is_it);
        if let Some(packet) = place.and_then(|place| self.outgoing.remove(place)) {
            self.count_sent(packet, shared, time_ns);
        }
    }

    fn count_sent(&mut self, packet: Outgoing, shared: &mut Shared, time_ns: u64) {
        if self.sent == 0 {
            self.tell(Happened::Sent);
        }
        self.sent += 1;
        self.second.sent += 1;
        if let Some(progress) = shared.progress.get(self.new.client) {
            progress.fetch_add(1, Ordering::Relaxed);
        }
        let client = self.client();
        let Some(track) = self.tracks.get(packet.track) else { return };
        self.sent_bytes += packet.bytes as u64;
        if let Some(log) = &mut shared.log {
            log.push(&Record::Sent(Sent {
                client,
                track: track.new.id,
                video: track.new.shape.kind() == MediaKind::Video,
                key_frame: packet.key_frame,
                ssrc: packet.ssrc,
                sequence: packet.sequence,
                rtp_timestamp: packet.rtp_timestamp,
                payload_bytes: u32::try_from(packet.bytes).unwrap_or(u32::MAX),
                number: packet.number,
                time_ns,
            }));
        }
    }
}

/// What a track of video takes, in bits a second, of an estimate that is to be followed.
fn rate(estimate: Option<u64>, most: u64, share: f64) -> u64 {
    // Rates are far below 2^52.
    let fitting = |estimate: u64| (estimate as f64 * VIDEO_SHARE * share) as u64;
    estimate.map_or(most, |estimate| fitting(estimate).clamp(LEAST_VIDEO, most.max(LEAST_VIDEO)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_fits_into_the_estimate_and_takes_no_more_than_its_quality() {
        assert_eq!(rate(Some(1_000_000), 2_500_000, 1.0), 850_000);
        assert_eq!(rate(Some(1_000_000), 2_500_000, 0.5), 425_000);
        assert_eq!(rate(Some(100_000_000), 2_500_000, 1.0), 2_500_000);
        assert_eq!(rate(Some(0), 2_500_000, 1.0), LEAST_VIDEO);
        assert_eq!(rate(None, 2_500_000, 1.0), 2_500_000, "fixed");
    }
}
