//! A leg's `Rtc`, and what of it signalling shows.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::bwe::Bitrate;
use str0m::ice::IceCreds;
use str0m::{Candidate, Rtc};

use crate::identity::Identity;
use crate::signal::transport::{IceCandidate, IceParameters};

/// A leg's `Rtc`: ICE lite, with an estimate of the bandwidth where packets go out.
pub(crate) fn rtc(
    identity: &Identity,
    local: SocketAddr,
    estimate_from: Option<u64>,
    now: Instant,
) -> Result<Rtc, String> {
    let builder = identity.builder().set_ice_lite(true).enable_bwe(estimate_from.map(Bitrate::from));
    let mut rtc = builder.build(now);
    let candidate = Candidate::host(local, "udp").map_err(|error| format!("no candidate for {local}: {error}"))?;
    rtc.add_local_candidate(candidate);
    Ok(rtc)
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
