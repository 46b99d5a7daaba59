//! A transport of a client: its socket, str0m's state, and the leg that a worker drives.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use str0m::bwe::Bitrate;
use str0m::ice::IceCreds;
use str0m::{Candidate, Rtc};

use super::{Client, Common, LegState};
use crate::dialect::{dtls_parameters, fingerprint};
use crate::guard;
use crate::load::config::{LoadConfig, Target};
use crate::load::failure::{Failure, Stage};
use crate::load::worker::LegNumber;
use crate::load::worker::command::Command;
use crate::load::worker::leg::{Leg, NewLeg};
use crate::signal::transport::{DtlsParameters, DtlsRole, IceCandidate, IceParameters};

/// What the estimate begins with, as browsers have it, in bits a second.
pub(crate) const FIRST_ESTIMATE: u64 = 300_000;
/// More than media, so that the estimate can show that there is room.
const HEADROOM: f64 = 1.2;
/// For audio, in bits a second.
const AUDIO: u64 = 100_000;

/// Whether packets go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Out,
    In,
}

/// What a server tells of a transport.
pub(crate) struct Remote {
    pub(crate) transport_id: String,
    pub(crate) ice: IceParameters,
    pub(crate) candidates: Vec<IceCandidate>,
    pub(crate) dtls: DtlsParameters,
}

pub(crate) fn credentials(ice: &IceParameters) -> IceCreds {
    IceCreds { ufrag: ice.username_fragment.clone(), pass: ice.password.clone() }
}

impl Remote {
    /// Where it is reached by UDP.
    fn addresses(&self) -> Vec<SocketAddr> {
        let udp = self.candidates.iter().filter(|candidate| candidate.protocol.eq_ignore_ascii_case("udp"));
        udp.map(|candidate| SocketAddr::new(candidate.ip, candidate.port)).collect()
    }
}

/// A socket of a client towards a server, and the address that it has.
pub(super) async fn socket(
    common: &Arc<Common>,
    client: usize,
    server: SocketAddr,
) -> Result<(UdpSocket, SocketAddr), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Stage::Transport, format!("no socket towards {server}: {error}"));
    let sockets = Arc::clone(&common.config.sockets);
    let made = tokio::task::spawn_blocking(move || sockets.udp(client, server.ip())).await;
    let socket = made.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    socket.set_nonblocking(true).map_err(|error| failed(&error))?;
    let local = socket.local_addr().map_err(|error| failed(&error))?;
    Ok((socket, local))
}

/// A client's `Rtc`, with an estimate of the bandwidth where packets go out.
pub(super) fn rtc(common: &Common, flow: Flow, local: SocketAddr) -> Result<Rtc, String> {
    let config = &common.config;
    let estimate_from = (flow == Flow::Out).then(|| Bitrate::from(FIRST_ESTIMATE));
    let mut rtc = common.identity.builder().enable_bwe(estimate_from).build(Instant::now());
    if flow == Flow::Out {
        rtc.bwe().set_desired_bitrate(Bitrate::from(wanted(config)));
    }
    let candidate = Candidate::host(local, "udp").map_err(|error| format!("no candidate for {local}: {error}"))?;
    rtc.add_local_candidate(candidate);
    Ok(rtc)
}

/// What a publisher would like to send, in bits a second.
fn wanted(config: &LoadConfig) -> u64 {
    let video = if config.video { config.quality.bits_per_second() } else { 0 };
    // Rates are far below 2^52.
    ((video + AUDIO) as f64 * HEADROOM) as u64
}

impl Client {
    /// Makes the client's side of a transport, and hands it to a worker. Returns what the server is to
    /// be told of it.
    pub(super) async fn open_leg(
        &mut self,
        flow: Flow,
        remote: &Remote,
    ) -> Result<(LegNumber, DtlsParameters), Failure> {
        let failed = |reason: String| Failure::new(Stage::Transport, reason);
        let addresses = remote.addresses();
        let Some(first) = addresses.first() else {
            return Err(failed("the server names no candidate by UDP".to_owned()));
        };
        let (socket, local) = socket(&self.common, self.index, *first).await?;
        let mut rtc = rtc(&self.common, flow, local).map_err(failed)?;
        let theirs = fingerprint(&remote.dtls).map_err(failed)?;
        let ours = guard::guarded(|| {
            for address in &addresses {
                let candidate = Candidate::host(*address, "udp");
                rtc.add_remote_candidate(candidate.map_err(|error| format!("no candidate for {address}: {error}"))?);
            }
            let mut api = rtc.direct_api();
            api.set_ice_controlling(true);
            if flow == Flow::In {
                api.enable_twcc_feedback();
            }
            api.set_remote_ice_credentials(credentials(&remote.ice));
            api.set_remote_fingerprint(theirs);
            api.start_dtls(true).map_err(|error| format!("cannot begin DTLS: {error}"))?;
            Ok(dtls_parameters(api.local_dtls_fingerprint(), DtlsRole::Client))
        })
        .map_err(failed)?;
        let leg = self.hand_over(rtc, flow, socket, local, remote.transport_id.clone());
        Ok((leg, ours))
    }

    /// Gives a transport to a worker.
    pub(super) fn hand_over(
        &mut self,
        rtc: Rtc,
        flow: Flow,
        socket: UdpSocket,
        local: SocketAddr,
        transport_id: String,
    ) -> LegNumber {
        let number = self.common.legs.fetch_add(1, Ordering::Relaxed);
        let new = NewLeg {
            number,
            client: self.index,
            rtc,
            socket,
            local,
            takes_any: flow == Flow::In && self.common.config.target == Target::Whep,
            wanted: (flow == Flow::Out && !self.common.config.fixed_bitrate).then(|| wanted(&self.common.config)),
            events: self.legs.sender.clone(),
        };
        self.legs.all.insert(number, LegState { transport_id, ..LegState::default() });
        self.command(Command::Open(Box::new(Leg::new(new))));
        number
    }
}
