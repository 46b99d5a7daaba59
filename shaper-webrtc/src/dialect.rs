//! The dialect in str0m's terms: payload types, header extensions and fingerprints. Both ends of a leg
//! are set up by this.

use std::str::FromStr;

use str0m::config::Fingerprint;
use str0m::format::{Codec, CodecConfig, FormatParams};
use str0m::media::Frequency;
use str0m::rtp::{Extension, ExtensionMap};

use crate::signal::codecs;
use crate::signal::transport::{DtlsFingerprint, DtlsParameters, DtlsRole};

/// The dialect's codecs, as str0m has them.
pub(crate) fn set_codecs(config: &mut CodecConfig) {
    config.clear();
    config.enable_opus(true, false);
    for (payload_type, codec, format) in [
        (codecs::VP8, Codec::Vp8, FormatParams::default()),
        (codecs::VP9, Codec::Vp9, FormatParams { profile_id: Some(0), ..FormatParams::default() }),
    ] {
        let resend = Some(codecs::rtx_of(payload_type).into());
        config.add_config(payload_type.into(), resend, codec, Frequency::NINETY_KHZ, None, format);
    }
    config.add_h264(codecs::H264.into(), Some(codecs::rtx_of(codecs::H264).into()), true, 0x42_e01f);
}

/// The dialect's header extensions, as str0m has them.
pub(crate) fn extension_map() -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    for (known, extension) in [
        (codecs::MID, Extension::RtpMid),
        (codecs::RID, Extension::RtpStreamId),
        (codecs::REPAIRED_RID, Extension::RepairedRtpStreamId),
        (codecs::ABS_SEND_TIME, Extension::AbsoluteSendTime),
        (codecs::TRANSPORT_CC, Extension::TransportSequenceNumber),
        (codecs::AUDIO_LEVEL, Extension::AudioLevel),
        (codecs::VIDEO_ORIENTATION, Extension::VideoOrientation),
    ] {
        map.set(known.id, extension);
    }
    map
}

/// A certificate as signalling shows it.
pub(crate) fn dtls_parameters(fingerprint: &Fingerprint, role: DtlsRole) -> DtlsParameters {
    let value: Vec<String> = fingerprint.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    let fingerprint = DtlsFingerprint { algorithm: fingerprint.hash_func.clone(), value: value.join(":") };
    DtlsParameters { role, fingerprints: vec![fingerprint] }
}

/// The SHA-256 fingerprint among those that a peer names: the one that is compared.
pub(crate) fn fingerprint(parameters: &DtlsParameters) -> Result<Fingerprint, String> {
    let sha256 = |named: &&DtlsFingerprint| named.algorithm.eq_ignore_ascii_case("sha-256");
    let Some(named) = parameters.fingerprints.iter().find(sha256) else {
        return Err("the DTLS parameters have no fingerprint by sha-256".to_owned());
    };
    let parsed = Fingerprint::from_str(&format!("sha-256 {}", named.value));
    parsed
        .ok()
        .filter(|fingerprint| fingerprint.bytes.len() == 32)
        .ok_or_else(|| "the fingerprint is no SHA-256 in hexadecimal: 32 bytes with colons between".to_owned())
}

/// What a server says of a transport that has ended by itself. The dialect has no message of its own for it.
pub(crate) fn transport_ended(transport: &str, reason: &str) -> String {
    format!("the transport {transport} has ended: {reason}")
}

/// The transport of which an error says that it has ended by itself.
pub(crate) fn ended_transport(error: &str) -> Option<&str> {
    Some(error.strip_prefix("the transport ")?.split_once(" has ended: ")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown() {
        let shown = Fingerprint { hash_func: "sha-256".to_owned(), bytes: (0..32).collect() };
        let parameters = dtls_parameters(&shown, DtlsRole::Auto);
        assert!(parameters.fingerprints[0].value.starts_with("00:01:02"));
        assert_eq!(fingerprint(&parameters).unwrap(), shown);
    }

    #[test]
    fn other_fingerprints_are_refused() {
        let with = |algorithm: &str, value: &str| DtlsParameters {
            role: DtlsRole::Client,
            fingerprints: vec![DtlsFingerprint { algorithm: algorithm.to_owned(), value: value.to_owned() }],
        };
        let short = "00:01";
        for bad in [with("sha-1", short), with("sha-256", short), with("sha-256", ""), with("sha-256", "zz:é")] {
            assert!(fingerprint(&bad).is_err());
        }
    }

    #[test]
    fn a_transport_that_has_ended_is_known_by_what_the_server_says_of_it() {
        assert_eq!(ended_transport(&transport_ended("t-1", "no checks for 30 s")), Some("t-1"));
        assert_eq!(ended_transport("the transport has ended"), None);
    }
}
