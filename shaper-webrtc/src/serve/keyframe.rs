//! Whether a packet begins a key frame, from which a decoder can start.

use str0m::format::Codec;
use str0m::rtp::Vp8Descriptor;

/// Whether the RTP payload begins a key frame. Audio needs none: each packet counts as one. So do
/// codecs whose payloads are not read here, or a receiver would wait for ever.
pub(crate) fn begins_key_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => Vp8Descriptor::parse(payload).is_ok_and(|descriptor| descriptor.starts_keyframe(payload)),
        Codec::Vp9 => vp9(payload),
        Codec::H264 => h264(payload),
        _ => true,
    }
}

/// RFC 9628, section 4.2: begin of a frame, not predicted from another picture, lowest spatial layer.
fn vp9(payload: &[u8]) -> bool {
    const PICTURE_ID: u8 = 0x80;
    const INTER_PREDICTED: u8 = 0x40;
    const LAYERS: u8 = 0x20;
    const BEGIN: u8 = 0x08;
    let Some(&first) = payload.first() else { return false };
    if first & BEGIN == 0 || first & INTER_PREDICTED != 0 {
        return false;
    }
    if first & LAYERS == 0 {
        return true;
    }
    let behind_picture_id = match (first & PICTURE_ID != 0, payload.get(1)) {
        (false, _) => 1,
        (true, Some(long)) if long & 0x80 != 0 => 3,
        (true, _) => 2,
    };
    payload.get(behind_picture_id).is_some_and(|layers| layers & 0x0e == 0)
}

/// RFC 6184, section 5: a sequence parameter set or an IDR slice, alone, in an aggregation, or as the
/// first fragment. In an aggregation an access unit delimiter may stand first.
fn h264(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let kind = |byte: &u8| byte & 0x1f;
    let starts = |kind: u8| kind == IDR || kind == SPS;
    match payload.first().map(kind) {
        Some(STAP_A) => aggregated(payload).any(|unit| unit.first().map(kind).is_some_and(starts)),
        Some(FU_A) => payload.get(1).is_some_and(|header| header & 0x80 != 0 && starts(header & 0x1f)),
        Some(other) => starts(other),
        None => false,
    }
}

/// The units of an aggregation packet (RFC 6184, section 5.7.1), as far as they are whole.
fn aggregated(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload.get(1..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&size, behind) = rest.split_first_chunk::<2>()?;
        let (unit, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(size)))?;
        rest = behind;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn vp8_key_frames_begin_with_partition_0_and_a_clear_p_bit() {
        // X, S; picture id of 15 bits; then the frame's first byte.
        assert!(begins_key_frame(Codec::Vp8, &[0x90, 0x80, 0x81, 0x02, 0x10, 0, 0]));
        assert!(!begins_key_frame(Codec::Vp8, &[0x90, 0x80, 0x81, 0x02, 0x11, 0, 0]), "inter frame");
        assert!(!begins_key_frame(Codec::Vp8, &[0x80, 0x80, 0x81, 0x02, 0x10, 0, 0]), "continued");
        assert!(!begins_key_frame(Codec::Vp8, &[]));
    }

    #[test]
    fn vp9_key_frames_begin_in_the_lowest_layer_and_are_not_predicted() {
        assert!(begins_key_frame(Codec::Vp9, &[0x88, 0x01, 0]));
        assert!(!begins_key_frame(Codec::Vp9, &[0xc8, 0x01, 0]), "predicted");
        assert!(!begins_key_frame(Codec::Vp9, &[0x80, 0x01, 0]), "continued");
        assert!(begins_key_frame(Codec::Vp9, &[0xa8, 0x81, 0x02, 0x00]));
        assert!(!begins_key_frame(Codec::Vp9, &[0xa8, 0x81, 0x02, 0x02]), "second spatial layer");
    }

    #[test]
    fn h264_key_frames_begin_with_parameter_sets_or_an_idr_slice() {
        assert!(begins_key_frame(Codec::H264, &[0x67]));
        assert!(begins_key_frame(Codec::H264, &[0x65]));
        assert!(begins_key_frame(Codec::H264, &[0x78, 0, 1, 0x67]));
        assert!(begins_key_frame(Codec::H264, &[0x78, 0, 2, 0x09, 0xf0, 0, 2, 0x67, 1]), "behind a delimiter");
        assert!(!begins_key_frame(Codec::H264, &[0x78, 0, 2, 0x09, 0xf0, 0, 2, 0x41, 0x67]));
        assert!(!begins_key_frame(Codec::H264, &[0x78, 0, 2, 0x09, 0xf0, 0, 2, 0x67]), "cut off");
        assert!(begins_key_frame(Codec::H264, &[0x7c, 0x85]));
        assert!(!begins_key_frame(Codec::H264, &[0x7c, 0x05]), "a later fragment");
        assert!(!begins_key_frame(Codec::H264, &[0x41]));
    }

    #[test]
    fn audio_needs_no_key_frame() {
        assert!(begins_key_frame(Codec::Opus, &[]));
    }

    proptest! {
        #[test]
        fn any_payload_ends(payload in prop::collection::vec(any::<u8>(), 0..40)) {
            for codec in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Opus] {
                let _ = begins_key_frame(codec, &payload);
            }
        }
    }
}
