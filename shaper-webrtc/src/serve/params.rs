//! Whether what a client would send is of the dialect.

use crate::signal::codecs;
use crate::signal::rtp::{MediaKind, RtpEncodingParameters, RtpParameters};

/// Longest media identification or restriction identifier, in bytes: str0m's `Mid` has 16, its `Rid` 8.
const MID_BYTES: usize = 16;
const RID_BYTES: usize = 8;

/// The payload type of what is to be sent: codec, payload types and extension ids must be those that
/// the router has announced.
pub(crate) fn payload_type(kind: MediaKind, parameters: &RtpParameters) -> Result<u8, String> {
    let media = parameters.codecs.iter().find(|codec| !codec.mime_type.to_ascii_lowercase().ends_with("/rtx"));
    let Some(codec) = media else { return Err("the RTP parameters name no codec".to_owned()) };
    let payload_type = codec.payload_type;
    let known = codecs::codec_parameters(payload_type);
    let known = known.first().filter(|known| known.mime_type.eq_ignore_ascii_case(&codec.mime_type));
    let Some(known) = known else {
        return Err(format!(
            "{} with payload type {payload_type} is none that this router forwards: see routerRtpCapabilities",
            shown(&codec.mime_type)
        ));
    };
    let of_kind = match kind {
        MediaKind::Audio => "audio/",
        MediaKind::Video => "video/",
    };
    if !known.mime_type.starts_with(of_kind) {
        return Err(format!("{} is not of the kind {}", known.mime_type, of_kind.trim_end_matches('/')));
    }
    for extension in &parameters.header_extensions {
        let known = codecs::EXTENSIONS.iter().find(|known| known.uri == extension.uri);
        if let Some(known) = known.filter(|known| known.id != extension.id) {
            return Err(format!("the header extension {} must have the id {}", known.uri, known.id));
        }
    }
    if parameters.mid.as_ref().is_some_and(|mid| !identifier(mid, MID_BYTES)) {
        return Err(format!("mid must be 1 to {MID_BYTES} letters and digits"));
    }
    Ok(payload_type)
}

/// The layers of what is to be sent, the smallest first. Each must be told from the others by SSRC or
/// restriction identifier.
pub(crate) fn encodings(parameters: &RtpParameters, most: usize) -> Result<Vec<RtpEncodingParameters>, String> {
    let encodings = &parameters.encodings;
    if encodings.is_empty() {
        return Err("the RTP parameters name no encoding: at least one with ssrc or rid is needed".to_owned());
    }
    if encodings.len() > most {
        return Err(format!("no more than {most} layers a track"));
    }
    let mut ssrcs = Vec::new();
    let mut rids = Vec::new();
    for encoding in encodings {
        if encoding.ssrc.is_none() && encoding.rid.is_none() {
            return Err("an encoding has neither ssrc nor rid".to_owned());
        }
        ssrcs.extend(encoding.ssrc);
        ssrcs.extend(encoding.rtx.map(|rtx| rtx.ssrc));
        rids.extend(encoding.rid.as_deref());
    }
    if ssrcs.contains(&0) {
        return Err("an SSRC is 0, which stands for none".to_owned());
    }
    if !rids.is_empty() && rids.len() < encodings.len() {
        return Err("some encodings have a rid and some have none".to_owned());
    }
    if encodings.len() > 1 && rids.is_empty() {
        return Err("of several encodings each needs a rid".to_owned());
    }
    if rids.iter().any(|rid| !identifier(rid, RID_BYTES)) {
        return Err(format!("rid must be 1 to {RID_BYTES} letters and digits"));
    }
    let (all_ssrcs, all_rids) = (ssrcs.len(), rids.len());
    ssrcs.sort_unstable();
    ssrcs.dedup();
    rids.sort_unstable();
    rids.dedup();
    if (ssrcs.len(), rids.len()) != (all_ssrcs, all_rids) {
        return Err("two encodings have the same ssrc or rid".to_owned());
    }
    Ok(encodings.clone())
}

fn identifier(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::rtp::{RtpHeaderExtensionParameters, RtxParameters};

    fn video() -> RtpParameters {
        RtpParameters {
            mid: Some("0".to_owned()),
            codecs: codecs::codec_parameters(codecs::VP8),
            header_extensions: codecs::extension_parameters(MediaKind::Video),
            encodings: vec![RtpEncodingParameters {
                ssrc: Some(1),
                rtx: Some(RtxParameters { ssrc: 2 }),
                ..RtpEncodingParameters::default()
            }],
            rtcp: None,
        }
    }

    #[test]
    fn what_the_router_announces_is_accepted() {
        assert_eq!(payload_type(MediaKind::Video, &video()), Ok(codecs::VP8));
        assert_eq!(encodings(&video(), 4).unwrap().len(), 1);
        let rid = |rid: &str| RtpEncodingParameters { rid: Some(rid.to_owned()), ..RtpEncodingParameters::default() };
        let simulcast = RtpParameters { encodings: vec![rid("q"), rid("h"), rid("f")], ..video() };
        assert_eq!(encodings(&simulcast, 4).unwrap().len(), 3);
    }

    #[test]
    fn what_the_router_does_not_announce_is_refused() {
        let mut other = video();
        other.codecs[0].payload_type = 97;
        assert!(payload_type(MediaKind::Video, &other).is_err());
        assert!(payload_type(MediaKind::Audio, &video()).is_err());
        assert!(payload_type(MediaKind::Video, &RtpParameters::default()).is_err());
        let mut moved = video();
        moved.header_extensions.push(RtpHeaderExtensionParameters { uri: codecs::MID.uri.to_owned(), id: 4 });
        assert!(payload_type(MediaKind::Video, &moved).unwrap_err().contains("must have the id 1"));
        for mid in ["", "a-b", "12345678901234567"] {
            let bad = RtpParameters { mid: Some(mid.to_owned()), ..video() };
            assert!(payload_type(MediaKind::Video, &bad).is_err(), "{mid}");
        }
    }

    #[test]
    fn layers_that_cannot_be_told_apart_are_refused() {
        let with = |ssrc, rid: Option<&str>| RtpEncodingParameters {
            ssrc,
            rid: rid.map(str::to_owned),
            ..RtpEncodingParameters::default()
        };
        let twice = vec![with(Some(1), Some("a")), with(Some(1), Some("b"))];
        let mixed = vec![with(Some(1), Some("a")), with(Some(2), None)];
        let bare = vec![with(Some(1), None), with(Some(2), None)];
        let same = vec![with(None, Some("a")), with(None, Some("a"))];
        for bad in [Vec::new(), vec![with(None, None)], vec![with(Some(0), None)], twice, mixed, bare, same] {
            assert!(encodings(&RtpParameters { encodings: bad.clone(), ..video() }, 4).is_err(), "{bad:?}");
        }
        let many = (0..5).map(|index| with(Some(index + 1), Some(&index.to_string()))).collect();
        assert!(encodings(&RtpParameters { encodings: many, ..video() }, 4).is_err());
    }
}
