//! A leg: one transport of a client, with str0m's state of it and a socket of its own. A server that
//! knows transports by the addresses of their packets could not tell two on one socket apart.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use str0m::Rtc;
use str0m::stats::PeerStats;
use tokio::sync::mpsc::UnboundedSender;

use super::LegNumber;
use super::command::{Happened, LegEvent};
use super::stream::Stream;
use super::timers::LegTimer;
use super::track::Track;
use crate::load::client::transport::FIRST_ESTIMATE;
use crate::load::latency::Latency;
use crate::load::results::Second;

/// What a leg is made with.
pub(crate) struct NewLeg {
    pub(crate) number: LegNumber,
    pub(crate) client: usize,
    pub(crate) rtc: Rtc,
    /// Does not block.
    pub(crate) socket: UdpSocket,
    pub(crate) local: SocketAddr,
    /// Whether tracks come in that nobody has announced, as SDP has them.
    pub(crate) takes_any: bool,
    /// What the estimate is to reach, in bits a second; none where nobody follows it.
    pub(crate) wanted: Option<u64>,
    pub(crate) events: UnboundedSender<LegEvent>,
}

/// A media packet on its way out through str0m.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) track: usize,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) rtp_timestamp: u32,
    pub(crate) number: u32,
    pub(crate) bytes: usize,
    pub(crate) key_frame: bool,
}

/// A datagram that is being handled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Handled {
    /// The SSRC on the wire, if it is media.
    pub(crate) ssrc: Option<u32>,
    /// Whether str0m gave a packet for it.
    pub(crate) gave: bool,
}

/// How late frames were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slip {
    pub(crate) frames: u64,
    pub(crate) sum: Duration,
    pub(crate) most: Duration,
}

impl Slip {
    pub(crate) fn record(&mut self, slip: Duration) {
        self.frames += 1;
        self.sum += slip;
        self.most = self.most.max(slip);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.sum += other.sum;
        self.most = self.most.max(other.most);
    }
}

/// A leg.
pub(crate) struct Leg {
    pub(crate) new: NewLeg,
    pub(crate) timer: LegTimer,
    pub(crate) connected: bool,
    /// Whether nothing more is to be done with it.
    pub(crate) ended: bool,
    pub(crate) quiet: bool,
    pub(crate) tracks: Vec<Track>,
    pub(crate) streams: Vec<Stream>,
    /// SSRCs of streams and of their retransmissions: which stream, and whether it is one.
    pub(crate) by_ssrc: HashMap<u32, (usize, bool)>,
    pub(crate) outgoing: VecDeque<Outgoing>,
    pub(crate) handled: Handled,
    /// By the bandwidth estimate, in bits a second.
    pub(crate) estimate: Option<u64>,
    /// Whether anything says that packets that went out have arrived.
    pub(crate) acknowledged: bool,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    /// Datagrams that the socket did not take.
    pub(crate) send_failed: u64,
    /// Frames that were due and not sent when sending ended.
    pub(crate) skipped: u64,
    pub(crate) slip: Slip,
    pub(crate) e2e: Latency,
    pub(crate) e2e_of_second: Latency,
    pub(crate) seconds: Vec<Second>,
    pub(crate) second: Second,
    /// Missing of all streams at the end of the last second.
    pub(crate) lost_before: u64,
    pub(crate) peer: Option<PeerStats>,
}

impl Leg {
    pub(crate) fn new(new: NewLeg) -> Self {
        let estimate = new.wanted.map(|_| FIRST_ESTIMATE);
        Self {
            new,
            timer: LegTimer::default(),
            connected: false,
            ended: false,
            quiet: false,
            tracks: Vec::new(),
            streams: Vec::new(),
            by_ssrc: HashMap::new(),
            outgoing: VecDeque::new(),
            handled: Handled::default(),
            estimate,
            acknowledged: false,
            sent: 0,
            sent_bytes: 0,
            send_failed: 0,
            skipped: 0,
            slip: Slip::default(),
            e2e: Latency::default(),
            e2e_of_second: Latency::default(),
            seconds: Vec::new(),
            second: Second::default(),
            lost_before: 0,
            peer: None,
        }
    }

    pub(crate) fn tell(&self, what: Happened) {
        // A client that has ended does not listen any more.
        let _ = self.new.events.send(LegEvent { leg: self.new.number, what });
    }

    /// The number of the client, as logs and stamps have it.
    pub(crate) fn client(&self) -> u32 {
        u32::try_from(self.new.client).unwrap_or(u32::MAX)
    }
}
