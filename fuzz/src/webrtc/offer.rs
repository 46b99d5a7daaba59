//! Offers of WHIP and WHEP, and the fragments that follow them.

use std::time::Instant;

use str0m::change::SdpAnswer;

use super::peer::offer;
use super::{nothing_of_ours_panicked, server};

/// Answers the bytes as an offer that sends, as one that receives, and as the offer and, behind a zero, the body of a
/// PATCH. An answer is SDP that parses, and whoever comes next is answered.
pub fn read(bytes: &[u8]) {
    let Some(mut server) = server() else { return };
    let now = Instant::now();
    let (offered, patch) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
        None => (bytes, None),
    };
    for publishes in [true, false] {
        match server.offered(publishes, offered, now) {
            Ok(transport) => {
                let parsed = SdpAnswer::from_sdp_string(&transport.answer);
                assert!(parsed.is_ok(), "{parsed:?}: {}", transport.answer);
                if let Some(patch) = patch
                    && let Err(refused) = server.patched(&transport, patch)
                {
                    assert!(!refused.is_empty());
                }
                server.tick(now);
                server.close(&transport, now);
            }
            Err(refused) => assert!(!refused.is_empty()),
        }
    }
    let next = server.offered(true, offer("sendonly", &["q", "f"]).as_bytes(), now);
    assert!(next.is_ok(), "{next:?}");
    nothing_of_ours_panicked();
}
