//! How str0m is set up for a leg, and what of it signalling shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::bwe::Bitrate;
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::crypto::from_feature_flags;
use str0m::ice::IceCreds;
use str0m::{Candidate, Rtc};

use crate::dialect::{extension_map, set_codecs};
use crate::signal::transport::{IceCandidate, IceParameters};

/// How often str0m tells what it measured.
const STATS_EVERY: Duration = Duration::from_secs(1);

/// What all legs of a server share: making a certificate costs more than a handshake.
#[derive(Clone)]
pub(crate) struct Identity {
    provider: Arc<CryptoProvider>,
    certificate: DtlsCert,
}

impl Identity {
    /// None if no certificate can be made.
    pub(crate) fn generate() -> Option<Self> {
        let provider = Arc::new(from_feature_flags());
        let certificate = provider.dtls_provider.generate_certificate()?;
        Some(Self { provider, certificate })
    }

    /// A leg's `Rtc`: ICE lite, RTP mode, the dialect's payload types and extensions; with an estimate
    /// of the bandwidth where packets go out.
    pub(crate) fn rtc(&self, local: SocketAddr, estimate_from: Option<u64>, now: Instant) -> Result<Rtc, String> {
        let mut builder = Rtc::builder()
            .set_crypto_provider(Arc::clone(&self.provider))
            .set_dtls_cert(self.certificate.clone())
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .set_stats_interval(Some(STATS_EVERY))
            .set_extension_map(extension_map())
            .enable_bwe(estimate_from.map(Bitrate::from));
        set_codecs(builder.codec_config());
        let mut rtc = builder.build(now);
        let candidate = Candidate::host(local, "udp").map_err(|error| format!("no candidate for {local}: {error}"))?;
        rtc.add_local_candidate(candidate);
        Ok(rtc)
    }
}

/// ICE credentials as signalling shows them.
pub(crate) fn ice_parameters(credentials: &IceCreds) -> IceParameters {
    IceParameters {
        username_fragment: credentials.ufrag.clone(),
        password: credentials.pass.clone(),
        ice_lite: Some(true),
    }
}

/// The one candidate of a leg as signalling shows it.
pub(crate) fn ice_candidate(local: SocketAddr, priority: u32) -> IceCandidate {
    IceCandidate {
        foundation: "1".to_owned(),
        priority,
        ip: local.ip(),
        protocol: "udp".to_owned(),
        port: local.port(),
        candidate_type: "host".to_owned(),
        tcp_type: None,
    }
}
