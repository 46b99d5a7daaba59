//! The codecs and header extensions that the dialect fixes: payload types 111 Opus, 96 VP8, 98 VP9 and
//! 102 H.264, each of video with its retransmission one above, and MID as extension 1.

use serde_json::Value;

use super::rtp::{
    CodecParameters, MediaKind, RtcpFeedback, RtpCapabilities, RtpCodecCapability, RtpCodecParameters,
    RtpHeaderExtension, RtpHeaderExtensionParameters,
};

/// Opus's payload type.
pub const OPUS: u8 = 111;
/// VP8's.
pub const VP8: u8 = 96;
/// VP9's.
pub const VP9: u8 = 98;
/// H.264's.
pub const H264: u8 = 102;

/// A header extension: id and URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its id in packets.
    pub id: u8,
    /// What it is.
    pub uri: &'static str,
    /// The kind of media that it is for; none for both.
    pub only: Option<MediaKind>,
}

/// Which media section a packet belongs to (RFC 9143, section 14).
pub const MID: Extension = Extension { id: 1, uri: "urn:ietf:params:rtp-hdrext:sdes:mid", only: None };
/// Which layer of simulcast (RFC 8852).
pub const RID: Extension =
    Extension { id: 2, uri: "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", only: Some(MediaKind::Video) };
/// Which layer a retransmission is of (RFC 8852).
pub const REPAIRED_RID: Extension =
    Extension { id: 3, uri: "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", only: Some(MediaKind::Video) };
/// When a packet was sent, in 24 bits.
pub const ABS_SEND_TIME: Extension =
    Extension { id: 4, uri: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", only: None };
/// The number of a packet in its transport, for congestion control.
pub const TRANSPORT_CC: Extension =
    Extension { id: 5, uri: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", only: None };
/// How loud (RFC 6464).
pub const AUDIO_LEVEL: Extension =
    Extension { id: 10, uri: "urn:ietf:params:rtp-hdrext:ssrc-audio-level", only: Some(MediaKind::Audio) };
/// Which way up (3GPP TS 26.114).
pub const VIDEO_ORIENTATION: Extension =
    Extension { id: 11, uri: "urn:3gpp:video-orientation", only: Some(MediaKind::Video) };

/// All that are known.
pub const EXTENSIONS: [Extension; 7] =
    [MID, RID, REPAIRED_RID, ABS_SEND_TIME, TRANSPORT_CC, AUDIO_LEVEL, VIDEO_ORIENTATION];

/// A codec, as it is both announced and used.
struct Codec {
    kind: MediaKind,
    mime_type: &'static str,
    payload_type: u8,
    clock_rate: u32,
    channels: Option<u8>,
    parameters: &'static [(&'static str, Fixed)],
}

