//! TOAST: datagrams as they come from the network, and logs as they are scored.

use std::path::Path;

use shaper_toast::log::{self, Log};
use shaper_toast::score::{ScoreConfig, score};
use shaper_toast::units::Nanos;
use shaper_toast::wire::{
    self, ChecksumMode, Datagram, HEADER_LEN, SYNC_REPLY_LEN, decode_announce, decode_sync, decode_transport,
    encode_announce, encode_sync, encode_transport,
};

/// Decodes the bytes as a datagram, as they are and with a checksum that fits, and as each payload. What decodes encodes
/// to what decodes the same, a frame to the very bytes.
pub fn wire(bytes: &[u8]) {
    for mode in [ChecksumMode::Crc16, ChecksumMode::Sum16] {
        datagram(bytes, mode);
        if let Some((head, payload)) = bytes.split_first_chunk::<HEADER_LEN>() {
            let mut fitting = bytes.to_vec();
            let checksum = mode.of(head, payload).to_le_bytes();
            fitting.iter_mut().skip(26).zip(checksum).for_each(|(byte, fits)| *byte = fits);
            datagram(&fitting, mode);
        }
    }
    payloads(bytes);
}

fn datagram(bytes: &[u8], mode: ChecksumMode) {
    let mut out = vec![0; bytes.len() + 64];
    match wire::decode(bytes, mode) {
        Ok(Datagram::Frame { header, payload }) => {
            let len = wire::encode(&header, payload, mode, &mut out);
            assert_eq!(len.map(|len| out.get(..len)), Ok(Some(bytes)), "{header:?}");
            payloads(payload);
        }
        Ok(found @ Datagram::Discovery(text)) => {
            let len = wire::encode_discovery(&text, &mut out).unwrap_or_default();
            assert_eq!(wire::decode(out.get(..len).unwrap_or_default(), mode), Ok(found));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn payloads(bytes: &[u8]) {
    // Numbers and escapes may take more room than they came in.
    let mut out = vec![0; 8 * bytes.len() + 512];
    match decode_transport(bytes) {
        Ok(payload) => {
            let len = encode_transport(&payload, &mut out).unwrap_or_default();
            let again = decode_transport(out.get(..len).unwrap_or_default());
            assert!(again.as_ref().is_ok_and(|again| *again == payload), "{payload:?} came back as {again:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match decode_announce(bytes) {
        Ok(Some(announce)) => {
            let len = encode_announce(&announce, &mut out).unwrap_or_default();
            let again = decode_announce(out.get(..len).unwrap_or_default());
            assert!(again.as_ref().is_ok_and(|again| again.as_ref() == Some(&announce)), "{announce:?}: {again:?}");
        }
        Ok(None) => assert!(bytes.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(payload) = decode_sync(bytes) {
        let mut out = [0; SYNC_REPLY_LEN];
        let len = encode_sync(&payload, &mut out);
        assert_eq!(out.get(..len), Some(bytes));
    }
}

/// Reads the bytes as logs with a zero between them, and scores those that can be read together.
pub fn log(bytes: &[u8]) {
    let mut logs: Vec<Log> = Vec::new();
    for text in bytes.split(|byte| *byte == 0) {
        match log::parse_log(text, Path::new("fuzz.jsonl")) {
            Ok(log) => logs.push(log),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if logs.is_empty() {
        return;
    }
    let peers = logs.iter().map(|log| log.peer_id.clone()).collect();
    let config = ScoreConfig::new(Nanos(25_000_000), Nanos(6_000_000), peers);
    let written = serde_json::to_string(&score(&logs, &config));
    assert!(written.is_ok(), "{written:?}");
}
