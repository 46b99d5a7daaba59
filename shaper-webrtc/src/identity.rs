//! How str0m is set up, at both ends.

use std::sync::Arc;
use std::time::Duration;

use str0m::config::{CryptoProvider, DtlsCert};
use str0m::crypto::from_feature_flags;
use str0m::{Rtc, RtcConfig};

use crate::dialect::{extension_map, set_codecs};

/// How often str0m tells what it measured.
const STATS_EVERY: Duration = Duration::from_secs(1);

/// What all transports of a process share: making a certificate costs more than a handshake.
#[derive(Clone)]
pub(crate) struct Identity {
    provider: Arc<CryptoProvider>,
    certificate: DtlsCert,
}

impl Identity {
    /// None if no certificate can be made.
    pub(crate) fn generate() -> Option<Self> {
        cfg!(feature = "aws-lc-rs").then(from_feature_flags).and_then(|provider| Self::of(Arc::new(provider)))
    }

    /// One whose crypto is another's; none if that makes no certificate.
    pub(crate) fn of(provider: Arc<CryptoProvider>) -> Option<Self> {
        let certificate = provider.dtls_provider.generate_certificate()?;
        Some(Self { provider, certificate })
    }

    /// RTP mode, with the dialect's payload types and extensions.
    pub(crate) fn builder(&self) -> RtcConfig {
        let mut builder = Rtc::builder()
            .set_crypto_provider(Arc::clone(&self.provider))
            .set_dtls_cert(self.certificate.clone())
            .set_rtp_mode(true)
            .set_stats_interval(Some(STATS_EVERY))
            .set_extension_map(extension_map());
        set_codecs(builder.codec_config());
        builder
    }
}
