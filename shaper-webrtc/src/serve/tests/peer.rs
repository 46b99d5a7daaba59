//! A client's side of a transport.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use str0m::config::Fingerprint;
use str0m::ice::IceCreds;
use str0m::media::{KeyframeRequest, MediaKind as RtcKind, Mid, Rid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionMap, RtpPacket, RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc};

use crate::dialect::{dtls_parameters, extension_map, fingerprint, set_codecs};
use crate::signal::rtp::{MediaKind, RtpParameters};
use crate::signal::transport::{DtlsParameters, DtlsRole, IceCandidate, IceParameters};

/// What is waited for longer than this does not come.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often a peer's statistics are looked at.
const STATS_EVERY: Duration = Duration::from_millis(200);

/// Whether a datagram is lost.
pub(super) type Loss = Box<dyn FnMut(&[u8]) -> bool>;

pub(super) struct Peer {
    pub(super) rtc: Rtc,
    socket: UdpSocket,
    pub(super) local: SocketAddr,
    pub(super) connected: bool,
    pub(super) closed: bool,
    pub(super) received: Vec<RtpPacket>,
    pub(super) key_frames_asked: VecDeque<KeyframeRequest>,
    /// How often the server has asked for packets, by media section, and how often that was told.
    pub(super) nacks: HashMap<Mid, (u64, u32)>,
    /// Which datagrams to the server are lost.
    pub(super) lost_out: Loss,
    /// Which from it.
    pub(super) lost_in: Loss,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self::with_extensions(extension_map())
    }

    /// One whose packets have these header extensions.
    pub(super) fn with_extensions(extensions: ExtensionMap) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let local = socket.local_addr().unwrap();
        let mut builder =
            Rtc::builder().set_rtp_mode(true).set_stats_interval(Some(STATS_EVERY)).set_extension_map(extensions);
        set_codecs(builder.codec_config());
        let mut rtc = builder.build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        Self {
            rtc,
            socket,
            local,
            connected: false,
            closed: false,
            received: Vec::new(),
            key_frames_asked: VecDeque::new(),
            nacks: HashMap::new(),
            lost_out: Box::new(|_| false),
            lost_in: Box::new(|_| false),
        }
    }

    /// Takes the server's parameters, and gives back what `connectTransport` tells it.
    pub(super) fn connect(
        &mut self,
        ice: &IceParameters,
        candidates: &[IceCandidate],
        dtls: &DtlsParameters,
    ) -> DtlsParameters {
        for candidate in candidates {
            let address = SocketAddr::new(candidate.ip, candidate.port);
            self.rtc.add_remote_candidate(Candidate::host(address, "udp").unwrap());
        }
        let remote: Fingerprint = fingerprint(dtls).unwrap();
        let mut api = self.rtc.direct_api();
        api.set_ice_controlling(true);
        api.enable_twcc_feedback();
        api.set_remote_ice_credentials(credentials(ice));
        api.set_remote_fingerprint(remote);
        api.start_dtls(true).unwrap();
        dtls_parameters(api.local_dtls_fingerprint(), DtlsRole::Client)
    }

    /// Says what will be sent.
    pub(super) fn declare_out(&mut self, mid: &str, kind: MediaKind, streams: &[(u32, Option<u32>, Option<&str>)]) {
        let mut api = self.rtc.direct_api();
        let mid = Mid::from(mid);
        api.declare_media(mid, rtc_kind(kind));
        for (ssrc, rtx, rid) in streams {
            api.declare_stream_tx((*ssrc).into(), rtx.map(Ssrc::from), mid, rid.map(Rid::from));
        }
    }

    /// Goes on under another SSRC.
    pub(super) fn change_ssrc(&mut self, mid: &str, from: u32, to: u32) {
        let mut api = self.rtc.direct_api();
        assert!(api.remove_stream_tx(from.into()));
        api.declare_stream_tx(to.into(), None, Mid::from(mid), None);
    }

    /// Says what will be received.
    pub(super) fn declare_in(&mut self, kind: MediaKind, parameters: &RtpParameters) -> Ssrc {
        let mid = Mid::from(parameters.mid.as_deref().unwrap());
        let mut api = self.rtc.direct_api();
        api.declare_media(mid, rtc_kind(kind));
        let encoding = &parameters.encodings[0];
        let ssrc = Ssrc::from(encoding.ssrc.unwrap());
        api.expect_stream_rx(ssrc, encoding.rtx.map(|rtx| rtx.ssrc.into()), mid, None);
        ssrc
    }

    pub(super) fn write(&mut self, ssrc: u32, payload_type: u8, sequence: u64, timestamp: u32, payload: Vec<u8>) {
        let now = Instant::now();
        let write = RtpWrite::new(payload_type.into(), sequence.into(), timestamp, now, payload);
        let stream = self.rtc.direct_api().stream_tx(&ssrc.into()).map(|stream| {
            stream.write_rtp(write.nackable(true).marker(true));
        });
        stream.unwrap();
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(datagram) => {
                    if !(self.lost_out)(&datagram.contents) {
                        self.socket.send_to(&datagram.contents, datagram.destination).unwrap();
                    }
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::Closed) => self.closed = true,
                Output::Event(Event::RtpPacket(packet)) => self.received.push(packet),
                Output::Event(Event::MediaEgressStats(stats)) => {
                    let (nacks, told) = self.nacks.entry(stats.mid).or_default();
                    *nacks = stats.nacks;
                    *told += 1;
                }
                Output::Event(Event::KeyframeRequest(request)) => self.key_frames_asked.push_back(request),
                Output::Event(_) => {}
            }
        }
    }

    /// Handles what has come in, or the time that has passed.
    pub(super) fn pump(&mut self) {
        let mut buffer = [0; 2000];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let datagram = &buffer[..length];
                    if (self.lost_in)(datagram) {
                        continue;
                    }
                    let received = Receive::new(Protocol::Udp, from, self.local, datagram).unwrap();
                    self.rtc.handle_input(Input::Receive(Instant::now(), received)).unwrap();
                    self.drain();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
        self.drain();
    }

    /// Sends anything, past str0m.
    pub(super) fn send_raw(&self, datagram: &[u8], to: SocketAddr) {
        self.socket.send_to(datagram, to).unwrap();
    }

    /// What came under an SSRC.
    pub(super) fn of(&self, ssrc: Ssrc) -> Vec<&RtpPacket> {
        self.received.iter().filter(|packet| packet.header.ssrc == ssrc).collect()
    }
}

pub(super) fn credentials(ice: &IceParameters) -> IceCreds {
    IceCreds { ufrag: ice.username_fragment.clone(), pass: ice.password.clone() }
}

fn rtc_kind(kind: MediaKind) -> RtcKind {
    match kind {
        MediaKind::Audio => RtcKind::Audio,
        MediaKind::Video => RtcKind::Video,
    }
}

/// Pumps peers until something holds.
pub(super) fn pump_until<const N: usize>(
    what: &str,
    peers: [&mut Peer; N],
    mut holds: impl FnMut(&mut [&mut Peer; N]) -> bool,
) {
    let mut peers = peers;
    let deadline = Instant::now() + DEADLINE;
    while !holds(&mut peers) {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        for peer in &mut peers {
            peer.pump();
        }
    }
}

/// A VP8 payload of one packet a frame, with a picture id of 15 bits, whose body holds a number.
pub(super) fn vp8(picture_id: u16, key_frame: bool, number: u32) -> Vec<u8> {
    let [high, low] = picture_id.to_be_bytes();
    let mut payload = vec![0x90, 0x80, 0x80 | high, low, if key_frame { 0x10 } else { 0x11 }];
    payload.extend(number.to_be_bytes());
    payload.extend([0xa5; 200]);
    payload
}