enum Fixed {
    Number(u32),
    Text(&'static str),
}

const CODECS: [Codec; 4] = [
    Codec {
        kind: MediaKind::Audio,
        mime_type: "audio/opus",
        payload_type: OPUS,
        clock_rate: 48_000,
        channels: Some(2),
        parameters: &[("minptime", Fixed::Number(10)), ("useinbandfec", Fixed::Number(1))],
    },
    Codec {
        kind: MediaKind::Video,
        mime_type: "video/VP8",
        payload_type: VP8,
        clock_rate: 90_000,
        channels: None,
        parameters: &[],
    },
    Codec {
        kind: MediaKind::Video,
        mime_type: "video/VP9",
        payload_type: VP9,
        clock_rate: 90_000,
        channels: None,
        parameters: &[("profile-id", Fixed::Number(0))],
    },
    Codec {
        kind: MediaKind::Video,
        mime_type: "video/H264",
        payload_type: H264,
        clock_rate: 90_000,
        channels: None,
        parameters: &[
            ("level-asymmetry-allowed", Fixed::Number(1)),
            ("packetization-mode", Fixed::Number(1)),
            ("profile-level-id", Fixed::Text("42e01f")),
        ],
    },
];

/// The payload type of the retransmission of a video payload type.
#[must_use]
pub const fn rtx_of(payload_type: u8) -> u8 {
    payload_type.wrapping_add(1)
}

/// All that the router forwards: the answer to `getRouterRtpCapabilities`.
#[must_use]
pub fn router_capabilities() -> RtpCapabilities {
    let mut codecs = Vec::new();
    for codec in &CODECS {
        codecs.push(RtpCodecCapability {
            kind: codec.kind,
            mime_type: codec.mime_type.to_owned(),
            preferred_payload_type: Some(codec.payload_type),
            clock_rate: codec.clock_rate,
            channels: codec.channels,
            parameters: codec.parameters(),
            rtcp_feedback: feedback(codec.kind),
        });
        if codec.kind == MediaKind::Video {
            codecs.push(RtpCodecCapability {
                kind: codec.kind,
                mime_type: RTX.to_owned(),
                preferred_payload_type: Some(rtx_of(codec.payload_type)),
                clock_rate: codec.clock_rate,
                channels: None,
                parameters: apt(codec.payload_type),
                rtcp_feedback: Vec::new(),
            });
        }
    }
    let mut header_extensions = Vec::new();
    for kind in [MediaKind::Audio, MediaKind::Video] {
        header_extensions.extend(
            EXTENSIONS
                .iter()
                .filter(|known| known.only.is_none_or(|only| only == kind))
                .map(|known| RtpHeaderExtension { kind, uri: known.uri.to_owned(), preferred_id: known.id }),
        );
    }
    RtpCapabilities { codecs, header_extensions }
}

/// The codec of a payload type, and its retransmission if it is of video, as RTP parameters have them;
/// empty for a payload type that the dialect does not have.
#[must_use]
pub fn codec_parameters(payload_type: u8) -> Vec<RtpCodecParameters> {
    let Some(codec) = CODECS.iter().find(|codec| codec.payload_type == payload_type) else { return Vec::new() };
    let mut codecs = vec![RtpCodecParameters {
        mime_type: codec.mime_type.to_owned(),
        payload_type,
        clock_rate: codec.clock_rate,
        channels: codec.channels,
        parameters: codec.parameters(),
        rtcp_feedback: feedback(codec.kind),
    }];
    if codec.kind == MediaKind::Video {
        codecs.push(RtpCodecParameters {
            mime_type: RTX.to_owned(),
            payload_type: rtx_of(payload_type),
            clock_rate: codec.clock_rate,
            channels: None,
            parameters: apt(payload_type),
            rtcp_feedback: Vec::new(),
        });
    }
    codecs
}

/// The header extensions of a kind of media, as RTP parameters have them.
#[must_use]
pub fn extension_parameters(kind: MediaKind) -> Vec<RtpHeaderExtensionParameters> {
    let of_kind = EXTENSIONS.iter().filter(|known| known.only.is_none_or(|only| only == kind));
    of_kind.map(|known| RtpHeaderExtensionParameters { uri: known.uri.to_owned(), id: known.id }).collect()
}

const RTX: &str = "video/rtx";

impl Codec {
    fn parameters(&self) -> CodecParameters {
        let value = |fixed: &Fixed| match fixed {
            Fixed::Number(number) => Value::from(*number),
            Fixed::Text(text) => Value::from(*text),
        };
        self.parameters.iter().map(|(name, fixed)| ((*name).to_owned(), value(fixed))).collect()
    }
}

fn apt(payload_type: u8) -> CodecParameters {
    CodecParameters::from([("apt".to_owned(), Value::from(payload_type))])
}

fn feedback(kind: MediaKind) -> Vec<RtcpFeedback> {
    let known: &[(&str, &str)] = match kind {
        MediaKind::Audio => &[("transport-cc", "")],
        MediaKind::Video => &[("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("transport-cc", "")],
    };
    let feedback = |(kind, parameter): &(&str, &str)| RtcpFeedback {
        feedback_type: (*kind).to_owned(),
        parameter: (*parameter).to_owned(),
    };
    known.iter().map(feedback).collect()
}
