//! ICE and DTLS parameters of a transport, as mediasoup names them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// ICE credentials (RFC 8445, section 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceParameters {
    /// The user name fragment.
    pub username_fragment: String,
    /// The password that protects checks to this side.
    pub password: String,
    /// Whether this side only answers checks (ICE lite, RFC 8445, section 2.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ice_lite: Option<bool>,
}

/// A place where a transport can be reached (RFC 8445, section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// Candidates of one foundation are checked together.
    pub foundation: String,
    /// Larger is preferred.
    pub priority: u32,
    /// The address. Newer servers call it `address`, older ones `ip`; both are read, and `ip` is
    /// written.
    #[serde(alias = "address")]
    pub ip: IpAddr,
    /// `udp` or `tcp`.
    pub protocol: String,
    /// The port.
    pub port: u16,
    /// `host`, `srflx`, `prflx` or `relay`.
    #[serde(rename = "type")]
    pub candidate_type: String,
    /// `active`, `passive` or `so` for TCP (RFC 6544).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_type: Option<String>,
}

/// A STUN or TURN server, as W3C's RTCIceServer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// One URL or several.
    pub urls: Urls,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// One URL, or several of the same server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Urls {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Who begins the DTLS handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DtlsRole {
    /// Either: the other side decides.
    #[default]
    Auto,
    /// This side does.
    Client,
    /// The other side does.
    Server,
}

/// The hash of a certificate (RFC 8122, section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsFingerprint {
    /// The hash function, such as `sha-256`.
    pub algorithm: String,
    /// Bytes in hexadecimal with colons between.
    pub value: String,
}

/// Role and certificates of one side of a DTLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsParameters {
    /// In this dialect the client is the DTLS client.
    #[serde(default)]
    pub role: DtlsRole,
    /// Hashes of this side's certificate.
    pub fingerprints: Vec<DtlsFingerprint>,
}
