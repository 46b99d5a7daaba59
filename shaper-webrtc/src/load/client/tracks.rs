//! The tracks that a client publishes.

use str0m::media::{Mid, Rid};

use crate::load::config::LoadConfig;
use crate::load::worker::track::{NewTrack, Shape};
use crate::signal::codecs::{self, codec_parameters, extension_parameters};
use crate::signal::rtp::{MediaKind, RtpEncodingParameters, RtpParameters, RtxParameters};

/// Layers of simulcast, the smallest first: restriction identifier, what width and height are divided
/// by, and the share of the rate.
const LAYERS: [(&str, u16, f64); 3] = [("q", 4, 0.06), ("h", 2, 0.22), ("f", 1, 0.72)];

/// One media section: what is announced of it, and its tracks, more than one with simulcast.
pub(crate) struct Section {
    pub(crate) kind: MediaKind,
    pub(crate) parameters: RtpParameters,
    pub(crate) tracks: Vec<NewTrack>,
}

pub(crate) fn audio(config: &LoadConfig) -> Shape {
    Shape::Audio { dtx: config.dtx, fec: config.fec }
}

pub(crate) fn video(config: &LoadConfig) -> Shape {
    let (width, height) = config.quality.size();
    Shape::Video { fps: config.fps, width, height, most: config.quality.bits_per_second(), share: 1.0 }
}

/// What a client of this configuration publishes.
pub(crate) fn sections(
    config: &LoadConfig,
    mut next_track: impl FnMut() -> u32,
) -> Result<Vec<Section>, getrandom::Error> {
    let mut sections = Vec::new();
    if config.audio {
        let mid = "0";
        let track = track(next_track(), mid, None, audio(config))?;
        sections.push(section(MediaKind::Audio, codecs::OPUS, mid, config, vec![track]));
    }
    if config.video {
        let mid = "1";
        let mut tracks = Vec::new();
        if config.simulcast {
            let (width, height) = config.quality.size();
            for (rid, divisor, share) in LAYERS {
                // Rates are far below 2^52.
                let most = (config.quality.bits_per_second() as f64 * share) as u64;
                let (width, height) = (width / divisor, height / divisor);
                let shape = Shape::Video { fps: config.fps, width, height, most, share };
                tracks.push(track(next_track(), mid, Some(rid), shape)?);
            }
        } else {
            tracks.push(track(next_track(), mid, None, video(config))?);
        }
        sections.push(section(MediaKind::Video, codecs::VP8, mid, config, tracks));
    }
    Ok(sections)
}

fn track(id: u32, mid: &str, rid: Option<&str>, shape: Shape) -> Result<NewTrack, getrandom::Error> {
    let ssrc = || getrandom::u32().map(|random| random.max(1));
    let rtx_ssrc = if shape.kind() == MediaKind::Video { Some(ssrc()?) } else { None };
    Ok(NewTrack { id, mid: Mid::from(mid), rid: rid.map(Rid::from), ssrc: ssrc()?, rtx_ssrc, shape })
}

fn section(kind: MediaKind, payload_type: u8, mid: &str, config: &LoadConfig, tracks: Vec<NewTrack>) -> Section {
    let encoding = |track: &NewTrack| RtpEncodingParameters {
        ssrc: Some(track.ssrc),
        rid: track.rid.map(|rid| rid.to_string()),
        rtx: track.rtx_ssrc.map(|ssrc| RtxParameters { ssrc }),
        dtx: (kind == MediaKind::Audio && config.dtx).then_some(true),
        ..RtpEncodingParameters::default()
    };
    let parameters = RtpParameters {
        mid: Some(mid.to_owned()),
        codecs: codec_parameters(payload_type),
        header_extensions: extension_parameters(kind),
        encodings: tracks.iter().map(encoding).collect(),
        rtcp: None,
    };
    Section { kind, parameters, tracks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_share_a_section_and_the_rate() {
        let config = LoadConfig { simulcast: true, ..LoadConfig::default() };
        let mut next = 0;
        let sections = sections(&config, || {
            next += 1;
            next
        })
        .unwrap();
        let [audio, video] = sections.as_slice() else { panic!("two sections") };
        assert_eq!((audio.tracks.len(), video.tracks.len()), (1, 3));
        let rids: Vec<_> = video.parameters.encodings.iter().map(|encoding| encoding.rid.as_deref()).collect();
        assert_eq!(rids, [Some("q"), Some("h"), Some("f")]);
        let rates = video.tracks.iter().map(|track| match track.shape {
            Shape::Video { most, .. } => most,
            Shape::Audio { .. } => 0,
        });
        assert_eq!(rates.sum::<u64>(), config.quality.bits_per_second());
        let none = LoadConfig { audio: false, video: false, ..config };
        assert!(super::sections(&none, || 0).unwrap().is_empty());
    }
}
