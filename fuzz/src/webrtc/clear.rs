//! Crypto that encrypts nothing: every tag is zeros, every certificate is good, and a handshake is one datagram.

use std::time::{Duration, Instant};

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial, ProtocolVersion,
    SrtpProfile,
};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider, Sha1HmacProvider,
    Sha256Provider, SrtpProvider, SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// The tag behind each packet, in bytes.
pub(super) const TAG: usize = 16;
/// What begins a DTLS datagram (RFC 7983).
pub(super) const DTLS: u8 = 22;
/// The second byte of one that closes the connection.
const CLOSE: u8 = 21;

#[derive(Debug)]
struct Clear;

pub(super) fn provider() -> CryptoProvider {
    CryptoProvider { srtp_provider: &Clear, sha1_hmac_provider: &Clear, sha256_provider: &Clear, dtls_provider: &Clear }
}

/// Copies as much as there is room for.
fn copy(input: &[u8], output: &mut [u8]) {
    output.iter_mut().zip(input).for_each(|(to, from)| *to = *from);
}

impl Sha1HmacProvider for Clear {
    fn sha1_hmac(&self, _key: &[u8], _payloads: &[&[u8]]) -> [u8; 20] {
        [0; 20]
    }
}

impl Sha256Provider for Clear {
    fn sha256(&self, _data: &[u8]) -> [u8; 32] {
        [0; 32]
    }
}

impl SrtpProvider for Clear {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Clear
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Clear
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Clear
    }

    fn srtp_aes_128_ecb_round(&self, _key: &[u8], _input: &[u8], _output: &mut [u8]) {}

    fn srtp_aes_256_ecb_round(&self, _key: &[u8], _input: &[u8], _output: &mut [u8]) {}
}

impl SupportedAes128CmSha1_80 for Clear {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(Clear)
    }
}

impl SupportedAeadAes128Gcm for Clear {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Clear)
    }
}

impl SupportedAeadAes256Gcm for Clear {
    fn create_cipher(&self, _key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Clear)
    }
}

impl Aes128CmSha1_80Cipher for Clear {
    fn encrypt(&mut self, _iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        copy(input, output);
        Ok(())
    }

    fn decrypt(&mut self, _iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        copy(input, output);
        Ok(())
    }
}

impl AeadAes128GcmCipher for Clear {
    fn encrypt(&mut self, _iv: &[u8; 12], _aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        copy(input, output);
        Ok(())
    }

    fn decrypt(
        &mut self,
        _iv: &[u8; 12],
        _aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        copy(input, output);
        Ok(input.len().saturating_sub(TAG))
    }
}

impl AeadAes256GcmCipher for Clear {
    fn encrypt(&mut self, _iv: &[u8; 12], _aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        copy(input, output);
        Ok(())
    }

    fn decrypt(
        &mut self,
        _iv: &[u8; 12],
        _aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        copy(input, output);
        Ok(input.len().saturating_sub(TAG))
    }
}

impl DtlsProvider for Clear {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        Some(DtlsCert { certificate: vec![0; 8], private_key: vec![0; 8] })
    }

    fn new_dtls(
        &self,
        _cert: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let never = now + Duration::from_secs(86_400);
        Ok(Box::new(Handshake { never, active: false, said: 0, begun: false, data: Vec::new(), closed: false }))
    }
}

/// A connection: up with the first datagram; what comes later is data.
#[derive(Debug)]
struct Handshake {
    never: Instant,
    active: bool,
    begun: bool,
    /// How much of what a handshake ends with has been said.
    said: u8,
    data: Vec<Vec<u8>>,
    closed: bool,
}

impl DtlsInstance for Handshake {
    fn set_active(&mut self, active: bool) {
        self.active = active;
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if std::mem::replace(&mut self.begun, true) {
            self.data.push(packet.get(1..).unwrap_or_default().to_vec());
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        if self.begun && self.said < 3 {
            self.said += 1;
            return match self.said {
                1 => DtlsOutput::PeerCert(&[0; 8]),
                2 => DtlsOutput::KeyingMaterial(KeyingMaterial::new(&[0; 56]), SrtpProfile::AEAD_AES_128_GCM),
                _ => DtlsOutput::Connected,
            };
        }
        if self.data.is_empty() {
            return DtlsOutput::Timeout(self.never);
        }
        let data = self.data.remove(0);
        if data == [CLOSE] {
            self.closed = true;
            return DtlsOutput::CloseNotify;
        }
        match buf.get_mut(..data.len()) {
            Some(room) => {
                room.copy_from_slice(&data);
                DtlsOutput::ApplicationData(room)
            }
            None => DtlsOutput::Timeout(self.never),
        }
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), DtlsImplError> {
        Ok(())
    }

    fn send_application_data(&mut self, _data: &[u8]) -> Result<(), DtlsImplError> {
        if self.said < 3 { Err(DtlsImplError::HandshakePending) } else { Ok(()) }
    }

    fn is_active(&self) -> bool {
        self.active
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        None
    }

    fn is_closing(&self) -> bool {
        self.closed
    }

    fn is_closed(&self) -> bool {
        self.closed
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.closed = true;
        Ok(())
    }
}
