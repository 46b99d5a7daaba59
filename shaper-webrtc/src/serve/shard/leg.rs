//! A leg: one client's transport, with str0m's state of it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use str0m::Rtc;
use str0m::ice::IceCreds;
use str0m::media::Mid;

use super::command::{Flow, LegNumber, Owner};
use super::track::Origins;
use crate::guard;
use crate::serve::ids::Id;
use crate::serve::rewrite::Rewriter;

/// Addresses of one client that are remembered; older ones are forgotten.
const ADDRESSES: usize = 8;
/// Addresses that one client may come from in its life: str0m forgets none, and looks through all.
const ADDRESSES_EVER: u32 = 256;

/// What went out under an SSRC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) consumer: Id,
    pub(crate) retransmission: bool,
}

/// A leg.
pub(crate) struct Leg {
    pub(crate) number: LegNumber,
    pub(crate) owner: Owner,
    pub(crate) flow: Flow,
    pub(crate) rtc: Rtc,
    /// The fragment that STUN requests to this leg carry now.
    pub(crate) local_ufrag: String,
    /// The client's fragment, once known.
    pub(crate) remote: Option<IceCreds>,
    /// Credentials that take over when the client uses them.
    pub(crate) restart: Option<IceCreds>,
    /// Where authentic STUN came from.
    pub(crate) addresses: Vec<SocketAddr>,
    /// How many there have been.
    addresses_ever: u32,
    pub(crate) dtls_started: bool,
    /// Whether it is ours to begin DTLS, as soon as ICE is up: what is sent before that reaches nobody, and DTLS gives
    /// up after five flights.
    pub(crate) begins_dtls: bool,
    pub(crate) ice_up: bool,
    pub(crate) connected: bool,
    /// Since when it is not connected.
    pub(crate) down_since: Option<Instant>,
    /// When str0m wants to be called.
    pub(crate) due: Instant,
    /// The entry in the queue of timers that stands for it.
    pub(crate) queued: Option<Instant>,
    /// Whether it is in the list of those to be driven.
    pub(crate) dirty: bool,
    /// Whether it cannot go on. Its `Rtc` is not used again.
    pub(crate) failed: bool,
    /// Tracks that come in, by SSRC as far as seen, and by media section.
    pub(crate) incoming: HashMap<u32, (Id, usize)>,
    pub(crate) producers: Vec<(Mid, Id)>,
    /// SSRCs that the client has announced, retransmission among them.
    pub(crate) announced: HashSet<u32>,
    /// Tracks that go out.
    pub(crate) outgoing: HashMap<u32, Outgoing>,
    pub(crate) consumers: Vec<Id>,
    /// Whether SDP made its media sections: those stay.
    pub(crate) by_sdp: bool,
    /// How far the numbers of sections got whose consumer has ended, and what of it has not left.
    pub(crate) spare: HashMap<Mid, (Rewriter, Origins)>,
    /// The number of the next media section.
    pub(crate) next_mid: u32,
    /// Bits a second towards the client, once feedback has come.
    pub(crate) estimate: Option<u64>,
    /// Seconds, from RTCP.
    pub(crate) rtt: Option<f64>,
}

impl Leg {
    pub(crate) fn new(number: LegNumber, owner: Owner, flow: Flow, mut rtc: Rtc, now: Instant) -> Self {
        let local_ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        Self {
            number,
            owner,
            flow,
            rtc,
            local_ufrag,
            remote: None,
            restart: None,
            addresses: Vec::new(),
            addresses_ever: 0,
            dtls_started: false,
            begins_dtls: false,
            ice_up: false,
            connected: false,
            down_since: Some(now),
            due: now,
            queued: None,
            dirty: false,
            failed: false,
            incoming: HashMap::new(),
            producers: Vec::new(),
            announced: HashSet::new(),
            outgoing: HashMap::new(),
            consumers: Vec::new(),
            by_sdp: false,
            spare: HashMap::new(),
            next_mid: 0,
            estimate: None,
            rtt: None,
        }
    }

    /// Begins DTLS, or lets the client.
    pub(crate) fn start_dtls(&mut self, active: bool) -> Result<(), String> {
        guard::guarded(|| {
            self.rtc.direct_api().start_dtls(active).map_err(|error| format!("cannot start DTLS: {error}"))
        })
    }

    /// Remembers an address; what is forgotten for it is given back.
    pub(crate) fn remember(&mut self, address: SocketAddr) -> Option<SocketAddr> {
        if self.addresses.contains(&address) {
            return None;
        }
        self.addresses_ever = self.addresses_ever.saturating_add(1);
        self.addresses.push(address);
        (self.addresses.len() > ADDRESSES).then(|| self.addresses.remove(0))
    }

    /// Whether it may come from an address: from one that it came from, or from few enough others.
    pub(crate) fn may_come_from(&self, address: SocketAddr) -> bool {
        self.addresses_ever < ADDRESSES_EVER || self.addresses.contains(&address)
    }

    /// A media section that no other of this leg has.
    pub(crate) fn new_mid(&mut self) -> Mid {
        loop {
            let mid = Mid::from(self.next_mid.to_string().as_str());
            self.next_mid = self.next_mid.wrapping_add(1);
            if self.rtc.media(mid).is_none() {
                return mid;
            }
        }
    }
}
